"""A log as it was found: frames and commands, each with its times."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import RecordError

FloatArray = npt.NDArray[np.float64]
Frame = npt.NDArray[np.uint8]
WHEELS, ACTIONS = "wheels", "actions"  # what commands are


@dataclasses.dataclass(frozen=True)
class DriveLog:
    """One drive: F frames, C commands.

    Attributes:
        name: what messages call it.
        frame_times: (F,) [s].
        frames: gives the frames (H, W, 3) uint8 of these indices, which increase.
        command_times: (C,) [s], by the same clock.
        commands: (C, 2); each holds until the next one.
        kind: WHEELS, duties left and right; or ACTIONS, throttle and steering.
        paired: whether each row has a frame and its command, so that F = C.
    """

    name: str
    frame_times: FloatArray
    frames: Callable[[Sequence[int]], Iterator[Frame]]
    command_times: FloatArray
    commands: FloatArray
    kind: str
    paired: bool

    def __post_init__(self) -> None:
        counts = len(self.frame_times), len(self.command_times)
        if min(counts) < 1:
            raise RecordError(
                f"{self.name}: expected a frame and a command at least, got {counts[0]} and {counts[1]}"
            )
        for what, values in (("time", self.frame_times), ("time", self.command_times), *self._columns()):
            bad = np.flatnonzero(~np.isfinite(values))
            if len(bad):
                raise RecordError(
                    f"{self.name}: {what} {values[bad[0]]} in row {bad[0] + 1}, expected a finite number"
                )
        for what, values in self._columns():
            bad = np.flatnonzero(np.abs(values) > 1)
            if len(bad):
                raise RecordError(
                    f"{self.name}: {what} {values[bad[0]]:g} in row {bad[0] + 1}, "
                    "expected a value in [-1, 1]; scale the column"
                )

    def _columns(self) -> list[tuple[str, FloatArray]]:
        names = ("left duty", "right duty") if self.kind == WHEELS else ("throttle", "steering")
        return list(zip(names, self.commands.T, strict=True))


def of_array(frames: npt.NDArray[np.uint8]) -> Callable[[Sequence[int]], Iterator[Frame]]:
    """Frames of an array (F, H, W, 3), as `DriveLog.frames` gives them."""

    def chosen(indices: Sequence[int]) -> Iterator[Frame]:
        for index in indices:
            yield np.asarray(frames[index])

    return chosen
