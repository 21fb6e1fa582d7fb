"""Area averaging: resizes a frame; each pixel is the mean of the area that it covers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]


def area_average(frames: Frames, height: int, width: int) -> Frames:
    """Resize frames by area averaging; frames of the right size are returned as they are.

    The largest central crop of the target's aspect ratio is averaged over areas. The sums are of
    integers, so that every machine gives the same; halves are rounded to the even number.

    Args:
        frames: (N, H, W, C).
        height: of the result [pixels].
        width: likewise.
    Returns:
        (N, height, width, C).
    """
    top, left, rows, columns = centre(frames.shape[1], frames.shape[2], height, width)
    cut = frames[:, top : top + rows, left : left + columns]
    over, across = shares(rows, height), shares(columns, width)
    flat = cut.reshape(len(cut), rows, -1).astype(np.float64)  # which holds these sums exactly
    sums = (over @ flat).reshape(len(cut), height, columns, -1).swapaxes(2, 3) @ across.T
    return np.rint(sums.swapaxes(2, 3) / (over[0].sum() * across[0].sum())).astype(np.uint8)


def centre(height: int, width: int, target_height: int, target_width: int) -> tuple[int, int, int, int]:
    """The largest central crop of a target's aspect ratio: its top, left, rows and columns."""
    rows = max(min(height, width * target_height // target_width), 1)
    columns = max(min(width, height * target_width // target_height), 1)
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def shares(size: int, target: int) -> npt.NDArray[np.float64]:
    """How much of each pixel falls into each of fewer, or more, pixels of the same length.

    Returns:
        (target, size) integers, in the largest unit that makes them such; all rows have the same sum.
    """
    common = math.gcd(size, target)
    length, unit = size // common, target // common  # of a pixel of the target, and of the source
    first, begin = np.arange(target)[:, None] * length, np.arange(size) * unit
    covered = np.minimum(first + length, begin + unit) - np.maximum(first, begin)
    return np.maximum(covered, 0).astype(np.float64)
