"""Distances between two samples, each as a multiple of what two samples of the same distribution have.

Sources: Szekely & Rizzo 2013 (energy distance); Dowson & Landau 1982 (Fréchet distance of two Gaussians).
Both are biased upwards in small samples, so that the floor is measured with as many rows. Rows drawn twice
would add to the bias, so that the interval is of random halves (delete-half jackknife, Shao & Wu 1989)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import generator
from dreamduck.evaluation.model_card.bootstrap import TAILS, Estimate, IntArray, number

Array = npt.NDArray[np.float64]
Statistic = Callable[[IntArray, IntArray], float]

SPLITS = 100
SPLIT_KEY = 0x68616C66
MIN_ROWS = 8  # of each half; fewer say nothing


def energy(points: Array) -> Statistic:
    """The energy distance between two sets of rows.

    Args:
        points: (N, D), all rows.
    Returns:
        A function of the numbers of the rows in either set.
    """
    squares = (points**2).sum(axis=1)
    gaps = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * points @ points.T, 0.0))

    def distance(one: IntArray, other: IntArray) -> float:
        across, within, beyond = (gaps[np.ix_(a, b)] for a, b in ((one, other), (one, one), (other, other)))
        return float(2 * across.mean() - within.mean() - beyond.mean())

    return distance


def frechet(points: Array) -> Statistic:
    """The Fréchet distance between two sets of rows, as if they were Gaussian.

    Args:
        points: (N, D), all rows.
    Returns:
        A function of the numbers of the rows in either set.
    """

    def distance(one: IntArray, other: IntArray) -> float:
        (mean, spread), (other_mean, other_spread) = (_moments(points[rows]) for rows in (one, other))
        values, vectors = np.linalg.eigh(spread)
        root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other_spread @ root), 0.0)).sum()
        trace = np.trace(spread) + np.trace(other_spread) - 2 * shared
        return float(((mean - other_mean) ** 2).sum() + trace)

    return distance


def _moments(rows: Array) -> tuple[Array, Array]:
    return rows.mean(axis=0), np.atleast_2d(np.cov(rows, rowvar=False))


def standardized(dreamt: Array, real: Array) -> Array:
    """All rows, the dreamt ones first, in standard deviations of the real ones.

    Args:
        dreamt: (N, D).
        real: (M, D).
    """
    spread = real.std(axis=0)
    return np.concatenate([dreamt, real]) / np.where(spread > 0, spread, 1.0)


def on_shared_axes(dreamt: Array, real: Array, components: int) -> Array:
    """All rows, the dreamt ones first, on the principal axes of greatest variance.

    They keep their scale: a column that is nearly constant in real rows would outweigh all others if it
    were standardized.

    Args:
        dreamt: (N, D).
        real: (M, D).
        components: how many axes at most.
    Returns:
        (N + M, components), or fewer columns where there are not so many.
    """
    rows = np.concatenate([dreamt, real])
    centred = rows - rows.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    return np.asarray(centred @ axes[:components].T)


def times_floor(
    statistic: Statistic, dreamt: IntArray, real: IntArray, seed: int, splits: int = SPLITS
) -> Estimate:
    """How far dreams are from real episodes, in multiples of real against real.

    The episodes are split into halves at random: the dreams of one half against the real rows of the other,
    and real against real. All three sets have as many rows.

    Args:
        statistic: of two sets of rows; the dreamt rows come first.
        dreamt: (N,) the episode of each dreamt row.
        real: (M,) the episode of each real row.
        seed: of the splits.
        splits: how many.
    Returns:
        The mean over the splits; undefined where halves have fewer than `MIN_ROWS` rows.
    """
    episodes = np.union1d(dreamt, real)
    found: list[tuple[float, float]] = []
    for split in range(splits):
        order = generator(seed, SPLIT_KEY, split).permutation(episodes)
        half, others = order[: len(order) // 2], order[len(order) // 2 :]
        sets = [
            np.flatnonzero(np.isin(dreamt, half)),
            *(len(dreamt) + np.flatnonzero(np.isin(real, part)) for part in (half, others)),
        ]
        rows = min(map(len, sets))
        if rows < MIN_ROWS:
            continue
        guess, same, other = (part[:rows] for part in sets)
        found.append((statistic(guess, other), statistic(same, other)))
    count = len(np.unique(real))
    if not found:
        return Estimate(None, None, None, count)
    distances, floors = np.array(found).T
    floor = floors.mean()
    if floor <= 0:
        return Estimate(None, None, None, count)
    low, high = np.percentile(distances, TAILS) / floor
    return Estimate(number(distances.mean() / floor), number(low), number(high), count)
