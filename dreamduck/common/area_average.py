"""Area averaging: resizes frames; each pixel is the mean of the area that it covers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.compiled import njit

Frames = npt.NDArray[np.uint8]


def area_average(frames: Frames, height: int, width: int) -> Frames:
    """The centre of frames, resized; frames of the right size are returned as they are.

    Args:
        frames: (N, H, W, C); of each the largest central crop of the target's aspect ratio is taken.
        height: of the result [pixels].
        width: likewise.
    Returns:
        (N, height, width, C).
    """
    top, left, rows, columns = centre(frames.shape[1], frames.shape[2], height, width)
    return resize(frames[:, top : top + rows, left : left + columns], height, width)


def resize(frames: Frames, height: int, width: int) -> Frames:
    """Resize frames whole, whatever their aspect ratio.

    The sums are of integers, so that every machine gives the same; halves are rounded to the even number.

    Args:
        frames: (N, H, W, C).
        height: of the result [pixels].
        width: likewise.
    Returns:
        (N, height, width, C).
    """
    rows, columns = frames.shape[1:3]
    made = np.empty((len(frames), height, width, frames.shape[3]), np.uint8)
    _resize(np.ascontiguousarray(frames), made, _lengths(rows, height), _lengths(columns, width))
    return made


def _lengths(size: int, target: int) -> tuple[int, int]:
    common = math.gcd(size, target)
    return size // common, target // common


@njit
def _resize(
    frames: Frames, made: Frames, down: tuple[int, int], across: tuple[int, int]
) -> None:  # lengths of a pixel of the result and of a pixel of the frames, in a unit that divides both
    rows, columns = np.empty((frames.shape[2], frames.shape[3]), np.int64), frames.shape[2]
    total = down[0] * across[0]
    for n in range(len(frames)):
        for y in range(made.shape[1]):
            rows[:] = 0
            for i in range(y * down[0] // down[1], ((y + 1) * down[0] - 1) // down[1] + 1):
                share = _covered(y, i, down)
                for j in range(columns):
                    for c in range(frames.shape[3]):
                        rows[j, c] += share * frames[n, i, j, c]
            for x in range(made.shape[2]):
                for c in range(frames.shape[3]):
                    value = 0
                    for j in range(x * across[0] // across[1], ((x + 1) * across[0] - 1) // across[1] + 1):
                        value += _covered(x, j, across) * rows[j, c]
                    made[n, y, x, c] = np.uint8(np.rint(value / total))


@njit
def _covered(pixel: int, source: int, lengths: tuple[int, int]) -> int:
    """How much of a pixel of the frames lies in one of the result."""
    end = min((pixel + 1) * lengths[0], (source + 1) * lengths[1])
    return end - max(pixel * lengths[0], source * lengths[1])


def centre(height: int, width: int, target_height: int, target_width: int) -> tuple[int, int, int, int]:
    """The largest central crop of a target's aspect ratio: its top, left, rows and columns."""
    rows = max(min(height, width * target_height // target_width), 1)
    columns = max(min(width, height * target_width // target_height), 1)
    return (height - rows) // 2, (width - columns) // 2, rows, columns
