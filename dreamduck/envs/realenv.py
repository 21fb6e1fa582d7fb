#!/usr/bin/env python
"""`DreamDuck-v1`: the simulator, seen through the world model. As a script: drive it by keyboard.

Source: Ha & Schmidhuber 2018, section 3."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode

from dreamduck.common.config import check, from_mapping, option, part
from dreamduck.common.errors import ConfigError
from dreamduck.envs.base import Flags, Indices, Info, SingleEnv
from dreamduck.envs.env import FRAME_SHAPE, RoadCars
from dreamduck.envs.panels import panels
from dreamduck.envs.rnnenv import clipped, observation_space
from dreamduck.envs.vector import BatchEnv
from dreamduck.simulator.base import FloatArray, Frames
from dreamduck.simulator.environment import ANY_WEIGHTS, FRAMES, check_environment
from dreamduck.simulator.road import RoadConfig
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import Prediction
from dreamduck.world_model.imagination.noise import Noise
from dreamduck.world_model.imagination.perception import Perception
from dreamduck.world_model.imagination.stepper import chance_arrays
from dreamduck.world_model.model_config import ModelConfig


@dataclasses.dataclass(frozen=True)
class RealConfig:
    """The road, the world model, and what `render` shows."""

    road: RoadConfig = part(RoadConfig)
    model: ModelConfig = part(ModelConfig)
    any_weights: bool = option(False, ANY_WEIGHTS)
    debug: bool = option(True, "show what the VAE makes of the frame beside it; else the camera alone")
    next_z: bool = option(False, "show the frame beside what the memory had expected of it")

    def __post_init__(self) -> None:
        check(self)
        if (self.road.camera_height, self.road.camera_width, 3) != FRAME_SHAPE:
            raise ConfigError(
                f"camera: expected {FRAME_SHAPE[1]}x{FRAME_SHAPE[0]}, which is what the VAE sees, got "
                f"{self.road.camera_width}x{self.road.camera_height}; DreamDuck-v0 takes any size"
            )


class SeenCars(RoadCars):
    """N cars on the road, each seen through the VAE and the MDN-RNN.

    Attributes:
        model: the world model.
        perception: what the cars see, and remember.
        prediction: what the MDN-RNN expected to follow the last actions; None before the first, and
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

    def _load(self, config: RealConfig, model: WorldModel | None) -> None:
        """Read the world model, and refuse settings that it did not learn from."""
        self.config = config
        self.model = model or WorldModel.load(config.model.folder)
        encoder, dynamics, source = self.model.vae, self.model.dynamics, str(self.model.folder)
        check_environment(dynamics.card, config.road, source, config.any_weights)
        check_environment(encoder.card, config.road, source, config.any_weights, only=FRAMES)

    def _make_cars(self, num_envs: int, threads: int | None) -> None:
        self._make_road(self.config.road, num_envs, threads)
        self.perception = Perception(self.model.vae, self.model.dynamics, num_envs)
        self._frames: Frames = np.zeros((num_envs, *FRAME_SHAPE), np.uint8)
        self._noises: list[Noise | None] = [None] * num_envs
        self.prediction: Prediction | None = None
        self.expected = self.perception.z.copy()
        self.temperature = self.config.model.temperature

    def about(self) -> dict[str, Any]:
        """What a recording of the first car's episode tells of its world."""
        return {**super().about(), "world": "seen"}

    def expect(self, actions: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """The latents that most likely follow from here, (N, Z); nothing is stepped.

        Args:
            actions: (N, 2).
        """
        return self.model.dynamics.likeliest(self.perception.z, actions, self.perception.state)

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

    def _observe(self) -> npt.NDArray[np.float32]:
        return clipped(self.perception.observation)

    def _images(self) -> list[Frames]:
        if not (self.config.debug or self.config.next_z):
            return super()._images()
        shown = [self._frames]
        if self.config.debug:
            shown.append(self.model.decode(self.perception.z))
        if self.config.next_z:
            shown.append(self.model.decode(self.expected))
        return [panels(frames) for frames in zip(*shown, strict=True)]

    def _parts(self) -> dict[str, Any]:
        return {**super()._parts(), "perception": self.perception}


class RealEnv(SeenCars, SingleEnv):
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
    `model`: a world model that is loaded already, instead;
    `any_weights`: take weights that learned from other settings, which are refused otherwise;
    `debug`: `render` shows the frame and, beside it, the VAE's reconstruction of it (the default; False:
    the camera alone, 640 x 480); `next_z`: also what the memory had expected, drawn with `temperature`.

    ## Version history
    v1: the first.

    Raises:
        ConfigError: an unknown argument, a bad value, or settings that the weights did not learn from.
        MapError: an unknown map.
        WeightsError: the weights are missing or damaged.
    """

    def __init__(
        self, *, render_mode: str | None = None, model: WorldModel | None = None, **settings: Any
    ) -> None:
        self._load(from_mapping(RealConfig, settings), model)
        space = observation_space(self.model)
        super().__init__(space, 1.0 / self.config.road.step_time, render_mode)
        self._make_cars(1, threads=1)

    @property
    def latents(self) -> npt.NDArray[np.float32]:
        """(Z,) what is seen; whoever writes to it changes what follows."""
        return self.perception.z[0]

    def frame(self) -> Frames:
        """What the camera sees now, (64, 64, 3)."""
        return self._frames[0]


class RealVectorEnv(SeenCars, BatchEnv):
    """`DreamDuck-v1`, N cars at once; see `RealEnv` for what a car does, sees and is told.

    Args:
        num_envs: N.
        render_mode: None or "rgb_array".
        max_episode_steps: episodes are truncated after so many steps; None for never.
        autoreset_mode: when an ended episode is followed by the next, see `BatchEnv`.
        threads: for the native simulator, how many cores to use; all by default.
        model: a world model that is loaded already, instead of `weights`.
        settings: those of `RealEnv`.
    Raises:
        ConfigError: an unknown argument, or a bad value.
        MapError: an unknown map.
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
        model: WorldModel | None = None,
        **settings: Any,
    ) -> None:
        self._load(from_mapping(RealConfig, settings), model)
        fps, space = 1.0 / self.config.road.step_time, observation_space(self.model)
        super().__init__(num_envs, space, fps, render_mode, max_episode_steps, autoreset_mode)
        self._make_cars(self.num_envs, threads)


if __name__ == "__main__":
    from dreamduck.cli import main

    main("window", "v1")
