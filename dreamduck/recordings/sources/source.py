"""The protocol of a source of episodes."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from dreamduck.recordings.behavior_policies import BehaviorPolicy
from dreamduck.recordings.sources.action_space import ActionSpace

Frames = npt.NDArray[np.uint8]


class SourceStep(NamedTuple):
    """What one step of N environments gave."""

    reward: npt.NDArray[np.float32]  # (N,)
    terminated: npt.NDArray[np.bool_]  # (N,)
    truncated: npt.NDArray[np.bool_]  # (N,)
    state: Any = None  # of the environments, where there is any


class Source(Protocol):
    """N environments in a batch, each recording one episode after another.

    Every random number of an episode follows from its number and the attempt, and an environment does not
    depend on those beside it; so any number of them records the same episodes.
    """

    num_envs: int
    action_space: ActionSpace

    def reset(self, env: int, episode: int, attempt: int) -> None:
        """Begin an episode.

        Args:
            env: in which of the environments.
            episode: its number.
            attempt: from 0; others of the same episode begin otherwise.
        """
        ...

    def idle(self, env: int) -> None:
        """An environment has no episode left, and waits for the others."""
        ...

    def step(self, actions: npt.NDArray[np.float64]) -> SourceStep:
        """Act in all environments.

        Args:
            actions: (N, A), see `ActionSpace`; those of environments without an episode count nothing.
        """
        ...

    def frames(self) -> Frames:
        """What is seen now, (N, 64, 64, 3)."""
        ...

    def telemetry(self) -> npt.NDArray[np.float32] | None:
        """What is known besides, (N, 8), see `recordings.TELEMETRY`; None where nothing is."""
        ...

    def expert(self) -> npt.NDArray[np.float64]:
        """What an expert would do now, (N, A); zeros where there is none."""
        ...

    def make_policy(self, name: str, random: np.random.Generator, frames: int) -> BehaviorPolicy:
        """A behaviour policy for one episode of at most `frames` steps."""
        ...

    def end(self, env: int) -> str:
        """How an environment's episode ended; "" while it runs."""
        ...

    def meta(self, episode: int, attempt: int) -> dict[str, Any]:
        """The description of the environment in an episode's file."""
        ...

    def close(self) -> None:
        """Free what is held."""
        ...
