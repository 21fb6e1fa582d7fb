"""The end's logit, scaled and shifted so that its probability holds in dreams.

In training each step is predicted from frames that were seen. In a dream many states are undecided, and a
small probability of an end in each of them adds up. So two numbers are fitted to open-loop dreams of
episodes that the model learned from, by what happened up to some horizons.

Source: Platt 1999, "Probabilistic outputs for support vector machines"."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import generator
from dreamduck.world_model.dynamics import Dynamics, FloatArray, RecurrentState
from dreamduck.world_model.latents import Series

HORIZONS = (10, 30, 50)  # steps, up to which an end came or did not
EPISODES, DREAMS = 400, 4
SCALES = np.linspace(0.5, 3.0, 26)
SHIFTS = np.linspace(-5.0, 3.0, 33)
KEY = 30


class Foretold(NamedTuple):
    """What dreams of N episodes say of their ends, and what happened."""

    logits: npt.NDArray[np.float64]  # (N, D, T), of an end with each step; D of at least 2
    left: npt.NDArray[np.int64]  # (N,) recorded steps from the first dreamt one on
    ended: npt.NDArray[np.bool_]  # (N,), whether the last of them ended the episode


def calibrate(
    dynamics: Dynamics, series: Series, episodes: npt.NDArray[np.int64], seed: int
) -> dict[str, float]:
    """The scale and shift of the end's logit that foretell best what happened; see `fit`.

    Args:
        dynamics: as trained, not calibrated.
        series: the episodes.
        episodes: those to fit on.
        seed: chooses some of them, where dreams begin, and their noise.
    """
    return fit(dreamt_ends(dynamics, series, episodes, seed))


def dreamt_ends(dynamics: Dynamics, series: Series, episodes: npt.NDArray[np.int64], seed: int) -> Foretold:
    """Dreams under the recorded actions, each from a step of its episode drawn evenly; see `calibrate`."""
    random = generator(seed, KEY)
    chosen = random.permutation(episodes)[:EPISODES]
    first, lengths = series.offsets[chosen], series.lengths[chosen]
    begin = random.integers(0, lengths)
    z, state = _seen(dynamics, series, first, begin)
    rows = np.repeat(np.arange(len(chosen)), DREAMS)
    z, state, sizes = z[rows], state.rows(rows), dynamics.config
    logits = np.empty((len(rows), max(HORIZONS)))
    for t in range(logits.shape[1]):
        at = (first + np.minimum(begin + t, lengths - 1))[rows]
        uniform = random.random((len(rows), sizes.uniform_size), np.float32)
        normal = random.standard_normal((len(rows), sizes.normal_size), np.float32)
        z, state, said = dynamics.step(
            z, series.action[at], state, uniform, normal, type(dynamics).temperature
        )
        p = np.clip(said.end.astype(np.float64), 1e-9, 1 - 1e-7)
        logits[:, t] = np.log(p / (1 - p))
    ended = series.done[first + lengths - 1]
    return Foretold(logits.reshape(len(chosen), DREAMS, -1), lengths - begin, ended)


def _seen(
    dynamics: Dynamics, series: Series, first: npt.NDArray[np.int64], begin: npt.NDArray[np.int64]
) -> tuple[FloatArray, RecurrentState]:
    """Latents and states at a step of each episode, after all frames up to it."""
    z = series.mu[first]
    state = dynamics.observe(z, dynamics.start(len(first)))
    kept_z, kept = z.copy(), state.copy()
    for t in range(1, int(begin.max()) + 1):
        at = first + np.minimum(t, begin)
        state = dynamics.advance(z, series.action[at - 1], state)
        z = series.mu[at]
        state = dynamics.observe(z, state)
        here = begin == t
        kept_z[here] = z[here]
        kept.put(here, state.rows(here))
    return kept_z, kept


def fit(found: Foretold) -> dict[str, float]:
    """The scale and shift with the least Brier score."""
    _, scale, shift = min(
        (brier(found, scale, shift), scale, shift) for scale in SCALES for shift in SHIFTS
    )
    return {"scale": round(float(scale), 4), "shift": round(float(shift), 4)}


def brier(found: Foretold, scale: float, shift: float) -> float:
    """Squared errors of the probability that an episode goes on up to each horizon, a sum over all.

    The probability is a mean over a few dreams, and their variance is taken off: a score that punishes
    what no dream foresaw, as a likelihood does, would make every dream's ends less certain.

    Source: Ferro 2014, "Fair scores for ensemble forecasts".
    """
    stays = -np.logaddexp(0, scale * found.logits + shift).cumsum(axis=2)  # log of "no end so far"
    total = 0.0
    for steps in HORIZONS:
        ended = found.ended & (found.left <= steps)
        known = ended | (found.left >= steps)
        alive = np.exp(stays[known, :, steps - 1])
        chance = alive.var(axis=1, ddof=1) / alive.shape[1]
        total += float(((alive.mean(axis=1) - ~ended[known]) ** 2 - chance).sum())
    return total


def scale_and_shift(card: dict[str, Any]) -> tuple[float, float]:
    """What a card tells; 1 and 0 where it tells nothing.

    Raises:
        KeyError: what it tells is no calibration.
        TypeError: likewise.
        ValueError: likewise.
    """
    told = card.get("end_calibration")
    if told is None:
        return 1.0, 0.0
    scale, shift = float(told["scale"]), float(told["shift"])
    if not (0 < scale < np.inf and np.isfinite(shift)):
        raise ValueError(f"got {scale} and {shift}")
    return scale, shift
