"""The Duckiebot's fish-eye lens: which pixel of the straight picture each pixel of the bent one shows.

Flow: [lens] -> native, upstream. Upstream bends with the calibration of a 640x480 camera at every size,
which is right at that size alone, and inverts its map by rounding, which shifts the picture by half a
pixel. Here the inverse is exact, and other sizes see the same lens: pixels are scaled with the height,
as the renderer's field of view is, so that a square picture is the middle of the wide one.

Source: the plumb-bob model (Brown 1966; OpenCV's calib3d), the coefficients of gym-duckietown's camera."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

CALIBRATED = (640, 480)  # width, height that the figures below are for [pixels]
FOCAL = (305.5718893575089, 308.8338858195428)
CENTRE = (303.0797142544728, 231.8845403702499)
RADIAL = (-0.2, 0.0305)
TANGENTIAL = (0.0005859930422629722, -0.0006697840226199427)
# The straight picture's camera: OpenCV's optimal one that shows no pixel from outside the bent picture.
STRAIGHT_FOCAL = (217.83360227, 264.14761074)
STRAIGHT_CENTRE = (289.59435749, 229.45912466)
ITERATIONS = 20  # of the fixed point; it stands still to 1e-9 pixels well before

Pixels = npt.NDArray[np.int64]


@lru_cache(maxsize=16)
def lens_map(width: int, height: int) -> tuple[Pixels, Pixels]:
    """Rows and columns to take: `bent = straight[rows, columns]`.

    Where the lens looks past the straight picture, its edge is repeated.

    Returns:
        rows, columns: (height, width) int64, read-only.
    """
    scale = CALIBRATED[1] / height
    middle_u, middle_v = (CALIBRATED[0] - 1) / 2, (CALIBRATED[1] - 1) / 2
    u = (np.arange(width) - (width - 1) / 2) * scale + middle_u
    v = (np.arange(height) - (height - 1) / 2) * scale + middle_v
    x, y = _straighten(*np.meshgrid((u - CENTRE[0]) / FOCAL[0], (v - CENTRE[1]) / FOCAL[1]))
    columns = (x * STRAIGHT_FOCAL[0] + STRAIGHT_CENTRE[0] - middle_u) / scale + (width - 1) / 2
    rows = (y * STRAIGHT_FOCAL[1] + STRAIGHT_CENTRE[1] - middle_v) / scale + (height - 1) / 2
    nearest = (
        np.clip(np.rint(rows), 0, height - 1).astype(np.int64),
        np.clip(np.rint(columns), 0, width - 1).astype(np.int64),
    )
    for array in nearest:
        array.flags.writeable = False
    return nearest


def bend(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The straight pictures (..., H, W, 3) uint8 as the lens shows them."""
    rows, columns = lens_map(frames.shape[-2], frames.shape[-3])
    return frames[..., rows, columns, :]


def _straighten(
    bent_x: npt.NDArray[np.float64], bent_y: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Undo the lens in normalised coordinates, by fixed-point iteration."""
    (k1, k2), (p1, p2) = RADIAL, TANGENTIAL
    x, y = bent_x, bent_y
    for _ in range(ITERATIONS):
        square = x * x + y * y
        stretch = 1 + k1 * square + k2 * square * square
        shift_x = 2 * p1 * x * y + p2 * (square + 2 * x * x)
        shift_y = p1 * (square + 2 * y * y) + 2 * p2 * x * y
        x, y = (bent_x - shift_x) / stretch, (bent_y - shift_y) / stretch
    return x, y
