"""The start of a car.

Upstream tries poses on a random tile until one is
on the road, clear of objects and roughly along the lane; the tries take the same random numbers here."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.compiled import njit
from dreamduck.simulator.base import START_TRIES, FloatArray
from dreamduck.simulator.maps.lanes import Lanes, lane_position
from dreamduck.simulator.maps.map import Map
from dreamduck.simulator.physics.collisions import Boxes, hits_static, on_road, robot_box, spawn_radius
from dreamduck.simulator.physics.objects import hits_moving_objects

TRIES_A_BLOCK = 50
SAFETY = 1.3  # the car counts as larger by this factor


def keep_away(map: Map) -> FloatArray:
    """The circles (objects, 3) that starts keep out of: x, z, radius [m]."""
    rows = [(thing.pos[0], thing.pos[2], spawn_radius(thing)) for thing in map.objects]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def draw_start(
    rng: np.random.Generator,
    map: Map,
    lanes: Lanes,
    boxes: Boxes,
    objects: FloatArray,
    circles: FloatArray,
    start_angle: float,
) -> tuple[float, float, float] | None:
    """Draw a start as upstream does.

    Args:
        rng: the episode's generator, after `draw_appearance`; advanced by some number of draws.
        objects: (D, FIELDS) the objects that are not static, at the start.
        circles: (n, 3) from `keep_away`, of the objects that are visible.
        start_angle: [degrees]; the heading is less than this from the lane's direction.
    Returns:
        x [m], z [m], heading [rad]; None where no try succeeded.
    """
    if map.start_tile is not None:
        i, j = map.start_tile
    else:
        tiles = map.drivable_tiles
        tile = tiles[int(rng.integers(0, len(tiles)))]
        i, j = tile.i, tile.j
    if map.start_pose is not None:
        x, z, heading = map.start_pose
        return i * map.tile_size + x, j * map.tile_size + z, heading
    for _ in range(START_TRIES // TRIES_A_BLOCK):
        numbers = rng.random((TRIES_A_BLOCK, 3))
        found, x, z, heading = _try(numbers, i, j, lanes, boxes, objects, circles, start_angle)
        if found:
            return x, z, heading
    return None


@njit
def _try(
    numbers: FloatArray,
    i: int,
    j: int,
    lanes: Lanes,
    boxes: Boxes,
    objects: FloatArray,
    circles: FloatArray,
    start_angle: float,
) -> tuple[bool, float, float, float]:
    """The first of the proposed poses that is fit to start from; `numbers` (n, 3) are in [0, 1)."""
    for k in range(len(numbers)):
        x = (i + numbers[k, 0]) * lanes.tile_size
        z = (j + numbers[k, 1]) * lanes.tile_size
        heading = 2 * math.pi * numbers[k, 2]
        if not (
            too_close(circles, x, z)
            or not on_road(lanes, x, z, heading, SAFETY)
            or touches(boxes, objects, x, z, heading)
        ):
            found, _distance, angle, _along, _tx, _tz = lane_position(lanes, x, z, heading)
            if found and abs(angle * 180 / math.pi) < start_angle:
                return True, x, z, heading
    return False, 0.0, 0.0, 0.0


@njit
def too_close(circles: FloatArray, x: float, z: float) -> bool:
    """Whether a point is inside one of the circles (n, 3)."""
    for k in range(len(circles)):
        dx, dz = circles[k, 0] - x, circles[k, 1] - z
        if math.sqrt(dx * dx + dz * dz) < circles[k, 2]:
            return True
    return False


@njit
def touches(boxes: Boxes, objects: FloatArray, x: float, z: float, heading: float) -> bool:
    """Whether a car at the pose touches any object."""
    robot = robot_box(x, z, heading)
    return hits_static(boxes, robot, heading) or hits_moving_objects(objects, robot, heading)


def visible(circles: FloatArray, shown: npt.NDArray[np.bool_]) -> FloatArray:
    """The circles of the objects that are shown."""
    return circles if shown.all() else np.ascontiguousarray(circles[shown])
