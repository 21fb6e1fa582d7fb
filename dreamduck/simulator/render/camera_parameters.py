"""A view: what one camera is like at one moment, as one row of numbers for compiled code.

The camera stands as upstream's does: pitched
down, never rolled, ahead of the axle, with the lamp where upstream's OpenGL has it: fixed to the camera."""

from __future__ import annotations

import math
from typing import Any

from dreamduck.common.compiled import njit
from dreamduck.simulator.robot import CAMERA_FORWARD

# The fields of a view: what one car's camera is like at this moment, float64.
(
    EYE_X,
    EYE_Y,
    EYE_Z,  # [m] of the lens
    COS_HEADING,
    SIN_HEADING,
    COS_PITCH,
    SIN_PITCH,  # pitched down is positive
    TAN_HALF,  # tangent of half the vertical field of view
    SKY_R,
    SKY_G,
    SKY_B,
    GROUND_R,
    GROUND_G,
    GROUND_B,
    LIGHT_X,
    LIGHT_Y,
    LIGHT_Z,
    LIGHT_W,  # of the lamp, in the camera's own frame; 0 for a direction, 1 for a place
    AMBIENT_R,
    AMBIENT_G,
    AMBIENT_B,
    DIFFUSE_R,
    DIFFUSE_G,
    DIFFUSE_B,
) = range(24)
VIEW_SIZE = 24

SCENE_AMBIENT = 0.3  # upstream's GL_LIGHT_MODEL_AMBIENT
FAR = 100.0  # [m], nothing is drawn beyond

# The places of the four samples in a pixel, from its upper left corner.
SAMPLE_X = (0.375, 0.875, 0.125, 0.625)
SAMPLE_Y = (0.875, 0.625, 0.375, 0.125)

# Floating-point liberties for code that becomes vector instructions.
FAST = {"nnan", "ninf", "nsz", "arcp", "contract", "afn", "reassoc"}


@njit(error_model="numpy")
def set_view(x: float, z: float, heading: float, looks: Any, car: int, view: Any) -> None:
    """Write down one car's camera (see the fields above)."""
    pitch, half = math.radians(looks.camera_pitch[car]), math.radians(looks.camera_fov[car]) / 2
    cos, sin = math.cos(heading), math.sin(heading)
    view[EYE_X] = x + looks.camera_noise[car, 0] + CAMERA_FORWARD * cos
    view[EYE_Y] = looks.camera_height[car] + looks.camera_noise[car, 1]
    view[EYE_Z] = z + looks.camera_noise[car, 2] - CAMERA_FORWARD * sin
    view[COS_HEADING], view[SIN_HEADING] = cos, sin
    view[COS_PITCH], view[SIN_PITCH] = math.cos(pitch), math.sin(pitch)
    view[TAN_HALF] = math.tan(half)
    for k in range(3):
        view[SKY_R + k] = looks.horizon[car, k]
        view[GROUND_R + k] = looks.ground[car, k]
        view[AMBIENT_R + k] = looks.ambient[car, k]
        view[DIFFUSE_R + k] = looks.diffuse[car, k]
    for k in range(4):
        view[LIGHT_X + k] = looks.light_pos[car, k]


@njit(error_model="numpy")
def look_down(x: float, y: float, z: float, tilt: float, view: Any) -> None:
    """Put the camera above the map, its upper edge towards -z; it looks `tilt` [m] beside what is below."""
    length = math.sqrt(y * y + tilt * tilt)
    view[EYE_X], view[EYE_Y], view[EYE_Z] = x, y, z
    view[COS_HEADING], view[SIN_HEADING] = 0.0, 1.0
    view[COS_PITCH], view[SIN_PITCH] = tilt / length, y / length


@njit(error_model="numpy")
def lamp(view: Any, x: float, y: float, z: float) -> tuple[float, float, float]:
    """The unit direction to the lamp from a point; all in the camera's frame."""
    w = view[LIGHT_W]
    if w == 0.0:
        x, y, z, w = 0.0, 0.0, 0.0, 1.0
    lx, ly, lz = view[LIGHT_X] / w - x, view[LIGHT_Y] / w - y, view[LIGHT_Z] / w - z
    norm = math.sqrt(lx * lx + ly * ly + lz * lz) + 1e-12
    return lx / norm, ly / norm, lz / norm
