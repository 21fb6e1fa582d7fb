"""Calibration of the dream: predicted probability of an end, and return, against the recorded, by horizon.

Sources: Brier 1950; Guo et al. 2017 for the expected calibration error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import derive, generator
from dreamduck.evaluation.model_card.bootstrap import Estimate, IntArray, bootstrap, number
from dreamduck.evaluation.model_card.config import ModelCardConfig
from dreamduck.evaluation.model_card.dreams import Dreams, OpenLoop
from dreamduck.evaluation.model_card.driving.data import RealData, RealEpisodes
from dreamduck.world_model.mdn_rnn.prediction_metrics import correlation, roc_auc

Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

SECONDS = (1.0, 5.0, 10.0)
BINS = 10  # of the probability
EVERY = 30  # steps between two windows of an episode
TOGETHER = 32  # windows dreamt at a time
KEY = 0x63616C
DRAWS = 200  # of outcomes of a perfectly calibrated model


class Windows(NamedTuple):
    """Real frames to dream after; W frames, T steps."""

    episode: IntArray  # (N,)
    z: npt.NDArray[np.float32]  # (N, W, Z)
    action: npt.NDArray[np.float32]  # (N, W - 1 + T, A); behind the episode those of another
    reward: npt.NDArray[np.float32]  # (N, T), 0 behind the episode
    left: IntArray  # (N,), steps from the last frame to the end of the episode
    room: IntArray  # (N,), steps from there to where the recordings are cut
    ended: BoolArray  # (N,), whether it truly ended there


class Outcome(NamedTuple):
    """Predictions of dreams for N windows up to a horizon, and the recorded outcome."""

    episode: IntArray  # (N,)
    probability: Array  # (N,), that the episode has ended
    ended: BoolArray  # (N,)
    dreamt_return: Array  # (N,)
    real_return: Array  # (N,)

    def of(self, rows: npt.NDArray[Any]) -> Outcome:
        """Some of the windows."""
        return Outcome(*(part[rows] for part in self))


def calibration(dreams: Dreams, data: RealData, probes: Any, config: ModelCardConfig) -> dict[str, Any]:
    """The section of the card.

    Args:
        dreams: of the world model.
        data: the real episodes; the held-out ones are used.
        probes: unused.
        config: the card's settings.
    """
    if lacks := dreams.model.dynamics.lacks:
        return {"left_out": f"the model predicts {lacks}"}
    step_time = float(dreams.model.card.environment.get("step_time", 0.1))
    steps = {seconds: max(1, round(seconds / step_time)) for seconds in SECONDS}
    if data.held_out.lengths.max() < config.warmup:
        return {"left_out": f"expected held-out episodes of at least {config.warmup} frames, got none"}
    seed = derive(config.seed, KEY)
    windows = find_windows(data.held_out, config.warmup, max(steps.values()), seed)
    if not len(windows.episode):
        return {"left_out": f"expected episodes of more than {data.held_out.least_steps} frames, got none"}
    ended, value = dreamt_outcomes(dreams, windows, config.dreams, seed)
    found = {}
    for seconds, count in steps.items():
        outcome = known_outcomes(windows, ended[:, count - 1], value[:, count - 1], count)
        found[f"{seconds:g}"] = measures(outcome, config.seed)
    return {"windows": len(windows.episode), "horizons": found}


def find_windows(real: RealEpisodes, shown: int, steps: int, seed: int) -> Windows:
    """Windows of all episodes, `EVERY` steps apart.

    None ends before the steps that a recording has at least, since there only those are that did not end.
    Behind the end of an episode an action says nothing of it: the actions of other episodes by the same
    policy go on there.

    Args:
        real: E episodes, one of W frames at least.
        shown: W, frames.
        steps: T.
        seed: of the choice of other episodes.
    """
    parts: list[tuple[Any, ...]] = []
    random = generator(seed, KEY)
    cuts = [length for e, length in enumerate(real.lengths) if not real.done[real.rows(e).stop - 1]]
    cut = int(min(cuts)) if cuts else None
    for e in range(len(real.offsets) - 1):
        rows = real.rows(e)
        length = rows.stop - rows.start
        least = max(0, min(real.least_steps, cut or length) - shown)
        for first in range(least, length - shown + 1, EVERY):
            last = first + shown - 1
            taken = real.action[rows.start + first : rows.start + min(last + steps, length)]
            taken = continued(taken, real, e, shown - 1 + steps, random)
            reward = np.zeros(steps, np.float32)
            left = min(steps, length - last)
            reward[:left] = real.reward[rows.start + last : rows.start + last + left]
            z = real.z[rows.start + first : rows.start + first + shown]
            end = bool(real.done[rows.stop - 1])
            room = steps if cut is None else cut - last
            parts.append((e, z, taken, reward, length - last, room, end))
    columns = zip(*parts, strict=True) if parts else [[]] * len(Windows._fields)
    return Windows(*(np.array(column) for column in columns))


def continued(
    actions: npt.NDArray[np.float32], real: RealEpisodes, episode: int, count: int, random: Any
) -> npt.NDArray[np.float32]:
    """Actions, and behind them those of other episodes by the same policy, `count` in all.

    Args:
        actions: (n, A), at most `count`.
        real: the episodes.
        episode: that the actions are of.
        count: of actions.
        random: chooses the episodes.
    """
    same = [e for e, name in enumerate(real.policies) if name == real.policies[episode] and e != episode]
    found, missing = [actions], count - len(actions)
    while missing > 0:
        rows = real.rows(int(random.choice(same or [episode])))
        begin = int(random.integers(rows.start, rows.stop))
        found.append(real.action[begin : min(rows.stop, begin + missing)])
        missing -= len(found[-1])
    return np.concatenate(found)


def dreamt_outcomes(dreams: Dreams, windows: Windows, count: int, seed: int) -> tuple[Array, Array]:
    """The mean over the dreams of each window.

    Args:
        dreams: of the world model.
        windows: N of them, T steps.
        count: dreams of each.
        seed: of the dreams.
    Returns:
        The probability to have ended by each step, and the return up to it; (N, T) each.
    """
    steps = windows.reward.shape[1]
    found = []
    for at in range(0, len(windows.episode), TOGETHER):
        part = slice(at, at + TOGETHER)
        found.append(
            _expected(
                dreams.open_loop(windows.z[part], windows.action[part], steps, count, derive(seed, at))
            )
        )
    ended, value = zip(*found, strict=True)
    return np.concatenate(ended), np.concatenate(value)


def _expected(dreamt: OpenLoop) -> tuple[Array, Array]:
    end = dreamt.end.astype(np.float64)
    alive = np.cumprod(1 - end, axis=2)
    before = np.concatenate([np.ones_like(alive[..., :1]), alive[..., :-1]], axis=2)
    reward = before * ((1 - end) * dreamt.reward + end * dreamt.end_reward)
    return 1 - alive.mean(axis=1), np.cumsum(reward, axis=2).mean(axis=1)


def known_outcomes(windows: Windows, ended: Array, value: Array, steps: int) -> Outcome:
    """The windows of which it is known whether they ended by a horizon; others were cut before it.

    A window whose horizon lies behind the shortest episode that was cut is left out even if it ended, since
    of those that did not end it would not be known.

    Args:
        windows: N of them.
        ended: (N,) dreamt probability.
        value: (N,) dreamt return.
        steps: the horizon.
    """
    truth = windows.ended & (windows.left <= steps)
    known = windows.room >= steps
    real = windows.reward[:, :steps].sum(axis=1, dtype=np.float64)
    return Outcome(windows.episode, ended, truth, value, real).of(known)


def measures(outcome: Outcome, seed: int) -> dict[str, Any]:
    """All figures of a horizon, with intervals over episodes.

    Args:
        outcome: of the windows.
        seed: of the intervals.
    """
    names, place = np.unique(outcome.episode, return_inverse=True)
    rows = [np.flatnonzero(place == e) for e in range(len(names))]

    def over_episodes(statistic: Callable[[Outcome], float]) -> dict[str, Any]:
        def of(chosen: IntArray) -> float:
            picked = np.concatenate([rows[e] for e in chosen])
            return statistic(outcome.of(picked))

        return dict(bootstrap(of, len(names), seed)._asdict())

    return {
        "windows": len(outcome.episode),
        "end": {
            "expected": over_episodes(lambda o: float(o.probability.mean())),
            "observed": over_episodes(lambda o: float(o.ended.mean())),
            "calibration_error": over_episodes(calibration_error),
            "calibration_error_by_chance": error_by_chance(outcome, seed),
            "brier": over_episodes(lambda o: float(((o.probability - o.ended) ** 2).mean())),
            "brier_of_base_rate": over_episodes(lambda o: float(o.ended.var())),
            "auc": over_episodes(lambda o: roc_auc(o.probability, o.ended)),
            "reliability": reliability(outcome),
        },
        "return": {
            "correlation": over_episodes(lambda o: correlation(o.dreamt_return, o.real_return)),
            "bias": over_episodes(lambda o: float((o.dreamt_return - o.real_return).mean())),
            "rmse": over_episodes(
                lambda o: math.sqrt(float(((o.dreamt_return - o.real_return) ** 2).mean()))
            ),
            "real_std": over_episodes(lambda o: float(o.real_return.std())),
        },
    }


def calibration_error(outcome: Outcome) -> float:
    """Mean distance of the probability and the frequency in `BINS` bins, weighted by their windows."""
    bins = np.minimum((outcome.probability * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, outcome.probability - outcome.ended, BINS)
    return float(np.abs(gaps).sum() / len(bins))


def error_by_chance(outcome: Outcome, seed: int) -> dict[str, Any]:
    """The error of a perfectly calibrated model with as many windows: mean, and 95% of draws."""
    random = generator(seed, KEY, 1)
    drawn = [
        calibration_error(outcome._replace(ended=random.random(len(outcome.ended)) < outcome.probability))
        for _ in range(DRAWS if len(outcome.ended) else 0)
    ]
    if not drawn:
        return Estimate(None, None, None, 0)._asdict()
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(float(np.mean(drawn)), float(low), float(high), DRAWS)._asdict()


def reliability(outcome: Outcome) -> list[dict[str, Any]]:
    """Mean probability and frequency of ends in each bin that has windows."""
    bins = np.minimum((outcome.probability * BINS).astype(int), BINS - 1)
    return [
        {
            "expected": number(float(outcome.probability[bins == b].mean())),
            "observed": number(float(outcome.ended[bins == b].mean())),
            "windows": int((bins == b).sum()),
        }
        for b in np.unique(bins)
    ]
