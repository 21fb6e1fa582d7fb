"""Collisions of a car with objects, and its distance from them.

Boxes on the ground, tested along their axes, and
safety circles, both with upstream's sizes. Two of its habits are kept because ends and rewards depend on
them: a car's box lies 24 mm farther back than the car (its offset is taken twice), and the axes of a box
are the principal axes of its corners."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dreamduck.common.kernels.compiled import njit
from dreamduck.simulator.base import END_COLLISION, END_NONE, END_OFF_ROAD, FloatArray
from dreamduck.simulator.maps.lanes import Lanes, tile_index
from dreamduck.simulator.maps.map import STATIC, Map, MapObject
from dreamduck.simulator.robot import (
    CENTER_AHEAD,
    ROBOT_LENGTH,
    ROBOT_SAFETY_RADIUS,
    ROBOT_WIDTH,
    SAFETY_FACTOR,
)

SPAWN_DISTANCE = 0.25  # [m] to keep from objects at the start


class Boxes(NamedTuple):
    """Boxes of S objects, as compiled code reads them.

    Attributes:
        corners: (S, 4, 2) x, z [m].
        axes: (S, 2, 2) unit vectors.
        centers: (S, 2) [m].
        reach: (S,) [m] from the centre to the farthest corner.
        safety: (S,) radius of the safety circle.
    """

    corners: FloatArray
    axes: FloatArray
    centers: FloatArray
    reach: FloatArray
    safety: FloatArray


def object_corners(thing: MapObject) -> FloatArray:
    """The corners of an object's box, (4, 2) [m]; sizes are scaled in float32, as upstream does."""
    scale = np.float32(thing.scale)
    x, z = np.float64(thing.pos[0]), np.float64(thing.pos[2])
    low_x, high_x = thing.low[0] * scale + x, thing.high[0] * scale + x
    low_z, high_z = thing.low[2] * scale + z, thing.high[2] * scale + z
    cos, sin = math.cos(thing.angle), math.sin(thing.angle)
    corners = np.empty((4, 2))
    for k, (cx, cz) in enumerate(((low_x, low_z), (high_x, low_z), (high_x, high_z), (low_x, high_z))):
        dx, dz = cx - x, cz - z
        corners[k] = x + (dx * cos + dz * sin), z + (dz * cos - dx * sin)
    return corners


def principal_axes(corners: FloatArray) -> FloatArray:
    """The principal axes (2, 2) of a box's corners (4, 2), one a row; any pair for a square."""
    _, vectors = np.linalg.eig(np.cov(corners, rowvar=False, bias=True))
    return np.ascontiguousarray(vectors.T.real)  # complex in numpy 2.5 and later, with imaginary parts of 0


def safety_radius(thing: MapObject) -> float:
    """Of an object's safety circle [m]."""
    x, _, z = np.maximum(np.abs(thing.low), np.abs(thing.high))
    norm = np.sqrt(x * x + z * z, dtype=np.float32)
    return float(np.float32(SAFETY_FACTOR) * (norm * np.float32(thing.scale)))


def spawn_radius(thing: MapObject) -> float:
    """A car starts at least this far from an object [m]."""
    size = thing.high.max() * np.float32(0.5) * np.float32(thing.scale)
    return float(size + np.float32(SPAWN_DISTANCE))


def static_boxes(map: Map) -> Boxes:
    """The boxes of all objects that a car can hit and that never move (traffic lights are not hit)."""
    things = [thing for thing in map.objects if thing.behaviour == STATIC]
    corners = np.array([object_corners(thing) for thing in things]).reshape(-1, 4, 2)
    centers = np.array([thing.pos[[0, 2]] for thing in things]).reshape(-1, 2)
    return Boxes(
        corners,
        np.array([principal_axes(c) for c in corners]).reshape(-1, 2, 2),
        centers,
        np.linalg.norm(corners - centers[:, None], axis=2).max(axis=1, initial=0.0),
        np.array([safety_radius(thing) for thing in things]),
    )


@njit
def robot_center(x: float, z: float, heading: float) -> tuple[float, float]:
    """The middle of a car [m] whose axle is at x, z."""
    return x + CENTER_AHEAD * math.cos(heading), z - CENTER_AHEAD * math.sin(heading)


@njit
def oriented_box(
    x: float, z: float, heading: float, width: float, length: float, corners: FloatArray
) -> None:
    """Write the corners (4, 2) of a car's box around x, z."""
    fx, fz = 0.5 * length * math.cos(heading), -0.5 * length * math.sin(heading)
    rx, rz = 0.5 * width * math.sin(heading), 0.5 * width * math.cos(heading)
    corners[0, 0], corners[0, 1] = x - rx - fx, z - rz - fz
    corners[1, 0], corners[1, 1] = x + rx - fx, z + rz - fz
    corners[2, 0], corners[2, 1] = x + rx + fx, z + rz + fz
    corners[3, 0], corners[3, 1] = x - rx + fx, z - rz + fz


@njit
def apart_along(ax: float, az: float, one: FloatArray, two: FloatArray) -> bool:
    """Whether two boxes (4, 2) have a gap between them along the axis (ax, az)."""
    low1 = low2 = math.inf
    high1 = high2 = -math.inf
    for k in range(4):
        value = ax * one[k, 0] + az * one[k, 1]
        low1, high1 = min(low1, value), max(high1, value)
        value = ax * two[k, 0] + az * two[k, 1]
        low2, high2 = min(low2, value), max(high2, value)
    return high1 < low2 or high2 < low1


@njit
def boxes_touch(robot: FloatArray, heading: float, corners: FloatArray, axes: FloatArray) -> bool:
    """Whether a car's box (4, 2) touches an object's (4, 2) with its axes (2, 2)."""
    c, s = math.cos(heading), math.sin(heading)
    return not (
        apart_along(c, -s, robot, corners)
        or apart_along(s, c, robot, corners)
        or apart_along(axes[0, 0], axes[0, 1], robot, corners)
        or apart_along(axes[1, 0], axes[1, 1], robot, corners)
    )


@njit
def robot_box(x: float, z: float, heading: float) -> FloatArray:
    """The box (4, 2) that stands for a car whose axle is at x, z."""
    # Twice, as upstream: once for the car's middle, once more for the box.
    cx, cz = robot_center(x, z, heading)
    cx, cz = robot_center(cx, cz, heading)
    corners = np.empty((4, 2))
    oriented_box(cx, cz, heading, ROBOT_WIDTH, ROBOT_LENGTH, corners)
    return corners


@njit
def hits_static(boxes: Boxes, robot: FloatArray, heading: float) -> bool:
    """Whether a car's box touches an object that never moves."""
    x, z = 0.5 * (robot[0, 0] + robot[2, 0]), 0.5 * (robot[0, 1] + robot[2, 1])
    own = math.sqrt((robot[0, 0] - x) ** 2 + (robot[0, 1] - z) ** 2)
    for k in range(len(boxes.reach)):
        dx, dz = boxes.centers[k, 0] - x, boxes.centers[k, 1] - z
        # Two boxes this far from each other have a gap along one of the car's two axes.
        if dx * dx + dz * dz <= 2.01 * (own + boxes.reach[k]) ** 2 and boxes_touch(
            robot, heading, boxes.corners[k], boxes.axes[k]
        ):
            return True
    return False


@njit
def static_penalty(boxes: Boxes, x: float, z: float) -> float:
    """How far the safety circle around a car's middle reaches into those of static objects, 0 or less."""
    total = 0.0
    for k in range(len(boxes.safety)):
        dx, dz = boxes.centers[k, 0] - x, boxes.centers[k, 1] - z
        total += min(0.0, math.sqrt(dx * dx + dz * dz) - ROBOT_SAFETY_RADIUS - boxes.safety[k])
    return total


@njit
def on_road(lanes: Lanes, x: float, z: float, heading: float, factor: float) -> bool:
    """Whether a car's middle, left, right and front are on drivable tiles.

    Args:
        factor: enlarges the car.
    """
    cx, cz = robot_center(x, z, heading)
    fx, fz = math.cos(heading), -math.sin(heading)
    side, front = factor * 0.5 * ROBOT_WIDTH, factor * 0.5 * ROBOT_LENGTH
    return (
        tile_index(lanes, cx, cz) >= 0
        and tile_index(lanes, cx + side * fz, cz - side * fx) >= 0
        and tile_index(lanes, cx - side * fz, cz + side * fx) >= 0
        and tile_index(lanes, cx + front * fx, cz + front * fz) >= 0
    )


@njit
def end_code(off_road: bool, touching: bool) -> int:
    """How an episode ended, if it did: leaving the road precedes a collision."""
    if off_road:
        return END_OFF_ROAD
    return END_COLLISION if touching else END_NONE
