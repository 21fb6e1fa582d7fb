"""Metrics of dynamics on episodes held out.

Every figure is of one step ahead; the evaluation card measures longer dreams."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import generator
from dreamduck.world_model.dynamics import Dynamics, FloatArray, RecurrentState
from dreamduck.world_model.latents import Series
from dreamduck.world_model.mdn_rnn.mixture import Mixture, log_likelihood

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Measure = Callable[[Any, RecurrentState, FloatArray, FloatArray], dict[str, FloatArray]]
TOGETHER = 64  # episodes run side by side
NOISE_KEY = 3
SMALLEST_SPREAD = 1e-3  # rewards that hardly differ are not scaled up
STEP = ("predicted", "reward", "end", "done")  # the measures of every step


def negative_log_likelihood(
    prediction: Any, state: RecurrentState, z: FloatArray, mu: FloatArray
) -> dict[str, FloatArray]:
    """Of an MDN-RNN: "nll" (B,), minus log-likelihood of the next latent [nats a latent].

    Args:
        prediction: for B cars or more, of which the first B have a next frame.
        state: after the action, of as many.
        z: (B, Z), the latent of the next frame, as drawn.
        mu: (B, Z), its mean.
    """
    mixture = Mixture(*(part[: len(z)] for part in prediction.mixture))
    return {"nll": -log_likelihood(mixture, z).mean(axis=1)}


def one_step_metrics(
    dynamics: Dynamics,
    series: Series,
    episodes: Sequence[int],
    measure: Measure = negative_log_likelihood,
) -> dict[str, float]:
    """Run over whole episodes, each from its first step, with latents drawn from mu and logvar.

    Args:
        dynamics: what is measured.
        series: of encoded episodes.
        episodes: which.
        measure: what else is measured of each prediction; see `negative_log_likelihood`.
    Returns:
        reward_correlation: of predicted and true rewards (Pearson); nan where all are equal.
        reward_error: mean squared error over the variance.
        end_auc: area under the ROC curve of the end's probability; nan without ends.
        end_cross_entropy [nats], end_rate and end_expected: the rate of ends, and the rate that the
        dynamics predict. steps, ends: their numbers. And the means of what `measure` gives.
    """
    found = _run_all(dynamics, series, episodes, measure)
    predicted, reward, end, done = (found.pop(name) for name in STEP)
    variance = float(reward.var(dtype=np.float64))
    known = variance >= SMALLEST_SPREAD**2  # of a constant only rounding is left
    clipped = np.clip(end, 1e-7, 1 - 1e-7)
    return {
        **{name: float(column.mean()) if len(column) else math.nan for name, column in found.items()},
        "reward_correlation": correlation(predicted, reward),
        "reward_error": float(((predicted - reward) ** 2).mean()) / variance if known else math.nan,
        "end_auc": roc_auc(end, done),
        "end_cross_entropy": float(-np.where(done, np.log(clipped), np.log(1 - clipped)).mean()),
        "end_rate": float(done.mean()),
        "end_expected": float(end.mean()),
        "steps": float(len(reward)),
        "ends": float(done.sum()),
    }


def predicted_ends(dynamics: Dynamics, series: Series, episodes: Sequence[int]) -> tuple[Floats, Bools]:
    """The probability (N,) that a step ends its episode, and whether it did, of all steps of episodes."""
    found = _run_all(dynamics, series, episodes, lambda *_: {})
    return found["end"], found["done"]


def _run_all(
    dynamics: Dynamics, series: Series, episodes: Sequence[int], measure: Measure
) -> dict[str, npt.NDArray[Any]]:
    order = sorted(episodes, key=lambda e: -int(series.lengths[e]))
    parts = [
        _run(dynamics, series, order[at : at + TOGETHER], measure) for at in range(0, len(order), TOGETHER)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _run(
    dynamics: Dynamics, series: Series, episodes: Sequence[int], measure: Measure
) -> dict[str, npt.NDArray[Any]]:
    """The episodes, longest first, side by side; those that are over drop out."""
    first = series.offsets[:-1][list(episodes)]
    length = series.lengths[list(episodes)]
    noises = [generator(0, NOISE_KEY, int(series.seeds[e])) for e in episodes]
    state = dynamics.start(len(episodes))
    found: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in STEP}
    z = _draw(series, first, noises)
    for t in range(int(length[0])):
        count = int((length > t).sum())
        rows = first[:count] + t
        state = dynamics.observe(z[:count], state.rows(slice(count)))
        state = dynamics.advance(z[:count], series.action[rows], state)
        prediction = dynamics.predict(z[:count], state)
        going = int((length > t + 1).sum())
        after = first[:going] + t + 1
        z = _draw(series, after, noises) if going else series.mu[after]
        for name, value in measure(prediction, state, z, series.mu[after]).items():
            found.setdefault(name, []).append(value)
        end = prediction.end
        expected = (1 - end) * prediction.reward + end * prediction.end_reward
        for name, array in zip(STEP, (expected, series.reward[rows], end, series.done[rows]), strict=True):
            found[name].append(array)
    return {name: np.concatenate(column) for name, column in found.items()}


def _draw(
    series: Series, rows: npt.NDArray[np.int64], noises: Sequence[np.random.Generator]
) -> npt.NDArray[np.float32]:
    size = series.mu.shape[1]
    noise = np.stack([g.standard_normal(size, dtype=np.float32) for g in noises[: len(rows)]])
    return series.mu[rows] + np.exp(series.logvar[rows] / 2) * noise


def correlation(a: Floats, b: Floats) -> float:
    """Pearson's correlation; nan where one of them does not vary."""
    a, b = a.astype(np.float64) - a.mean(dtype=np.float64), b.astype(np.float64) - b.mean(dtype=np.float64)
    spread = math.sqrt(float((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / spread if spread else math.nan


def roc_auc(score: Floats, truth: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a true one scores above a false one; ties count half.

    nan where all are true, or none.
    """
    positives, count = int(truth.sum()), len(truth)
    if positives in (0, count):
        return math.nan
    _, place, many = np.unique(score, return_inverse=True, return_counts=True)
    below = np.concatenate([[0], np.cumsum(many)[:-1]])
    ranks = (below + (many + 1) / 2)[place]  # the mean rank where scores are equal
    positive_ranks = float(ranks[truth].sum())
    return (positive_ranks - positives * (positives + 1) / 2) / (positives * (count - positives))
