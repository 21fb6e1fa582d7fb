#!/usr/bin/env python
"""`DreamDuck-v0`: the simulator, alone and in a batch. As a script: drive it by keyboard.

Source: the daffy release of Duckietown's simulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from dreamduck.common.config import from_mapping, integer
from dreamduck.envs.base import Cars, Flags, Indices, Info, SingleEnv
from dreamduck.envs.panels import IMAGE_HEIGHT, IMAGE_WIDTH
from dreamduck.envs.vector import BatchEnv
from dreamduck.simulator.base import ENDS, CarState, FloatArray, Frames
from dreamduck.simulator.environment import ENVIRONMENT, describe
from dreamduck.simulator.road import Road, RoadConfig, in_lane

FRAME_SHAPE = (64, 64, 3)  # of what the world model sees, and of what is recorded


class RoadCars(Cars):
    """N cars in a simulator; `DreamDuck-v0` and `DreamDuck-v1` drive them.

    Attributes:
        road: the simulator, and what a step is worth.
        state: of all cars, as it is now.
    """

    kept: ClassVar[tuple[str, ...]] = ("state", "_episode_seeds")
    road: Road
    state: CarState

    def _make_road(self, config: RoadConfig, num_envs: int, threads: int | None) -> None:
        """Build the simulator.

        Args:
            config: its settings.
            num_envs: how many cars.
            threads: for the native simulator, how many cores to use; None for all.
        """
        cores = {"threads": integer("threads", threads, 1)} if threads is not None else {}
        self.road = Road(config, num_envs, **(cores if config.simulator == "native" else {}))
        self._episode_seeds = np.zeros(num_envs, np.int64)

    def about(self) -> dict[str, Any]:
        """What a recording of the first car's episode tells of its world."""
        config = self.road.config
        return {
            "world": "road",
            "map_name": config.map_name,
            "simulator": config.simulator,
            "domain_rand": config.domain_rand,
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

    ## Action
    Box(-1, 1, (2,), float32): throttle and steering (positive to the left). Values outside are clipped.

    ## Observation
    Box(0, 255, (camera_height, camera_width, 3), uint8): the camera's frame, RGB.

    ## Rewards
    `reward="progress"`: metres along the lane, less what leaving the lane, standing askew in it and
    crashing cost. `reward="simulator"`: upstream's own, which is in `info["simulator_reward"]` anyhow.

    ## Start
    A pose drawn as upstream draws it: on a random drivable tile, within 60 degrees of the lane.
    `options={"start": (x [m], z [m], heading [rad])}` places the car; heading 0 is along +x.

    ## End
    Terminated when the car leaves the road or touches something; `info["end"]` is "", "off-road" or
    "collision". Gymnasium's time limit, a wrapper that `make` adds, truncates after 1,000 steps.

    ## Info
    At reset and at every step: `lane_dist` [m], `lane_angle` [rad] (nan without a lane), `in_lane`,
    `speed` [m/s], `pose` (x, z, heading), `tile` (i, j), `simulator_reward`, `proximity_penalty`, `end`.

    ## Arguments
    render_mode (None, "rgb_array" or "human"), and those of `RoadConfig`: map_name, simulator ("native"
    or "gym-duckietown"), reward, domain_rand, dynamics_rand, distortion, frame_skip, steering_gain,
    camera_width, camera_height.

    ## Version history
    v0: the first.

    Raises:
        ConfigError: an unknown argument, or a bad value.
        MapError: an unknown map.
        DependencyError: the simulator chosen needs something that is not installed.
    """

    def __init__(self, *, render_mode: str | None = None, **settings: Any) -> None:
        self.config = from_mapping(RoadConfig, settings)
        super().__init__(frame_space(self.config), 1.0 / self.config.step_time, render_mode)
        self._make_road(self.config, 1, threads=1)

    def frame(self) -> Frames:
        """What the camera sees now, (64, 64, 3), whatever size the observations have."""
        if self.observation_space.shape == FRAME_SHAPE:
            return self.road.frames()[0]
        return self.road.view("camera", *FRAME_SHAPE[:2])


class DuckVectorEnv(RoadCars, BatchEnv):
    """`DreamDuck-v0`, N cars at once; see `DuckEnv` for what a car does, sees and is told.

    `info` holds arrays of N rows: `pose` is (N, 3), `tile` (N, 2), `end` N strings.

    Args:
        num_envs: N.
        render_mode: None or "rgb_array".
        max_episode_steps: episodes are truncated after so many steps; None for never.
        autoreset_mode: when an ended episode is followed by the next, see `BatchEnv`.
        threads: for the native simulator, how many cores to use; all by default.
        settings: the fields of `RoadConfig`.
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
        self.config = from_mapping(RoadConfig, settings)
        fps, space = 1.0 / self.config.step_time, frame_space(self.config)
        super().__init__(num_envs, space, fps, render_mode, max_episode_steps, autoreset_mode)
        self._make_road(self.config, self.num_envs, threads)


def frame_space(config: RoadConfig) -> spaces.Box:
    """The space of the camera's frames."""
    return spaces.Box(0, 255, (config.camera_height, config.camera_width, 3), dtype=np.uint8)


def cars_info(state: CarState) -> Info:
    """What `info` says of all cars, N rows each; see `road.car_info` for one."""
    return {
        "lane_dist": state.lane_dist.copy(),
        "lane_angle": state.lane_angle.copy(),
        "in_lane": in_lane(state),
        "speed": state.speed.copy(),
        "pose": state.pose.copy(),
        "tile": state.tile.copy(),
        "simulator_reward": state.simulator_reward.copy(),
        "proximity_penalty": state.proximity_penalty.copy(),
        "end": np.array(ENDS, dtype=object)[state.end],
    }


if __name__ == "__main__":
    from dreamduck.cli import main

    main("window", "v0")
