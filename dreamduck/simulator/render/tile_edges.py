"""Pixels in which several tiles, the ground or the sky meet: the mean of four samples.

Source: OpenGL 2.1 specification, 3.2.1 (multisampling), 3.8.8 (linear filter)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.compiled import njit
from dreamduck.simulator.base import Float32Array, Frames
from dreamduck.simulator.render.rays import GROUND_HALF

Texels = npt.NDArray[np.uint32]


@njit(error_model="numpy", inline="always")
def _texel(place: float, side: int) -> tuple[int, int, float]:
    """The texels before and after a place (0 to 1, and a little beyond, where the texture repeats).

    Returns:
        the first, the step to the second, how far between them, 0 to 1.
    """
    place = (place - np.floor(place)) * side - 0.5
    whole = np.floor(place)
    first = int(whole)
    if first < 0:
        first += side
    return first, (1 if first < side - 1 else 1 - side), place - whole


@njit(error_model="numpy")
def _cell_color(
    grid: npt.NDArray[np.int32], atlas: Texels, side: int, cell: int, x: float, z: float
) -> tuple[float, float, float]:
    """A tile's colour, 0 to 255 and without light, at a place that may lie a little beside it.

    Args:
        x: from the corner of any tile [tiles]: the texture repeats.
        z: likewise.
    """
    base, dx, dz = grid[3 * cell], grid[3 * cell + 1], grid[3 * cell + 2]
    iu, du, wu = _texel(x, side)
    iw, dw, ww = _texel(z, side)
    du, dw = du * dx, dw * dz
    at = base + iu * dx + iw * dz
    a, b, c, d = atlas[at], atlas[at + du], atlas[at + dw], atlas[at + du + dw]
    wa, wb, wc, wd = (1 - wu) * (1 - ww), wu * (1 - ww), (1 - wu) * ww, wu * ww
    return (
        wa * (a & 255) + wb * (b & 255) + wc * (c & 255) + wd * (d & 255),
        wa * (a >> 8 & 255) + wb * (b >> 8 & 255) + wc * (c >> 8 & 255) + wd * (d >> 8 & 255),
        wa * (a >> 16) + wb * (b >> 16) + wc * (c >> 16) + wd * (d >> 16),
    )


@njit(error_model="numpy")
def mix(
    grid: npt.NDArray[np.int32],
    atlas: Texels,
    side: int,
    row: Float32Array,
    light: Float32Array,
    flat: Float32Array,
    k: int,
    cells: npt.NDArray[np.int32],
    color: int,
    out: Frames,
) -> None:
    """Write a pixel that shows several things: the mean of its four samples.

    Args:
        row: as `set_row` wrote it.
        light: as for `_blend_texels`.
        flat: (6,) float32: the colours of sky and ground, 0 to 255.
        k: the pixel's place in the row.
        cells: (5, W) int32, where its middle and its samples lie.
        color: what the pixel would be were there nothing else than in its middle.
        out: (W, 3) uint8, pixel k is written.
    """
    offset = row[10, 2] + k * row[10, 3]
    glow = max(0.0, row[10, 0] / math.sqrt(row[10, 1] + offset * offset))
    last = cells[0, k]
    r, g, b = float(color & 255), float(color >> 8 & 255), float(color >> 16 & 255)
    red = green = blue = 0.5 * 4
    for sample in range(1, 5):
        cell = cells[sample, k]
        if grid[3 * cell] < 0:
            x = row[sample + 4, 0] + k * row[sample + 4, 2]
            z = row[sample + 4, 1] + k * row[sample + 4, 3]
            first = 3 if abs(x) < GROUND_HALF and abs(z) < GROUND_HALF else 0
            red, green, blue = red + flat[first], green + flat[first + 1], blue + flat[first + 2]
            continue
        if cell != last:
            # OpenGL reads the texture in the middle of the pixel, even where another tile lies there.
            x, z = row[0, 0] + k * row[0, 2], row[0, 1] + k * row[0, 3]
            r, g, b = _cell_color(grid, atlas, side, cell, x, z)
            r *= min(1.0, light[0] + light[3] * glow)
            g *= min(1.0, light[1] + light[4] * glow)
            b *= min(1.0, light[2] + light[5] * glow)
            last = cell
        red, green, blue = red + r, green + g, blue + b
    out[k, 0], out[k, 1], out[k, 2] = min(red / 4, 255.0), min(green / 4, 255.0), min(blue / 4, 255.0)
