"""A log in steps of one length: the newest frame and the mean command of each.

Commands hold until the next one, as motors have it; their mean over a step is exact."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import RecordError
from dreamduck.recordings.logs.drive_log import DriveLog, FloatArray

EARLY = 0.05  # of a step, by which a frame may come after the step's beginning; clocks are rounded
SHORTEST = 2  # steps of a part


class Steps(NamedTuple):
    """T steps of a log.

    Attributes:
        frames: (T,) index of each step's frame.
        commands: (T, 2).
    """

    frames: npt.NDArray[np.int64]
    commands: FloatArray


def resample(log: DriveLog, step_time: float, max_gap: float, split: bool) -> Iterator[Steps]:
    """The parts of a log between its gaps, in steps.

    Args:
        log: the log.
        step_time: [s].
        max_gap: [s] from a frame, or a command, to the next at most.
        split: continue after a gap; without it one is refused.
    Raises:
        RecordError: a gap, a clock that goes back, or frames and commands at different times.
    """
    frame_parts = _parts(log.frame_times, max_gap, split, log.name, "frame", log.paired)
    if log.paired:
        pairs = [(part, part) for part in frame_parts]
    else:
        command_parts = _parts(log.command_times, max_gap, split, log.name, "command", False)
        pairs = [(one, other) for one in frame_parts for other in command_parts]
    found = False
    for frames, commands in pairs:
        steps = _steps(log, frames, commands, step_time)
        if steps is not None:
            found = True
            yield steps
    if not found and not log.paired:  # of rows that have both, they are too few
        (first, last), (begin, end) = (
            (times[0], times[-1]) for times in (log.frame_times, log.command_times)
        )
        raise RecordError(
            f"{log.name}: expected frames and commands at the same time for {SHORTEST} steps at least, "
            f"got frames from {first:g} to {last:g} s and commands from {begin:g} to {end:g} s; "
            "give --time-offset"
        )


def _parts(
    times: FloatArray, max_gap: float, split: bool, name: str, what: str, jumps: bool
) -> list[slice]:
    """Where times increase without a gap.

    Args:
        jumps: whether a clock that goes back may begin another part, where `split`.
    """
    passed = np.diff(times)
    for row in np.flatnonzero((passed > max_gap) | (passed <= 0))[:1]:
        where = f"after {what} {row + 1} ({times[row]:g} s)"
        if passed[row] > max_gap and not split:
            raise RecordError(
                f"{name}: a gap of {passed[row]:.3g} s {where}, expected at most {max_gap:g} s; give "
                "--split to make recordings of the parts, or a larger --max-gap"
            )
    back = np.flatnonzero(passed <= 0)
    if len(back) and not (split and jumps):
        row = back[0]
        advice = "give --split to make recordings of the parts" if jumps else "cut the log there"
        raise RecordError(
            f"{name}: the clock goes from {times[row]:g} to {times[row + 1]:g} s after {what} {row + 1}, "
            f"expected times that increase; {advice}"
        )
    cuts = np.flatnonzero((passed > max_gap) | (passed <= 0)) + 1
    edges = [0, *cuts.tolist(), len(times)]
    return [slice(*edge) for edge in itertools.pairwise(edges)]


def _steps(log: DriveLog, frames: slice, commands: slice, step_time: float) -> Steps | None:
    """The steps in which a part has both frames and commands; None where they are too few."""
    seen, given = log.frame_times[frames], log.command_times[commands]
    start, end = max(seen[0], given[0]), min(_end(seen), _end(given))
    count = int(np.floor((end - start) / step_time + EARLY))
    if count < SHORTEST:
        return None
    times = start + np.arange(count) * step_time
    newest = np.searchsorted(seen, times + EARLY * step_time, side="right") - 1
    held = np.concatenate([given, [max(times[-1] + step_time, given[-1]) + step_time]])
    sums = np.concatenate(
        [np.zeros((1, 2)), np.cumsum(log.commands[commands] * np.diff(held)[:, None], axis=0)]
    )
    edges = np.append(times, times[-1] + step_time)
    integral = np.stack([np.interp(edges, held, column) for column in sums.T], axis=1)
    return Steps(newest + frames.start, np.diff(integral, axis=0) / step_time)


def _end(times: FloatArray) -> float:
    """The end of the last frame or command: it holds as long as they usually do."""
    return float(times[-1] + (np.median(np.diff(times)) if len(times) > 1 else 0.0))
