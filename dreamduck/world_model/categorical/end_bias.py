"""Calibration of the end's bias, so that its mean probability is the rate of ends in episodes held out.

A training that weights the few ends, and stops early, leaves the probability of an end a
little wrong. A dream of a minute draws from it six hundred times, so the error adds up.

Source: Platt 1999, "Probabilistic outputs for support vector machines", with the shift alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dreamduck.world_model.categorical.step import CategoricalDynamics
from dreamduck.world_model.latents import Series
from dreamduck.world_model.mdn_rnn.prediction_metrics import predicted_ends
from dreamduck.world_model.weights_format import at_half_precision

BIAS = "head_end/bias"
GREATEST = 3.0  # shift of the logit, either way
HALVINGS = 30  # of the interval in which the shift lies
FEWEST = 10  # ends to learn it from; with fewer it stays
EXACT = 0.01  # of the logit; a bias that is so near already stays


def with_true_end_rate(
    dynamics: CategoricalDynamics, series: Series, episodes: Sequence[int]
) -> CategoricalDynamics:
    """Dynamics whose mean probability of an end is the rate of ends.

    Args:
        dynamics: as trained.
        series: of encoded episodes.
        episodes: those to count in, which the dynamics did not learn from.
    Returns:
        The same dynamics where fewer than 10 episodes end, or nothing is to be changed.
    """
    end, done = predicted_ends(dynamics, series, episodes)
    if done.sum() < FEWEST:
        return dynamics
    shift = shift_to_rate(end, float(done.mean()))
    if abs(shift) < EXACT:
        return dynamics
    bias = {BIAS: dynamics.parameters[BIAS] + np.float32(shift)}
    parameters = {**dynamics.parameters, **at_half_precision(bias)}
    return CategoricalDynamics(parameters, dynamics.config, dynamics.card)


def shift_to_rate(probability: npt.NDArray[np.floating], rate: float) -> float:
    """The shift of the logits with which the mean probability is a given rate; within ±3."""
    p = np.clip(probability.astype(np.float64), 1e-12, 1 - 1e-12)
    logits = np.log(p) - np.log1p(-p)
    low, high = -GREATEST, GREATEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if (1 / (1 + np.exp(-logits - middle))).mean() < rate:
            low = middle
        else:
            high = middle
    return (low + high) / 2
