"""Metrics of a reconstruction."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dreamduck.world_model.vae.inference import NumpyVAE
from dreamduck.world_model.vae.layout import FloatArray, Frames

CHUNK = 256  # frames looked at together
HORIZON = 20  # the first row of the road in a frame
SSIM_FRAMES = 512  # it takes 2 ms a frame


def psnr(frames: Frames, again: Frames) -> float:
    """Peak signal-to-noise ratio [dB] over all frames together, (B, H, W, 3) uint8 each."""
    return decibels(float(np.mean(np.square(frames.astype(np.float32) - again))))


def decibels(squared: float) -> float:
    """PSNR [dB] of a mean squared error between bytes."""
    return 10 * math.log10(255**2 / max(squared, 1e-9))


def ssim(frames: Frames, again: Frames) -> float:
    """Structural similarity (Wang et al. 2004: Gaussian window of 1.5), mean over frames and colours."""
    from skimage.metrics import structural_similarity

    settings = {
        "channel_axis": 2,
        "data_range": 255,
        "gaussian_weights": True,
        "use_sample_covariance": False,
    }
    return float(
        np.mean([structural_similarity(a, b, **settings) for a, b in zip(frames, again, strict=True)])
    )


def laplacian(frames: Frames) -> npt.NDArray[np.float32]:
    """Of the brightness below the horizon, (B, H - HORIZON - 2, W - 2)."""
    light = frames[:, HORIZON:].mean(axis=-1, dtype=np.float32)
    around = light[:, :-2, 1:-1] + light[:, 2:, 1:-1] + light[:, 1:-1, :-2] + light[:, 1:-1, 2:]
    return np.asarray(around - 4 * light[:, 1:-1, 1:-1])


def evaluate(
    network: NumpyVAE,
    frames: Frames,
    kl_tolerance: float,
    reconstruction_loss: Callable[[FloatArray], float] | None = None,
) -> dict[str, float]:
    """Metrics of frames reconstructed through mu.

    Args:
        network: encoder and decoder.
        frames: (B, 64, 64, 3) uint8, B at least 1.
        kl_tolerance: divergence below this times Z counts as this.
        reconstruction_loss: of errors (B, 64, 64, 3); by default the squared error summed over an image.
    Returns:
        `psnr` [dB], `ssim`, `detail` (variance of the Laplacian below the horizon, as a share of the
        frames'), `reconstruction` (squared error summed over an image, in [0, 1]), `divergence` [nats, with
        its floor], `loss` (the sum of the two losses), `active` (latents that carry
        information: the variance of mu over frames above 0.01) and `frames`.
    """
    mu, logvar = network.encode(frames)
    squared = np.empty(len(frames))  # error summed over an image, of the decoder's numbers
    lost = np.empty(len(frames))
    rounded = np.empty(len(frames))  # and of the bytes that they become
    edges = np.zeros((2, 3))  # of frames and reconstructions: count, sum and squares of the Laplacian
    similar = []
    some = set(np.linspace(0, len(frames) - 1, min(len(frames), SSIM_FRAMES)).astype(int).tolist())
    for start in range(0, len(frames), CHUNK):  # images as floats take four times the room of frames
        given, here = frames[start : start + CHUNK], slice(start, start + CHUNK)
        images = network.decode(mu[here])
        again = np.rint(images * 255).astype(np.uint8)
        error = np.asarray(images - given / np.float32(255), np.float32)
        squared[here] = np.square(error).sum(axis=(1, 2, 3))
        lost[here] = squared[here] if reconstruction_loss is None else reconstruction_loss(error)
        rounded[here] = np.square(given.astype(np.float32) - again).mean(axis=(1, 2, 3))
        for row, images_shown in zip(edges, (given, again), strict=True):
            found = laplacian(images_shown).astype(np.float64)
            row += found.size, found.sum(), np.square(found).sum()
        similar += [
            ssim(given[k : k + 1], again[k : k + 1]) for k in range(len(given)) if start + k in some
        ]
    each = -0.5 * (1 + logvar - np.square(mu) - np.exp(logvar)).sum(axis=1)
    divergence = np.maximum(each, kl_tolerance * mu.shape[1]).mean()
    variance = [squares / count - (total / count) ** 2 for count, total, squares in edges]
    return {
        "psnr": decibels(float(rounded.mean())),
        "ssim": float(np.mean(similar)),
        "detail": variance[1] / max(variance[0], 1e-9),
        "reconstruction": float(squared.mean()),
        "divergence": float(divergence),
        "loss": float(lost.mean() + divergence),
        "active": float((mu.var(axis=0) > 0.01).sum()),
        "frames": float(len(frames)),
    }
