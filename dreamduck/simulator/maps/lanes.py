"""Lanes: the Bezier curves of each tile, and where a car is in its lane.

Upstream's geometry, with its search: of a tile's curves the one
whose chord fits the heading best, on it the nearest point by eight halvings, and there the signed distance
(positive to the right of the lane's centre) and angle (positive when heading to the right)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.compiled import njit
from dreamduck.simulator.base import FloatArray
from dreamduck.simulator.maps.map import Map

SEARCH_DEPTH = 8  # halvings; the rest is 1/256 of the curve

# Control points (x, z) of each lane in tile sizes from the tile's middle, for a tile of angle 0.
_DOWN = [(-0.20, -0.50), (-0.20, -0.25), (-0.20, 0.25), (-0.20, 0.50)]
_UP = [(0.20, 0.50), (0.20, 0.25), (0.20, -0.25), (0.20, -0.50)]
_WIDE = [(-0.20, -0.50), (-0.20, 0.00), (0.00, 0.20), (0.50, 0.20)]
_TIGHT = [(-0.20, -0.50), (-0.20, -0.20), (-0.30, -0.20), (-0.50, -0.20)]
_LANES = {
    "straight": [_DOWN, _UP],
    "curve_left": [_WIDE, [(0.50, -0.20), (0.30, -0.20), (0.20, -0.30), (0.20, -0.50)]],
    "curve_right": [_TIGHT, [(-0.50, 0.20), (-0.30, 0.20), (0.30, 0.00), (0.20, -0.50)]],
    "3way": [
        _DOWN,
        _WIDE,
        _UP,
        [(0.50, -0.20), (0.30, -0.20), (0.20, -0.20), (0.20, -0.50)],
        [(0.20, 0.50), (0.20, 0.20), (0.30, 0.20), (0.50, 0.20)],
        [(0.50, -0.20), (0.30, -0.20), (-0.20, 0.00), (-0.20, 0.50)],
    ],
    "4way": [_WIDE, _DOWN, _TIGHT],  # once for each side
}


class Lanes(NamedTuple):
    """The lanes of a whole map, flat, as compiled code reads them. Tile (i, j) is at `j * width + i`.

    Attributes:
        tile_size: [m].
        width: of the grid.
        height: likewise.
        first: (tiles,) the index of each tile's first curve.
        number: (tiles,) how many; 0: not drivable.
        points: (C, 4, 2) control points [m].
        chords: (C, 2) from first to last, as upstream scales them.
    """

    tile_size: float
    width: int
    height: int
    first: npt.NDArray[np.int64]
    number: npt.NDArray[np.int64]
    points: FloatArray
    chords: FloatArray


def tile_curves(kind: str, angle: int, i: int, j: int, tile_size: float) -> FloatArray:
    """The lanes of one drivable tile: (K, 4, 2) control points [m], x and z.

    Args:
        kind: "straight", "curve_left", "curve_right", "3way_left", "3way_right" or "4way".
        angle: quarter turns.
        i: the tile's place.
        j: likewise.
    """
    name = kind if kind in _LANES else kind.partition("_")[0]
    flat = np.array(_LANES[name])
    points = np.zeros((*flat.shape[:2], 3))
    points[..., [0, 2]] = flat
    points *= tile_size
    middle = np.array([(i + 0.5) * tile_size, 0.0, (j + 0.5) * tile_size])
    turns = range(4) if kind == "4way" else (angle,)  # a crossing looks the same from all sides
    turned = [np.matmul(points, _turn(turn * math.pi / 2)) + middle for turn in turns]
    return np.concatenate(turned)[..., [0, 2]]


def _turn(angle: float) -> FloatArray:
    """The matrix (3, 3) that turns row vectors about y by `angle` [rad], from half angles as upstream."""
    a, c = math.cos(angle / 2), -math.sin(angle / 2)
    return np.array([[a * a - c * c, 0.0, 2 * a * c], [0.0, 1.0, 0.0], [-2 * a * c, 0.0, a * a - c * c]])


def make_lanes(tile_size: float, width: int, height: int, curves: Sequence[FloatArray]) -> Lanes:
    """The flat form of a map's lanes.

    Args:
        curves: for each tile, row by row, (K, 4, 2), K = 0 where it is not drivable.
    """
    number = np.array([len(c) for c in curves], dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(number)[:-1]]).astype(np.int64)
    chords = [c[:, -1] - c[:, 0] for c in curves]
    # Upstream divides by the norm of all of a tile's chords together.
    scaled = [c / np.linalg.norm(c) if len(c) else c for c in chords]
    points = np.ascontiguousarray(np.concatenate([*curves, np.zeros((0, 4, 2))]))
    return Lanes(
        tile_size, width, height, first, number, points, np.ascontiguousarray(np.concatenate(scaled))
    )


def map_lanes(map: Map) -> Lanes:
    """The flat form of the lanes of a map."""
    nothing = np.zeros((0, 4, 2))
    curves = [nothing if tile is None else tile.curves for tile in map.tiles]
    return make_lanes(map.tile_size, map.width, map.height, curves)


@njit
def tile_index(lanes: Lanes, x: float, z: float) -> int:
    """The index of the drivable tile below a point, -1 if there is none."""
    i = math.floor(x / lanes.tile_size)
    j = math.floor(z / lanes.tile_size)
    if i < 0 or i >= lanes.width or j < 0 or j >= lanes.height:
        return -1
    index = int(j) * lanes.width + int(i)
    return index if lanes.number[index] > 0 else -1


@njit
def bezier_point(points: FloatArray, curve: int, t: float) -> tuple[float, float]:
    """Position (x, z) [m] of a curve at `t` in [0, 1]."""
    s = 1 - t
    a, b, c, d = s * s * s, 3 * t * (s * s), 3 * (t * t) * s, t * t * t
    p = points[curve]
    x = a * p[0, 0] + b * p[1, 0] + c * p[2, 0] + d * p[3, 0]
    z = a * p[0, 1] + b * p[1, 1] + c * p[2, 1] + d * p[3, 1]
    return x, z


@njit
def bezier_tangent(points: FloatArray, curve: int, t: float) -> tuple[float, float]:
    """The unit direction (x, z) of a curve at `t`."""
    s = 1 - t
    a, b, c = 3 * (s * s), 6 * s * t, 3 * (t * t)
    p = points[curve]
    x = a * (p[1, 0] - p[0, 0]) + b * (p[2, 0] - p[1, 0]) + c * (p[3, 0] - p[2, 0])
    z = a * (p[1, 1] - p[0, 1]) + b * (p[2, 1] - p[1, 1]) + c * (p[3, 1] - p[2, 1])
    norm = math.sqrt(x * x + z * z)
    return x / norm, z / norm


@njit
def bezier_closest(points: FloatArray, curve: int, x: float, z: float) -> float:
    """Where on a curve the point is nearest, as upstream's halving finds it (not always the nearest)."""
    low, high = 0.0, 1.0
    for _ in range(SEARCH_DEPTH):
        lx, lz = bezier_point(points, curve, low)
        hx, hz = bezier_point(points, curve, high)
        middle = (low + high) * 0.5
        near_low = math.sqrt((lx - x) * (lx - x) + (lz - z) * (lz - z))
        near_high = math.sqrt((hx - x) * (hx - x) + (hz - z) * (hz - z))
        if near_low < near_high:
            high = middle
        else:
            low = middle
    return (low + high) * 0.5


@njit
def choose_curve(lanes: Lanes, tile: int, heading: float) -> int:
    """Of a tile's curves the one whose chord fits the heading best."""
    dx, dz = math.cos(heading), -math.sin(heading)
    best, fit = -1, -math.inf
    for curve in range(lanes.first[tile], lanes.first[tile] + lanes.number[tile]):
        value = lanes.chords[curve, 0] * dx + lanes.chords[curve, 1] * dz
        if value > fit:
            best, fit = curve, value
    return best


@njit
def closest_curve_point(
    lanes: Lanes, x: float, z: float, heading: float
) -> tuple[bool, float, float, float, float]:
    """The nearest point of the lane that fits the heading.

    Returns:
        Whether there is a lane; the point's x, z [m]; the lane's unit direction there, x, z.
    """
    tile = tile_index(lanes, x, z)
    if tile < 0:
        return False, math.nan, math.nan, math.nan, math.nan
    curve = choose_curve(lanes, tile, heading)
    t = bezier_closest(lanes.points, curve, x, z)
    px, pz = bezier_point(lanes.points, curve, t)
    tx, tz = bezier_tangent(lanes.points, curve, t)
    return True, px, pz, tx, tz


@njit
def lane_position(
    lanes: Lanes, x: float, z: float, heading: float
) -> tuple[bool, float, float, float, float, float]:
    """A pose relative to the centre of the right-hand lane.

    Returns:
        Whether there is a lane; signed distance [m]; signed angle [rad]; the cosine of the angle;
        the lane's unit direction x, z. All nan where there is no lane.
    """
    found, px, pz, tx, tz = closest_curve_point(lanes, x, z, heading)
    if not found:
        return False, math.nan, math.nan, math.nan, math.nan, math.nan
    dx, dz = math.cos(heading), -math.sin(heading)
    along = min(max(dx * tx + dz * tz, -1.0), 1.0)
    distance = -(x - px) * tz + (z - pz) * tx
    angle = math.acos(along)
    if -dx * tz + dz * tx < 0:
        angle = -angle
    return True, distance, angle, along, tx, tz
