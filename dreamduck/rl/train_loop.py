"""The training loop around the agent: rows, checkpoints, progress, going on after a kill.

Stable-Baselines3 runs the loop itself; this
is the callback that it calls."""

from __future__ import annotations

import dataclasses
import re
import secrets
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common import command_line
from dreamduck.common.errors import CheckpointError
from dreamduck.common.storage import read_npz, write_npz
from dreamduck.rl import agent_file, figures
from dreamduck.rl.log_rows import Moment, row
from dreamduck.rl.logs import Progress
from dreamduck.rl.run_plan import Plan
from dreamduck.rl.sb3 import BaseAlgorithm, BaseCallback, OffPolicyAlgorithm

KEPT = 2  # newest checkpoints that stay, beside those of --save_interval
CHECKPOINT = re.compile(r"\d{5,}")
REPLAY_ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
MOST_REPLAY_BYTES = 2 << 30  # a larger replay buffer is not put into checkpoints


@dataclasses.dataclass
class StepCount:
    """How far a training is; stands in every save, so that a resumed one tells no step twice."""

    step: int = 0
    updates: int = 0
    episodes: int = 0
    elapsed: float = 0.0
    recent: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    engine_updates: int = 0
    total: int = 0

    @classmethod
    def from_card(cls, card: Mapping[str, Any], path: Path) -> StepCount:
        """Read it from a save.

        Raises:
            CheckpointError: it is of another form.
        """
        values = card["training"]
        try:
            return cls(
                step=int(values["step"]),
                updates=int(values["updates"]),
                episodes=int(values["episodes"]),
                elapsed=float(values["elapsed"]),
                recent=[(float(r), float(n)) for r, n in values["recent"]],
                engine_updates=int(values["engine_updates"]),
                total=int(values["total"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as err:
            raise CheckpointError(f"{path}: does not say how far its training was ({err!r:.200})") from err


class CheckpointWriter:
    """Writes checkpoints to `<log_path>/checkpoints/00010`, named by the update."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        env_id: str,
        env_kwargs: Mapping[str, Any],
        settings: Mapping[str, Any],
        progress: Progress | None = None,
    ) -> None:
        self.folder, self._progress = folder, progress
        self._plan, self._env_id, self._env_kwargs = plan, env_id, env_kwargs
        self._settings = settings
        self._passing: list[Path] = []
        self._run = secrets.token_hex(8)

    def adopt(self, card: Mapping[str, Any]) -> None:
        """Go on where a killed run was: of its checkpoints, too, only the newest stay."""
        self._run = str(card["training"].get("run", self._run))
        names = card["training"].get("passing", [])
        known = [str(name) for name in names] if isinstance(names, list) else []
        self._passing = [self.folder / name for name in known if CHECKPOINT.fullmatch(name)]

    def save(self, path: Path, model: BaseAlgorithm, account: StepCount) -> None:
        """Write the agent to any path."""
        passing = [each.name for each in self._passing]
        training = {**dataclasses.asdict(account), "settings": dict(self._settings), "passing": passing}
        training["run"] = self._run
        if path.parent == self.folder and self._progress is not None:
            training["logs"] = self._progress.sizes()
        agent_file.write(path, model, self._plan, self._env_id, self._env_kwargs, training)

    def checkpoint(self, model: BaseAlgorithm, account: StepCount, keep: bool) -> Path:
        """Write a checkpoint; those that are not kept go when newer ones are there."""
        path = self.folder / f"{account.updates:05d}"
        if isinstance(model, OffPolicyAlgorithm):
            write_replay(path.with_name(path.name + ".replay.npz"), model)
        if path in self._passing:
            self._passing.remove(path)
        if not keep:
            self._passing.append(path)
        self.save(path, model, account)
        while len(self._passing) > KEPT:
            old = self._passing.pop(0)
            old.unlink(missing_ok=True)
            old.with_name(old.name + ".replay.npz").unlink(missing_ok=True)
        return path


def newest(folder: Path) -> Path | None:
    """The newest checkpoint in a folder; files under a temporary name are none."""
    if not folder.is_dir():
        return None
    found = [path for path in folder.iterdir() if CHECKPOINT.fullmatch(path.name)]
    return max(found, key=lambda path: int(path.name), default=None)


class Trainer(BaseCallback):
    """Follows a training: rows in the logs, checkpoints, the progress bar.

    Args:
        account: where it begins. every: seconds between checkpoints; 0: none by the clock.
    """

    def __init__(
        self,
        plan: Plan,
        progress: Progress,
        keeper: CheckpointWriter,
        account: StepCount,
        every: float,
        bar: bool,
    ) -> None:
        super().__init__()
        self._plan, self._progress, self._keeper, self.account = plan, progress, keeper, account
        self._every, self._show = every, bar
        self._recent: deque[tuple[float, float]] = deque(account.recent, maxlen=100)
        self._begun_elapsed = account.elapsed
        self._started = False
        self._row_step, self._row_episodes, self._kept_step = account.step, account.episodes, account.step

    def _on_training_start(self) -> None:
        self._start = self._row_time = self._saved_time = time.monotonic()
        self._bar = command_line.progress(
            total=self.account.total,
            initial=self.account.step,
            unit="step",
            disable=None if self._show else True,
        )

    def _on_step(self) -> bool:
        for info in self.locals.get("infos", ()):
            episode = info.get("episode")
            if episode is not None and "r" in episode:
                self._recent.append((float(episode["r"]), float(episode["l"])))
                self.account.episodes += 1
        self._bar.update(self.num_timesteps - self._bar.n)
        return True

    def _on_rollout_start(self) -> None:
        if self._started:
            self._after_update()
        self._started = True

    def _on_training_end(self) -> None:
        if self._started:
            self._after_update(last=True)
        self._bar.close()

    def _after_update(self, last: bool = False) -> None:
        account, now = self.account, time.monotonic()
        account.step, account.updates = self.num_timesteps, account.updates + 1
        account.elapsed = self._begun_elapsed + now - self._start
        account.recent = list(self._recent)
        account.engine_updates = int(getattr(self.model, "_n_updates", 0))
        if self._row_due() or (last and account.step > self._row_step):
            self._write_row(now)
        keep = self._keep_due()
        if keep or (self._every and now - self._saved_time >= self._every):
            self._keeper.checkpoint(self.model, account, keep)
            self._saved_time = time.monotonic()

    def _row_due(self) -> bool:
        family, every = self._plan.algorithm.logs, self._plan.row_every
        if family == "deepq":
            return self.account.episodes - self._row_episodes >= every
        if not self._plan.algorithm.on_policy:
            return self.account.step - self._row_step >= every
        return self.account.updates == 1 or self.account.updates % every == 0

    def _keep_due(self) -> bool:
        every = self._plan.keep_every
        if not every:
            return False
        if self._plan.algorithm.on_policy:
            return self.account.updates == 1 or self.account.updates % every == 0
        due = self.account.step - self._kept_step >= every
        if due:
            self._kept_step = self.account.step
        return due

    def _write_row(self, now: float) -> None:
        account = self.account
        epochs, new_steps = -(-account.step // self._plan.row_every), account.step - self._row_step
        moment = Moment(
            step=account.step,
            serial=account.step // self._plan.num_env,
            updates=account.updates,
            episodes=account.episodes,
            new_episodes=account.episodes - self._row_episodes,
            fps=(account.step - self._row_step) / max(now - self._row_time, 1e-9),
            elapsed=account.elapsed,
            recent=account.recent,
            figures={
                **self.logger.name_to_value,
                **figures.measure(self._plan, self.model, epochs, new_steps),
            },
        )
        self._progress.row(row(self._plan.algorithm.logs, moment), account.step)
        self._row_step, self._row_time, self._row_episodes = account.step, now, account.episodes


def prepare_resume(model: BaseAlgorithm, account: StepCount, checkpoint: Path) -> None:
    """Set an agent's own counters to where the checkpoint was, and bring its replay buffer back.

    Raises:
        CheckpointError: the replay buffer does not fit.
    """
    model.num_timesteps = account.step
    model._episode_num = account.episodes
    model._n_updates = account.engine_updates
    if isinstance(model, OffPolicyAlgorithm):
        read_replay(checkpoint.with_name(checkpoint.name + ".replay.npz"), model)


def write_replay(path: Path, model: OffPolicyAlgorithm) -> bool:
    """Write the filled part of a replay buffer; False where it is too large for a checkpoint."""
    buffer: Any = model.replay_buffer
    count = buffer.buffer_size if buffer.full else buffer.pos
    arrays = {name: getattr(buffer, name)[:count] for name in REPLAY_ARRAYS if hasattr(buffer, name)}
    if sum(array.nbytes for array in arrays.values()) > MOST_REPLAY_BYTES:
        return False
    write_npz(
        path, {**arrays, "position": np.array(buffer.pos), "full": np.array(buffer.full)}, compress=False
    )
    return True


def read_replay(path: Path, model: OffPolicyAlgorithm) -> bool:
    """Bring a replay buffer back; False where the checkpoint had none.

    Raises:
        CheckpointError: it is of another size or world.
    """
    if not path.exists():
        return False
    stored, buffer = read_npz(path, CheckpointError), _buffer(model)
    for name in REPLAY_ARRAYS:
        if hasattr(buffer, name):
            own, theirs = getattr(buffer, name), stored.get(name)
            if theirs is None or theirs.shape[1:] != own.shape[1:] or len(theirs) > len(own):
                raise CheckpointError(
                    f"{path}: does not fit the replay buffer ({name}); was --buffer_size changed?"
                )
            own[: len(theirs)] = theirs
    buffer.pos, buffer.full = int(stored["position"]), bool(stored["full"])
    return True


def _buffer(model: OffPolicyAlgorithm) -> Any:
    return model.replay_buffer
