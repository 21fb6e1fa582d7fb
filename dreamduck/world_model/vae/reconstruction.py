"""How good a reconstruction is."""

from __future__ import annotations

import math

import numpy as np

from dreamduck.world_model.vae.inference import NumpyVAE
from dreamduck.world_model.vae.layout import Frames

CHUNK = 256  # frames looked at together
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


def evaluate(network: NumpyVAE, frames: Frames, kl_tolerance: float) -> dict[str, float]:
    """What reconstructing frames through mu gives.

    Args:
        frames: (B, 64, 64, 3) uint8, B at least 1.
    Returns:
        `psnr` [dB], `ssim`, `reconstruction` (squared error summed over an image, in [0, 1]),
        `divergence` [nats, with its floor], `loss` (their sum), `active` (latents that carry
        information: the variance of mu over frames above 0.01) and `frames`.
    """
    mu, logvar = network.encode(frames)
    squared = np.empty(len(frames))  # error summed over an image, of the decoder's numbers
    rounded = np.empty(len(frames))  # and of the bytes that they become
    similar = []
    some = set(np.linspace(0, len(frames) - 1, min(len(frames), SSIM_FRAMES)).astype(int).tolist())
    for start in range(0, len(frames), CHUNK):  # images as floats take four times the room of frames
        given, here = frames[start : start + CHUNK], slice(start, start + CHUNK)
        images = network.decode(mu[here])
        again = np.rint(images * 255).astype(np.uint8)
        squared[here] = np.square(images - given / np.float32(255)).sum(axis=(1, 2, 3))
        rounded[here] = np.square(given.astype(np.float32) - again).mean(axis=(1, 2, 3))
        similar += [
            ssim(given[k : k + 1], again[k : k + 1]) for k in range(len(given)) if start + k in some
        ]
    each = -0.5 * (1 + logvar - np.square(mu) - np.exp(logvar)).sum(axis=1)
    divergence = np.maximum(each, kl_tolerance * mu.shape[1]).mean()
    return {
        "psnr": decibels(float(rounded.mean())),
        "ssim": float(np.mean(similar)),
        "reconstruction": float(squared.mean()),
        "divergence": float(divergence),
        "loss": float(squared.mean() + divergence),
        "active": float((mu.var(axis=0) > 0.01).sum()),
        "frames": float(len(frames)),
    }
