"""Camera parameters: one camera at one moment, as one row of numbers for compiled code.

The camera stands as upstream's does: pitched
down, never rolled, ahead of the axle, with the lamp where upstream's OpenGL has it: fixed to the camera."""

from __future__ import annotations

import math

from dreamduck.common.kernels.compiled import njit
from dreamduck.simulator.base import FloatArray
from dreamduck.simulator.randomization import Appearance
from dreamduck.simulator.robot import CAMERA_FORWARD

# The parameters of one car's camera, float64.
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
CAMERA_PARAMETERS = 24

SCENE_AMBIENT = 0.3  # upstream's GL_LIGHT_MODEL_AMBIENT
FAR = 100.0  # [m], nothing is drawn beyond

# The places of the four samples in a pixel, from its upper left corner.
SAMPLE_X = (0.375, 0.875, 0.125, 0.625)
SAMPLE_Y = (0.875, 0.625, 0.375, 0.125)

# Floating-point liberties for code that becomes vector instructions.
FAST = {"nnan", "ninf", "nsz", "arcp", "contract", "afn", "reassoc"}


@njit(error_model="numpy")
def set_camera(
    x: float, z: float, heading: float, appearance: Appearance, car: int, camera: FloatArray
) -> None:
    """Write down one car's camera (see the fields above)."""
    pitch, half = math.radians(appearance.camera_pitch[car]), math.radians(appearance.camera_fov[car]) / 2
    cos, sin = math.cos(heading), math.sin(heading)
    camera[EYE_X] = x + appearance.camera_noise[car, 0] + CAMERA_FORWARD * cos
    camera[EYE_Y] = appearance.camera_height[car] + appearance.camera_noise[car, 1]
    camera[EYE_Z] = z + appearance.camera_noise[car, 2] - CAMERA_FORWARD * sin
    camera[COS_HEADING], camera[SIN_HEADING] = cos, sin
    camera[COS_PITCH], camera[SIN_PITCH] = math.cos(pitch), math.sin(pitch)
    camera[TAN_HALF] = math.tan(half)
    for k in range(3):
        camera[SKY_R + k] = appearance.horizon[car, k]
        camera[GROUND_R + k] = appearance.ground[car, k]
        camera[AMBIENT_R + k] = appearance.ambient[car, k]
        camera[DIFFUSE_R + k] = appearance.diffuse[car, k]
    for k in range(4):
        camera[LIGHT_X + k] = appearance.light_pos[car, k]


@njit(error_model="numpy")
def set_camera_above(x: float, y: float, z: float, tilt: float, camera: FloatArray) -> None:
    """Put the camera above the map, its upper edge towards -z; it looks `tilt` [m] beside what is below."""
    length = math.sqrt(y * y + tilt * tilt)
    camera[EYE_X], camera[EYE_Y], camera[EYE_Z] = x, y, z
    camera[COS_HEADING], camera[SIN_HEADING] = 0.0, 1.0
    camera[COS_PITCH], camera[SIN_PITCH] = tilt / length, y / length


@njit(error_model="numpy")
def lamp(camera: FloatArray, x: float, y: float, z: float) -> tuple[float, float, float]:
    """The unit direction to the lamp from a point; all in the camera's frame."""
    w = camera[LIGHT_W]
    if w == 0.0:
        x, y, z, w = 0.0, 0.0, 0.0, 1.0
    lx, ly, lz = camera[LIGHT_X] / w - x, camera[LIGHT_Y] / w - y, camera[LIGHT_Z] / w - z
    norm = math.sqrt(lx * lx + ly * ly + lz * lz) + 1e-12
    return lx / norm, ly / norm, lz / norm
