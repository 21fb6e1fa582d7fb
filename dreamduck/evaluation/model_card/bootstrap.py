"""Confidence intervals of the card: a bootstrap over episodes (Efron 1979)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import generator

IntArray = npt.NDArray[np.int64]

ROUNDS = 200
TAILS = (2.5, 97.5)  # [%]
KEY = 0x626F6F74


class Estimate(NamedTuple):
    """A figure with its 95% interval over episodes; None where it is not defined."""

    value: Any  # a float, or None
    low: Any
    high: Any
    n: int  # episodes


def bootstrap(
    statistic: Callable[[IntArray], float], episodes: int, seed: int, rounds: int = ROUNDS
) -> Estimate:
    """The figure of all episodes, and its percentile interval over resampled ones.

    Args:
        statistic: of the numbers of the episodes that it uses, (n,) from 0; may give nan.
        episodes: how many there are.
        seed: of the resampling.
        rounds: how often the episodes are resampled.
    """
    if episodes == 0:
        return Estimate(None, None, None, 0)
    chosen = generator(seed, KEY).integers(0, episodes, size=(rounds, episodes))
    values = np.array([statistic(one) for one in chosen], np.float64)
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, TAILS) if len(known) else (math.nan, math.nan)
    value = statistic(np.arange(episodes))
    return Estimate(number(value), number(low), number(high), episodes)


def bootstrap_mean(
    values: npt.NDArray[Any], seed: int, episode: npt.NDArray[Any] | None = None
) -> Estimate:
    """The mean of some values, resampled by the episodes that they are of.

    Args:
        values: (N,); nan is left out.
        seed: of the resampling.
        episode: (N,) the number of each value's episode; one value for each episode by default.
    """
    found = np.asarray(values, np.float64)
    known = np.isfinite(found)
    labels = np.arange(len(found)) if episode is None else np.asarray(episode)
    places = np.unique(labels[known], return_inverse=True)[1]
    sums, counts = np.bincount(places, found[known]), np.bincount(places)
    return bootstrap(lambda e: float(sums[e].sum() / counts[e].sum()), len(sums), seed)


def number(value: float) -> float | None:
    """A figure for JSON, six digits; None where it is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
