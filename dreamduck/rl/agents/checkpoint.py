"""Checkpoints: the file that a run starts from, and those that it writes.

A file sets environment, algorithm and network unless the command line does, and is refused where the
command line asks for something else."""

from __future__ import annotations

import dataclasses
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common import seeding
from dreamduck.common.errors import CheckpointError
from dreamduck.common.storage import read_npz, write_npz
from dreamduck.rl.agents import agent_file, loading
from dreamduck.rl.agents.agent_file import Save
from dreamduck.rl.algorithms import NETWORK_KEYS
from dreamduck.rl.arguments import Flags
from dreamduck.rl.environments import env_factory
from dreamduck.rl.logs import RunLog
from dreamduck.rl.run_plan import Plan
from dreamduck.rl.sb3 import BaseAlgorithm, OffPolicyAlgorithm, VecEnv

KEPT = 2  # newest checkpoints that stay, beside those of --save_interval
CHECKPOINT = re.compile(r"\d{5,}")
REPLAY_ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
MOST_REPLAY_BYTES = 2 << 30  # a larger replay buffer is not part of a checkpoint
VALUES = ("value_network", "normalize_observations", "normalize_returns", "clip_observations")


@dataclasses.dataclass
class TrainingProgress:
    """The progress of a training; part of every saved agent, so that a resume continues the counters."""

    step: int = 0
    updates: int = 0
    episodes: int = 0
    elapsed: float = 0.0
    recent: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    engine_updates: int = 0
    total: int = 0

    @classmethod
    def from_card(cls, card: Mapping[str, Any], path: Path) -> TrainingProgress:
        """The progress in a saved agent's card.

        Raises:
            CheckpointError: another form.
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
            raise CheckpointError(
                f"{path}: expected the progress of a training in it ({err!r:.200})"
            ) from err


@dataclasses.dataclass(frozen=True)
class InitialAgent:
    """The file that a run starts from.

    Attributes:
        save: the file; None for a new agent.
        checkpoint: its path, where a run is resumed.
    """

    save: Save | None = None
    checkpoint: Path | None = None

    @property
    def card(self) -> dict[str, Any] | None:
        """The file's description; None without a file, or with one that is not ours."""
        return None if self.save is None else self.save.card

    def defaults(self, flags: Flags) -> dict[str, Any]:
        """The file's settings that no flag sets.

        Returns:
            Some of "env", "env_kwargs", "alg", "network"; and "values", keys of 2019.
        """
        if self.card is None:
            return {"values": {}}
        plan, env = self.card["plan"], env_factory.plain_id(self.card["env"])
        same = flags.env is None or env_factory.plain_id(flags.env) == env
        found = {"env": env, "env_kwargs": self.card["env_kwargs"] if same else {}}
        values = {key: plan[key] for key in VALUES if plan.get(key) not in (None, "")}
        if flags.network in (None, plan["network"]):
            found["network"] = plan["network"]
            values |= {
                key: plan["network_options"][key] for key in NETWORK_KEYS if key in plan["network_options"]
            }
        if flags.alg is None:
            found["alg"] = plan["alg"]
        return {**found, "values": values}

    def check(self, plan: Plan, venv: VecEnv, settings: Mapping[str, Any]) -> None:
        """Refuse a file from another network, algorithm or environment.

        Args:
            plan: the run's.
            venv: its environments.
            settings: what must not have changed where a run is resumed.
        Raises:
            CheckpointError: the settings differ from the checkpoint's.
        """
        if self.save is None or self.card is None:
            return
        loading.check_spaces(self.save, venv.observation_space, venv.action_space)
        theirs, ours = self.card["plan"], plan.described()
        for key in ("engine", "network", "network_options"):
            if theirs[key] != ours[key]:
                flag = {"engine": "--alg"}.get(key, "--network")
                raise CheckpointError(
                    f"{self.save.path}: trained with {key} {theirs[key]!s:.200}, and this run has "
                    f"{ours[key]}; leave {flag} and its options out to take the file's"
                )
        loading.check_network_size(self.save, plan)
        if self.checkpoint is None:
            return
        then = self.card["training"].get("settings")
        then = dict(then) if isinstance(then, dict) else {}
        then["env"] = env_factory.plain_id(str(then.get("env")))
        changed = sorted(k for k in {*then, *settings} if then.get(k) != settings.get(k))
        if changed:
            raise CheckpointError(
                f"--resume: {', '.join(changed)} changed since {self.save.path}; give the same flags, "
                f"or start a new run from it with --load_path={self.save.path}"
            )

    def progress(self) -> TrainingProgress:
        """The progress of the file's training; at 0 without a file of this program."""
        if self.save is None or self.card is None:
            return TrainingProgress()
        return TrainingProgress.from_card(self.card, self.save.path)

    def log_sizes(self) -> dict[str, Any]:
        """The size of each log file when the checkpoint was written [bytes]; empty if unknown."""
        sizes = {} if self.card is None else self.card["training"].get("logs")
        return sizes if isinstance(sizes, dict) else {}

    def seed(self, seed: int | None) -> int | None:
        """The run's seed; a resumed run draws other numbers than it drew at its start."""
        if seed is None or self.checkpoint is None:
            return seed
        return seeding.derive(seed, self.progress().step)


def initial_agent(flags: Flags, load_path: str | None) -> InitialAgent:
    """Read the file that the command line names, or the newest checkpoint.

    Raises:
        CheckpointError: missing, damaged, or not written by this program where it must be.
    """
    if flags.resume:
        folder = Path(str(flags.log_path)).expanduser() / "checkpoints"
        found = newest(folder)
        if found is None:  # it was stopped before its first one
            return InitialAgent() if load_path is None else InitialAgent(agent_file.read(load_path))
        save = agent_file.read(found)
        if save.card is None:
            raise CheckpointError(f"{found}: not a checkpoint of this program")
        return InitialAgent(save, found)
    return InitialAgent() if load_path is None else InitialAgent(agent_file.read(load_path))


class CheckpointWriter:
    """Writes checkpoints to `<log_path>/checkpoints/00010`, named by the update.

    Args:
        folder: of the checkpoints.
        plan: the run's.
        env_id: the environment's id.
        env_kwargs: the environment's arguments.
        settings: what must not change when the run is resumed.
        run_log: its files' sizes are part of a checkpoint.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        env_id: str,
        env_kwargs: Mapping[str, Any],
        settings: Mapping[str, Any],
        run_log: RunLog | None = None,
    ) -> None:
        self.folder, self._run_log = folder, run_log
        self._plan, self._env_id, self._env_kwargs = plan, env_id, env_kwargs
        self._settings = settings
        self._temporary: list[Path] = []
        self._run = secrets.token_hex(8)

    def continue_run(self, card: Mapping[str, Any]) -> None:
        """Take over the checkpoints of the run that is resumed: of these, too, only the newest stay."""
        self._run = str(card["training"].get("run", self._run))
        names = card["training"].get("passing", [])
        known = [str(name) for name in names] if isinstance(names, list) else []
        self._temporary = [self.folder / name for name in known if CHECKPOINT.fullmatch(name)]

    def save(self, path: Path, model: BaseAlgorithm, progress: TrainingProgress) -> None:
        """Write the agent to any path."""
        temporary = [each.name for each in self._temporary]
        training = {**dataclasses.asdict(progress), "settings": dict(self._settings), "passing": temporary}
        training["run"] = self._run
        if path.parent == self.folder and self._run_log is not None:
            training["logs"] = self._run_log.sizes()
        agent_file.write(path, model, self._plan, self._env_id, self._env_kwargs, training)

    def checkpoint(self, model: BaseAlgorithm, progress: TrainingProgress, keep: bool) -> Path:
        """Write a checkpoint; those that are not kept are deleted when newer ones exist."""
        path = self.folder / f"{progress.updates:05d}"
        if isinstance(model, OffPolicyAlgorithm):
            write_replay(path.with_name(path.name + ".replay.npz"), model)
        if path in self._temporary:
            self._temporary.remove(path)
        if not keep:
            self._temporary.append(path)
        self.save(path, model, progress)
        while len(self._temporary) > KEPT:
            old = self._temporary.pop(0)
            old.unlink(missing_ok=True)
            old.with_name(old.name + ".replay.npz").unlink(missing_ok=True)
        return path


def newest(folder: Path) -> Path | None:
    """The newest checkpoint in a folder; None without one. Files under a temporary name do not count."""
    if not folder.is_dir():
        return None
    found = [path for path in folder.iterdir() if CHECKPOINT.fullmatch(path.name)]
    return max(found, key=lambda path: int(path.name), default=None)


def prepare_resume(model: BaseAlgorithm, progress: TrainingProgress, checkpoint: Path) -> None:
    """Restore an agent's own counters and its replay buffer from a checkpoint.

    Raises:
        CheckpointError: the replay buffer does not fit.
    """
    model.num_timesteps = progress.step
    model._episode_num = progress.episodes
    model._n_updates = progress.engine_updates
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
    """Restore a replay buffer; False where the checkpoint had none.

    Raises:
        CheckpointError: another size or environment.
    """
    if not path.exists():
        return False
    stored = read_npz(path, CheckpointError)
    buffer: Any = model.replay_buffer
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
