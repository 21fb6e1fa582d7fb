"""Windows of episodes as training batches, each from a state of zeros, and windows of a standing car."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import TrainingError
from dreamduck.common.seeding import generator
from dreamduck.world_model.latents import Series
from dreamduck.world_model.mdn_rnn.batches import Batch, WindowPlan

WINDOW_KEY, STANDING_KEY = 5, 6
REST_STEPS = 10  # without a command, until a car stands
REST_CHANGE = 0.02  # of a latent's standard deviation: less is no change


def plan(
    offsets: npt.NDArray[np.int64],
    episodes: npt.NDArray[np.int64],
    rows: int,
    length: int,
    steps: int,
    seed: int,
) -> WindowPlan:
    """Lay out `steps` batches of windows.

    A window begins up to T - 1 steps before an episode, or at any step of it, and is moved to lie within
    it. So an episode's last step is in as many windows as any other, and ends are as frequent as they are.

    Args:
        offsets: (E + 1,), rows of the episodes in the series.
        episodes: those to use.
        rows: B.
        length: T.
        steps: S.
        seed: decides the windows.
    Raises:
        TrainingError: no episode to use.
    """
    if not len(episodes):
        raise TrainingError("expected recorded episodes to learn from, got none")
    random = generator(seed, WINDOW_KEY)
    lengths = (offsets[1:] - offsets[:-1])[episodes]
    until = np.cumsum(lengths + length - 1)
    place = random.integers(until[-1], size=(steps, rows))
    chosen = np.searchsorted(until, place, "right")
    begin = place - (until - lengths)[chosen]
    first = offsets[:-1][episodes][chosen]
    start = first + np.clip(begin, 0, np.maximum(lengths[chosen] - length, 0))
    return WindowPlan(start, first + lengths[chosen], np.zeros((steps, rows), np.bool_))


def at_rest(
    series: Series, episodes: npt.NDArray[np.int64], spread: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """The rows of a series at which a car stands: the first of an episode, and where it has come to rest.

    It is at rest where nothing changes after a second without a command.

    Args:
        series: the episodes.
        episodes: those to use.
        spread: (Z,), standard deviation of each latent.
    """
    moves = (series.action != 0).any(axis=1)
    found = []
    for episode in episodes:
        here = series.rows(episode)
        commands = np.concatenate([[0], np.cumsum(moves[here])])
        count = len(commands) - 1
        idle = np.zeros(count, np.bool_)
        idle[REST_STEPS:] = (commands[REST_STEPS:] == commands[: max(0, count + 1 - REST_STEPS)])[:-1]
        change = np.abs(np.diff(series.mu[here], axis=0))
        idle[1:] &= (change <= REST_CHANGE * spread).all(axis=1)
        found.append(here.start + np.flatnonzero(np.concatenate([[True], idle[1:] & ~idle[:-1]])))
    return np.concatenate(found)


def standing(
    batch: Batch, series: Series, frames: npt.NDArray[np.int64], rows: int, seed: int, step: int
) -> Batch:
    """The batch with standing cars in its first rows: one frame all the time, and nothing changes.

    Args:
        batch: it stays as it is.
        series: where the frames are from.
        frames: rows of the series to choose from, as `at_rest` gives them.
        rows: how many cars stand.
        seed: chooses them, with the step.
        step: of the training.
    """
    if not rows:
        return batch
    chosen = generator(seed, STANDING_KEY, step).choice(frames, rows)
    parts = {name: part.copy() for name, part in batch._asdict().items()}
    for name, array in (("mu", series.mu), ("logvar", series.logvar)):
        parts[name][:rows] = array[chosen][:, None]
    for name in ("action", "reward", "done"):
        parts[name][:rows] = 0
    for name in ("step", "has_next"):
        parts[name][:rows] = 1
    return Batch(**parts)
