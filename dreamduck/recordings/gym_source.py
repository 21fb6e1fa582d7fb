"""Any Gymnasium environment as a source of episodes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.config import option, part
from dreamduck.common.errors import ConfigError
from dreamduck.common.seeding import derive
from dreamduck.recordings.action_policies import DEFAULT_MIX, KEYBOARD, NAMES, make_policy
from dreamduck.recordings.behavior_policies import BehaviorPolicy, parse_mix
from dreamduck.recordings.plan import SIMULATION, EpisodeConfig
from dreamduck.recordings.sources import ActionSpace, SourceStep
from dreamduck.recordings.sources.gym_environment import GymEnvironment, inspect
from dreamduck.recordings.sources.gym_vector import GymVector
from dreamduck.recordings.sources.source import Frames
from dreamduck.simulator.environment import ENVIRONMENT

BATCH = 4  # environments that one process steps in turn


@dataclasses.dataclass(frozen=True)
class GymRecorderConfig(EpisodeConfig):
    """What is recorded of a Gymnasium environment, and where to."""

    environment: GymEnvironment = part(GymEnvironment)
    max_frames: int = option(1000, "steps of an episode at most", low=1, high=10_000)
    min_frames: int = option(2, "shorter episodes are recorded again, and the longest is kept", low=1)
    policies: tuple[str, ...] = option(
        DEFAULT_MIX,
        "behaviour policies and their weights, name=weight; one's own, module:function; or keyboard alone",
        flags=("--policy",),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if KEYBOARD in parse_mix(self.policies, self.known_policies) and len(self.policies) > 1:
            raise ConfigError(f"policies: expected {KEYBOARD} alone, got {','.join(self.policies)}")

    @property
    def by_keyboard(self) -> bool:
        """Whether a person acts."""
        return KEYBOARD in parse_mix(self.policies, self.known_policies)

    @property
    def known_policies(self) -> Collection[str]:
        """Names of behaviour policies."""
        return NAMES

    @functools.cached_property
    def inspected(self) -> tuple[GymEnvironment, dict[str, Any]]:
        """The environment with its images found, and its description; see `inspect`."""
        return inspect(self.environment)

    @property
    def recorded(self) -> dict[str, Any]:
        """See `EpisodeConfig`."""
        return {**super().recorded, "crop": list(self.environment.margins)}


class GymSource:
    """See `Source`.

    Args:
        config: the settings.
        num_envs: N.
        person: acts where the policy is "keyboard".
    Raises:
        ConfigError: the environment cannot be made, or has no images.
        SimulatorError: it failed.
    """

    def __init__(
        self, config: GymRecorderConfig, num_envs: int, person: BehaviorPolicy | None = None
    ) -> None:
        self.config, self.num_envs, self._person = config, num_envs, person
        environment, self.description = config.inspected
        self._vector = GymVector(environment, num_envs)
        self.action_space: ActionSpace = self._vector.action_space
        self._ends = [""] * num_envs

    def reset(self, env: int, episode: int, attempt: int) -> None:
        """Begin an episode, seeded by its number and the attempt."""
        self._vector.reset([derive(self.config.seed, SIMULATION, episode, attempt)], [env])
        self._ends[env] = ""

    def idle(self, env: int) -> None:
        """Do nothing: an environment that has ended rests."""
        self._vector.rest(env)

    def step(self, actions: npt.NDArray[np.float64]) -> SourceStep:
        """Act in all environments."""
        step = self._vector.step(actions)
        for env in np.flatnonzero(step.terminated):
            self._ends[env] = "terminated"
        for env in np.flatnonzero(step.truncated):
            self._ends[env] = "truncated"
        return step

    def frames(self) -> Frames:
        """What is seen now."""
        return self._vector.frames()

    def telemetry(self) -> None:
        """There is none."""

    def expert(self) -> npt.NDArray[np.float64]:
        """There is none: zeros."""
        return np.zeros((self.num_envs, self.action_space.size))

    def make_policy(self, name: str, random: np.random.Generator, frames: int) -> BehaviorPolicy:
        """One of `action_policies.POLICIES`, the person's, or one's own."""
        if name == KEYBOARD and self._person is not None:
            return self._person
        return make_policy(name, self.action_space, random)

    def end(self, env: int) -> str:
        """How an episode ended."""
        return self._ends[env]

    def meta(self, episode: int, attempt: int) -> dict[str, Any]:
        """The environment's description."""
        name = self.description["id"]
        return {"map_name": name, "simulator": "gymnasium", ENVIRONMENT: self.description}

    def close(self) -> None:
        """Free what is held."""
        self._vector.close()
