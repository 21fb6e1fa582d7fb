"""Accuracy of the VAE's images: reconstructions of real frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from dreamduck.evaluation.model_card.bootstrap import IntArray, bootstrap, bootstrap_mean
from dreamduck.evaluation.model_card.config import ModelCardConfig
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.data import RealData, RealEpisodes
from dreamduck.world_model.vae.reconstruction import decibels, laplacian, ssim

FRAMES = 1024  # that are looked at, evenly spaced over the episodes


def images(dreams: Dreams, data: RealData, probes: Any, config: ModelCardConfig) -> dict[str, Any]:
    """The section of the card.

    Args:
        dreams: of the world model.
        data: the real episodes.
        probes: unused.
        config: the card's settings.
    """
    groups = {"held_out": data.held_out, "unseen_maps": data.unseen}
    return {
        name: {"left_out": "none were recorded"} if real is None else _compared(dreams, real, config.seed)
        for name, real in groups.items()
    }


def _compared(dreams: Dreams, real: RealEpisodes, seed: int) -> dict[str, Any]:
    """Error, structural similarity and detail of reconstructions, over episodes."""
    rows = np.unique(np.linspace(0, len(real.z) - 1, min(FRAMES, len(real.z))).astype(np.int64))
    frames, again = real.frames[rows], dreams.decode(real.z[rows])
    names, place = np.unique(real.episode[rows], return_inverse=True)

    def by_episode(values: Any) -> Any:
        return np.bincount(place, values, len(names))

    squared = by_episode(np.square(frames.astype(np.float64) - again).mean(axis=(1, 2, 3)))
    count = by_episode(np.ones(len(rows)))
    edges = [laplacian(shown).reshape(len(rows), -1).astype(np.float64) for shown in (frames, again)]
    moments = [(by_episode(e.mean(axis=1)), by_episode(np.square(e).mean(axis=1))) for e in edges]

    def psnr(chosen: IntArray) -> float:
        return decibels(float(squared[chosen].sum() / count[chosen].sum()))

    def detail(chosen: IntArray) -> float:
        total = count[chosen].sum()
        real_variance, variance = (
            squares[chosen].sum() / total - (sums[chosen].sum() / total) ** 2 for sums, squares in moments
        )
        return float(variance / real_variance) if real_variance else np.nan

    similar = np.array([ssim(frames[i : i + 1], again[i : i + 1]) for i in range(len(rows))])
    return {
        "psnr": bootstrap(psnr, len(names), seed)._asdict(),
        "ssim": bootstrap_mean(similar, seed, place)._asdict(),
        "detail": bootstrap(detail, len(names), seed)._asdict(),
    }
