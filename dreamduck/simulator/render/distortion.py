"""The Duckiebot's fish-eye lens: where in an undistorted image each pixel comes from.

Upstream uses a calibration for 640 by 480 pixels whatever the size of the image
is; here it is scaled to the size, so that every size shows the same, and 640 by 480 what upstream shows.

Source: Brown 1971 (radial and tangential distortion); the calibration is upstream's."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

CALIBRATED = (640, 480)  # [pixels], the size that the numbers below are for
FOCAL = (305.5718893575089, 308.8338858195428)  # [pixels]
CENTRE = (303.0797142544728, 231.8845403702499)  # [pixels]
RADIAL = (-0.2, 0.0305)  # k1, k2
TANGENTIAL = (0.0005859930422629722, -0.0006697840226199427)  # p1, p2
GRID = 9  # points a side, with which the undistorted image's frame is found
ROUNDS = 5  # of the fixed-point iteration; OpenCV, which upstream asks for the frame, stops here too
SPREAD = {0: 20, 1: 10, 2: 7}  # a pixel's weight on itself, its neighbours and those across the corner


class Pinhole(NamedTuple):
    """A camera without distortion, for 640 by 480."""

    focal: tuple[float, float]  # [pixels]
    centre: tuple[float, float]  # [pixels]


def bend(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where the lens puts points of the plane one unit ahead of it."""
    r2 = x**2 + y**2
    radial = 1 + r2 * (RADIAL[0] + r2 * RADIAL[1])
    first, second = TANGENTIAL
    bent_x = x * radial + 2 * first * x * y + second * (r2 + 2 * x**2)
    return bent_x, y * radial + first * (r2 + 2 * y**2) + 2 * second * x * y


def straighten(x: FloatArray, y: FloatArray, rounds: int = ROUNDS) -> tuple[FloatArray, FloatArray]:
    """The inverse of `bend`, as near as some rounds of fixed-point iteration come."""
    plain_x, plain_y = x, y
    for _ in range(rounds):
        bent_x, bent_y = bend(plain_x, plain_y)
        r2 = plain_x**2 + plain_y**2
        radial = 1 + r2 * (RADIAL[0] + r2 * RADIAL[1])
        plain_x, plain_y = plain_x + (x - bent_x) / radial, plain_y + (y - bent_y) / radial
    return plain_x, plain_y


def undistorted_camera() -> Pinhole:
    """The camera whose image the lens can fill: nothing of it is empty, and it shows all it then can."""
    last = np.array(CALIBRATED) - 1
    u, v = np.meshgrid(np.linspace(0, last[0], GRID), np.linspace(0, last[1], GRID))
    x, y = straighten((u - CENTRE[0]) / FOCAL[0], (v - CENTRE[1]) / FOCAL[1])
    left, right = x[:, 0].max(), x[:, -1].min()
    top, bottom = y[0].max(), y[-1].min()
    focal = float(last[0] / (right - left)), float(last[1] / (bottom - top))
    return Pinhole(focal, (-focal[0] * float(left), -focal[1] * float(top)))


@lru_cache(maxsize=1)
def calibrated_map() -> FloatArray:
    """For each pixel of the distorted 640 by 480 image its place in the plain one.

    The lens is followed forwards: each plain pixel is put where the lens shows it and a little around. A
    pixel shows the mean of what was put there; one that got nothing, at the edge, what its nearest
    neighbour shows. This is how upstream inverts the lens, so that its images are met pixel by pixel.

    Returns:
        (2, 480, 640) column and row.
    """
    width, height = CALIBRATED
    pinhole = undistorted_camera()
    u, v = np.meshgrid(np.arange(float(width)), np.arange(float(height)))
    x, y = bend((u - pinhole.centre[0]) / pinhole.focal[0], (v - pinhole.centre[1]) / pinhole.focal[1])
    column = np.clip((x * FOCAL[0] + CENTRE[0]).astype(np.int64), 2, width - 2)
    row = np.clip((y * FOCAL[1] + CENTRE[1]).astype(np.int64), 2, height - 2)
    middle = (row * width + column).reshape(-1)
    values = np.stack([u.reshape(-1), v.reshape(-1), np.ones(u.size)], axis=1)
    sums = np.zeros((height * width, 3))  # of columns, rows and weights
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            # Of several that fall on one pixel the last counts, as upstream has it.
            sums[middle + (down * width + across)] += SPREAD[abs(down) + abs(across)] * values
    empty = (sums[:, 2] == 0).reshape(height, width)
    sums[sums[:, 2] == 0] = 1
    rows, columns = nearest(empty)
    found = (sums[:, :2] / sums[:, 2:]).T.reshape(2, height, width)
    return found[:, rows, columns]


def nearest(empty: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each pixel the nearest one that is not empty; of several as near, the one furthest left.

    The nearest in each column is found first, then the best of the columns. The same as
    `scipy.ndimage.distance_transform_edt` finds.

    Args:
        empty: (H, W), not all of it.
    Returns:
        (H, W) rows and (H, W) columns.
    """
    height, width = empty.shape
    grid: npt.NDArray[np.int64] = np.indices(empty.shape)
    rows, columns = grid[0], grid[1]
    far = 2 * (height + width)
    above = np.maximum.accumulate(np.where(empty, -far, rows), axis=0)
    below = np.minimum.accumulate(np.where(empty, far, rows)[::-1], axis=0)[::-1]
    in_column = np.where(rows - above <= below - rows, above, below)
    for row in np.flatnonzero(empty.any(axis=1)):
        here = np.flatnonzero(empty[row])
        across = (here[:, None] - np.arange(width)) ** 2
        best = (across + (in_column[row] - row) ** 2).argmin(axis=1)
        rows[row, here], columns[row, here] = in_column[row, best], best
    return rows, columns


def interpolate(image: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """Values between the pixels of an image, bilinear; outside it, those of its edge.

    Args:
        image: (H, W).
        rows: (h, w) places in it [pixels].
        columns: likewise.
    Returns:
        (h, w).
    """
    height, width = image.shape
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    top, left = rows.astype(np.int64), columns.astype(np.int64)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = rows - top, columns - left
    return (  # in scipy's order, so that what lies halfway between two pixels rounds alike
        image[top, left] * (1 - down) * (1 - across)
        + image[top, right] * (1 - down) * across
        + image[bottom, left] * down * (1 - across)
        + image[bottom, right] * down * across
    )


def lens_map(width: int, height: int) -> npt.NDArray[np.int64]:
    """Which pixel of the plain image each pixel of the distorted one shows.

    Args:
        width: of both images [pixels].
        height: likewise.
    Returns:
        (height * width,) int64, places in the plain image row by row.
    """
    scale_x, scale_y = CALIBRATED[0] / width, CALIBRATED[1] / height
    # From the middles of pixels here to pixels of 640 by 480, whose middles are integers.
    v, u = np.meshgrid(
        (np.arange(height) + 0.5) * scale_y - 0.5, (np.arange(width) + 0.5) * scale_x - 0.5, indexing="ij"
    )
    column, row = (interpolate(axis, v, u) for axis in calibrated_map())
    columns = np.clip(np.rint((column + 0.5) / scale_x - 0.5), 0, width - 1).astype(np.int64)
    rows = np.clip(np.rint((row + 0.5) / scale_y - 0.5), 0, height - 1).astype(np.int64)
    return (rows * width + columns).reshape(-1)
