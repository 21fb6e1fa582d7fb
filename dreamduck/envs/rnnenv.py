#!/usr/bin/env python
"""`DreamDuck-v2`: the dream. Run it as a script to drive in it by keyboard.

Source: Ha & Schmidhuber 2018, section 4; but the reward too is the
memory's own."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from dreamduck.common import command_line
from dreamduck.common.config import check, from_mapping, option
from dreamduck.common.errors import WeightsError
from dreamduck.envs.panels import panels
from dreamduck.envs.world import World
from dreamduck.pretrained import FOLDER
from dreamduck.simulator.base import FloatArray, Frames
from dreamduck.simulator.environment import ENVIRONMENT
from dreamduck.world_model import WorldModel, mdn_rnn
from dreamduck.world_model.imagination import DREAM_END, TEMPERATURE, no_heads
from dreamduck.world_model.imagination.stepper import Dreams
from dreamduck.world_model.mdn_rnn import MDNRNN
from dreamduck.world_model.mdn_rnn.layout import ACTION_SIZE

log = logging.getLogger(__name__)
_told: set[str] = set()  # fingerprints of the weights that something was said about

STEP_TIME = 0.1  # [s], where the memory's card tells no other
OBSERVATION_LIMIT = 50.0  # the original's


@dataclasses.dataclass(frozen=True)
class DreamConfig:
    """What a dream is made of."""

    weights: str = option("", "folder of the world model; the one that ships by default", flags=("-w",))
    temperature: float = option(TEMPERATURE, "uncertainty of the dream", above=0.0, flags=("--temp",))
    beginning: str = option(
        "first", "dreams begin as recorded episodes do, or anywhere in them", choices=mdn_rnn.BEGINNINGS
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def folder(self) -> Path:
        """Where the weights lie."""
        return Path(self.weights) if self.weights else FOLDER


class DreamEnv(World):
    """A car on a road that is only remembered: no simulator, no rule, the memory alone.

    ## Action
    Box(-1, 1, (2,), float32): throttle and steering (positive to the left). Values outside are clipped.

    ## Observation
    Box(-50, 50, (Z + 2H,), float32): [z, c, h], the latent that is dreamt and the memory's state; 64 + 512
    + 512 numbers with the weights that ship.

    ## Rewards
    What the memory predicts for the action: metres along the lane, less costs, if it learned from the
    reward "progress".

    ## Start
    The first latent of a recorded episode (`initial_z.json`), drawn by the seed; the memory knows nothing.
    With beginning="midway": anywhere in an episode (`midway.npz`), and the memory knows what came before.

    ## End
    Terminated with the probability that the memory predicts; `info["end"]` is "" or "dream-end".
    Gymnasium's time limit, a wrapper that `make` adds, truncates after 1,000 steps.

    ## Info
    `end`, and `end_probability`, the memory's, of the step just taken.

    ## Arguments
    render_mode (None, "rgb_array" or "human"); weights, a folder, by default the one that ships;
    temperature, more than 0: it divides the log weights of the mixtures and multiplies their variance;
    beginning ("first" or "midway").

    ## Version history
    v2: the first.

    Raises:
        ConfigError: an unknown argument, or a bad value. WeightsError: the weights are missing or damaged.
    """

    options: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, render_mode: str | None = None, **settings: Any) -> None:
        self.config = dream_config(settings)
        rnn = load_memory(self.config.folder)
        super().__init__(render_mode, 1.0 / step_time(rnn))
        self.observation_space = observation_space(rnn)
        initial = WorldModel.load(self.config.folder).start_states(self.config.beginning)
        self.dreams = Dreams(rnn, initial, 1, self.config.temperature)
        self.pictures = Pictures(self.config.folder)
        self._seed = 0

    def frame(self) -> Frames:
        """What is dreamt now, (64, 64, 3)."""
        return self.pictures.frames(self.dreams.z)[0]

    def about(self) -> dict[str, Any]:
        """What a recording of this episode tells of its world."""
        card = self.dreams.memory.card
        learned = {ENVIRONMENT: card[ENVIRONMENT]} if ENVIRONMENT in card else {}
        return {"world": "dream", "map_name": "dream", "simulator": "dream", "seed": self._seed, **learned}

    def _begin(self, seed: int, options: dict[str, Any]) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        self._seed = seed
        self.dreams.reset([seed])
        return observe(self.dreams)[0], {"end": "", "end_probability": 0.0}

    def _advance(self, action: FloatArray) -> tuple[npt.NDArray[np.float32], float, bool, dict[str, Any]]:
        step = self.dreams.step(action[np.newaxis])
        ended = bool(step.ended[0])
        info = {"end": DREAM_END if ended else "", "end_probability": float(step.probability[0])}
        return observe(self.dreams)[0], float(step.reward[0]), ended, info

    def _picture(self) -> Frames:
        return self.pictures.of(self.dreams.z)[0]

    def _free(self) -> None:
        pass


class Pictures:
    """What latents look like; the VAE is loaded with the first of them.

    Args:
        folder: of the weights.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._vision: Any = None

    def of(self, z: npt.NDArray[np.float32]) -> list[Frames]:
        """A picture (480, 640, 3) for each of the latents (N, Z)."""
        return [panels([frame]) for frame in self.frames(z)]

    def frames(self, z: npt.NDArray[np.float32]) -> Frames:
        """The same as the VAE makes them, (N, 64, 64, 3) uint8."""
        if self._vision is None:
            self._vision = WorldModel.load(self._folder).vae
        frames: Frames = self._vision.decode(z)
        return frames


def load_memory(folder: Path) -> MDNRNN:
    """The memory of a dream; says, once, what its dream lacks.

    Raises:
        WeightsError: it is missing or damaged.
    """
    rnn = WorldModel.load(folder).dynamics
    if rnn.lacks and rnn.weights not in _told:
        _told.add(rnn.weights)
        log.warning("%s: %s", folder, no_heads(rnn))
    return rnn


def dream_config(settings: dict[str, Any]) -> DreamConfig:
    """The configuration that keyword arguments describe; `weights` may be a path.

    Raises:
        ConfigError: an unknown argument, or a bad value.
    """
    return from_mapping(DreamConfig, with_weights(settings))


def with_weights(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings; without weights, with those that ship."""
    weights = settings.get("weights")
    return {**settings, "weights": ""} if "weights" in settings and weights is None else settings


def observation_space(rnn: MDNRNN) -> spaces.Box:
    """[z, c, h] of this memory.

    Raises:
        WeightsError: its actions are not the worlds' throttle and steering.
    """
    if rnn.begins:
        raise WeightsError(
            "weights: a memory of 2019's Doom experiment, whose last input says that an episode begins; "
            f"expected one of {ACTION_SIZE} actions, throttle and steering; it can be read and stepped "
            "(dreamduck.world_model.mdn_rnn), but not driven here"
        )
    if rnn.config.action_size != ACTION_SIZE:
        raise WeightsError(
            f"weights: a memory of actions of {rnn.config.action_size} numbers, expected {ACTION_SIZE}, "
            "throttle and steering; it can be stepped (dreamduck.world_model.mdn_rnn), but not driven here"
        )
    size = rnn.config.z_size + 2 * rnn.config.hidden_size
    return spaces.Box(-OBSERVATION_LIMIT, OBSERVATION_LIMIT, (size,), dtype=np.float32)


def observe(source: Any) -> npt.NDArray[np.float32]:
    """The observations (N, Z + 2H) of dreams or of a perception, inside the space."""
    return np.clip(source.observation, -OBSERVATION_LIMIT, OBSERVATION_LIMIT)


def step_time(rnn: MDNRNN) -> float:
    """Duration of one step of what the memory learned from [s]."""
    learned = rnn.card.get(ENVIRONMENT)
    found = learned.get("step_time") if isinstance(learned, dict) else None
    return float(found) if isinstance(found, (int, float)) and found > 0 else STEP_TIME


def main(argv: Sequence[str] | None = None) -> None:
    """Drive in the dream by keyboard."""
    from dreamduck.common.config import add_arguments, from_arguments, to_dict
    from dreamduck.window.keyboard import EPILOG, add_drive_arguments, drive

    parser = command_line.parser("Drive in DreamDuck-v2, the dream, by keyboard.", EPILOG)
    add_arguments(parser, DreamConfig)
    add_drive_arguments(parser)
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    settings = to_dict(from_arguments(DreamConfig, arguments))
    drive(DreamEnv(render_mode="rgb_array", **settings), arguments)


if __name__ == "__main__":
    command_line.run(main)
