"""The ground and the sky, drawn row by row.

The image is upstream's: one bilinear sample of the texture in the middle of a pixel, and four samples for
how much of it each tile, the ground and the sky cover, placed as in Mesa's 4x multisampling.

Source: OpenGL 2.1 specification, 3.2.1 (multisampling), 3.8.8 (linear filter)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.compiled import njit
from dreamduck.simulator.base import Float32Array, FloatArray, Frames
from dreamduck.simulator.render.camera_parameters import (
    AMBIENT_R,
    DIFFUSE_R,
    FAST,
    GROUND_R,
    SCENE_AMBIENT,
    SKY_R,
)
from dreamduck.simulator.render.models.textures import TileTextures
from dreamduck.simulator.render.rays import GROUND_HALF, ground_glow, set_row
from dreamduck.simulator.render.tile_edges import Texels, mix

# What follows goes over a row again and again. Only one of the passes fetches from places that depend on
# the data, so that the compiler can turn the others into vector instructions.


@njit(error_model="numpy", fastmath=FAST)
def _find_texels(
    tiles: TileTextures,
    line: Float32Array,
    cells: npt.NDArray[np.int32],
    coordinates: npt.NDArray[np.int32],
    across: Float32Array,
    along: Float32Array,
) -> None:
    """Find the tile, and the place on it, of the middle of each pixel.

    Args:
        line: (4,) float32, x and z of the first pixel and from one to the next [tiles].
        cells: (W,) int32, written: the number of the cell, 0 outside the grid.
        coordinates: (W,) int32, written: column and (times 65,536) row of the upper left of the four texels
            around it, both plus 1.
        across: (W,) float32, written: how far from there to the next column and row, 0 to 1.
        along: likewise.
    """
    zero, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    side, columns, rows = np.float32(tiles.side), np.float32(tiles.columns), np.float32(tiles.rows)
    first_x, first_z, step_x, step_z = line[0], line[1], line[2], line[3]
    wide = np.float32(tiles.columns + 2)
    for k in range(cells.shape[0]):
        n = np.float32(k)
        x, z = first_x + n * step_x, first_z + n * step_z
        inside = (x >= zero) & (z >= zero) & (x < columns) & (z < rows)
        x, z = min(max(x, -one), columns), min(max(z, -one), rows)
        i, j = np.floor(x), np.floor(z)
        cells[k] = np.int32((j + one) * wide + (i + one)) if inside else np.int32(0)
        u, w = (x - i) * side + half, (z - j) * side + half  # less a half to the centre of a texel, plus 1
        fu, fw = np.floor(u), np.floor(w)
        across[k], along[k] = u - fu, w - fw
        coordinates[k] = np.int32(fu) + np.int32(fw) * 65536


@njit(error_model="numpy", fastmath=FAST)
def _find_cells(tiles: TileTextures, line: Float32Array, cells: npt.NDArray[np.int32]) -> None:
    """Find the tile of one sample of each pixel; like `_find_texels`."""
    zero, one = np.float32(0), np.float32(1)
    columns, rows = np.float32(tiles.columns), np.float32(tiles.rows)
    first_x, first_z, step_x, step_z = line[0], line[1], line[2], line[3]
    wide = np.float32(tiles.columns + 2)
    for k in range(cells.shape[0]):
        n = np.float32(k)
        x, z = first_x + n * step_x, first_z + n * step_z
        inside = (x >= zero) & (z >= zero) & (x < columns) & (z < rows)
        x, z = min(max(x, -one), columns), min(max(z, -one), rows)
        cells[k] = np.int32((np.floor(z) + one) * wide + (np.floor(x) + one)) if inside else np.int32(0)


@njit(error_model="numpy")
def _fetch_texels(
    grid: npt.NDArray[np.int32],
    atlas: Texels,
    side: int,
    cells: npt.NDArray[np.int32],
    coordinates: npt.NDArray[np.int32],
    across: Float32Array,
    texels: Texels,
) -> None:
    """Fetch the four texels around each place, texels (4, W) uint32; the texture repeats.

    Where there is no tile, `across` becomes -1.
    """
    for k in range(cells.shape[0]):
        cell = 3 * cells[k]
        base, dx, dz = grid[np.uint64(cell)], grid[np.uint64(cell + 1)], grid[np.uint64(cell + 2)]
        if base < 0:
            across[k] = np.float32(-1)
            continue
        u, w = (coordinates[k] & 65535) - 1, (coordinates[k] >> 16) - 1
        if (u < 0) | (u >= side - 1) | (w < 0) | (w >= side - 1):
            u, w = u % side, w % side
            at = base + u * dx + w * dz
            dx, dz = ((u + 1) % side - u) * dx, ((w + 1) % side - w) * dz
        else:
            at = base + u * dx + w * dz
        texels[0, k], texels[1, k] = atlas[np.uint64(at)], atlas[np.uint64(at + dx)]
        texels[2, k], texels[3, k] = atlas[np.uint64(at + dz)], atlas[np.uint64(at + dx + dz)]


@njit(error_model="numpy", fastmath=FAST)
def _blend_texels(
    row: Float32Array,
    light: Float32Array,
    bare: int,
    a4: Texels,
    b4: Texels,
    c4: Texels,
    d4: Texels,
    across: Float32Array,
    along: Float32Array,
    colors: Texels,
) -> None:
    """Blend the texels and light them.

    Args:
        light: (6,) float32; red, green, blue without the lamp, and what the lamp adds.
        bare: the packed colour where there is no tile.
        a4: (W,) uint32, the texels.
        b4: likewise.
        c4: likewise.
        d4: likewise.
        colors: (W,) uint32, written: the colours, packed.
    """
    zero, half, one = np.float32(0), np.float32(0.5), np.float32(1)
    shine, depth2, aside, step = row[10, 0], row[10, 1], row[10, 2], row[10, 3]
    red0, green0, blue0, red1, green1, blue1 = light[0], light[1], light[2], light[3], light[4], light[5]
    ground = np.uint32(bare)
    for k in range(colors.shape[0]):
        a, b, c, d = a4[k], b4[k], c4[k], d4[k]
        u, w = across[k], along[k]
        wd = u * w
        wb, wc = u - wd, w - wd
        wa = one - u - wc
        offset = aside + np.float32(k) * step
        glow = max(zero, shine / np.sqrt(depth2 + offset * offset))
        red = wa * np.float32(a & 255) + wb * np.float32(b & 255)
        red += wc * np.float32(c & 255) + wd * np.float32(d & 255)
        green = wa * np.float32(a >> 8 & 255) + wb * np.float32(b >> 8 & 255)
        green += wc * np.float32(c >> 8 & 255) + wd * np.float32(d >> 8 & 255)
        blue = wa * np.float32(a >> 16) + wb * np.float32(b >> 16)
        blue += wc * np.float32(c >> 16) + wd * np.float32(d >> 16)
        red = red * min(one, red0 + red1 * glow) + half
        green = green * min(one, green0 + green1 * glow) + half
        blue = blue * min(one, blue0 + blue1 * glow) + half
        color = np.uint32(np.int32(red) | np.int32(green) << 8 | np.int32(blue) << 16)
        colors[k] = ground if u < zero else color


@njit(error_model="numpy")
def _write_row(
    grid: npt.NDArray[np.int32],
    atlas: Texels,
    side: int,
    row: Float32Array,
    light: Float32Array,
    flat: Float32Array,
    cells: npt.NDArray[np.int32],
    colors: Texels,
    out: Frames,
) -> None:
    """Write a row of the image, out (W, 3) uint8, mixing where several things meet."""
    ends = row[9, 0] > 0.98 * GROUND_HALF
    for k in range(out.shape[0]):
        color = colors[k]
        out[k, 0], out[k, 1], out[k, 2] = color & 255, color >> 8 & 255, color >> 16 & 255
    for k in range(out.shape[0]):
        own = cells[0, k]
        other = (cells[1, k] ^ own) | (cells[2, k] ^ own) | (cells[3, k] ^ own) | (cells[4, k] ^ own)
        if other or (ends and own == 0):
            mix(grid, atlas, side, row, light, flat, k, cells, colors[k], out)


@njit(error_model="numpy")
def draw_ground(camera: FloatArray, tiles: TileTextures, out: Frames, scratch: Texels) -> None:
    """Draw sky, ground and tiles.

    Args:
        camera: (VIEW_SIZE,) float64.
        tiles: TileTextures.
        out: (H, W, 3) uint8, every pixel is written.
        scratch: (13, W) uint32, scratch memory.
    """
    height, width = out.shape[0], out.shape[1]
    rest = ground_glow(camera)
    flat = np.empty(6, dtype=np.float32)
    light = np.empty(6, dtype=np.float32)
    for k in range(3):
        light[k], light[3 + k] = SCENE_AMBIENT + camera[AMBIENT_R + k], camera[DIFFUSE_R + k]
        flat[k] = 255 * max(0.0, camera[SKY_R + k])
        flat[3 + k] = 255 * camera[GROUND_R + k] * min(1.0, light[k] + light[3 + k] * rest)
    sky = (
        np.uint8(min(flat[0], 255.0) + 0.5),
        np.uint8(min(flat[1], 255.0) + 0.5),
        np.uint8(min(flat[2], 255.0) + 0.5),
    )
    bare = (
        int(min(flat[3], 255.0) + 0.5)
        | int(min(flat[4], 255.0) + 0.5) << 8
        | int(min(flat[5], 255.0) + 0.5) << 16
    )
    row = np.zeros((11, 4), dtype=np.float32)
    cells, coordinates = scratch[:5].view(np.int32), scratch[5].view(np.int32)
    across, along, colors, texels = (
        scratch[6].view(np.float32),
        scratch[7].view(np.float32),
        scratch[8],
        scratch[9:],
    )
    for y in range(height):
        if not set_row(camera, tiles, y, width, height, row):
            for x in range(width):
                out[y, x, 0], out[y, x, 1], out[y, x, 2] = sky
            continue
        _find_texels(tiles, row[0], cells[0], coordinates, across, along)
        for sample in range(1, 5):
            _find_cells(tiles, row[sample], cells[sample])
        _fetch_texels(tiles.cells, tiles.texels, tiles.side, cells[0], coordinates, across, texels)
        _blend_texels(row, light, bare, texels[0], texels[1], texels[2], texels[3], across, along, colors)
        _write_row(tiles.cells, tiles.texels, tiles.side, row, light, flat, cells, colors, out[y])
