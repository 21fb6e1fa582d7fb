"""Windows of episodes as training batches: drawn evenly over all steps, each from a state of zeros."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import TrainingError
from dreamduck.common.seeding import generator
from dreamduck.world_model.latents import Series
from dreamduck.world_model.mdn_rnn.batches import Batch, WindowPlan

WINDOW_KEY, STANDING_KEY = 5, 6


def plan(
    offsets: npt.NDArray[np.int64],
    episodes: npt.NDArray[np.int64],
    rows: int,
    length: int,
    steps: int,
    seed: int,
) -> WindowPlan:
    """Lay out `steps` batches of windows; long episodes come more often.

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
    step = random.integers(lengths.sum(), size=(steps, rows))
    chosen = np.searchsorted(np.cumsum(lengths), step, "right")
    last = np.maximum(lengths[chosen] - length, 0)
    first = offsets[:-1][episodes][chosen]
    start = first + random.integers(0, last + 1)
    return WindowPlan(start, first + lengths[chosen], np.zeros((steps, rows), np.bool_))


def standing(
    batch: Batch, series: Series, episodes: npt.NDArray[np.int64], rows: int, seed: int, step: int
) -> Batch:
    """The batch with standing cars in its last rows: an episode's first frame, and nothing happens.

    Args:
        batch: it stays as it is.
        series: where the frames are from.
        episodes: likewise.
        rows: how many cars stand.
        seed: chooses them, with the step.
        step: of the training.
    """
    if not rows:
        return batch
    chosen = generator(seed, STANDING_KEY, step).choice(series.offsets[:-1][episodes], rows)
    parts = {name: part.copy() for name, part in batch._asdict().items()}
    for name, array in (("mu", series.mu), ("logvar", series.logvar)):
        parts[name][-rows:] = array[chosen][:, None]
    for name in ("action", "reward", "done"):
        parts[name][-rows:] = 0
    for name in ("step", "has_next"):
        parts[name][-rows:] = 1
    return Batch(**parts)
