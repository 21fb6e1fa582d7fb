"""The colour of a triangle in the middle of a pixel: light blended of its corners, times its texture.

Source: OpenGL 2.1 specification, 3.5 (polygons), 3.8.8 (linear filter)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.compiled import njit
from dreamduck.simulator.base import Float32Array
from dreamduck.simulator.render.vertices import INVERSE, SHADE_B, SHADE_G, SHADE_R, TEXTURE_U, TEXTURE_V

COVERED = 1 << 30  # in a sample's colour, of 10 bits a channel


@njit(error_model="numpy")
def shade(
    p: Float32Array,
    a: int | np.uint64,
    b: int | np.uint64,
    c: int | np.uint64,
    mb: float,
    mc: float,
    wb: float,
    wc: float,
    texture: int,
    texels: npt.NDArray[np.uint32],
    table: npt.NDArray[np.int64],
) -> int:
    """The packed colour of a triangle in the middle of a pixel.

    Args:
        mb: weights of the corners b and c in the middle, which may lie outside of the triangle.
        mc: likewise.
        wb: the same at a sample inside, for where the middle is beyond the horizon.
        wc: likewise.
    """
    inverse = (
        p[a + INVERSE] + mb * (p[b + INVERSE] - p[a + INVERSE]) + mc * (p[c + INVERSE] - p[a + INVERSE])
    )
    if inverse <= 0:
        mb, mc = wb, wc
        inverse = (
            p[a + INVERSE] + mb * (p[b + INVERSE] - p[a + INVERSE]) + mc * (p[c + INVERSE] - p[a + INVERSE])
        )
    ma = (1 - mb - mc) / inverse
    mb, mc = mb / inverse, mc / inverse
    red = ma * p[a + SHADE_R] + mb * p[b + SHADE_R] + mc * p[c + SHADE_R]
    green = ma * p[a + SHADE_G] + mb * p[b + SHADE_G] + mc * p[c + SHADE_G]
    blue = ma * p[a + SHADE_B] + mb * p[b + SHADE_B] + mc * p[c + SHADE_B]
    if texture >= 0:
        u = ma * p[a + TEXTURE_U] + mb * p[b + TEXTURE_U] + mc * p[c + TEXTURE_U]
        v = ma * p[a + TEXTURE_V] + mb * p[b + TEXTURE_V] + mc * p[c + TEXTURE_V]
        r, g, b_ = _sample_texture(texels, table[texture, 0], table[texture, 1], table[texture, 2], u, v)
        red, green, blue = red * r, green * g, blue * b_
    r10 = int(min(max(red, 0.0), 1.0) * 1023.0 + 0.5)
    g10 = int(min(max(green, 0.0), 1.0) * 1023.0 + 0.5)
    b10 = int(min(max(blue, 0.0), 1.0) * 1023.0 + 0.5)
    return COVERED | r10 | g10 << 10 | b10 << 20


@njit(error_model="numpy")
def _sample_texture(
    texels: npt.NDArray[np.uint32], first: int, width: int, height: int, u: float, v: float
) -> tuple[float, float, float]:
    """A texture's colour, 0 to 1, blended of four texels; it repeats. v runs from the bottom up."""
    x, y = (u - np.floor(u)) * width - 0.5, (1 - (v - np.floor(v))) * height - 0.5
    fx, fy = np.floor(x), np.floor(y)
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
