"""The three worlds for legacy gym (0.26): its spaces, its base class, the same five-tuple.

Legacy gym is loaded here and nowhere else."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import gym
import gymnasium
import numpy as np

from dreamduck.envs.base import RENDER_MODES
from dreamduck.registration import ENTRY_POINTS


class LegacyEnv(gym.Env):
    """A world behind legacy gym's interface; `world` is the one inside.

    Args:
        world_id: of the world, for example "DreamDuck-v0".
        settings: handed to the world.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": list(RENDER_MODES), "render_fps": 10}

    def __init__(self, world_id: str, **settings: Any) -> None:
        module, _, name = ENTRY_POINTS[world_id].partition(":")
        self.world: gymnasium.Env[Any, Any] = getattr(importlib.import_module(module), name)(**settings)
        self.metadata = dict(self.world.metadata)  # type: ignore[misc]
        self.render_mode = self.world.render_mode
        self.observation_space = box(self.world.observation_space)
        self.action_space = box(self.world.action_space)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; see the world."""
        return self.world.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Drive one step; see the world."""
        observation, reward, terminated, truncated, info = self.world.step(action)
        return observation, float(reward), terminated, truncated, info

    def render(self) -> Any:
        """The image; see the world."""
        return self.world.render()

    def close(self) -> None:
        """Free everything."""
        self.world.close()

    @property
    def np_random(self) -> np.random.Generator:
        """The generator that episodes without a seed draw theirs from."""
        return self.world.np_random

    @np_random.setter
    def np_random(self, value: np.random.Generator) -> None:
        self.world.np_random = value


def box(space: gymnasium.Space[Any]) -> gym.spaces.Box:
    """The same box as legacy gym's class."""
    if not isinstance(space, gymnasium.spaces.Box):
        raise TypeError(f"expected a Box, got {space}")
    return gym.spaces.Box(space.low, space.high, space.shape, space.dtype.type)
