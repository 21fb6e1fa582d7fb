#!/usr/bin/env python
"""`DreamDuck-v1`: the simulator, seen through the world model. As a script: drive it by keyboard.

Source: Ha & Schmidhuber 2018, section 3."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from dreamduck.common.config import check, from_mapping, option, part
from dreamduck.common.errors import ConfigError
from dreamduck.envs.base import Flags, Indices, Info
from dreamduck.envs.env import RoadCars
from dreamduck.envs.latent import LatentCars, LatentEnv, observation_space
from dreamduck.envs.panels import panel_side, panels
from dreamduck.envs.vector import BatchEnv
from dreamduck.recordings.episode import FRAME_SHAPE
from dreamduck.simulator.base import FloatArray, Frames
from dreamduck.simulator.environment import ANY_WEIGHTS
from dreamduck.simulator.road import RoadConfig
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import Prediction
from dreamduck.world_model.imagination.noise import Noise
from dreamduck.world_model.imagination.perception import Perception
from dreamduck.world_model.imagination.stepper import chance_arrays, check_temperature
from dreamduck.world_model.model_config import ModelConfig


@dataclasses.dataclass(frozen=True)
class RealConfig:
    """The road, the world model, and what `render` shows."""

    road: RoadConfig = part(RoadConfig)
    model: ModelConfig = part(ModelConfig)
    any_weights: bool = option(False, ANY_WEIGHTS)
    debug: bool = option(True, "show the VAE's reconstruction beside the frame; else the camera alone")
    next_z: bool = option(False, "show the prediction of the dynamics beside the frame")

    def __post_init__(self) -> None:
        check(self)
        height, width, _ = found = self.road.simulation.frame_shape
        if found != FRAME_SHAPE:
            raise ConfigError(
                f"camera: expected {FRAME_SHAPE[1]}x{FRAME_SHAPE[0]}, the VAE's input, got "
                f"{width}x{height}; DreamDuck-v0 takes any size"
            )


class SeenCars(LatentCars, RoadCars):
    """N cars on the road, each seen through the VAE and the dynamics.

    Attributes:
        perception: the cars' latents, and the state of the dynamics.
        prediction: what the dynamics expected to follow the last actions; None before the first, and
            without `next_z`.
        expected: (N, Z) the latents that were drawn from it; those that are seen before the first action.
        temperature: at which they are drawn.
    """

    kept: ClassVar[tuple[str, ...]] = (
        *RoadCars.kept,
        "_frames",
        "_noises",
        "prediction",
        "expected",
        "temperature",
    )
    config: RealConfig

    def _configure(self, settings: dict[str, Any]) -> tuple[spaces.Box, float]:
        model = settings.pop("model", None)
        self.config = config = from_mapping(RealConfig, settings)
        self.model = model or WorldModel.load(config.model.folder)
        self.model.check_environment(config.road, config.any_weights)
        return observation_space(self.model), 1.0 / config.road.step_time

    def _make(self, num_envs: int, threads: int | None) -> None:
        self._make_road(self.config.road, num_envs, threads)
        self.perception = Perception(self.model.vae, self.model.dynamics, num_envs)
        self._frames: Frames = np.zeros((num_envs, *FRAME_SHAPE), np.uint8)
        self._noises: list[Noise | None] = [None] * num_envs
        self.prediction: Prediction | None = None
        self.expected = self.perception.z.copy()
        self.temperature = check_temperature(self.config.model.temperature, self.model.dynamics)

    @property
    def latent_cars(self) -> Perception:
        """The cars as the model sees them."""
        return self.perception

    @property
    def panel_names(self) -> tuple[str, ...]:
        """What `render` shows, from left to right."""
        shown = {"reconstruction": self.config.debug, "prediction": self.config.next_z}
        return ("camera", *(name for name, wanted in shown.items() if wanted))

    def about(self) -> dict[str, Any]:
        """The facts that a recording of the first car's episode holds."""
        return {**super().about(), "world": "seen"}

    def _begin(self, envs: Indices, seeds: Sequence[int], options: dict[str, Any]) -> Info:
        info = super()._begin(envs, seeds, options)
        self._frames = self.road.frames()
        self.perception.reset(self._frames[envs], envs)
        self.expected[envs] = self.perception.z[envs]
        self.prediction = None
        for env, seed in zip(envs, seeds, strict=True):
            self._noises[env] = Noise(seed, 0, self.expected.shape[1])
        return info

    def _advance(self, actions: FloatArray) -> tuple[npt.NDArray[Any], Flags, Info]:
        found = super()._advance(actions)
        before = self.perception.z.copy()
        self._frames = self.road.frames()
        self.perception.step(self._frames, actions)
        if self.config.next_z:
            self._expect(before)
        return found

    def _expect(self, before: npt.NDArray[np.float32]) -> None:
        """Draw what was expected after the latents `before` (N, Z) and the actions."""
        dynamics = self.model.dynamics
        uniform, normal = chance_arrays(dynamics, len(before))
        for noise, row, column in zip(self._noises, uniform, normal, strict=True):
            if noise is not None:
                noise.draw(row, column)
        state = self.perception.state
        self.prediction = dynamics.predict(before, state)
        chance = uniform[:, 0, :-1], normal[:, 0]
        self.expected = dynamics.draw(self.prediction, state, *chance, self.temperature).z

    def _images(self) -> list[Frames]:
        if not (self.config.debug or self.config.next_z):
            return super()._images()
        side = panel_side(len(self.panel_names))  # for people; the model sees `_frames`
        shown = [[self.road.view("camera", side, side, car) for car in range(self.road.num_cars)]]
        if self.config.debug:
            shown.append(list(self.model.decode(self.perception.z)))
        if self.config.next_z:
            shown.append(list(self.model.decode(self.expected)))
        return [panels(frames) for frames in zip(*shown, strict=True)]

    def _parts(self) -> dict[str, Any]:
        return {**super()._parts(), "perception": self.perception}


class RealEnv(SeenCars, LatentEnv):
    """A car on a Duckietown map, seen through the VAE and the dynamics.

    ## Action Space
    Box(-1, 1, (2,), float32): throttle and steering (positive to the left). Values outside are clipped.

    ## Observation Space
    Box(-50, 50, (Z + C + H,), float32): [z, c, h]: the latents of the frame, and the state of the
    dynamics after all frames and actions before. With an MDN-RNN z is the VAE's mean. With categorical
    dynamics, which ship, z is what they make of the frame, as in a dream, and C is 0: 64 + 512 numbers.

    ## Rewards
    As in `DreamDuck-v0`.

    ## Starting State
    As in `DreamDuck-v0`.

    ## Episode End
    As in `DreamDuck-v0`.

    ## Information
    As in `DreamDuck-v0`.

    ## Arguments
    Those of `DreamDuck-v0` (the camera is 64 x 64), and: `weights`, a folder, by default the one that
    ships; `model`: a world model that is loaded already, instead;
    `any_weights`: take weights that learned from other settings, which are refused otherwise;
    `debug`: `render` shows the camera's view and, beside it, the VAE's reconstruction of the frame (the
    default; False: the view alone, 640 x 480); `next_z`: also what the dynamics had expected, drawn with
    `temperature`.

    ## Version History
    v1: the first.

    Raises:
        ConfigError: an unknown argument, a bad value, or settings that the weights did not learn from.
        MapError: an unknown map.
        WeightsError: the weights are missing or damaged.
    """

    def frame(self) -> Frames:
        """What the camera sees now, (64, 64, 3)."""
        return self._frames[0]


class RealVectorEnv(SeenCars, BatchEnv):
    """`DreamDuck-v1`, N cars at once; see `RealEnv` for actions, observations and rewards.

    Its arguments are those of `RealEnv` and `BatchEnv`.
    """


if __name__ == "__main__":
    from dreamduck.cli import main

    main("window", "v1")
