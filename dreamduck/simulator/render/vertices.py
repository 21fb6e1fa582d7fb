"""Vertices of meshes, turned, projected and lit for one camera.

As in upstream's OpenGL, light falls on vertices. They come in blocks of 16, attribute by attribute, so that
the compiler can work on a block at once.

Source: OpenGL 2.1 specification, 2.14 (lighting)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.compiled import njit
from dreamduck.simulator.base import Float32Array, FloatArray
from dreamduck.simulator.render.camera_parameters import (
    COS_HEADING,
    COS_PITCH,
    EYE_X,
    EYE_Y,
    EYE_Z,
    FAST,
    SIN_HEADING,
    SIN_PITCH,
)
from dreamduck.simulator.render.models.meshes import ATTRIBUTES, Mesh

NEAR = 0.04  # [m], nothing is drawn nearer
BLOCK = 16
SHADED = 9  # rows of values that are computed for each vertex
IN_BLOCK = BLOCK * ATTRIBUTES  # floats in a block of a mesh
OUT_BLOCK = BLOCK * SHADED
# Rows of a block; unsigned, so that the compiler adds no check for negative ones.
R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = (np.uint64(BLOCK * k) for k in range(1, 11))
# The rows of a block that are computed for each vertex: place in the image [pixels], depth [m] and
# its inverse, then what is blended over a triangle, each times the inverse: red, green, blue, two texture
# coordinates.
PX, PY, DEPTH, INVERSE, SHADE_R = np.uint64(0), R1, R2, R3, R4
SHADE_G, SHADE_B, TEXTURE_U, TEXTURE_V = R5, R6, R7, R8


def in_blocks(mesh: Mesh) -> npt.NDArray[np.float32]:
    """The vertices of a mesh in blocks of 16, (blocks * 176,) float32; the last is filled up with zeros."""
    count = mesh.vertices.shape[1]
    blocks = -(-count // BLOCK)
    padded = np.zeros((ATTRIBUTES, blocks * BLOCK), dtype=np.float32)
    padded[:, :count] = mesh.vertices
    return np.ascontiguousarray(padded.reshape(ATTRIBUTES, blocks, BLOCK).transpose(1, 0, 2)).reshape(-1)


def corner_offsets(mesh: Mesh) -> npt.NDArray[np.uint32]:
    """Where the corners of each triangle are in what `shade_vertices` writes, (T, 3) uint32."""
    return (mesh.triangles // BLOCK * OUT_BLOCK + mesh.triangles % BLOCK).astype(np.uint32)


@njit(error_model="numpy")
def place_object(
    camera: FloatArray, x: float, y: float, z: float, angle: float, scale: float, turn: Float32Array
) -> None:
    """Compute an object's transform to the camera's frame.

    Args:
        x: [m].
        y: likewise.
        z: likewise.
        angle: [rad] about y.
        scale: of the mesh.
        turn: (4, 3) float32, written: three columns that turn and scale a place of the mesh to right, up
            and ahead of the camera [m], and where its origin lies.
    """
    ca, sa, cp, sp = camera[COS_HEADING], camera[SIN_HEADING], camera[COS_PITCH], camera[SIN_PITCH]
    c, s = math.cos(angle), math.sin(angle)
    dx, dy, dz = x - camera[EYE_X], y - camera[EYE_Y], z - camera[EYE_Z]
    for axis in range(3):
        if axis == 0:
            vx, vy, vz = sa, 0.0, ca
        elif axis == 1:
            vx, vy, vz = sp * ca, cp, -sp * sa
        else:
            vx, vy, vz = cp * ca, -sp, -cp * sa
        turn[0, axis] = scale * (vx * c - vz * s)
        turn[1, axis] = scale * vy
        turn[2, axis] = scale * (vx * s + vz * c)
        turn[3, axis] = vx * dx + vy * dy + vz * dz


@njit(error_model="numpy", fastmath=FAST)
def shade_vertices(
    turn: Float32Array,
    scale: float,
    lens: Float32Array,
    lamp: Float32Array,
    light: Float32Array,
    source: Float32Array,
    first: int,
    blocks: int,
    out: Float32Array,
) -> None:
    """Turn, project and light the vertices of a mesh.

    Args:
        turn: as `place_object` wrote it.
        lens: (3,) float32: pixels to the middle, across and down, and focal length, all [pixels].
        lamp: (4,) float32, x, y, z in the camera's frame (right, up, back) and w.
        light: (6,) float32; red, green, blue without the lamp, and what the lamp adds.
        source: the vertices, from `first` on in `blocks` blocks.
        out: (blocks * 144,) float32, written.
    """
    zero, one, tiny = np.float32(0), np.float32(1), np.float32(1e-6)
    xr, xu, xa = turn[0, 0], turn[0, 1], turn[0, 2]
    yr, yu, ya = turn[1, 0], turn[1, 1], turn[1, 2]
    zr, zu, za = turn[2, 0], turn[2, 1], turn[2, 2]
    tr, tu, ta = turn[3, 0], turn[3, 1], turn[3, 2]
    middle_x, middle_y, focal = lens[0], lens[1], lens[2]
    # OpenGL turns normals by the inverse, so that a mesh made smaller gets longer ones. `turn` holds the
    # scale once; normals must have it divided out, twice over.
    shrink = np.float32(1.0 / (scale * scale))
    lx, ly, lz, lw = lamp[0], lamp[1], lamp[2], lamp[3]
    red0, green0, blue0, red1, green1, blue1 = light[0], light[1], light[2], light[3], light[4], light[5]
    for block in range(blocks):
        # Unsigned numbers, so that the compiler adds no check for negative ones.
        at, to = np.uint64(first + block * IN_BLOCK), np.uint64(block * OUT_BLOCK)
        for k in range(np.uint64(BLOCK)):
            x, y, z = source[at + k], source[at + R1 + k], source[at + R2 + k]
            nx, ny, nz = source[at + R3 + k], source[at + R4 + k], source[at + R5 + k]
            right = x * xr + y * yr + z * zr + tr
            up = x * xu + y * yu + z * zu + tu
            ahead = x * xa + y * ya + z * za + ta
            ahead = ahead if abs(ahead) > tiny else tiny
            nr, nu, na = (
                nx * xr + ny * yr + nz * zr,
                nx * xu + ny * yu + nz * zu,
                nx * xa + ny * ya + nz * za,
            )
            to_x, to_y, to_z = lx - lw * right, ly - lw * up, lz + lw * ahead
            glow = (nr * to_x + nu * to_y - na * to_z) * shrink
            glow = max(zero, glow / np.sqrt(to_x * to_x + to_y * to_y + to_z * to_z))
            inverse = one / ahead
            out[to + k] = middle_x + focal * right * inverse
            out[to + PY + k] = middle_y - focal * up * inverse
            out[to + R2 + k] = ahead
            out[to + R3 + k] = inverse
            out[to + R4 + k] = inverse * min(one, source[at + R6 + k] * (red0 + red1 * glow))
            out[to + R5 + k] = inverse * min(one, source[at + R7 + k] * (green0 + green1 * glow))
            out[to + R6 + k] = inverse * min(one, source[at + R8 + k] * (blue0 + blue1 * glow))
            out[to + R7 + k] = inverse * source[at + R9 + k]
            out[to + R8 + k] = inverse * source[at + R10 + k]
