#!/usr/bin/env python
"""`DreamDuck-v0`: the simulator, alone and in a batch. As a script: drive it by keyboard.

Source: the daffy release of Duckietown's simulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from dreamduck.common.config import from_mapping, integer
from dreamduck.envs.base import Cars, Flags, Indices, Info, SingleEnv
from dreamduck.envs.panels import IMAGE_HEIGHT, IMAGE_WIDTH
from dreamduck.envs.vector import BatchEnv
from dreamduck.recordings.episode import FRAME_SHAPE
from dreamduck.simulator.base import CarState, FloatArray, Frames
from dreamduck.simulator.environment import ENVIRONMENT, describe
from dreamduck.simulator.road import Road, RoadConfig, cars_info


class RoadCars(Cars):
    """N cars in a simulator; `DreamDuck-v0` and `DreamDuck-v1` drive them.

    Attributes:
        road: the simulator, and what a step is worth.
        state: of all cars, as it is now.
    """

    kept: ClassVar[tuple[str, ...]] = ("state", "_episode_seeds")
    config: Any
    road: Road
    state: CarState

    def _configure(self, settings: dict[str, Any]) -> tuple[spaces.Box, float]:
        self.config = from_mapping(RoadConfig, settings)
        space = spaces.Box(0, 255, self.config.simulation.frame_shape, dtype=np.uint8)
        return space, 1.0 / self.config.step_time

    def _make(self, num_envs: int, threads: int | None) -> None:
        self._make_road(self.config, num_envs, threads)

    def _make_road(self, config: RoadConfig, num_envs: int, threads: int | None) -> None:
        cores = {"threads": integer("threads", threads, 1)} if threads is not None else {}
        self.road = Road(config, num_envs, **(cores if config.simulator == "native" else {}))
        self._episode_seeds = np.zeros(num_envs, np.int64)

    def about(self) -> dict[str, Any]:
        """The facts that a recording of the first car's episode holds."""
        config = self.road.config
        return {
            "world": "road",
            "map_name": config.simulation.map_name,
            "simulator": config.simulator,
            "domain_rand": config.simulation.domain_rand,
            # Recorded frames are of this size.
            ENVIRONMENT: {**describe(config), "camera": list(FRAME_SHAPE)},
            "seed": int(self._episode_seeds[0]),
        }

    def _begin(self, envs: Indices, seeds: Sequence[int], options: dict[str, Any]) -> Info:
        self._episode_seeds[envs] = seeds
        self.state = self.road.reset(seeds, options.get("start"), envs)
        return {key: values[envs] for key, values in cars_info(self.state).items()}

    def _advance(self, actions: FloatArray) -> tuple[npt.NDArray[Any], Flags, Info]:
        self.state, rewards, terminated = self.road.drive(actions)
        return rewards, terminated.copy(), cars_info(self.state)

    def _observe(self) -> npt.NDArray[Any]:
        return self.road.frames()

    def _images(self) -> list[Frames]:
        cars = range(self.road.num_cars)
        return [self.road.view("camera", IMAGE_WIDTH, IMAGE_HEIGHT, car) for car in cars]

    def _parts(self) -> dict[str, Any]:
        return {"road": self.road}

    def _free(self) -> None:
        if hasattr(self, "road"):  # a batch is closed even when it could not be made
            self.road.close()


class DuckEnv(RoadCars, SingleEnv):
    """A car on a Duckietown map, seen through its camera.

    ## Action Space
    Box(-1, 1, (2,), float32): throttle and steering (positive to the left). Values outside are clipped.

    ## Observation Space
    Box(0, 255, (camera_height, camera_width, 3), uint8): the camera's frame, RGB.

    ## Rewards
    `reward="progress"`: metres along the lane, minus penalties for leaving the lane, a wrong heading and
    collisions. `reward="simulator"`: upstream's own, which is always in `info["simulator_reward"]`.

    ## Starting State
    A pose drawn as upstream draws it: on a random drivable tile, within 60 degrees of the lane.
    `options={"start": (x [m], z [m], heading [rad])}` places the car; heading 0 is along +x.

    ## Episode End
    Terminated when the car leaves the road or touches something; `info["end"]` is "", "off-road" or
    "collision". Gymnasium's time limit, a wrapper that `make` adds, truncates after 1,000 steps.

    ## Information
    At reset and at every step: `lane_dist` [m], `lane_angle` [rad] (nan without a lane), `in_lane`,
    `speed` [m/s], `pose` (x, z, heading), `tile` (i, j), `simulator_reward`, `proximity_penalty`, `end`.

    ## Arguments
    render_mode (None, "rgb_array" or "human"), and those of `RoadConfig`: map_name, simulator ("native"
    or "gym-duckietown"), reward, domain_rand, dynamics_rand, distortion, frame_skip, start_angle,
    steering_gain, camera_width, camera_height.

    ## Version History
    v0: the first.

    Raises:
        ConfigError: an unknown argument, or a bad value.
        MapError: an unknown map.
        DependencyError: the simulator chosen needs something that is not installed.
    """

    def frame(self) -> Frames:
        """What the camera sees now, (64, 64, 3), whatever size the observations have."""
        if self.observation_space.shape == FRAME_SHAPE:
            return self.road.frames()[0]
        return self.road.view("camera", *FRAME_SHAPE[:2])


class DuckVectorEnv(RoadCars, BatchEnv):
    """`DreamDuck-v0`, N cars at once; see `DuckEnv` for actions, observations and rewards.

    `info` holds arrays of N rows: `pose` is (N, 3), `tile` (N, 2), `end` N strings.

    Its arguments are those of `DuckEnv` and `BatchEnv`.
    """


if __name__ == "__main__":
    from dreamduck.cli import main

    main("window", "v0")
