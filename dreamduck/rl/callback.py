"""The callback that Stable-Baselines3's training loop calls: log entries, checkpoints, the progress bar."""

from __future__ import annotations

import time
from collections import deque

from dreamduck.common import command_line
from dreamduck.rl.agents.checkpoint import CheckpointWriter, TrainingProgress
from dreamduck.rl.log_columns import Snapshot, log_entry, measure
from dreamduck.rl.logs import RunLog
from dreamduck.rl.run_plan import Plan
from dreamduck.rl.sb3 import BaseCallback


class TrainingCallback(BaseCallback):
    """Log entries, checkpoints and the progress bar of a training.

    Args:
        plan: the run's.
        run_log: gets the entries.
        checkpoints: writes the checkpoints.
        progress: where the training starts; updated.
        interval: between checkpoints [s]; 0: none by the clock.
        bar: show a progress bar.
    """

    def __init__(
        self,
        plan: Plan,
        run_log: RunLog,
        checkpoints: CheckpointWriter,
        progress: TrainingProgress,
        interval: float,
        bar: bool,
    ) -> None:
        super().__init__()
        self._plan, self._run_log, self._checkpoints, self.progress = plan, run_log, checkpoints, progress
        self._interval, self._show = interval, bar
        self._recent: deque[tuple[float, float]] = deque(progress.recent, maxlen=100)
        self._elapsed_before = progress.elapsed
        self._started = False
        self._entry_step, self._entry_episodes = progress.step, progress.episodes
        self._kept_step = progress.step

    def _on_training_start(self) -> None:
        self._start = self._entry_time = self._saved_time = time.monotonic()
        self._bar = command_line.progress(
            total=self.progress.total,
            initial=self.progress.step,
            unit="step",
            disable=None if self._show else True,
        )

    def _on_step(self) -> bool:
        for info in self.locals.get("infos", ()):
            episode = info.get("episode")
            if episode is not None and "r" in episode:
                self._recent.append((float(episode["r"]), float(episode["l"])))
                self.progress.episodes += 1
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
        progress, now = self.progress, time.monotonic()
        progress.step, progress.updates = self.num_timesteps, progress.updates + 1
        progress.elapsed = self._elapsed_before + now - self._start
        progress.recent = list(self._recent)
        progress.engine_updates = int(getattr(self.model, "_n_updates", 0))
        if self._entry_due() or (last and progress.step > self._entry_step):
            self._write_entry(now)
        keep = self._checkpoint_due()
        if keep or (self._interval and now - self._saved_time >= self._interval):
            self._checkpoints.checkpoint(self.model, progress, keep)
            self._saved_time = time.monotonic()

    def _entry_due(self) -> bool:
        family, every = self._plan.algorithm.log_family, self._plan.log_every
        if family == "deepq":
            return self.progress.episodes - self._entry_episodes >= every
        if not self._plan.algorithm.on_policy:
            return self.progress.step - self._entry_step >= every
        return self.progress.updates == 1 or self.progress.updates % every == 0

    def _checkpoint_due(self) -> bool:
        every = self._plan.checkpoint_every
        if not every:
            return False
        if self._plan.algorithm.on_policy:
            return self.progress.updates == 1 or self.progress.updates % every == 0
        due = self.progress.step - self._kept_step >= every
        if due:
            self._kept_step = self.progress.step
        return due

    def _write_entry(self, now: float) -> None:
        progress = self.progress
        epochs, new_steps = -(-progress.step // self._plan.log_every), progress.step - self._entry_step
        snapshot = Snapshot(
            step=progress.step,
            serial=progress.step // self._plan.num_env,
            updates=progress.updates,
            episodes=progress.episodes,
            new_episodes=progress.episodes - self._entry_episodes,
            fps=(progress.step - self._entry_step) / max(now - self._entry_time, 1e-9),
            elapsed=progress.elapsed,
            recent=progress.recent,
            metrics={
                **self.logger.name_to_value,
                **measure(self._plan, self.model, epochs, new_steps),
            },
        )
        self._run_log.write(log_entry(self._plan.algorithm.log_family, snapshot), progress.step)
        self._entry_step, self._entry_time, self._entry_episodes = progress.step, now, progress.episodes
