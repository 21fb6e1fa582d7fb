"""N environments of one Gymnasium id in a batch, through Gymnasium's vector API."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import DreamDuckError
from dreamduck.recordings.sources.action_space import ActionSpace
from dreamduck.recordings.sources.frame_env import END, TERMINATED, TRUNCATED
from dreamduck.recordings.sources.gym_environment import (
    GymEnvironment,
    close,
    failed,
    keep_descriptors,
)
from dreamduck.recordings.sources.source import Frames, SourceStep

SEEDS = 2**31  # Gymnasium's environments take seeds below it


class GymVector:
    """N environments; one that has ended rests until it is reset.

    Args:
        environment: `pixels` settled, see `gym_environment.inspect`.
        num_envs: N.
        processes: more than one: each environment runs in a process of its own.
    Raises:
        ConfigError: the environment cannot be made.
    """

    def __init__(self, environment: GymEnvironment, num_envs: int, processes: int = 1) -> None:
        self.environment, self.num_envs = environment, num_envs
        self._envs: Any
        apart = processes > 1 and num_envs > 1
        # started afresh, since forks do not bear the threads of TensorFlow and numba
        options: dict[str, Any] = {"context": "spawn"} if apart else {"copy": False}
        spec = environment.spec
        keep_descriptors()
        try:
            self._envs = gymnasium.make_vec(
                spec,
                num_envs,
                vectorization_mode="async" if apart else "sync",
                vector_kwargs=options,
                wrappers=[environment.wrap],
            )
        except DreamDuckError:
            raise
        except Exception as err:  # anything, from a foreign environment
            raise failed(environment.id, err) from err
        self._processes = self._envs.processes if apart else []
        self._begun = self._failed = self._waits = False
        self.action_space: ActionSpace = self._call(self._envs.get_attr, "actions")[0]
        self._frames: Frames = np.zeros((num_envs, *self._envs.single_observation_space.shape), np.uint8)
        self._over, self._resting = np.ones((2, num_envs), np.bool_)

    def reset(self, seeds: Sequence[int], envs: Sequence[int] | None = None) -> None:
        """Begin episodes.

        Args:
            seeds: one for each that begins.
            envs: which; all by default.
        """
        chosen = np.arange(self.num_envs) if envs is None else np.asarray(envs, np.int64)
        given = [0] * self.num_envs
        for env, seed in zip(chosen.tolist(), seeds, strict=True):
            given[env] = int(seed) % SEEDS
        mask = np.full(self.num_envs, not self._begun)  # Gymnasium wants the first reset to be of all
        mask[chosen] = self._begun = True
        self._frames, _ = self._call(self._envs.reset, seed=given, options={"reset_mask": mask})
        self._over[chosen] = self._resting[chosen] = False

    def step(self, actions: npt.ArrayLike) -> SourceStep:
        """Act in all environments; those that have ended stay as they are.

        Args:
            actions: (N, A), vectors.
        Returns:
            An end is reported once.
        """
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: npt.ArrayLike) -> None:
        """Begin a step; processes work on it while other environments are asked.

        Args:
            actions: (N, A), vectors.
        """
        self._wanted = np.array(actions, np.float32)
        self._wanted[self._resting] = np.nan
        if self._processes:
            self._call(self._envs.step_async, self._wanted)
            self._waits = True

    def step_wait(self) -> SourceStep:
        """What the step gave."""
        if self._processes:
            found = self._call(self._envs.step_wait)
            self._waits = False
        else:
            found = self._call(self._envs.step, self._wanted)
        self._frames, reward, _, _, info = found
        ends = info[END]
        terminated, truncated = ((ends == kind) & ~self._over for kind in (TERMINATED, TRUNCATED))
        self._over |= terminated | truncated
        return SourceStep(reward.astype(np.float32), terminated, truncated)

    def rest(self, env: int) -> None:
        """Step an environment no more until its next reset."""
        self._resting[env] = True

    def frames(self) -> Frames:
        """What is seen now, (N, 64, 64, 3)."""
        return self._frames

    def close(self) -> None:
        """Free what is held; after a failure that is never a reason for another one."""
        if (self._failed or self._waits) and self._processes:  # in the middle of a step, or gone
            for process in self._processes:
                process.kill()
                process.join()
            for pipe in filter(None, self._envs.parent_pipes):
                pipe.close()
            self._envs.closed = True
            return
        close(self._envs, self.environment.id)

    def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        try:
            with warnings.catch_warnings() if self._processes else contextlib.nullcontext():
                if self._processes:  # Gymnasium's warnings are tracebacks of the processes
                    warnings.filterwarnings("ignore", ".*ERROR: ", UserWarning)
                return function(*arguments, **named)
        except Exception as err:  # anything, from a foreign environment
            self._failed = True
            if isinstance(err, DreamDuckError):
                raise
            if isinstance(err, EOFError | BrokenPipeError | ConnectionResetError):
                err = RuntimeError("its process ended: killed, out of memory, or a crash")
            raise failed(self.environment.id, err) from err
