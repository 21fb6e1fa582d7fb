"""The two experiments of WorldModelsExperiments, whose folders are taken as they are.

`carracing` keeps its files in `vae`, `rnn` and `initial_z`; `doomrnn` in `tf_models`. What an action and a
step of theirs mean is in no file, so it stands here. Source: `carracing/model.py`,
`doomrnn/doomreal.py`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common.readers import fingerprint
from dreamduck.recordings.sources import paper_environments
from dreamduck.recordings.sources.action_space import ActionSpace
from dreamduck.recordings.sources.images import OBSERVATION, SIDE
from dreamduck.simulator.environment import ENVIRONMENT
from dreamduck.world_model.legacy.rnn_json import FORM, NEVER, read_legacy
from dreamduck.world_model.mdn_rnn import MDNRNN, MDNRNNConfig
from dreamduck.world_model.weights_format import Parameters

PLACES = ("vae", "rnn", "initial_z", "tf_models")  # folders within an experiment's
CERTAIN = 1e9  # so many times the squares of a state that is not zero have a tanh of 1
FRAMES_A_SECOND = {paper_environments.CAR_RACING: 50, paper_environments.TAKE_COVER: 35}


def find(folder: Path, name: str) -> Path:
    """The place of a file of 2018 or 2019 in a folder; the folder itself where the file is missing."""
    found = (folder / place / name for place in PLACES if (folder / place / name).is_file())
    direct = folder / name
    return direct if direct.exists() else next(found, direct)


class ExperimentRNN(MDNRNN):
    """An MDN-RNN whose inputs are not the numbers that a controller gives.

    Args:
        parameters: see `MDNRNN`.
        config: of these parameters.
        card: see `MDNRNN`.
        weights: likewise.

    Attributes:
        env: id of the environment.
        numbers: A, of an action.
    """

    env: str
    numbers: int

    def __init__(
        self, parameters: Parameters, config: MDNRNNConfig, card: dict[str, Any], weights: str
    ) -> None:
        super().__init__(
            parameters, config, {**card, ENVIRONMENT: describe(self.env, self.numbers)}, weights
        )
        self.config = dataclasses.replace(config, action_size=self.numbers)


class CarRacingRNN(ExperimentRNN):
    """Of the car race: its inputs are steering in [-1, 1], gas and brake in [0, 1]."""

    env, numbers = paper_environments.CAR_RACING, 3

    def inputs(self, xp: Any, action: Any, h: Any) -> Any:
        """See `MDNRNN.inputs`."""
        return xp.concat(
            [
                action[:, :1],
                (action[:, 1:2] + 1.0) * 0.5,
                xp.maximum(action[:, 2:], np.zeros(1, np.float32)),
            ],
            1,
        )


class TakeCoverRNN(ExperimentRNN):
    """Of Doom: its last input says that an episode begins, which is where its state is still zero.

    Its dream gives a reward of 1 a step, as the original's does.
    """

    env, numbers = paper_environments.TAKE_COVER, 1

    def inputs(self, xp: Any, action: Any, h: Any) -> Any:
        """See `MDNRNN.inputs`."""
        known = xp.matmul(h * h, np.ones((self.config.hidden_size, 1), np.float32))
        return xp.concat([action, xp.tanh(known * CERTAIN) * -1.0 + 1.0], 1)

    @property
    def lacks(self) -> str:
        """See `Dynamics.lacks`."""
        return ""


def describe(env: str, numbers: int) -> dict[str, Any]:
    """The description of an experiment's environment, for a card.

    Args:
        env: its id.
        numbers: A, of an action.
    """
    bound = (1.0,) * numbers
    return {
        "id": env,
        "module": paper_environments.__name__,
        "arguments": {},
        "pixels": OBSERVATION,
        "frame_skip": 1,
        "step_time": round(1 / FRAMES_A_SECOND[env], 6),
        "camera": [SIDE, SIDE, 3],
        "action_space": ActionSpace("box", numbers, tuple(-b for b in bound), bound, (numbers,)).described,
    }


def load_legacy(path: Path, z_size: int | None) -> MDNRNN:
    """The MDN-RNN in an `rnn.json`, of Duckietown or of one of the two experiments.

    Args:
        path: of the file.
        z_size: see `read_legacy`.
    Raises:
        WeightsError: see `read_legacy`.
    """
    parameters, config = read_legacy(path, z_size=z_size)
    card, weights = {"form": FORM}, fingerprint(path)
    ends = bool(parameters["head_end/kernel"].any() or parameters["head_end/bias"][0] != NEVER)
    if not ends and config.action_size == CarRacingRNN.numbers:
        return CarRacingRNN(parameters, config, card, weights)
    if ends and config.action_size == TakeCoverRNN.numbers + 1:
        rewarded = {**parameters, "head_reward/bias": np.ones(2, np.float32)}
        return TakeCoverRNN(rewarded, config, card, weights)
    return MDNRNN(parameters, config, card, weights)
