"""Mixture-density maths for the next latent, in numpy.

Source: Bishop 1994; Ha & Schmidhuber 2018, App. A.2. Each latent
has a mixture of K Gaussians of its own. Keras has the same likelihood in `network`; a test holds them
together."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dreamduck.world_model.dynamics import Z_LIMIT, FloatArray
from dreamduck.world_model.mdn_rnn import equations
from dreamduck.world_model.mdn_rnn.choice import choose

LOG_SQRT_TWO_PI = 0.5 * math.log(2 * math.pi)


class Mixture(NamedTuple):
    """The MDN-RNN's distribution of the next latent."""

    logmix: FloatArray  # (B, K, Z), log weights; they sum to 1 over K
    mix_mu: FloatArray  # (B, K, Z)
    mix_logstd: FloatArray  # (B, K, Z)


def log_softmax(logits: FloatArray) -> FloatArray:
    """Normalised log weights (B, K, Z)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def log_likelihood(mixture: Mixture, z: FloatArray) -> FloatArray:
    """Log p(z) of each latent [nats].

    Args:
        z: (B, Z).
    Returns:
        (B, Z).
    """
    logmix, mix_mu, mix_logstd = mixture
    scaled = (z[:, None] - mix_mu) * np.exp(-mix_logstd)
    parts = logmix - 0.5 * scaled**2 - mix_logstd - LOG_SQRT_TWO_PI
    most = parts.max(axis=1)
    return most + np.log(np.exp(parts - most[:, None]).sum(axis=1))


def expected(mixture: Mixture) -> FloatArray:
    """The mean of the mixture, (B, Z)."""
    return (np.exp(mixture.logmix) * mixture.mix_mu).sum(axis=1)


def entropy(mixture: Mixture) -> FloatArray:
    """The entropy of the choice of a Gaussian [nats], the mean over the latents, (B,)."""
    found: FloatArray = -(np.exp(mixture.logmix) * mixture.logmix).sum(axis=1).mean(axis=1)
    return found


def likeliest(mixture: Mixture) -> FloatArray:
    """The mean of each latent's heaviest Gaussian, (B, Z): what temperature 0 draws."""
    chosen = mixture.logmix.argmax(axis=1)[:, None]
    return np.take_along_axis(mixture.mix_mu, chosen, axis=1)[:, 0]


def sample(
    mixture: Mixture,
    uniform: FloatArray,
    normal: FloatArray,
    temperature: float,
    bounds: FloatArray | None = None,
) -> FloatArray:
    """Draw the next latent.

    The temperature divides the log weights and multiplies the variance, as in the paper.

    Args:
        uniform: (B, Z) in [0, 1), chooses the Gaussian.
        normal: (B, Z), standard normal.
        temperature: 0 draws the likeliest.
        bounds: (2, Z), the least and the greatest value of each latent.
    Returns:
        z: (B, Z) float32.
    """
    low, high = (-Z_LIMIT, Z_LIMIT) if bounds is None else bounds
    if temperature == 0:
        return np.clip(likeliest(mixture), low, high)
    heat, limits = np.float32(temperature), (np.float32(low), np.float32(high))
    most = mixture.logmix.max(axis=1, keepdims=True)
    weights = equations.relative_weights(np, mixture.logmix, most, heat)
    given = (weights, mixture.mix_mu, mixture.mix_logstd, uniform)
    mean, logstd = choose(*map(np.ascontiguousarray, given))
    drawn: FloatArray = equations.draw(np, mean, logstd, normal, heat, limits)
    return drawn
