"""What lies ahead of a car on its lane: straight road, a turn to the left or right, or a crossing."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dreamduck.common.compiled import njit
from dreamduck.common.errors import MapError
from dreamduck.simulator.maps.lanes import (
    Lanes,
    bezier_tangent,
    choose_curve,
    closest_curve_point,
    lane_position,
    map_lanes,
    tile_index,
)
from dreamduck.simulator.maps.parser import load_map

STRAIGHT, LEFT, RIGHT, CROSSING = range(4)
AHEAD = ("straight", "left", "right", "crossing")
DISTANCE = 0.35  # [m] along the lane from the car to the place that counts as ahead
BEND = 0.5  # [rad] between a lane's ends, from which on it is a curve
CROSSINGS = 3  # lanes of a tile, from which on it is a crossing


def road_ahead(map_name: str, poses: npt.ArrayLike) -> npt.NDArray[np.int64] | None:
    """The class of the road ahead of each pose; None where the map is not known here.

    Args:
        map_name: of the map.
        poses: (N, 3) x [m], z [m], heading [rad].
    Returns:
        (N,) index into `AHEAD`; -1 where there is no lane.
    """
    lanes = _lanes(map_name)
    return None if lanes is None else _classes(lanes, np.asarray(poses, np.float64))


def lane_offsets(map_name: str, poses: npt.ArrayLike) -> npt.NDArray[np.float64] | None:
    """Where poses are in their lane; None where the map is not known here.

    Args:
        map_name: of the map.
        poses: (N, 3) x [m], z [m], heading [rad].
    Returns:
        (2, N) distance from the lane's centre [m] and angle to it [rad], as telemetry has them; nan off the
        road.
    """
    lanes = _lanes(map_name)
    return None if lanes is None else _offsets(lanes, np.asarray(poses, np.float64))


@lru_cache(maxsize=64)
def _lanes(map_name: str) -> Lanes | None:
    try:
        return map_lanes(load_map(map_name))
    except MapError:
        return None


@njit
def _offsets(lanes: Lanes, poses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found = np.empty((2, len(poses)))
    for row in range(len(poses)):
        position = lane_position(lanes, poses[row, 0], poses[row, 1], poses[row, 2])
        found[0, row], found[1, row] = position[1], position[2]
    return found


@njit
def _classes(lanes: Lanes, poses: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    found = np.full(len(poses), -1)
    for row in range(len(poses)):
        x, z, heading = poses[row]
        if not (math.isfinite(x) and math.isfinite(z) and math.isfinite(heading)):
            continue
        on_lane, px, pz, tx, tz = closest_curve_point(lanes, x, z, heading)
        if not on_lane:
            continue
        direction = math.atan2(-tz, tx)
        tile = tile_index(lanes, px + DISTANCE * tx, pz + DISTANCE * tz)
        if tile < 0:
            tile, direction = tile_index(lanes, x, z), heading
        if lanes.number[tile] >= CROSSINGS:
            found[row] = CROSSING
            continue
        curve = choose_curve(lanes, tile, direction)
        ax, az = bezier_tangent(lanes.points, curve, 0.0)
        bx, bz = bezier_tangent(lanes.points, curve, 1.0)
        bend = math.atan2(-(ax * bz - az * bx), ax * bx + az * bz)
        found[row] = STRAIGHT if abs(bend) < BEND else LEFT if bend > 0 else RIGHT
    return found
