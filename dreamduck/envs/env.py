#!/usr/bin/env python
"""`DreamDuck-v0`: the simulator. Run it as a script to drive by keyboard.

Source: the daffy release of Duckietown's simulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from dreamduck.common import command_line
from dreamduck.common.config import from_mapping
from dreamduck.envs.world import PICTURE_HEIGHT, PICTURE_WIDTH, World
from dreamduck.simulator.base import CarState, FloatArray, Frames
from dreamduck.simulator.environment import ENVIRONMENT, describe
from dreamduck.simulator.road import Road, RoadConfig, car_info

FRAME_SHAPE = (64, 64, 3)  # of what the world model sees, and of what is recorded


class DuckEnv(World):
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
    or "gym-duckietown"), reward, domain_rand, distortion, frame_skip, steering_gain, camera_width,
    camera_height.

    ## Version history
    v0: the first.

    Raises:
        ConfigError: an unknown argument, or a bad value. MapError: an unknown map.
        DependencyError: the simulator chosen needs something that is not installed.
    """

    def __init__(self, *, render_mode: str | None = None, **settings: Any) -> None:
        self.config = from_mapping(RoadConfig, settings)
        super().__init__(render_mode, 1.0 / self.config.step_time)
        shape = (self.config.camera_height, self.config.camera_width, 3)
        self.observation_space = spaces.Box(0, 255, shape, dtype=np.uint8)
        self.road = Road(self.config)
        self.state: CarState | None = None  # of the car, as it is now
        self._seed = 0

    def frame(self) -> Frames:
        """What the camera sees now, (64, 64, 3), whatever size the observations have."""
        if self.observation_space.shape == FRAME_SHAPE:
            return self.road.frames()[0].copy()
        return self.road.view("camera", *FRAME_SHAPE[:2])

    def about(self) -> dict[str, Any]:
        """What a recording of this episode tells of its world."""
        return about_road("road", self.config, self._seed)

    def _begin(self, seed: int, options: dict[str, Any]) -> tuple[Frames, dict[str, Any]]:
        start = options.get("start")
        self._seed = seed
        self.state = self.road.reset([seed], None if start is None else start[np.newaxis])
        return self.road.frames()[0], car_info(self.state)

    def _advance(self, action: FloatArray) -> tuple[Frames, float, bool, dict[str, Any]]:
        self.state, reward, terminated = self.road.step(action[np.newaxis])
        return self.road.frames()[0], float(reward[0]), bool(terminated[0]), car_info(self.state)

    def _picture(self) -> Frames:
        return self.road.view("camera", PICTURE_WIDTH, PICTURE_HEIGHT)

    def _free(self) -> None:
        self.road.close()


def about_road(world: str, config: RoadConfig, seed: int) -> dict[str, Any]:
    """What a recording tells of an episode on the road."""
    return {
        "world": world,
        "map_name": config.map_name,
        "simulator": config.simulator,
        "domain_rand": config.domain_rand,
        ENVIRONMENT: {**describe(config), "camera": list(FRAME_SHAPE)},  # recorded frames are of this size
        "seed": seed,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Drive the simulator by keyboard."""
    from dreamduck.common.config import add_arguments, from_arguments, to_dict
    from dreamduck.window.keyboard import EPILOG, add_drive_arguments, drive

    parser = command_line.parser("Drive DreamDuck-v0, the simulator, by keyboard.", EPILOG)
    add_arguments(parser, RoadConfig, skip=("camera_width", "camera_height"))  # recordings have 64 x 64
    add_drive_arguments(parser)
    parser.add_argument("--weights", "-w", default="", help="world model for the controller's eyes")
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    settings = to_dict(from_arguments(RoadConfig, arguments))
    drive(DuckEnv(render_mode="rgb_array", **settings), arguments)


if __name__ == "__main__":
    command_line.run(main)
