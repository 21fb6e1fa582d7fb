"""How good an MDN-RNN is on episodes that it never saw.

Every figure is of one step ahead; `evaluate` dreams on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import generator
from dreamduck.world_model.latents import Series
from dreamduck.world_model.mdn_rnn.mixture import log_likelihood
from dreamduck.world_model.mdn_rnn.step import MDNRNN

Floats = npt.NDArray[np.floating]
TOGETHER = 64  # episodes run side by side
NOISE_KEY = 3


def one_step_metrics(
    rnn: MDNRNN, series: Series, episodes: Sequence[int], seed: int = 0
) -> dict[str, float]:
    """Run over whole episodes, each from its first step, with latents drawn from mu and logvar.

    Returns:
        nll: minus log-likelihood of the next latent [nats a latent].
        reward_correlation: of predicted and true rewards (Pearson); nan where all are equal.
        reward_error: mean squared error over the variance.
        end_auc: area under the ROC curve of the end's probability; nan without ends.
        end_cross_entropy [nats], end_rate and end_expected: how often episodes end, and how often the
        MDN-RNN expects it. steps, ends: how many were judged.
    """
    order = sorted(episodes, key=lambda e: -int(series.lengths[e]))
    parts = [_run(rnn, series, order[at : at + TOGETHER], seed) for at in range(0, len(order), TOGETHER)]
    nll, predicted, reward, end, done = (np.concatenate(column) for column in zip(*parts, strict=True))
    variance = float(reward.var())
    clipped = np.clip(end, 1e-7, 1 - 1e-7)
    return {
        "nll": float(nll.mean()) if len(nll) else math.nan,
        "reward_correlation": correlation(predicted, reward),
        "reward_error": float(((predicted - reward) ** 2).mean()) / variance if variance else math.nan,
        "end_auc": roc_auc(end, done),
        "end_cross_entropy": float(-np.where(done, np.log(clipped), np.log(1 - clipped)).mean()),
        "end_rate": float(done.mean()),
        "end_expected": float(end.mean()),
        "steps": float(len(reward)),
        "ends": float(done.sum()),
    }


def _run(rnn: MDNRNN, series: Series, episodes: Sequence[int], seed: int) -> list[npt.NDArray[np.generic]]:
    """The episodes, longest first, side by side; those that are over drop out."""
    first = series.offsets[:-1][list(episodes)]
    length = series.lengths[list(episodes)]
    noises = [generator(seed, NOISE_KEY, int(series.seeds[e])) for e in episodes]
    state = rnn.start(len(episodes))
    found: list[list[npt.NDArray[np.generic]]] = [[], [], [], [], []]
    z = _draw(series, first, noises)
    for t in range(int(length[0])):
        count = int((length > t).sum())
        rows = first[:count] + t
        state = rnn.advance(z[:count], series.action[rows], state.rows(slice(count)))
        prediction = rnn.predict(z[:count], state)
        going = int((length > t + 1).sum())
        if going:
            z = _draw(series, first[:going] + t + 1, noises)
            mixture = type(prediction.mixture)(*(part[:going] for part in prediction.mixture))
            found[0].append(-log_likelihood(mixture, z).mean(axis=1))
        end = prediction.end
        found[1].append((1 - end) * prediction.reward + end * prediction.end_reward)
        for place, array in zip((2, 3, 4), (series.reward[rows], end, series.done[rows]), strict=True):
            found[place].append(array)
    return [np.concatenate(column) if column else np.zeros(0, np.float32) for column in found]


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
