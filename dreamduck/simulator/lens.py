"""The Duckiebot's fish-eye lens: where in an undistorted picture each pixel comes from.

Flow: [lens] -> camera. Upstream works this out for 640 by 480 pixels whatever the size of the picture is;
here the same calibration is scaled to the size, so that every size shows the same.

Source: Brown 1971 (radial and tangential distortion); the calibration is upstream's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

CALIBRATED = (640, 480)  # [pixels], the size that the numbers below are for
FOCAL = (305.5718893575089, 308.8338858195428)  # [pixels]
CENTRE = (303.0797142544728, 231.8845403702499)  # [pixels]
RADIAL = (-0.2, 0.0305)  # k1, k2
TANGENTIAL = (0.0005859930422629722, -0.0006697840226199427)  # p1, p2
GRID = 9  # points a side, with which the undistorted picture's frame is found
ROUNDS = 50  # of the fixed-point iteration, which gains a digit in about three
SHIFT = 0.5  # [pixels of 640 by 480] upstream drops fractions while it inverts the map


class Pinhole(NamedTuple):
    """A camera without distortion, for 640 by 480."""

    focal: tuple[float, float]  # [pixels]
    centre: tuple[float, float]  # [pixels]


def straighten(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Undo the distortion of points in the plane one unit ahead of the lens."""
    plain_x, plain_y = x, y
    for _ in range(ROUNDS):
        r2 = plain_x**2 + plain_y**2
        radial = 1 + r2 * (RADIAL[0] + r2 * RADIAL[1])
        shift_x = 2 * TANGENTIAL[0] * plain_x * plain_y + TANGENTIAL[1] * (r2 + 2 * plain_x**2)
        shift_y = TANGENTIAL[0] * (r2 + 2 * plain_y**2) + 2 * TANGENTIAL[1] * plain_x * plain_y
        plain_x, plain_y = (x - shift_x) / radial, (y - shift_y) / radial
    return plain_x, plain_y


def _points(u: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Pixels of the distorted 640 by 480 picture, as undistorted points one unit ahead."""
    return straighten((u - CENTRE[0]) / FOCAL[0], (v - CENTRE[1]) / FOCAL[1])


def undistorted_camera() -> Pinhole:
    """The camera whose whole picture the lens can show: nothing of it is empty, as much is kept as can be."""
    last = np.array(CALIBRATED) - 1
    u, v = np.meshgrid(np.linspace(0, last[0], GRID), np.linspace(0, last[1], GRID))
    x, y = _points(u, v)
    left, right = x[:, 0].max(), x[:, -1].min()
    top, bottom = y[0].max(), y[-1].min()
    focal = float(last[0] / (right - left)), float(last[1] / (bottom - top))
    return Pinhole(focal, (-focal[0] * float(left), -focal[1] * float(top)))


def lens_map(width: int, height: int) -> npt.NDArray[np.int64]:
    """Which pixel of the plain picture each pixel of the distorted one shows.

    Args:
        width, height: of both pictures [pixels].
    Returns:
        (height * width,) int64, places in the plain picture row by row. What lies beyond the plain
        picture's edge shows the edge.
    """
    pinhole = undistorted_camera()
    scale = np.array(CALIBRATED) / (width, height)
    # From the middles of pixels here to pixels of 640 by 480, whose middles are whole numbers.
    u, v = np.meshgrid((np.arange(width) + 0.5) * scale[0] - 0.5, (np.arange(height) + 0.5) * scale[1] - 0.5)
    x, y = _points(u + SHIFT, v + SHIFT)
    column = (pinhole.focal[0] * x + pinhole.centre[0] + 0.5) / scale[0] - 0.5
    row = (pinhole.focal[1] * y + pinhole.centre[1] + 0.5) / scale[1] - 0.5
    columns = np.clip(np.rint(column), 0, width - 1).astype(np.int64)
    rows = np.clip(np.rint(row), 0, height - 1).astype(np.int64)
    return (rows * width + columns).reshape(-1)
