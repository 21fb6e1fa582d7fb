"""Images, packed so that compiled code can read them.

Upstream hands OpenGL each image once, with no smaller
versions of it, and has it filtered linearly; aliasing in the distance must be the same here,
so only one level is kept."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from dreamduck.common.errors import MapError
from dreamduck.common.readers import read_bytes
from dreamduck.simulator.maps.assets import IMAGE_BYTES, repair

MAX_PIXELS = 4096 * 4096
RGBImage = npt.NDArray[np.uint8]  # (H, W, 3), the top row first


@lru_cache(maxsize=64)
def load_image(path: Path) -> RGBImage:
    """An image as (H, W, 3) uint8; transparency is dropped, since upstream draws without blending.

    Raises:
        MapError: the file is missing or no image.
    """
    try:
        with Image.open(io.BytesIO(read_bytes(path, MapError, most=IMAGE_BYTES))) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise ValueError(f"{opened.width} x {opened.height} pixels, more than {MAX_PIXELS}")
            image = np.asarray(opened.convert("RGBA"), dtype=np.uint8)[:, :, :3]
    except MapError as err:
        raise MapError(f"{err}; {repair()}") from err
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as err:
        raise MapError(f"{path}: expected an image, cannot read this one ({err}); {repair()}") from err
    image = np.ascontiguousarray(image)
    image.flags.writeable = False
    return image


def pack(image: RGBImage) -> npt.NDArray[np.uint32]:
    """The texels as (H * W,) uint32, red in the lowest byte: one load fetches all three colours."""
    wide = image.reshape(-1, 3).astype(np.uint32)
    return wide[:, 0] | wide[:, 1] << np.uint32(8) | wide[:, 2] << np.uint32(16)


@lru_cache(maxsize=64)
def load_texels(path: Path, side: int | None = None) -> npt.NDArray[np.uint32]:
    """An image's texels; kept, since most maps are made of the same few images.

    Args:
        path: of the image.
        side: width and height that it is enlarged to; None leaves it as it is.
    Raises:
        MapError: the file is missing or no image.
    """
    image = load_image(path)
    texels = pack(image if side is None else _squared(image, side))
    texels.flags.writeable = False
    return texels


class Textures(NamedTuple):
    """Several images in one array.

    Attributes:
        texels: (total,) uint32, each image row by row from the top.
        table: (K, 3) int64: the first texel, the width and the height of each image.
    """

    texels: npt.NDArray[np.uint32]
    table: npt.NDArray[np.int64]


class Atlas:
    """Collects images, each once, and numbers them."""

    def __init__(self) -> None:
        self._numbers: dict[Path, int] = {}

    def add(self, path: Path) -> int:
        """The number of this image."""
        return self._numbers.setdefault(path, len(self._numbers))

    def build(self) -> Textures:
        """All images added so far, packed.

        Raises:
            MapError: one of them cannot be read.
        """
        images = [load_image(path) for path in self._numbers]
        table = np.zeros((len(images), 3), dtype=np.int64)
        first = 0
        for row, image in zip(table, images, strict=True):
            row[:] = first, image.shape[1], image.shape[0]
            first += image.shape[0] * image.shape[1]
        packed = [load_texels(path) for path in self._numbers] or [np.zeros(1, dtype=np.uint32)]
        return Textures(np.concatenate(packed), table)


class TileTextures(NamedTuple):
    """The grid of a map as compiled code reads it: a texel's place is `base + column * dx + row * dz`.

    Columns run along x and rows along z of the world, whichever way a tile is turned, so that nothing
    has to be rotated while drawing. The grid has a border of empty cells, for what lies outside.

    Attributes:
        texels: (total,) uint32, every image `side` by `side`.
        cells: ((rows + 2) * (columns + 2) * 3,) int32, row by row: base, dx, dz; base is -1 where there
            is no tile.
        columns: of the grid without the border.
        rows: likewise.
        side: of the images [texels].
        tile_size: [m].
    """

    texels: npt.NDArray[np.uint32]
    cells: npt.NDArray[np.int32]
    columns: int
    rows: int
    side: int
    tile_size: float


def tile_textures(
    grid: tuple[int, int], tile_size: float, tiles: list[tuple[int, int, int, Path]]
) -> TileTextures:
    """Lay the images of a map's tiles out.

    Args:
        grid: columns and rows.
        tiles: (column, row, quarter turns, image); the image is drawn turned by
            `turns * 90 + 180` degrees about y, as upstream does.
    Raises:
        MapError: an image cannot be read.
    """
    columns, rows = grid
    cells = np.full((rows + 2, columns + 2, 3), -1, dtype=np.int32)
    paths = list(dict.fromkeys(tile[3] for tile in tiles))
    images = [load_image(path) for path in paths]
    side = max([2, *(max(image.shape[:2]) for image in images)])
    texels = [load_texels(path, side) for path in paths] or [np.zeros(1, dtype=np.uint32)]
    last = side - 1
    # For each number of quarter turns: the first texel, and the steps along x and z of the world.
    turned = {
        0: (last * side + last, -1, -side),
        1: (last * side, -side, 1),
        2: (0, 1, side),
        3: (last, side, -1),
    }
    for i, j, turns, path in tiles:
        first, dx, dz = turned[turns % 4]
        cells[j + 1, i + 1] = paths.index(path) * side * side + first, dx, dz
    return TileTextures(np.concatenate(texels), cells.reshape(-1), columns, rows, side, tile_size)


def _squared(image: RGBImage, side: int) -> RGBImage:
    """The image enlarged to `side` by `side` (Duckietown's tiles are all of one size already)."""
    if image.shape[:2] == (side, side):
        return image
    opened = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(opened, dtype=np.uint8)
