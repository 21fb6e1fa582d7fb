"""Triangles, drawn with depth over the ground.

Flow: meshes, ground -> [raster] -> camera. As in upstream's OpenGL, light falls on vertices and is blended
over triangles, textures are read once in the middle of a pixel, and four samples a pixel have their own
depth. A sample of depth is 1 / distance along the camera's axis, which is linear in the picture.

Vertices come in blocks of 16, attribute by attribute, so that the compiler can work on a block at once.

Source: OpenGL 2.1 specification, 2.14 (lighting), 3.5 (polygons); Pineda 1988 (edge functions)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from dreamduck.simulator.ground import (
    AMBIENT_B,
    AMBIENT_G,
    AMBIENT_R,
    COS_HEADING,
    COS_PITCH,
    DIFFUSE_B,
    DIFFUSE_G,
    DIFFUSE_R,
    EYE_X,
    EYE_Y,
    EYE_Z,
    FAST,
    LIGHT_W,
    LIGHT_X,
    LIGHT_Y,
    LIGHT_Z,
    SAMPLE_X,
    SAMPLE_Y,
    SCENE_AMBIENT,
    SIN_HEADING,
    SIN_PITCH,
    TAN_HALF,
)
from dreamduck.simulator.meshes import ATTRIBUTES, Mesh

NEAR = 0.04  # [m], nothing is drawn nearer
BLOCK = 16
IN_BLOCK = BLOCK * ATTRIBUTES  # floats in a block of a mesh
# What is worked out for each vertex: place in the picture [pixels], depth [m] and its inverse, then what
# is blended over a triangle, each times the inverse: red, green, blue, two texture coordinates.
PX, PY, DEPTH, INVERSE, SHADE_R, SHADE_G, SHADE_B, PLACE_U, PLACE_V = range(9)
SHADED = 9
OUT_BLOCK = BLOCK * SHADED
NO_PICTURE, SIGNAL_PICTURE = -1, -2
COVERED = 1 << 30  # in a sample's colour, of 10 bits a channel


def in_blocks(mesh: Mesh) -> npt.NDArray[np.float32]:
    """The vertices of a mesh in blocks of 16, (blocks * 176,) float32; the last is filled up with zeros."""
    count = mesh.vertices.shape[1]
    blocks = -(-count // BLOCK)
    padded = np.zeros((ATTRIBUTES, blocks * BLOCK), dtype=np.float32)
    padded[:, :count] = mesh.vertices
    return np.ascontiguousarray(padded.reshape(ATTRIBUTES, blocks, BLOCK).transpose(1, 0, 2)).reshape(-1)


@njit(cache=True, error_model="numpy")
def place_object(view: Any, x: float, y: float, z: float, angle: float, scale: float, turn: Any) -> None:
    """Where an object stands as the camera sees it.

    Args:
        x, y, z: [m]. angle: [rad] about y. scale: of the mesh.
        turn: (4, 3) float32, written: three columns that turn and scale a place of the mesh to right, up
            and ahead of the camera [m], and where its origin lies.
    """
    ca, sa, cp, sp = view[COS_HEADING], view[SIN_HEADING], view[COS_PITCH], view[SIN_PITCH]
    c, s = math.cos(angle), math.sin(angle)
    dx, dy, dz = x - view[EYE_X], y - view[EYE_Y], z - view[EYE_Z]
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


@njit(cache=True, error_model="numpy", fastmath=FAST)
def shade_vertices(
    turn: Any, scale: float, lens: Any, lamp: Any, light: Any, source: Any, first: int, blocks: int, out: Any
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
        at, to = first + block * IN_BLOCK, block * OUT_BLOCK
        for k in range(BLOCK):
            x, y, z = source[at + k], source[at + 16 + k], source[at + 32 + k]
            nx, ny, nz = source[at + 48 + k], source[at + 64 + k], source[at + 80 + k]
            right = x * xr + y * yr + z * zr + tr
            up = x * xu + y * yu + z * zu + tu
            ahead = x * xa + y * ya + z * za + ta
            ahead = ahead if abs(ahead) > tiny else tiny
            nr, nu, na = nx * xr + ny * yr + nz * zr, nx * xu + ny * yu + nz * zu, nx * xa + ny * ya + nz * za
            to_x, to_y, to_z = lx - lw * right, ly - lw * up, lz + lw * ahead
            glow = (nr * to_x + nu * to_y - na * to_z) * shrink
            glow = max(zero, glow / np.sqrt(to_x * to_x + to_y * to_y + to_z * to_z))
            inverse = one / ahead
            out[to + k] = middle_x + focal * right * inverse
            out[to + 16 + k] = middle_y - focal * up * inverse
            out[to + 32 + k] = ahead
            out[to + 48 + k] = inverse
            out[to + 64 + k] = inverse * min(one, source[at + 96 + k] * (red0 + red1 * glow))
            out[to + 80 + k] = inverse * min(one, source[at + 112 + k] * (green0 + green1 * glow))
            out[to + 96 + k] = inverse * min(one, source[at + 128 + k] * (blue0 + blue1 * glow))
            out[to + 112 + k] = inverse * source[at + 144 + k]
            out[to + 128 + k] = inverse * source[at + 160 + k]


@njit(cache=True, error_model="numpy")
def draw_triangles(
    triangles: Any,
    pictures: Any,
    signal: int,
    first: int,
    count: int,
    vertices: Any,
    lens: Any,
    texels: Any,
    table: Any,
    depths: Any,
    colors: Any,
    corners: Any,
) -> None:
    """Draw the triangles of a mesh.

    Args:
        triangles: (T, 3) int32; pictures: (T,) int32, or NO_PICTURE, or SIGNAL_PICTURE.
        signal: what stands in for SIGNAL_PICTURE.
        first, count: which of them.
        vertices: as `shade_vertices` wrote them.
        texels, table: of the pictures (`Textures`).
        depths: (H, W, 4) float32, colors: (H, W, 4) uint32, of the samples; changed.
        corners: (4, 9) float32, room to work in.
    """
    height, width = depths.shape[0], depths.shape[1]
    for t in range(first, first + count):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        a = (a >> 4) * OUT_BLOCK + (a & 15)
        b = (b >> 4) * OUT_BLOCK + (b & 15)
        c = (c >> 4) * OUT_BLOCK + (c & 15)
        da, db, dc = vertices[a + 32], vertices[b + 32], vertices[c + 32]
        picture = pictures[t]
        if picture == SIGNAL_PICTURE:
            picture = signal
        if min(da, db, dc) >= NEAR:
            ax, bx, cx = vertices[a], vertices[b], vertices[c]
            low, high = min(ax, bx, cx), max(ax, bx, cx)
            # The samples of a pixel stand in four different columns and rows, a quarter apart.
            if high < 0 or low > width or math.floor(4 * high + 0.5) == math.floor(4 * low + 0.5):
                continue
            ay, by, cy = vertices[a + 16], vertices[b + 16], vertices[c + 16]
            low, high = min(ay, by, cy), max(ay, by, cy)
            if high < 0 or low > height or math.floor(4 * high + 0.5) == math.floor(4 * low + 0.5):
                continue
            for k in range(SHADED):
                corners[0, k], corners[1, k], corners[2, k] = vertices[a + 16 * k], vertices[b + 16 * k], vertices[c + 16 * k]
            _fill(corners, 0, 1, 2, picture, texels, table, depths, colors)
        elif max(da, db, dc) > NEAR:
            for k in range(SHADED):
                corners[0, k], corners[1, k], corners[2, k] = vertices[a + 16 * k], vertices[b + 16 * k], vertices[c + 16 * k]
            _clip(corners, lens, picture, texels, table, depths, colors)


@njit(cache=True, error_model="numpy")
def _clip(corners: Any, lens: Any, picture: int, texels: Any, table: Any, depths: Any, colors: Any) -> None:
    """Draw what of a triangle lies beyond the near plane: one triangle or two."""
    polygon = np.empty((4, SHADED), dtype=np.float32)
    count = 0
    for k in range(3):
        a, b = corners[k], corners[(k + 1) % 3]
        if a[DEPTH] >= NEAR:
            polygon[count] = a
            count += 1
        if (a[DEPTH] >= NEAR) != (b[DEPTH] >= NEAR):
            # Away from the picture plane things are linear that are not in it: undo the projection.
            part = (NEAR - a[DEPTH]) / (b[DEPTH] - a[DEPTH])
            for axis in range(2):
                place = (1 - part) * (a[axis] - lens[axis]) * a[DEPTH] + part * (b[axis] - lens[axis]) * b[DEPTH]
                polygon[count, axis] = lens[axis] + place / NEAR
            polygon[count, DEPTH], polygon[count, INVERSE] = NEAR, 1 / NEAR
            for field in range(SHADE_R, SHADED):
                plain = (1 - part) * a[field] * a[DEPTH] + part * b[field] * b[DEPTH]
                polygon[count, field] = plain / NEAR
            count += 1
    for k in range(1, count - 1):
        _fill(polygon, 0, k, k + 1, picture, texels, table, depths, colors)


@njit(cache=True, error_model="numpy")
def _fill(
    p: Any, a: int, b: int, c: int, picture: int, texels: Any, table: Any, depths: Any, colors: Any
) -> None:
    """Draw the triangle between three rows of p."""
    ax, ay, bx, by, cx, cy = p[a, PX], p[a, PY], p[b, PX], p[b, PY], p[c, PX], p[c, PY]
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if area == 0.0:
        return
    height, width = depths.shape[0], depths.shape[1]
    left, right = max(0, int(min(ax, bx, cx))), min(width - 1, int(min(max(ax, bx, cx), np.float32(width))))
    top, bottom = max(0, int(min(ay, by, cy))), min(height - 1, int(min(max(ay, by, cy), np.float32(height))))
    # Weights of the corners b and c at a point: linear, 0 and 1 at corners; that of a is what is left.
    bdx, bdy = (cy - ay) / area, (ax - cx) / area
    cdx, cdy = (ay - by) / area, (bx - ax) / area
    inverse_a = p[a, INVERSE]
    inverse_b, inverse_c = p[b, INVERSE] - inverse_a, p[c, INVERSE] - inverse_a
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            color = np.uint32(0)
            for k in range(4):
                dx, dy = x + SAMPLE_X[k] - ax, y + SAMPLE_Y[k] - ay
                wb, wc = bdx * dx + bdy * dy, cdx * dx + cdy * dy
                if wb < 0 or wc < 0 or wb + wc > 1:
                    continue
                inverse = inverse_a + wb * inverse_b + wc * inverse_c
                if inverse <= depths[y, x, k]:
                    continue
                if color == 0:
                    dx, dy = x + 0.5 - ax, y + 0.5 - ay
                    mb, mc = bdx * dx + bdy * dy, cdx * dx + cdy * dy
                    color = _shade(p, a, b, c, mb, mc, wb, wc, picture, texels, table)
                depths[y, x, k] = inverse
                colors[y, x, k] = color


@njit(cache=True, error_model="numpy")
def _shade(
    p: Any, a: int, b: int, c: int, mb: float, mc: float, wb: float, wc: float, picture: int, texels: Any, table: Any
) -> int:
    """The packed colour of a triangle in the middle of a pixel.

    Args:
        mb, mc: weights of the corners b and c in the middle, which may lie outside of the triangle.
        wb, wc: the same at a sample inside, for where the middle is beyond the horizon.
    """
    inverse = p[a, INVERSE] + mb * (p[b, INVERSE] - p[a, INVERSE]) + mc * (p[c, INVERSE] - p[a, INVERSE])
    if inverse <= 0:
        mb, mc = wb, wc
        inverse = p[a, INVERSE] + mb * (p[b, INVERSE] - p[a, INVERSE]) + mc * (p[c, INVERSE] - p[a, INVERSE])
    ma = (1 - mb - mc) / inverse
    mb, mc = mb / inverse, mc / inverse
    red = ma * p[a, SHADE_R] + mb * p[b, SHADE_R] + mc * p[c, SHADE_R]
    green = ma * p[a, SHADE_G] + mb * p[b, SHADE_G] + mc * p[c, SHADE_G]
    blue = ma * p[a, SHADE_B] + mb * p[b, SHADE_B] + mc * p[c, SHADE_B]
    if picture >= 0:
        u = ma * p[a, PLACE_U] + mb * p[b, PLACE_U] + mc * p[c, PLACE_U]
        v = ma * p[a, PLACE_V] + mb * p[b, PLACE_V] + mc * p[c, PLACE_V]
        r, g, b_ = _sample_picture(texels, table[picture, 0], table[picture, 1], table[picture, 2], u, v)
        red, green, blue = red * r, green * g, blue * b_
    r10 = int(min(max(red, 0.0), 1.0) * 1023.0 + 0.5)
    g10 = int(min(max(green, 0.0), 1.0) * 1023.0 + 0.5)
    b10 = int(min(max(blue, 0.0), 1.0) * 1023.0 + 0.5)
    return COVERED | r10 | g10 << 10 | b10 << 20


@njit(cache=True, error_model="numpy")
def _sample_picture(
    texels: Any, first: int, width: int, height: int, u: float, v: float
) -> tuple[float, float, float]:
    """A picture's colour, 0 to 1, blended of four texels; it repeats. v runs from the bottom up."""
    x, y = (u - math.floor(u)) * width - 0.5, (1 - (v - math.floor(v))) * height - 0.5
    fx, fy = math.floor(x), math.floor(y)
    wx, wy = x - fx, y - fy
    x0, y0 = int(fx), int(fy)
    x1, y1 = x0 + 1, y0 + 1
    x0, y0 = (x0 + width if x0 < 0 else x0), (y0 + height if y0 < 0 else y0)
    x1, y1 = (x1 - width if x1 >= width else x1), (y1 - height if y1 >= height else y1)
    a, b = texels[first + y0 * width + x0], texels[first + y0 * width + x1]
    c, d = texels[first + y1 * width + x0], texels[first + y1 * width + x1]
    wa, wb, wc, wd = (1 - wx) * (1 - wy), wx * (1 - wy), (1 - wx) * wy, wx * wy
    return (
        (wa * (a & 255) + wb * (b & 255) + wc * (c & 255) + wd * (d & 255)) / 255.0,
        (wa * (a >> 8 & 255) + wb * (b >> 8 & 255) + wc * (c >> 8 & 255) + wd * (d >> 8 & 255)) / 255.0,
        (wa * (a >> 16) + wb * (b >> 16) + wc * (c >> 16) + wd * (d >> 16)) / 255.0,
    )


@njit(cache=True, error_model="numpy")
def clear_samples(view: Any, left: int, top: int, right: int, bottom: int, depths: Any, colors: Any) -> None:
    """Empty the samples of a part of the picture; as deep as the ground is there.

    Args:
        left, top, right, bottom: the part, without the last column and row.
    """
    height = depths.shape[0]
    for y in range(top, bottom):
        for k in range(4):
            up = view[TAN_HALF] * (1 - (2 * y + 2 * SAMPLE_Y[k]) / height)
            ground = np.float32(max(0.0, view[SIN_PITCH] - up * view[COS_PITCH]) / view[EYE_Y])
            for x in range(left, right):
                depths[y, x, k] = ground
                colors[y, x, k] = 0


@njit(cache=True, error_model="numpy")
def resolve(left: int, top: int, right: int, bottom: int, colors: Any, out: Any) -> None:
    """Put the samples that were drawn into the picture, out (H, W, 3) uint8: the mean of four."""
    for y in range(top, bottom):
        for x in range(left, right):
            covered = red = green = blue = 0
            for k in range(4):
                color = int(colors[y, x, k])
                covered += color >> 30
                red += color & 1023
                green += color >> 10 & 1023
                blue += color >> 20 & 1023
            if covered:
                part, rest = 255.0 / 1023.0 / 4.0, (4 - covered) / 4.0
                out[y, x, 0] = np.uint8(red * part + out[y, x, 0] * rest + 0.5)
                out[y, x, 1] = np.uint8(green * part + out[y, x, 1] * rest + 0.5)
                out[y, x, 2] = np.uint8(blue * part + out[y, x, 2] * rest + 0.5)
