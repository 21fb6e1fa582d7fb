"""How much dreamt frames look like the VAE's frames of the road: a classifier, sharpness, flicker."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import generator
from dreamduck.evaluation.model_card.bootstrap import Estimate, IntArray, bootstrap
from dreamduck.world_model.mdn_rnn.prediction_metrics import roc_auc
from dreamduck.world_model.vae.layout import Frames

Array = npt.NDArray[np.float64]

FOLD_KEY = 0x666F6C64
COLOUR_SIDE, EDGE_SIDE = 16, 8  # cells of a frame in a row of its features
COMPONENTS = 48
RIDGE = 0.1
FOLDS = 2
NEIGHBOURS = 4  # real frames of about the same speed that a dreamt one's flicker is held to


class Motion(NamedTuple):
    """How much frames change from step to step, in R episodes."""

    episode: IntArray  # (R,)
    flicker: Array  # (R,)
    speed: Array  # (R,) [m/s], probed; 0 without probes


def gray(frames: Frames) -> Array:
    """Brightness of frames, (N, H, W) in [0, 255]."""
    return frames.mean(axis=-1, dtype=np.float64)


def edges(frames: Frames) -> Array:
    """Absolute Laplacian of the brightness, (N, H - 2, W - 2)."""
    light = gray(frames)
    around = light[:, :-2, 1:-1] + light[:, 2:, 1:-1] + light[:, 1:-1, :-2] + light[:, 1:-1, 2:]
    return np.asarray(np.abs(around - 4 * light[:, 1:-1, 1:-1]))


def sharpness(frames: Frames) -> Array:
    """Mean absolute Laplacian of each frame, (N,)."""
    return np.asarray(edges(frames).mean(axis=(1, 2)))


def flicker(before: Frames, after: Frames) -> Array:
    """Mean absolute difference of frames a step apart, (N,)."""
    return np.asarray(np.abs(after.astype(np.float64) - before).mean(axis=(1, 2, 3)))


def frame_features(frames: Frames) -> Array:
    """The classifier's features of a frame: mean colour and edge strength of cells.

    Args:
        frames: (N, 64, 64, 3) uint8.
    Returns:
        (N, 832).
    """
    count, side = len(frames), frames.shape[1] // COLOUR_SIDE
    cells = frames.reshape(count, COLOUR_SIDE, side, COLOUR_SIDE, side, 3).mean(axis=(2, 4))
    found = np.pad(edges(frames), ((0, 0), (1, 1), (1, 1)))
    wide = frames.shape[1] // EDGE_SIDE
    busy = found.reshape(count, EDGE_SIDE, wide, EDGE_SIDE, wide).mean(axis=(2, 4))
    return np.concatenate([cells.reshape(count, -1), busy.reshape(count, -1)], axis=1)


def held_out_scores(features: Array, dreamt: npt.NDArray[np.bool_], fold: IntArray) -> Array:
    """What a classifier that learned from the other folds says of each row: higher, more like a dream.

    The classifier is kernel ridge regression on principal components (Schölkopf & Smola 2002).

    Args:
        features: (N, D).
        dreamt: (N,) what is true.
        fold: (N,) where a row is held out.
    """
    scores = np.zeros(len(features))
    for number in np.unique(fold):
        held = fold == number
        known, truth = features[~held], np.where(dreamt[~held], 1.0, -1.0)
        mean, spread = known.mean(axis=0), known.std(axis=0)
        scaled = (features - mean) / np.where(spread > 0, spread, 1.0)
        _, size, axes = np.linalg.svd(scaled[~held], full_matrices=False)
        kept = size[:COMPONENTS] > 1e-6 * size[0]
        points = scaled @ axes[:COMPONENTS][kept].T / size[:COMPONENTS][kept] * np.sqrt(len(known))
        kernel = _kernel(points[~held], points[~held])
        weights = np.linalg.solve(kernel + RIDGE * np.eye(len(kernel)), truth - truth.mean())
        scores[held] = _kernel(points[held], points[~held]) @ weights
    return scores


def _kernel(one: Array, other: Array) -> Array:
    """Gaussian kernel, as wide as white points of so many dimensions are apart, (N, M)."""
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None] - 2 * one @ other.T
    return np.asarray(np.exp(-np.maximum(squares, 0.0) / (2 * one.shape[1])))


def realism(
    dreamt: Frames, real: Frames, dreamt_episodes: IntArray, real_episodes: IntArray, seed: int
) -> Estimate:
    """The AUC of a classifier of dreamt frames and reconstructions, on held-out episodes; 0.5 is perfect.

    As many frames of either kind; an episode's dreams and its real frames are in the same fold.

    Args:
        dreamt: (N, 64, 64, 3) uint8.
        real: (M, 64, 64, 3) uint8, reconstructions.
        dreamt_episodes: (N,) the episode of each.
        real_episodes: (M,) likewise.
        seed: of the folds.
    """
    random = generator(seed, FOLD_KEY)
    count = min(len(dreamt), len(real))
    chosen = [np.sort(random.permutation(total)[:count]) for total in (len(dreamt), len(real))]
    episode = np.concatenate([dreamt_episodes[chosen[0]], real_episodes[chosen[1]]])
    names, place = np.unique(episode, return_inverse=True)
    fold = (random.permutation(len(names)) % FOLDS)[place]
    truth = np.arange(2 * count) < count
    if min(np.bincount(fold[part], minlength=FOLDS).min() for part in (truth, ~truth)) < 2:
        return Estimate(None, None, None, len(names))
    features = frame_features(np.concatenate([dreamt[chosen[0]], real[chosen[1]]]))
    scores = held_out_scores(features, truth, fold)
    rows = [np.flatnonzero(place == number) for number in range(len(names))]

    def auc(episodes: IntArray) -> float:
        parts = np.concatenate([rows[e] for e in episodes])
        return float(
            np.mean([roc_auc(scores[p], truth[p]) for p in (parts[fold[parts] == f] for f in range(FOLDS))])
        )

    return bootstrap(auc, len(names), seed)


def matched(speed: Array, other_speed: Array, other: Array) -> Array:
    """The mean of other values at about the same speed, (N,): `NEIGHBOURS` of them, all if none differs.

    Args:
        speed: (N,).
        other_speed: (M,).
        other: (M,).
    """
    if not np.ptp(other_speed):  # unknown, or the same for all
        return np.full(len(speed), other.mean())
    gaps = np.abs(speed[:, None] - other_speed[None])
    return np.asarray(other[np.argsort(gaps, axis=1, kind="stable")[:, :NEIGHBOURS]].mean(axis=1))


def flicker_ratio(dreamt: Motion, real: Motion, seed: int) -> Estimate:
    """How much more dreamt frames change from step to step than real ones at about the same speed.

    Args:
        dreamt: of N episodes.
        real: of M episodes.
        seed: of the interval.
    """
    names = np.union1d(dreamt.episode, real.episode)

    def of(chosen: IntArray) -> float:
        rows, real_rows = (_rows_of(names[chosen], sample.episode) for sample in (dreamt, real))
        if not len(rows) or not len(real_rows):
            return np.nan
        base = matched(dreamt.speed[rows], real.speed[real_rows], real.flicker[real_rows]).mean()
        return float(dreamt.flicker[rows].mean() / base) if base else np.nan

    return bootstrap(of, len(names), seed)


def ratio(one: Array, other: Array, episode: IntArray, other_episode: IntArray, seed: int) -> Estimate:
    """The mean of one as a multiple of the mean of the other, over episodes.

    Args:
        one: (N,).
        other: (M,).
        episode: (N,) of each value.
        other_episode: (M,) likewise.
        seed: of the interval.
    """
    names = np.union1d(episode, other_episode)

    def of(chosen: IntArray) -> float:
        rows, other_rows = (_rows_of(names[chosen], part) for part in (episode, other_episode))
        if not len(rows) or not len(other_rows):
            return np.nan
        base = other[other_rows].mean()
        return float(one[rows].mean() / base) if base else np.nan

    return bootstrap(of, len(names), seed)


def _rows_of(chosen: IntArray, episode: IntArray) -> IntArray:
    """The rows of episodes, as often as these are chosen; each has one row at most."""
    order = np.searchsorted(episode, chosen)
    order = np.minimum(order, len(episode) - 1)
    return order[episode[order] == chosen]
