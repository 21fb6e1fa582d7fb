"""`DreamDuck-v1`, many cars at once: `gymnasium.make_vec("DreamDuck-v1", num_envs=N)`.

The cars are driven in one batch, their frames encoded in
one batch, and the memory's step taken in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode

from dreamduck.common.config import from_mapping, integer
from dreamduck.common.errors import ConfigError
from dreamduck.controllers.factory import perception_maker, road_maker
from dreamduck.envs.panels import panels
from dreamduck.envs.realenv import RealConfig
from dreamduck.envs.rnnenv import observation_space, observe, with_weights
from dreamduck.envs.vector import BatchVectorEnv, Flags, Indices, Info, cars_info
from dreamduck.envs.world import PICTURE_HEIGHT, PICTURE_WIDTH
from dreamduck.simulator.base import FloatArray, Frames


class RealVectorEnv(BatchVectorEnv):
    """N cars, seen through the world model; see `RealEnv` for what a car does, sees and is told.

    Args:
        num_envs, render_mode, max_episode_steps, autoreset_mode: see `BatchVectorEnv`.
        threads: for the native simulator, how many cores to use; all by default.
        settings: those of `RealEnv`, less `next_z`, which is for one car.
    Raises:
        ConfigError: an unknown argument, or a bad value. MapError: an unknown map.
        WeightsError: the weights are missing or damaged.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        threads: int | None = None,
        **settings: Any,
    ) -> None:
        self.config = from_mapping(RealConfig, with_weights(settings))
        if self.config.next_z:
            raise ConfigError("next_z: expected a single world to show it; make DreamDuck-v1 with make")
        num_envs = integer("num_envs", num_envs, 1)
        self.perception = perception_maker(self.config)(num_envs)
        self.vision = self.perception.vision
        fps = 1.0 / self.config.road.step_time
        space = observation_space(self.perception.memory)
        super().__init__(num_envs, space, fps, render_mode, max_episode_steps, autoreset_mode)
        cores = None if threads is None else integer("threads", threads, 1)
        self.road = road_maker(self.config.road, cores)(num_envs)

    def _begin(self, envs: Indices, seeds: Sequence[int], options: dict[str, Any]) -> Info:
        state = self.road.reset(seeds, options.get("start"), envs)
        self.perception.reset(self.road.frames()[envs], envs)
        return {key: values[envs] for key, values in cars_info(state).items()}

    def _advance(self, actions: FloatArray) -> tuple[npt.NDArray[Any], Flags, Info]:
        state, rewards, terminated = self.road.step(actions)
        self.perception.step(self.road.frames(), actions)
        return rewards, terminated.copy(), cars_info(state)

    def _observe(self) -> npt.NDArray[np.float32]:
        return observe(self.perception)

    def _pictures(self) -> tuple[Frames, ...]:
        if not self.config.debug:
            cars = range(self.num_envs)
            return tuple(self.road.view("camera", PICTURE_WIDTH, PICTURE_HEIGHT, car) for car in cars)
        decoded = self.vision.decode(self.perception.z)
        return tuple(panels(pair) for pair in zip(self.road.frames(), decoded, strict=True))

    def close_extras(self, **kwargs: Any) -> None:
        """Free the simulator."""
        road = getattr(self, "road", None)
        if road is not None:
            road.close()
