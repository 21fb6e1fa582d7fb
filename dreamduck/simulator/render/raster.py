"""Triangles, drawn with depth over the ground.

As in upstream's OpenGL, light is blended over triangles, textures are read once in the middle of a pixel,
and four samples a pixel have their own depth. A sample of depth is 1 / distance along the camera's axis,
which is linear in the image.

Source: OpenGL 2.1 specification, 3.5 (polygons); Pineda 1988 (edge functions)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.compiled import njit
from dreamduck.simulator.base import Float32Array, FloatArray, Frames
from dreamduck.simulator.render.camera_parameters import (
    COS_PITCH,
    EYE_Y,
    SAMPLE_X,
    SAMPLE_Y,
    SIN_PITCH,
    TAN_HALF,
)
from dreamduck.simulator.render.shading import shade
from dreamduck.simulator.render.vertices import (
    BLOCK,
    DEPTH,
    INVERSE,
    NEAR,
    PX,
    PY,
    SHADED,
)

Index = int | np.uint64
NO_TEXTURE, SIGNAL_TEXTURE = -1, -2
# Of the samples, from the middle of a pixel.
OFFSET_X = np.array([x - 0.5 for x in SAMPLE_X], dtype=np.float32)
OFFSET_Y = np.array([y - 0.5 for y in SAMPLE_Y], dtype=np.float32)


@njit(error_model="numpy")
def draw_triangles(
    triangles: npt.NDArray[np.uint32],
    textures: npt.NDArray[np.int32],
    signal: int,
    first: int,
    count: int,
    whole: bool,
    solid: bool,
    vertices: Float32Array,
    lens: Float32Array,
    texels: npt.NDArray[np.uint32],
    table: npt.NDArray[np.int64],
    depths: Float32Array,
    colors: npt.NDArray[np.uint32],
    polygon: Float32Array,
) -> None:
    """Draw the triangles of a mesh.

    Args:
        triangles: (T, 3) uint32, where each corner is in `vertices`.
        textures: (T,) int32, numbers of textures, NO_TEXTURE or SIGNAL_TEXTURE.
        signal: what stands in for SIGNAL_TEXTURE.
        first: which of them.
        count: likewise.
        whole: all of the mesh lies beyond the near plane.
        solid: what faces away is hidden by what faces the camera, and need not be drawn.
        vertices: as `shade_vertices` wrote them.
        texels: of the textures (`Textures`).
        table: likewise.
        depths: (H, W, 4) float32, colors: (H, W, 4) uint32, of the samples; changed.
        polygon: (144,) float32, scratch memory.
    """
    height, width, half = np.float32(depths.shape[0]), np.float32(depths.shape[1]), np.float32(0.5)
    zero, four = np.float32(0), np.float32(4)
    for t in range(first, first + count):
        a, b, c = np.uint64(triangles[t, 0]), np.uint64(triangles[t, 1]), np.uint64(triangles[t, 2])
        if not whole and min(vertices[a + DEPTH], vertices[b + DEPTH], vertices[c + DEPTH]) < NEAR:
            if max(vertices[a + DEPTH], vertices[b + DEPTH], vertices[c + DEPTH]) > NEAR:
                texture = textures[t] if textures[t] != SIGNAL_TEXTURE else signal
                _clip(vertices, (a, b, c), lens, texture, texels, table, depths, colors, polygon)
            continue
        ax, bx, cx = vertices[a + PX], vertices[b + PX], vertices[c + PX]
        ay, by, cy = vertices[a + PY], vertices[b + PY], vertices[c + PY]
        left, right = min(ax, bx, cx), max(ax, bx, cx)
        top, bottom = min(ay, by, cy), max(ay, by, cy)
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # Most are dropped here, unpredictably by which of the tests: so one branch for all.
        # The samples of a pixel stand in four different columns and rows, a quarter apart.
        drawn = (right > zero) & (left < width) & (bottom > zero) & (top < height) & (area != zero)
        drawn &= np.floor(four * right + half) != np.floor(four * left + half)
        drawn &= np.floor(four * bottom + half) != np.floor(four * top + half)
        drawn &= (area < zero) | (not solid)
        if drawn:
            texture = textures[t] if textures[t] != SIGNAL_TEXTURE else signal
            _fill(vertices, a, b, c, area, texture, texels, table, depths, colors)


@njit(error_model="numpy")
def _clip(
    p: Float32Array,
    corners: tuple[Index, Index, Index],
    lens: Float32Array,
    texture: int,
    texels: npt.NDArray[np.uint32],
    table: npt.NDArray[np.int64],
    depths: Float32Array,
    colors: npt.NDArray[np.uint32],
    polygon: Float32Array,
) -> None:
    """Draw the part of a triangle beyond the near plane: one triangle or two.

    Args:
        p: the vertices.
        corners: where in p those of the triangle are.
        polygon: (144,) float32, scratch memory, laid out like p.
    """
    count, one = np.uint64(0), np.uint64(1)
    for k in range(3):
        a, b = corners[k], corners[(k + 1) % 3]
        if p[a + DEPTH] >= NEAR:
            for index in range(SHADED):
                row = np.uint64(BLOCK * index)
                polygon[count + row] = p[a + row]
            count += one
        if (p[a + DEPTH] >= NEAR) != (p[b + DEPTH] >= NEAR):
            # These are linear in space, not in the image: undo the projection.
            part = (NEAR - p[a + DEPTH]) / (p[b + DEPTH] - p[a + DEPTH])
            from_a, from_b = (1 - part) * p[a + DEPTH] / NEAR, part * p[b + DEPTH] / NEAR
            for index in range(SHADED):
                row, middle = np.uint64(BLOCK * index), (lens[index] if index < 2 else 0.0)
                polygon[count + row] = (
                    middle + from_a * (p[a + row] - middle) + from_b * (p[b + row] - middle)
                )
            polygon[count + DEPTH], polygon[count + INVERSE] = NEAR, 1 / NEAR
            count += one
    for k in range(1, np.int64(count) - 1):
        a, b, c = np.uint64(0), np.uint64(k), np.uint64(k + 1)
        area = (polygon[b + PX] - polygon[a + PX]) * (polygon[c + PY] - polygon[a + PY])
        area -= (polygon[b + PY] - polygon[a + PY]) * (polygon[c + PX] - polygon[a + PX])
        _fill(polygon, a, b, c, area, texture, texels, table, depths, colors)


@njit(error_model="numpy")
def _fill(
    p: Float32Array,
    a: int | np.uint64,
    b: int | np.uint64,
    c: int | np.uint64,
    area: float,
    texture: int,
    texels: npt.NDArray[np.uint32],
    table: npt.NDArray[np.int64],
    depths: Float32Array,
    colors: npt.NDArray[np.uint32],
) -> None:
    """Draw the triangle between three vertices of p; twice its area is `area`, of either sign."""
    if area == 0.0:
        return
    zero, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    ax, ay, bx, by, cx, cy = p[a + PX], p[a + PY], p[b + PX], p[b + PY], p[c + PX], p[c + PY]
    height, width = depths.shape[0], depths.shape[1]
    left, right = max(0, int(min(ax, bx, cx))), min(width - 1, int(min(max(ax, bx, cx), np.float32(width))))
    top, bottom = (
        max(0, int(min(ay, by, cy))),
        min(height - 1, int(min(max(ay, by, cy), np.float32(height)))),
    )
    # Weights of the corners b and c at a point: linear, 0 and 1 at corners; that of a is what is left.
    part = one / np.float32(area)
    bdx, bdy = (cy - ay) * part, (ax - cx) * part
    cdx, cdy = (ay - by) * part, (bx - ax) * part
    # How far they can get from the middle of a pixel to a sample of it.
    reach_b = np.float32(0.375) * (abs(bdx) + abs(bdy))
    reach_c = np.float32(0.375) * (abs(cdx) + abs(cdy))
    reach_a = np.float32(0.375) * (abs(bdx + cdx) + abs(bdy + cdy))
    inverse_a = p[a + INVERSE]
    inverse_b, inverse_c = p[b + INVERSE] - inverse_a, p[c + INVERSE] - inverse_a
    for y in range(top, bottom + 1):
        dx, dy = np.float32(left) + half - ax, np.float32(y) + half - ay
        mb, mc = bdx * dx + bdy * dy - bdx, cdx * dx + cdy * dy - cdx
        for x in range(left, right + 1):
            mb += bdx
            mc += cdx
            if mb < -reach_b or mc < -reach_c or mb + mc > one + reach_a:
                continue
            color = 0
            for k in range(4):
                wb = mb + bdx * OFFSET_X[k] + bdy * OFFSET_Y[k]
                wc = mc + cdx * OFFSET_X[k] + cdy * OFFSET_Y[k]
                if wb < zero or wc < zero or wb + wc > one:
                    continue
                inverse = inverse_a + wb * inverse_b + wc * inverse_c
                if inverse <= depths[y, x, k]:
                    continue
                if color == 0:
                    color = shade(p, a, b, c, mb, mc, wb, wc, texture, texels, table)
                depths[y, x, k] = inverse
                colors[y, x, k] = color


@njit(error_model="numpy")
def clear_samples(
    camera: FloatArray,
    left: int,
    top: int,
    right: int,
    bottom: int,
    depths: Float32Array,
    colors: npt.NDArray[np.uint32],
) -> None:
    """Empty the samples of a part of the image; as deep as the ground is there.

    Args:
        left: the part, without the last column and row.
        top: likewise.
        right: likewise.
        bottom: likewise.
    """
    height = depths.shape[0]
    for y in range(top, bottom):
        for k in range(4):
            up = camera[TAN_HALF] * (1 - (2 * y + 2 * SAMPLE_Y[k]) / height)
            ground = np.float32(max(0.0, camera[SIN_PITCH] - up * camera[COS_PITCH]) / camera[EYE_Y])
            for x in range(left, right):
                depths[y, x, k] = ground
                colors[y, x, k] = 0


@njit(error_model="numpy")
def resolve(
    left: int, top: int, right: int, bottom: int, colors: npt.NDArray[np.uint32], out: Frames
) -> None:
    """Put the samples that were drawn into the image, out (H, W, 3) uint8: the mean of four."""
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
