"""Policies, good and bad, that the card ranks: frozen controllers, imitations of the expert, baselines.

Frozen ones come with the package; `scripts/make_ranked_policies.py` makes them. Those on [z, h] fit only
the world model that they were trained with, those on z alone every model with the same VAE. All others are
made anew for any model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dreamduck.common.errors import ControllerError, RecordError
from dreamduck.common.readers import in_words, read_json
from dreamduck.common.seeding import generator
from dreamduck.common.storage import read_npz
from dreamduck.controllers.policy import Controller, ControllerForm, act
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.data import RealData
from dreamduck.evaluation.model_card.driving.imitation import fit_imitation
from dreamduck.evaluation.policies import STRAIGHT_THROTTLE
from dreamduck.pretrained import FOLDER
from dreamduck.recordings.behavior_policies import OrnsteinUhlenbeck, RandomWalk
from dreamduck.world_model.dynamics import FloatArray

FORMAT = 1
REMEDY = "make it again with scripts/make_ranked_policies.py"
NOISE = (0.0, 0.2, 0.4, 0.8, 1.6)  # standard deviation of what is added to an imitation's steering
NOISE_STEPS = 6.0  # its time constant
NO_FRAME, NO_EXPERT = np.zeros((0, 0, 3), np.uint8), np.zeros(2)  # a random walk uses neither
Noise = Callable[[np.random.Generator, int], FloatArray]  # T -> (T, 2)


@dataclasses.dataclass(frozen=True)
class RankedPolicy:
    """A policy and the noise that is added to its actions.

    Attributes:
        name: shown to people.
        kind: "plain", "imitation", "cma-es", "ppo" or "shipped".
        features: what it sees: "", "z" or "zh".
        act: (z (B, Z), h (B, H)) to (B, 2).
        noise: of one episode of T steps; None for none.
        trained_in_dream: whether it was trained in the dream of this very world model.
    """

    name: str
    kind: str
    features: str
    act: Callable[[FloatArray, FloatArray], FloatArray]
    noise: Noise | None = None
    trained_in_dream: bool = False

    def noises(self, seed: int, episodes: int, steps: int) -> FloatArray:
        """The noise of all episodes, (E, T, 2): the same in the dream and on the road."""
        if self.noise is None:
            return np.zeros((episodes, steps, 2), np.float32)
        drawn = [self.noise(generator(seed, episode), steps) for episode in range(episodes)]
        return np.asarray(drawn, np.float32).reshape(episodes, steps, 2)


class LeftOut(NamedTuple):
    """A policy that cannot take part."""

    name: str
    reason: str


def all_policies(dreams: Dreams, data: RealData) -> tuple[list[RankedPolicy], list[LeftOut]]:
    """All policies that fit a world model, and those that do not."""
    fitting, left_out = frozen_policies(dreams.model.card.fingerprints)
    policies = plain_policies()
    for features in ("zh", "z"):
        try:
            policies += imitations(dreams, data, features)
        except RecordError as err:
            left_out.append(LeftOut(f"imitations of the expert from {features}", str(err)))
    return policies + fitting, left_out


def plain_policies() -> list[RankedPolicy]:
    """Policies without observations."""
    return [
        RankedPolicy("standing still", "plain", "", _constant(0.0, 0.0)),
        RankedPolicy("straight on", "plain", "", _constant(STRAIGHT_THROTTLE, 0.0)),
        RankedPolicy("random", "plain", "", _constant(0.0, 0.0), _white),
        RankedPolicy("smooth random", "plain", "", _constant(0.0, 0.0), _walk),
    ]


def imitations(dreams: Dreams, data: RealData, features: str) -> list[RankedPolicy]:
    """The expert imitated, with noise at several levels.

    Raises:
        RecordError: the recordings hold no telemetry for the expert.
    """
    imitation = fit_imitation(dreams, data, features)
    return [
        RankedPolicy(
            f"imitation from {features}, noise {level:g}", "imitation", features, imitation, _smooth(level)
        )
        for level in NOISE
    ]


def frozen_policies(fingerprints: Any, folder: Path = FOLDER) -> tuple[list[RankedPolicy], list[LeftOut]]:
    """The policies in `ranked_policies.npz`: those that fit a world model, and the others.

    Args:
        fingerprints: of the model's weights, by network ("vae", "rnn").
        folder: of the two files.
    Raises:
        ControllerError: a file is missing or damaged.
    """
    path = folder / "ranked_policies.json"
    card = read_json(path, ControllerError, REMEDY)
    with in_words(path, ControllerError, "not the card of frozen policies", REMEDY):
        if card["format"] != FORMAT:
            raise ControllerError(f"{path}: expected format {FORMAT}, got {card['format']}; {REMEDY}")
        rows, weights = list(card["drivers"]), card["weights"]
        same_vae = weights["vae.weights.h5"] == fingerprints["vae"]
        same_rnn = same_vae and weights["rnn.weights.h5"] == fingerprints["rnn"]
        forms = [ControllerForm(**row["form"]) for row in rows]
    arrays = read_npz(folder / "ranked_policies.npz", ControllerError, REMEDY)
    fitting, left_out = [], []
    for i, (row, form) in enumerate(zip(rows, forms, strict=True)):
        if not (same_vae if form.features == "z" else same_rnn):
            reason = "another VAE" if form.features == "z" else "another world model, whose h it reads"
            left_out.append(LeftOut(row["name"], f"trained with {reason}"))
            continue
        if f"theta.{i}" not in arrays:
            raise ControllerError(f"{folder / 'ranked_policies.npz'}: no theta.{i}; {REMEDY}")
        controller = Controller(form, arrays[f"theta.{i}"])
        here = same_rnn and row["trained_in"] == "dream"
        fitting.append(
            RankedPolicy(
                row["name"], row["kind"], form.features, _controlled(controller), trained_in_dream=here
            )
        )
    return fitting, left_out


def _controlled(controller: Controller) -> Callable[[FloatArray, FloatArray], FloatArray]:
    def policy(z: FloatArray, h: FloatArray) -> FloatArray:
        seen = z if controller.form.features == "z" else np.concatenate([z, h], axis=1)
        return act(controller.form, controller.theta[None], seen[None])[0]

    return policy


def _constant(throttle: float, steering: float) -> Callable[[FloatArray, FloatArray], FloatArray]:
    def policy(z: FloatArray, h: FloatArray) -> FloatArray:
        return np.tile(np.array([throttle, steering], np.float32), (len(z), 1))

    return policy


def _white(random: np.random.Generator, steps: int) -> FloatArray:
    return random.uniform(-1.0, 1.0, (steps, 2)).astype(np.float32)


def _walk(random: np.random.Generator, steps: int) -> FloatArray:
    walk = RandomWalk(random, steps)
    return np.array([walk.act(t, NO_FRAME, NO_EXPERT) for t in range(steps)], np.float32)


def _smooth(level: float) -> Noise | None:
    """Smooth noise, half as much on the throttle as on the steering; None for none."""
    if level == 0:
        return None

    def drawn(random: np.random.Generator, steps: int) -> FloatArray:
        noise = OrnsteinUhlenbeck(random, NOISE_STEPS, (level / 2, level))
        return np.array([noise() for _ in range(steps)], np.float32)

    return drawn
