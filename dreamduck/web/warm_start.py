"""Where the dreams of the page begin when they begin in motion: recorded moments of straight driving.

Those are chosen from which the dynamics predict the most reward for driving straight on."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import WeightsError
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import InitialZ
from dreamduck.world_model.dynamics.start_states import MIDWAY, begin
from dreamduck.world_model.imagination.stepper import chance_arrays

log = logging.getLogger(__name__)

COMPARED = 128  # recorded moments
KEPT = 16
STEPS = 10  # of driving straight on
STRAIGHT_ON = (0.5, 0.0)  # throttle, steering


def any_starts(model: WorldModel) -> InitialZ:
    """Beginnings in the midst of episodes; where the model has none, those of episodes."""
    try:
        return model.start_states(MIDWAY)
    except WeightsError as err:
        log.info("dreams begin at rest: %s", err)
        return model.start_states()


def warm_starts(model: WorldModel) -> InitialZ:
    """Beginnings in motion; where the model has none in the midst of episodes, those of episodes."""
    found = any_starts(model)
    if found.h is None:
        return found
    rows = np.linspace(0, len(found.mu) - 1, min(len(found.mu), COMPARED)).astype(int)
    compared = _rows(found, rows)
    dynamics, count = model.dynamics, len(rows)
    uniform, normal = (part[:, 0] for part in chance_arrays(dynamics, count))
    at = (np.arange(count) + 0.5) / count  # each of them once
    z, state = begin(dynamics, compared, at, np.zeros_like(compared.mu))
    actions = np.tile(np.array(STRAIGHT_ON, np.float32), (count, 1))
    value = np.zeros(count)
    for _ in range(STEPS):
        z, state, predicted = dynamics.step(z, actions, state, uniform[:, :-1], normal, 0.0)
        value += predicted.reward * (1 - predicted.end)
    best = np.argsort(-value, kind="stable")[:KEPT]
    return _rows(compared, best)


def _rows(initial: InitialZ, rows: npt.NDArray[np.intp]) -> InitialZ:
    state = (None if part is None else part[rows] for part in (initial.h, initial.c))
    return InitialZ(initial.mu[rows], initial.logvar[rows], *state)
