#!/usr/bin/env python
"""`DreamDuck-v1`: the simulator, seen through the world model. Run it as a script to drive by keyboard.

Source: Ha & Schmidhuber 2018, section 3."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common import command_line
from dreamduck.common.config import check, from_mapping, option
from dreamduck.common.errors import ConfigError
from dreamduck.controllers.factory import WorldConfig, perception_maker, road_maker
from dreamduck.envs.env import about_road
from dreamduck.envs.panels import panels
from dreamduck.envs.rnnenv import observation_space, observe, with_weights
from dreamduck.envs.world import PICTURE_HEIGHT, PICTURE_WIDTH, World
from dreamduck.simulator.base import CarState, FloatArray, Frames
from dreamduck.simulator.road import car_info
from dreamduck.world_model.imagination.noise import Noise

CAMERA = 64  # width and height of what the VAE sees [pixels]


@dataclasses.dataclass(frozen=True)
class RealConfig(WorldConfig):
    """The road's settings, the model's, and what `render` shows."""

    debug: bool = option(True, "show what the VAE makes of the frame beside it; else the camera alone")
    next_z: bool = option(False, "show the frame beside what the memory had expected of it")

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self)
        if (self.road.camera_width, self.road.camera_height) != (CAMERA, CAMERA):
            raise ConfigError(
                f"camera: expected {CAMERA}x{CAMERA}, which is what the VAE sees, got "
                f"{self.road.camera_width}x{self.road.camera_height}; DreamDuck-v0 takes any size"
            )


class RealEnv(World):
    """A car on a Duckietown map, seen through the VAE and the memory.

    ## Action
    Box(-1, 1, (2,), float32): throttle and steering (positive to the left). Values outside are clipped.

    ## Observation
    Box(-50, 50, (Z + 2H,), float32): [z, c, h]: what the VAE makes of the frame (its mean), and the
    memory's state after all frames and actions before; 64 + 512 + 512 numbers with the weights that ship.

    ## Rewards, Start, End, Info
    As in `DreamDuck-v0`.

    ## Arguments
    Those of `DreamDuck-v0` (the camera is 64 x 64), and: weights, a folder, by default the one that ships;
    `any_weights`: take weights that learned from other settings, which are refused otherwise;
    `debug`: `render` shows the frame and, beside it, the VAE's reconstruction of it (the default; False:
    the camera alone, 640 x 480); `next_z`: also what the memory had expected, drawn with `temperature`.

    ## Version history
    v1: the first.

    Raises:
        ConfigError: an unknown argument, a bad value, or settings that the weights did not learn from.
        MapError: an unknown map. WeightsError: the weights are missing or damaged.
    """

    def __init__(self, *, render_mode: str | None = None, **settings: Any) -> None:
        self.config = from_mapping(RealConfig, with_weights(settings))
        super().__init__(render_mode, 1.0 / self.config.road.step_time)
        self.perception = perception_maker(self.config)(1)
        self.vision, rnn = self.perception.vision, self.perception.memory
        self.observation_space = observation_space(rnn)
        self.road = road_maker(self.config.road)(1)
        self._frame: Frames = np.zeros((CAMERA, CAMERA, 3), np.uint8)
        self._noise = Noise(0, 0, rnn.config.z_size)
        self._expected: npt.NDArray[np.float32] | None = None
        self.state: CarState | None = None  # of the car, as it is now
        self._seed = 0

    def frame(self) -> Frames:
        """What the camera sees now, (64, 64, 3)."""
        return self._frame

    def about(self) -> dict[str, Any]:
        """What a recording of this episode tells of its world."""
        return about_road("seen", self.config.road, self._seed)

    def _begin(self, seed: int, options: dict[str, Any]) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        start = options.get("start")
        self._seed = seed
        self.state = self.road.reset([seed], None if start is None else start[np.newaxis])
        frames = self.road.frames()
        self.perception.reset(frames)
        self._frame, self._expected = frames[0].copy(), None
        self._noise = Noise(seed, 0, self.perception.vision.z_size)
        return observe(self.perception)[0], car_info(self.state)

    def _advance(self, action: FloatArray) -> tuple[npt.NDArray[np.float32], float, bool, dict[str, Any]]:
        self.state, reward, terminated = self.road.step(action[np.newaxis])
        frames = self.road.frames()
        before = self.perception.z.copy()
        self.perception.step(frames, action[np.newaxis])
        self._frame = frames[0].copy()
        if self.config.next_z:
            self._expected = self._expect(before)
        return observe(self.perception)[0], float(reward[0]), bool(terminated[0]), car_info(self.state)

    def _expect(self, before: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """What the memory expected after `before` and the action, (1, Z)."""
        prediction = self.perception.memory.predict(before, self.perception.state)
        size = before.shape[1]
        uniform, normal = np.zeros((1, size + 1), np.float32), np.zeros((1, size), np.float32)
        self._noise.draw(uniform, normal)
        return self.perception.memory.draw(
            prediction.mixture, uniform[:, :-1], normal, self.config.model.temperature
        )

    def _picture(self) -> Frames:
        if not (self.config.debug or self.config.next_z):
            return self.road.view("camera", PICTURE_WIDTH, PICTURE_HEIGHT)
        z = self.perception.z
        shown = [z] if self.config.debug else []
        if self.config.next_z:
            shown.append(z if self._expected is None else self._expected)
        decoded = self.vision.decode(np.concatenate(shown))
        return panels([self._frame, *decoded])

    def _free(self) -> None:
        self.road.close()


def main(argv: Sequence[str] | None = None) -> None:
    """Drive the simulator, seen through the world model, by keyboard."""
    from dreamduck.common.config import add_arguments, from_arguments, to_dict
    from dreamduck.window.keyboard import EPILOG, add_drive_arguments, drive

    parser = command_line.parser(
        "Drive DreamDuck-v1, the simulator seen through the model, by keyboard.", EPILOG
    )
    add_arguments(parser, RealConfig, skip=("camera_width", "camera_height"))
    add_drive_arguments(parser)
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    settings = to_dict(from_arguments(RealConfig, arguments))
    drive(RealEnv(render_mode="rgb_array", **settings), arguments)


if __name__ == "__main__":
    command_line.run(main)
