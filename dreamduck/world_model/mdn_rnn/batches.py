"""Series of episodes as a stream of training batches.

B streams run side by side, each through one episode after another, T
steps at a time; the LSTM's state goes with its stream and is zero at an episode's first step, and only
there. Where an episode ends within a batch, the rest of its stream is padding: the next one begins with
the next batch. So no state crosses an episode's border, and none begins at zero in mid-episode."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import TrainingError
from dreamduck.common.seeding import generator
from dreamduck.recordings import held_out
from dreamduck.world_model.latents import Series

FloatArray = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
ORDER_KEY = 1


class Batch(NamedTuple):
    """T steps of B streams."""

    mu: FloatArray  # (B, T + 1, Z); what comes next is one step on
    logvar: FloatArray  # (B, T + 1, Z)
    action: FloatArray  # (B, T, A)
    reward: FloatArray  # (B, T)
    done: FloatArray  # (B, T), 1 where the episode ended with the step
    step: FloatArray  # (B, T), 1 where there is a step, 0 where there is padding
    has_next: FloatArray  # (B, T), 1 where the next frame is known
    carry_state: FloatArray  # (B,), 1 where the stream's state is carried over, 0 where an episode begins


@dataclasses.dataclass(frozen=True)
class WindowPlan:
    """Where the batches of a stream lie in a series: for each step of the training B windows.

    Attributes:
        start: (S, B) int64, row of the window's first step.
        stop: (S, B) int64, row after the episode's last step.
        carry_state: (S, B) bool, where the window continues the same episode.
    """

    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    carry_state: Bools


def split(series: Series) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The episodes to learn from and those held out, as indices (the same one, where there is only one)."""
    out = held_out(series.seeds)
    if not out.any():
        return np.arange(len(out)), np.arange(len(out))
    return np.flatnonzero(~out), np.flatnonzero(out)


def plan(
    offsets: npt.NDArray[np.int64],
    episodes: npt.NDArray[np.int64],
    streams: int,
    length: int,
    steps: int,
    seed: int,
) -> WindowPlan:
    """Lay out `steps` batches.

    Every episode comes once before any comes again; the order is drawn again each time round.

    Args:
        offsets: (E + 1,), rows of the episodes in the series.
        episodes: those to use.
        streams: B.
        length: T.
        steps: S.
        seed: decides the order.
    Raises:
        TrainingError: no episode to use.
    """
    if not len(episodes):
        raise TrainingError("expected recorded episodes to learn from, got none")
    order = _endless(offsets, episodes, seed)
    start, stop = np.zeros((steps, streams), np.int64), np.zeros((steps, streams), np.int64)
    carry_state = np.zeros((steps, streams), np.bool_)
    row, end = [0] * streams, [0] * streams
    for step in range(steps):
        for stream in range(streams):
            carry_state[step, stream] = row[stream] < end[stream]
            if not carry_state[step, stream]:
                row[stream], end[stream] = next(order)
            start[step, stream], stop[step, stream] = row[stream], end[stream]
            row[stream] += length
    return WindowPlan(start, stop, carry_state)


def batch(series: Series, places: WindowPlan, step: int, length: int) -> Batch:
    """The batch of one step of the training."""
    start, stop = places.start[step][:, None], places.stop[step][:, None]
    rows = start + np.arange(length + 1)
    known = rows < stop
    rows = np.minimum(rows, stop - 1)
    now, here = rows[:, :-1], known[:, :-1].astype(np.float32)
    return Batch(
        series.mu[rows],
        series.logvar[rows],
        series.action[now],
        series.reward[now] * here,
        series.done[now] * here,
        here,
        known[:, 1:].astype(np.float32),
        places.carry_state[step].astype(np.float32),
    )


def _endless(
    offsets: npt.NDArray[np.int64], episodes: npt.NDArray[np.int64], seed: int
) -> Iterator[tuple[int, int]]:
    """The (first row, row after the last) of episodes, without end."""
    turn = 0
    while True:
        for episode in generator(seed, ORDER_KEY, turn).permutation(episodes):
            yield int(offsets[episode]), int(offsets[episode + 1])
        turn += 1
