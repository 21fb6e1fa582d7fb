"""Metrics of a trained categorical state-space model on episodes held out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dreamduck.world_model.categorical.step import CategoricalDynamics, CategoricalPrediction, likeliest
from dreamduck.world_model.dynamics import FloatArray, RecurrentState

Measure = Callable[[CategoricalPrediction, RecurrentState, FloatArray, FloatArray], dict[str, FloatArray]]


def reconstruction_and_kl(dynamics: CategoricalDynamics) -> Measure:
    """A measure for `one_step_metrics`.

    Returns:
        A function that gives "reconstruction" (B,), the mean squared error of a frame's latents through
        its likeliest s, and "kl" (B,), the divergence of posterior and prior [nats].
    """

    def measure(
        prediction: CategoricalPrediction, state: RecurrentState, z: FloatArray, mu: FloatArray
    ) -> dict[str, FloatArray]:
        state, prior = state.rows(slice(len(z))), prediction.probabilities[: len(z)]
        posterior = dynamics.posterior(z, state)
        error = dynamics.decode(RecurrentState(state.h, likeliest(posterior))) - mu
        divergence = posterior * (np.log(posterior) - np.log(prior))
        return {"reconstruction": np.square(error).mean(axis=1), "kl": divergence.sum(axis=(1, 2))}

    return measure
