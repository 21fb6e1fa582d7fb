"""The loss of the VAE's training.

Sources: Ha & Schmidhuber 2018, App. A.1 (squared error and divergence with a floor); Burt & Adelson 1983
for the Laplacian pyramid, whose absolute differences keep edges where squared errors blur them (Bojanowski
et al. 2018); Lin et al. 2017 for the focal loss, in which large errors count for more, here on squared
errors."""

from __future__ import annotations

from typing import Any

import numpy as np

from dreamduck.common.backend import CHANNELS, keras
from dreamduck.world_model.vae.layout import FOCAL, SQUARED

ops = keras.ops
Tensor = Any

SQUARED_WEIGHT, PYRAMID_WEIGHT = 4.0, 2.0  # in the losses other than the paper's
FOCAL_ERROR = 0.1  # of a pixel, from which its weight grows with the error
LEVELS = 3  # of the pyramid, besides the smallest image


def losses(
    images: Tensor, again: Tensor, mu: Tensor, logvar: Tensor, kl_tolerance: float, loss: str = SQUARED
) -> tuple[Tensor, Tensor]:
    """The two parts of the loss, means over the batch.

    Args:
        images: (B, 64, 64, 3) in [0, 1], given and reconstructed.
        again: likewise.
        mu: (B, Z).
        logvar: (B, Z).
        kl_tolerance: the divergence below this times Z costs nothing.
        loss: of the reconstruction, one of `layout.LOSSES`.
    Returns:
        The reconstruction's loss summed over an image, and the divergence from N(0, 1) [nats].
    """
    reconstruction = reconstruction_loss(images - again, loss)
    divergence = -0.5 * ops.sum(1 + logvar - ops.square(mu) - ops.exp(logvar), axis=1)
    floor = np.float32(kl_tolerance * mu.shape[-1])
    return reconstruction, ops.mean(ops.maximum(divergence, floor))


def reconstruction_loss(error: Tensor, loss: str) -> Tensor:
    """The loss of a reconstruction, summed over an image, mean over the batch.

    Args:
        error: (B, 64, 64, 3), of images in [0, 1].
        loss: one of `layout.LOSSES`.
    """
    squares = ops.square(error)
    if loss == FOCAL:
        weights = 1 + ops.mean(squares, axis=3, keepdims=True) / FOCAL_ERROR**2
        return SQUARED_WEIGHT * ops.mean(ops.sum(weights * squares, axis=(1, 2, 3)))
    squared = ops.mean(ops.sum(squares, axis=(1, 2, 3)))
    if loss == SQUARED:
        return squared
    return SQUARED_WEIGHT * squared + PYRAMID_WEIGHT * pyramid_distance(error)


def pyramid_distance(error: Tensor) -> Tensor:
    """Absolute values in the Laplacian pyramid of an error, a level's doubled at the next.

    Args:
        error: (B, n, n, C), n divisible by 2^LEVELS.
    Returns:
        The sum over an image, mean over the batch.
    """
    total = 0.0
    for level in range(LEVELS):
        smaller = ops.average_pool(error, 2, data_format=CHANNELS)
        size = error.shape[1:3]
        blurred = ops.image.resize(smaller, size, interpolation="bilinear", data_format=CHANNELS)
        total += 2**level * _size(error - blurred)
        error = smaller
    return total + 2**LEVELS * _size(error)


def _size(images: Tensor) -> Tensor:
    return ops.mean(ops.sum(ops.abs(images), axis=(1, 2, 3)))
