"""The state of N cars in flat arrays, and the compiled code that drives them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.compiled import njit
from dreamduck.simulator.base import END_NONE, INVALID_POSE_REWARD, FloatArray, wrapped
from dreamduck.simulator.maps.lanes import Lanes, lane_position
from dreamduck.simulator.physics.collisions import (
    Boxes,
    end_code,
    hits_static,
    on_road,
    robot_box,
    robot_center,
    static_penalty,
)
from dreamduck.simulator.physics.dynamics import (
    COMMANDS_KEPT,
    DELAYS,
    STEP_TIME,
    Dynamics,
    heading_of,
    integrate,
    wheel_duties,
)
from dreamduck.simulator.physics.objects import hits_moving_objects, moving_objects_penalty, step_objects

ALIGNED_REWARD = 1.2  # upstream's constant maximal speed, times the cosine of the lane angle
DISTANCE_COST = 10.0
PENALTY_WEIGHT = 40.0


class Cars(NamedTuple):
    """N cars; every array has N rows.

    Attributes:
        pose: x [m], z [m], heading [rad] in [-pi, pi).
        frame: cosine and sine of the heading, x, y [m] with y up.
        velocity: forward [m/s], turning [rad/s].
        height: (N,) [m] of the map: y = height - z.
        commands: the last duty cycles (left, right), a ring.
        steps: of physics since the reset.
        wheel_distance: [m].
        gain: of the motors, see `Dynamics`.
        trim: likewise.
        delay: index into DELAYS.
        objects: (D, FIELDS) each, those that move or change.
        walks: the next random walks, see `objects.step_objects`.
        walks_used: how many of them are used up.
        speed: [m/s] in the last step.
        lane: distance [m], angle [rad], unit direction x, z.
        tile: as in `CarState`.
        reward: likewise.
        penalty: likewise.
        end: likewise.
    """

    pose: FloatArray
    frame: FloatArray
    velocity: FloatArray
    height: FloatArray
    commands: FloatArray
    steps: npt.NDArray[np.int64]
    wheel_distance: FloatArray
    gain: FloatArray
    trim: FloatArray
    delay: npt.NDArray[np.int64]
    objects: FloatArray
    walks: FloatArray
    walks_used: npt.NDArray[np.int64]
    speed: FloatArray
    lane: FloatArray
    tile: npt.NDArray[np.int64]
    reward: FloatArray
    penalty: FloatArray
    end: npt.NDArray[np.int8]


def make_cars(num_cars: int, objects: FloatArray, walks: int) -> Cars:
    """N cars without a place yet.

    Args:
        objects: (D, FIELDS) the objects that are not static, of each car's world.
        walks: how many random walks are kept ready for each car.
    """
    n = num_cars
    return Cars(
        pose=np.full((n, 3), np.nan),
        frame=np.zeros((n, 4)),
        velocity=np.zeros((n, 2)),
        height=np.zeros(n),
        commands=np.zeros((n, COMMANDS_KEPT, 2)),
        steps=np.zeros(n, dtype=np.int64),
        wheel_distance=np.zeros(n),
        gain=np.ones(n),
        trim=np.zeros(n),
        delay=np.zeros(n, dtype=np.int64),
        objects=np.tile(objects, (n, 1, 1)),
        walks=np.zeros((n, walks, 2)),
        walks_used=np.zeros(n, dtype=np.int64),
        speed=np.zeros(n),
        lane=np.full((n, 4), np.nan),
        tile=np.zeros((n, 2), dtype=np.int64),
        reward=np.zeros(n),
        penalty=np.zeros(n),
        end=np.zeros(n, dtype=np.int8),
    )


def place_car(
    cars: Cars, car: int, height: float, dynamics: Dynamics, x: float, z: float, heading: float
) -> None:
    """Put a car, standing still, at the beginning of an episode.

    Args:
        height: of the map [m].
        dynamics: its own.
        x: [m].
        z: likewise.
        heading: [rad], any number of turns.
    """
    heading = wrapped(heading)
    cars.pose[car] = x, z, heading
    cars.frame[car] = math.cos(heading), math.sin(heading), x, height - z
    cars.velocity[car] = cars.commands[car] = cars.speed[car] = cars.steps[car] = 0
    cars.height[car], cars.wheel_distance[car] = height, dynamics.wheel_distance
    cars.gain[car], cars.trim[car] = dynamics.gain, dynamics.trim
    cars.delay[car] = DELAYS.index(dynamics.delay)


@njit(nogil=True)
def drive(
    lanes: Lanes,
    boxes: Boxes,
    cars: Cars,
    ages: npt.NDArray[np.int8],
    actions: FloatArray,
    frame_skip: int,
    begin: int,
    stop: int,
) -> None:
    """Drive the cars from `begin` to `stop` for `frame_skip` steps, and compute reward and end of each.

    Args:
        ages: (DELAYS, T) from `command_ages`, T long enough for the oldest episode.
        actions: (N, 2) throttle, steering.
    """
    for car in range(begin, stop):
        left, right = wheel_duties(
            actions[car, 0], actions[car, 1], cars.wheel_distance[car], cars.gain[car], cars.trim[car]
        )
        for _ in range(frame_skip):
            _step_car(cars, car, ages[cars.delay[car]], left, right)
            cars.walks_used[car] = step_objects(
                cars.objects[car], lanes, cars.walks[car], cars.walks_used[car]
            )
        observe(lanes, boxes, cars, car, True)


@njit
def _step_car(cars: Cars, car: int, ages: npt.NDArray[np.int8], left: float, right: float) -> None:
    """One step of physics of one car."""
    step = cars.steps[car]
    commands, frame, pose = cars.commands[car], cars.frame[car], cars.pose[car]
    commands[step % COMMANDS_KEPT, 0], commands[step % COMMANDS_KEPT, 1] = left, right
    used_left = used_right = 0.0
    if ages[step] >= 0:
        then = (step - ages[step]) % COMMANDS_KEPT
        used_left, used_right = commands[then, 0], commands[then, 1]
    integrate(frame, cars.velocity[car], used_left, used_right)
    x, z = frame[2], cars.height[car] - frame[3]
    dx, dz = x - pose[0], z - pose[1]
    cars.speed[car] = math.sqrt(dx * dx + dz * dz) / STEP_TIME
    pose[0], pose[1], pose[2] = x, z, heading_of(frame)
    cars.steps[car] = step + 1


@njit
def observe(lanes: Lanes, boxes: Boxes, cars: Cars, car: int, stepped: bool) -> None:
    """Compute a car's lane position, its penalty for proximity and, after a step, its reward and end."""
    x, z, heading = cars.pose[car, 0], cars.pose[car, 1], cars.pose[car, 2]
    cars.tile[car, 0] = math.floor(x / lanes.tile_size)
    cars.tile[car, 1] = math.floor(z / lanes.tile_size)
    found, distance, angle, along, tx, tz = lane_position(lanes, x, z, heading)
    lane = cars.lane[car]
    lane[0], lane[1], lane[2], lane[3] = distance, angle, tx, tz
    cx, cz = robot_center(x, z, heading)
    penalty = static_penalty(boxes, cx, cz) + moving_objects_penalty(cars.objects[car], cx, cz)
    cars.penalty[car] = penalty
    cars.reward[car], cars.end[car] = 0.0, END_NONE
    if not stepped:
        return
    robot = robot_box(x, z, heading)
    touching = hits_static(boxes, robot, heading) or hits_moving_objects(cars.objects[car], robot, heading)
    cars.end[car] = end_code(not on_road(lanes, x, z, heading, 1.0), touching)
    if cars.end[car] != END_NONE:
        cars.reward[car] = INVALID_POSE_REWARD
        return
    cars.reward[car] = PENALTY_WEIGHT * penalty
    if found:
        cars.reward[car] += ALIGNED_REWARD * along - DISTANCE_COST * abs(distance)
