#!/usr/bin/env python
"""`DreamDuck-v2`: the dream, alone and in a batch. As a script: drive in it by keyboard.

All dreams of a batch are stepped at once, in numpy; searches, which know their controllers, are quicker
with `WorldModel.dream`. Source: Ha & Schmidhuber 2018, section 4; but the reward too is the model's own."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from dreamduck.common.config import check, from_mapping, option, part
from dreamduck.common.errors import ConfigError
from dreamduck.envs.base import Flags, Indices, Info
from dreamduck.envs.latent import LatentCars, LatentEnv, observation_space, step_time
from dreamduck.envs.panels import panels
from dreamduck.envs.vector import BatchEnv
from dreamduck.simulator.base import FloatArray, Frames
from dreamduck.simulator.environment import ENVIRONMENT
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import BEGINNINGS, Prediction
from dreamduck.world_model.imagination import DREAM_END, no_heads
from dreamduck.world_model.imagination.randomization import RandomizationConfig, RandomizedDreams
from dreamduck.world_model.imagination.stepper import Dreams
from dreamduck.world_model.model_config import ModelConfig

log = logging.getLogger(__name__)
_warned: set[str] = set()  # fingerprints of the weights that were warned about


@dataclasses.dataclass(frozen=True)
class DreamConfig:
    """Settings of the dream."""

    model: ModelConfig = part(ModelConfig)
    beginning: str = option(
        "first", "dreams begin as recorded episodes do, or anywhere in them", choices=BEGINNINGS
    )

    randomization: RandomizationConfig = part(RandomizationConfig)

    def __post_init__(self) -> None:
        check(self)


class DreamCars(LatentCars):
    """N dreams, stepped together.

    Attributes:
        dreams: the N dreams.
        prediction: from which the last step was drawn; None before the first.
    """

    options: ClassVar[tuple[str, ...]] = ()
    kept: ClassVar[tuple[str, ...]] = ("_episode_seeds", "prediction", "temperature")
    config: DreamConfig

    def _configure(self, settings: dict[str, Any]) -> tuple[spaces.Box, float]:
        model = settings.pop("model", None)
        self.config = from_mapping(DreamConfig, settings)
        self.model = model or WorldModel.load(self.config.model.folder)
        warn_missing_heads(self.model)
        space = observation_space(self.model)
        self.actions = self.model.actions
        return space, 1.0 / step_time(self.model.dynamics)

    def _make(self, num_envs: int, threads: int | None) -> None:
        if threads not in (None, 1):
            raise ConfigError("threads: of no effect in the dream, which numpy steps; leave it out")
        initial = self.model.start_states(self.config.beginning)
        settings = self.model.dynamics, initial, num_envs, self.config.model.temperature
        random = self.config.randomization
        self.dreams = RandomizedDreams(*settings, random) if random else Dreams(*settings)
        self.prediction: Prediction | None = None
        self._episode_seeds = np.zeros(num_envs, np.int64)

    @property
    def latent_cars(self) -> Dreams:
        """The dreams."""
        return self.dreams

    @property
    def temperature(self) -> float:
        """Of the next step; 0 for what is likeliest."""
        return self.dreams.temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        self.dreams.temperature = value

    @property
    def panel_names(self) -> tuple[str, ...]:
        """What `render` shows."""
        return ("dream",)

    def about(self) -> dict[str, Any]:
        """The facts that a recording of the first car's episode holds."""
        card = self.model.dynamics.card
        learned = {ENVIRONMENT: card[ENVIRONMENT]} if ENVIRONMENT in card else {}
        seed = int(self._episode_seeds[0])
        return {"world": "dream", "map_name": "dream", "simulator": "dream", "seed": seed, **learned}

    def _begin(self, envs: Indices, seeds: Sequence[int], options: dict[str, Any]) -> Info:
        self._episode_seeds[envs] = seeds
        self.prediction = None
        self.dreams.reset(seeds, envs.tolist())
        return self._info(np.zeros(len(envs), np.bool_), np.zeros(len(envs), np.float32), envs)

    def _advance(self, actions: FloatArray) -> tuple[npt.NDArray[Any], Flags, Info]:
        rewards, ended, self.prediction = self.dreams.step(actions)
        return rewards, ended, self._info(ended, self.prediction.end)

    def _info(
        self, ended: Flags, probability: npt.NDArray[np.float32], envs: Indices | None = None
    ) -> Info:
        info: Info = {
            "end": np.array(["", DREAM_END], dtype=object)[ended.astype(np.int64)],
            "end_probability": probability.astype(np.float64),
        }
        if self.model.ensemble is not None:
            uncertainty = self.model.ensemble.uncertainty(self.dreams.state.h)
            info["uncertainty"] = uncertainty.astype(np.float64) if envs is None else np.zeros(len(envs))
        return info

    def _images(self) -> list[Frames]:
        return [panels([frame]) for frame in self.model.decode(self.dreams.z)]

    def _parts(self) -> dict[str, Any]:
        return {"dreams": self.dreams}


class DreamEnv(DreamCars, LatentEnv):
    """A car in the dream: the dynamics alone give latents, rewards and ends, without a simulator.

    ## Action Space
    Box(-1, 1, (2,), float32): throttle and steering (positive to the left). Values outside are clipped.
    With weights of another environment: that environment's.

    ## Observation Space
    Box(-50, 50, (Z + C + H,), float32): [z, c, h], the latents that are dreamt and the state of the
    dynamics. With categorical dynamics, which ship, C is 0: 64 + 512 numbers.

    ## Rewards
    What the dynamics predict for the action: metres along the lane, less costs, if it learned from the
    reward "progress".

    ## Starting State
    The first latent of a recorded episode (`initial_z.json`), drawn by the seed; the state is 0.
    With beginning="midway": anywhere in an episode (`midway.npz`), with the state after the earlier steps.

    ## Episode End
    Terminated with the probability that the dynamics predict; `info["end"]` is "" or "dream-end".
    Gymnasium's time limit, a wrapper that `make` adds, truncates after 1,000 steps.

    ## Information
    `end`, and `end_probability`, the model's, of the step just taken; where the folder of weights has an
    ensemble, also `uncertainty` of the step, 0 at first.

    ## Arguments
    render_mode (None, "rgb_array" or "human"); weights, a folder, by default the one that ships;
    `model`, a world model that is loaded already, instead; temperature, more than 0: it divides the log
    weights of the mixtures and multiplies their variance; beginning ("first" or "midway").
    For a policy that meets other cars: dynamics_rand (True draws the motors' gain and trim and the distance
    of the wheels for each dream), dynamics_spread (times as widely as the simulator draws them),
    action_delay (actions arrive up to so many steps late) and latent_shift (standard deviation of a shift
    of z). c and h then follow the actions as they were commanded.

    ## Version History
    v2: the first.

    Raises:
        ConfigError: an unknown argument, or a bad value.
        WeightsError: the weights are missing or damaged.
    """

    def frame(self) -> Frames:
        """What is dreamt now, (64, 64, 3)."""
        return self.model.decode(self.dreams.z)[0]


class DreamVectorEnv(DreamCars, BatchEnv):
    """`DreamDuck-v2`, N dreams at once; see `DreamEnv` for actions, observations and rewards.

    Its arguments are those of `DreamEnv` and `BatchEnv`.
    """


def warn_missing_heads(model: WorldModel) -> None:
    """Warn, once, about what the dream of a world model lacks.

    Raises:
        WeightsError: its dynamics are missing or damaged.
    """
    dynamics = model.dynamics
    if dynamics.lacks and dynamics.weights not in _warned:
        _warned.add(dynamics.weights)
        log.warning("%s: %s", model.folder, no_heads(dynamics))


if __name__ == "__main__":
    from dreamduck.cli import main

    main("window", "v2")
