"""A Duckietown map: its tiles with their lanes, and the objects on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.simulator.base import FloatArray

STATIC, DUCKIEBOT, DUCKIE, CHECKERBOARD, TRAFFICLIGHT = 0, 1, 2, 3, 4  # how an object behaves
CHASSIS_COLORS = {  # of duckiebots, by upstream's names
    "green": (0.0, 0.5, 0.0),
    "red": (0.5, 0.0, 0.0),
    "grey": (0.3, 0.3, 0.3),
    "blue": (0.0, 0.0, 0.5),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Tile:
    """One square of road, or of what lies beside it.

    Attributes:
        i: column; the tile covers x from i to i + 1 tile sizes.
        j: row; the tile covers z from j to j + 1 tile sizes.
        kind: for example "straight", "floor".
        angle: quarter turns, 0 to 3; upstream draws the texture turned by `angle * 90 + 180` degrees.
        drivable: whether cars may be on it.
        texture: the image.
        curves: (K, 4, 2) [m], x and z of the control points of each lane; K = 0 if not drivable.
    """

    i: int
    j: int
    kind: str
    angle: int
    drivable: bool
    texture: Path
    curves: FloatArray


@dataclasses.dataclass(frozen=True, eq=False)
class MapObject:
    """A thing that stands, or moves, on the map.

    Attributes:
        name: its key in the map file.
        kind: for example "duckie".
        mesh: base name of the OBJ file.
        texture: an image that replaces that of the material "April_Tag" (signs), or None.
        color: replaces Kd of the chassis materials of a duckiebot, or None.
        pos: (3,) x, y, z [m] at the start.
        angle: [rad] about y at the start.
        scale: of the mesh; a float32 in upstream when it comes from `height`.
        optional: may be absent under domain randomisation.
        behaviour: one of STATIC, DUCKIEBOT, DUCKIE, CHECKERBOARD, TRAFFICLIGHT.
        low: (3,) float32, the least coordinates of the mesh before scaling.
        high: (3,) float32, the largest.
    """

    name: str
    kind: str
    mesh: str
    texture: Path | None
    color: tuple[float, float, float] | None
    pos: FloatArray
    angle: float
    scale: float
    optional: bool
    behaviour: int
    low: np.ndarray[Any, np.dtype[np.float32]]
    high: np.ndarray[Any, np.dtype[np.float32]]

    @property
    def moving(self) -> bool:
        """Whether it can change its place."""
        return self.behaviour in (DUCKIEBOT, DUCKIE, CHECKERBOARD)


@dataclasses.dataclass(frozen=True, eq=False)
class Map:
    """A map, read and checked.

    Attributes:
        name: without `.yaml`.
        path: its file.
        tile_size: [m].
        width: of the grid, in tiles.
        height: of the grid, in tiles.
        tiles: `width * height` tiles, row by row: tile (i, j) is at `j * width + i`; None is no tile.
        objects: in the file's order (which is the order of upstream's random numbers).
        start_tile: (i, j) where every car starts, or None.
        start_pose: x and z from the start tile's corner [m], and heading [rad], or None.
    """

    name: str
    path: Path
    tile_size: float
    width: int
    height: int
    tiles: tuple[Tile | None, ...]
    objects: tuple[MapObject, ...]
    start_tile: tuple[int, int] | None
    start_pose: tuple[float, float, float] | None

    def tile(self, i: int, j: int) -> Tile | None:
        """The tile in column i and row j; None outside the grid."""
        inside = 0 <= i < self.width and 0 <= j < self.height
        return self.tiles[j * self.width + i] if inside else None

    @property
    def drivable_tiles(self) -> list[Tile]:
        """The tiles that cars may be on, row by row."""
        return [tile for tile in self.tiles if tile is not None and tile.drivable]
