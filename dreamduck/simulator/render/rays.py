"""Rows of rays from the camera to the ground: where the pixels and samples of a row meet it.

The camera never rolls, so that everything depends on the row alone, except a step along the road that is
the same from pixel to pixel.

Source: OpenGL 2.1 specification, 2.14 (lighting), 3.2.1 (multisampling)."""

from __future__ import annotations

import numpy as np

from dreamduck.common.kernels.compiled import njit
from dreamduck.simulator.base import Float32Array, FloatArray
from dreamduck.simulator.render.camera_parameters import (
    COS_HEADING,
    COS_PITCH,
    EYE_X,
    EYE_Y,
    EYE_Z,
    FAR,
    LIGHT_W,
    LIGHT_X,
    LIGHT_Y,
    LIGHT_Z,
    SAMPLE_X,
    SAMPLE_Y,
    SIN_HEADING,
    SIN_PITCH,
    TAN_HALF,
    lamp,
)
from dreamduck.simulator.render.models.textures import TileTextures

GROUND_LEVEL = -0.008  # [m], upstream's ground lies below the tiles
GROUND_HALF = 50.0  # [m], it reaches so far from the origin


@njit(error_model="numpy")
def ground_glow(camera: FloatArray) -> float:
    """How much of the lamp the bare ground takes.

    Upstream gives it no normal of its own: OpenGL's, (0, 0, 1), is left, and the scale of 50 makes it
    50 times too short. The little that it adds is computed at the four far corners, as there.
    """
    total = 0.0
    for corner in range(4):
        x = (GROUND_HALF if corner & 1 else -GROUND_HALF) - camera[EYE_X]
        z = (GROUND_HALF if corner & 2 else -GROUND_HALF) - camera[EYE_Z]
        y = GROUND_LEVEL - camera[EYE_Y]
        ahead = x * camera[COS_HEADING] - z * camera[SIN_HEADING]
        right = x * camera[SIN_HEADING] + z * camera[COS_HEADING]
        up = ahead * camera[SIN_PITCH] + y * camera[COS_PITCH]
        depth = ahead * camera[COS_PITCH] - y * camera[SIN_PITCH]
        lx, ly, lz = lamp(camera, right, up, -depth)
        # The world's z axis in the camera's frame, times 1 / 50.
        nx, ny, nz = (
            camera[COS_HEADING],
            -camera[SIN_HEADING] * camera[SIN_PITCH],
            camera[SIN_HEADING] * camera[COS_PITCH],
        )
        total += max(0.0, (nx * lx + ny * ly + nz * lz) / GROUND_HALF)
    return total / 4.0


@njit(error_model="numpy", inline="always")
def _strike(camera: FloatArray, level: float, right: float, up: float) -> tuple[float, float, float]:
    """Where the ray through a point of the image meets a level plane.

    Args:
        right: of the point, in the plane one metre ahead of the lens.
        up: likewise.
    Returns:
        depth along the camera's axis (very large where it does not meet), x, z; all [m].
    """
    down = camera[SIN_PITCH] - up * camera[COS_PITCH]
    depth = (camera[EYE_Y] - level) / max(down, 1e-9)
    ahead = camera[COS_PITCH] + up * camera[SIN_PITCH]
    x = camera[EYE_X] + depth * (camera[COS_HEADING] * ahead + right * camera[SIN_HEADING])
    z = camera[EYE_Z] + depth * (-camera[SIN_HEADING] * ahead + right * camera[COS_HEADING])
    return depth, x, z


@njit(error_model="numpy")
def _line(
    camera: FloatArray, level: float, x: float, y: float, width: int, height: int, row: Float32Array
) -> float:
    """Where a row of points meets a level plane: row = x, z of the first, x, z from one to the next [m].

    Args:
        x: of the first point [pixels].
        y: likewise.
    Returns:
        The depth of the row [m].
    """
    tan_x = camera[TAN_HALF] * width / height
    up = camera[TAN_HALF] * (1 - 2 * y / height)
    depth, row[0], row[1] = _strike(camera, level, tan_x * (2 * x / width - 1), up)
    step = depth * 2 * tan_x / width
    row[2], row[3] = step * camera[SIN_HEADING], step * camera[COS_HEADING]
    return depth


@njit(error_model="numpy")
def set_row(
    camera: FloatArray, tiles: TileTextures, y: int, width: int, height: int, row: Float32Array
) -> bool:
    """Compute the values that all pixels of a row share.

    Args:
        row: (11, 4) float32, written. 0: the middles of the pixels on the tiles' plane; 1 to 4: their
            samples there; 5 to 8: the samples on the ground's plane. Each is x and z of the first and from
            one to the next, 0 to 4 in tiles, 5 to 8 in metres. 9: how far from the origin the row gets at
            most [m]. 10: with which the
            cosine to the lamp at pixel k is row[10, 0] / sqrt(row[10, 1] + (row[10, 2] + k row[10, 3])^2).
    Returns:
        False where no sample of the row meets the ground.
    """
    if _line(camera, GROUND_LEVEL, SAMPLE_X[0], y + SAMPLE_Y[0], width, height, row[5]) >= FAR:
        return False
    depth = _line(camera, 0.0, 0.5, y + 0.5, width, height, row[0])
    end = np.float32(0)
    for k in range(4):
        _line(camera, 0.0, SAMPLE_X[k], y + SAMPLE_Y[k], width, height, row[1 + k])
        below = _line(camera, GROUND_LEVEL, SAMPLE_X[k], y + SAMPLE_Y[k], width, height, row[5 + k])
        for axis in range(2):
            reach = abs(row[5 + k, axis]) + width * abs(row[5 + k, axis + 2])
            end = max(end, reach if below < FAR else np.float32(FAR))
        if below >= FAR:
            row[5 + k, 0], row[5 + k, 2] = 2 * GROUND_HALF, 0.0
    row[9, 0] = end
    for k in range(4):
        for line in range(5):
            row[line, k] /= tiles.tile_size
    if camera[LIGHT_W] == 0.0:
        norm = camera[LIGHT_X] ** 2 + camera[LIGHT_Y] ** 2 + camera[LIGHT_Z] ** 2
        row[10, 0] = camera[COS_PITCH] * camera[LIGHT_Y] + camera[SIN_PITCH] * camera[LIGHT_Z]
        row[10, 1], row[10, 2], row[10, 3] = norm + 1e-12, 0.0, 0.0
        return True
    tan_x = camera[TAN_HALF] * width / height
    lift = camera[LIGHT_Y] / camera[LIGHT_W] - camera[TAN_HALF] * (1 - (2 * y + 1) / height) * depth
    back = camera[LIGHT_Z] / camera[LIGHT_W] + depth
    row[10, 0] = camera[COS_PITCH] * lift + camera[SIN_PITCH] * back
    row[10, 1] = lift * lift + back * back
    row[10, 2] = camera[LIGHT_X] / camera[LIGHT_W] - tan_x * (1 / width - 1) * depth
    row[10, 3] = -2 * tan_x / width * depth
    return True
