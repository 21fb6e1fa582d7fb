"""How good a reconstruction is.

Flow: recordings -> [vision] -> series."""

from __future__ import annotations

import math

import numpy as np

from dreamduck.vision.layout import Frames
from dreamduck.vision.quick import QuickVAE

SSIM_FRAMES = 512  # it takes 2 ms a frame


def psnr(frames: Frames, again: Frames) -> float:
    """Peak signal-to-noise ratio [dB] over all frames together, (B, H, W, 3) uint8 each."""
    squared = float(np.mean(np.square(frames.astype(np.float64) - again)))
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


def evaluate(network: QuickVAE, frames: Frames, kl_tolerance: float) -> dict[str, float]:
    """What reconstructing frames through mu gives.

    Args:
        frames: (B, 64, 64, 3) uint8, B at least 1.
    Returns:
        `psnr` [dB], `ssim`, `reconstruction` (squared error summed over a picture, in [0, 1]),
        `divergence` [nats, with its floor], `loss` (their sum), `active` (latents that carry
        information: the variance of mu over frames above 0.01) and `frames`.
    """
    mu, logvar = network.encode(frames)
    pictures = network.decode(mu)
    again = np.rint(pictures * 255).astype(np.uint8)
    squared = np.square(pictures - frames / np.float32(255)).sum(axis=(1, 2, 3)).mean()
    each = -0.5 * (1 + logvar - np.square(mu) - np.exp(logvar)).sum(axis=1)
    divergence = np.maximum(each, kl_tolerance * mu.shape[1]).mean()
    some = np.linspace(0, len(frames) - 1, min(len(frames), SSIM_FRAMES)).astype(int)
    return {
        "psnr": psnr(frames, again),
        "ssim": ssim(frames[some], again[some]),
        "reconstruction": float(squared),
        "divergence": float(divergence),
        "loss": float(squared + divergence),
        "active": float((mu.var(axis=0) > 0.01).sum()),
        "frames": float(len(frames)),
    }
