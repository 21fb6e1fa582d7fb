"""Objects that move or change: duckiebots on their lane, duckies crossing it, checkerboards, lights.

Upstream's motion, step for step. Each object is a row
of FIELDS numbers. What upstream draws from numpy's global generator comes here from one of each episode."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.compiled import njit
from dreamduck.simulator.base import FloatArray
from dreamduck.simulator.maps.lanes import Lanes, closest_curve_point
from dreamduck.simulator.maps.map import CHECKERBOARD, DUCKIE, DUCKIEBOT, STATIC, TRAFFICLIGHT, Map
from dreamduck.simulator.physics.collisions import (
    boxes_touch,
    object_corners,
    oriented_box,
    principal_axes,
    safety_radius,
)
from dreamduck.simulator.physics.dynamics import STEP_TIME
from dreamduck.simulator.robot import (
    DUTY_LIMIT,
    MOTOR_CONSTANT,
    ROBOT_LENGTH,
    ROBOT_SAFETY_RADIUS,
    ROBOT_WIDTH,
    WHEEL_DISTANCE,
    WHEEL_RADIUS,
)

# The columns of a row, shared by all kinds of object.
BEHAVIOUR, X, Y, Z, ANGLE, YAW, SAFETY, TIME = range(8)
CORNERS = 8  # four corners, x and z
AXES = 16  # two axes, x and z
OWN = 20  # from here on each kind has its own
FOLLOW, SPEED, GAIN, TRIM, RADIUS, AXLE, WIDTH, LENGTH = range(OWN, OWN + 8)  # duckiebot
PACE, WAIT, WALKING, HEADING_X, HEADING_Z, START_X, START_Z, WIGGLE = range(OWN, OWN + 8)  # duckie
PHASE, HOME_X, HOME_Y, HOME_Z = range(OWN, OWN + 4)  # checkerboard
PATTERN, PERIOD = range(OWN, OWN + 2)  # traffic light
FIELDS = OWN + 8

BOT_GAIN, BOT_FOLLOW, BOT_SPEED = 2.0, 0.3, 0.1
BOT_RANDOM_TRIM = 2.0  # upstream adds it under domain randomisation: those bots turn on the spot
LOOKUPS = 1000  # halvings of the distance ahead before a bot gives up
DUCKIE_PACE, DUCKIE_WAIT = 0.02, 8.0  # [m a step], [s]
WIGGLE_RATE = 48.0  # [rad/s]
LIGHT_PERIOD = 5.0  # [s]
BOARD_STEP = 20.0 / 3000  # [m a step]


def template(map: Map) -> FloatArray:
    """The rows (D, FIELDS) of all things that are not static, before anything is drawn for them."""
    rows = []
    for thing in map.objects:
        if thing.behaviour == STATIC:
            continue
        row = np.zeros(FIELDS)
        corners = object_corners(thing)
        row[[BEHAVIOUR, X, Z]] = thing.behaviour, thing.pos[0], thing.pos[2]
        row[[ANGLE, YAW, SAFETY]] = thing.angle, thing.angle, safety_radius(thing)
        row[CORNERS:AXES] = corners.ravel()
        row[AXES:OWN] = principal_axes(corners).ravel()
        if thing.behaviour == DUCKIEBOT:
            row[[FOLLOW, SPEED, GAIN, TRIM]] = BOT_FOLLOW, BOT_SPEED, BOT_GAIN, 0.0
            row[[RADIUS, AXLE, WIDTH, LENGTH]] = WHEEL_RADIUS, WHEEL_DISTANCE, ROBOT_WIDTH, ROBOT_LENGTH
        elif thing.behaviour == DUCKIE:
            row[[PACE, WAIT, START_X, START_Z]] = DUCKIE_PACE, DUCKIE_WAIT, thing.pos[0], thing.pos[2]
            row[[HEADING_X, HEADING_Z]] = math.cos(thing.angle), -math.sin(thing.angle)
        elif thing.behaviour == CHECKERBOARD:
            row[[PHASE, HOME_X, HOME_Z]] = -20, thing.pos[0], thing.pos[2]
        else:
            row[PERIOD] = LIGHT_PERIOD
        rows.append(row)
    return np.array(rows).reshape(-1, FIELDS)


def draw(rows: FloatArray, rng: np.random.RandomState, domain_rand: bool) -> None:
    """Draw what upstream draws when it makes the objects, in place and in its order."""
    for row in rows:
        behaviour = row[BEHAVIOUR]
        if domain_rand and behaviour == DUCKIEBOT:
            row[FOLLOW] = rng.uniform(0.3, 0.4)
            row[SPEED] = rng.uniform(0.05, 0.15)
            row[GAIN] = BOT_GAIN + rng.uniform(-0.3, 0.3)
            row[TRIM] = rng.uniform(-0.1, 0.1) + BOT_RANDOM_TRIM
            row[RADIUS] = WHEEL_RADIUS + 0.0002 * rng.uniform(-1, 1)
            row[AXLE] = WHEEL_DISTANCE + 0.01 * rng.uniform(-1, 1)
            row[WIDTH] = ROBOT_WIDTH + 0.01 * rng.uniform(-1, 1)
            row[LENGTH] = ROBOT_LENGTH + 0.01 * rng.uniform(-1, 1)
        elif domain_rand and behaviour == TRAFFICLIGHT:
            row[PERIOD] = rng.randint(4, 7)
            row[PATTERN] = rng.randint(0, 2)
        elif behaviour in (DUCKIE, CHECKERBOARD):
            if domain_rand and behaviour == DUCKIE:
                row[WAIT], row[PACE] = rng.randint(3, 20), abs(rng.normal(0.02, 0.005))
            wiggle = np.pi / rng.choice([14, 15, 16], 1)[0]
            if behaviour == DUCKIE:
                row[WIGGLE] = wiggle


def draw_walks(rng: np.random.RandomState, count: int) -> FloatArray:
    """The pace [m a step] and wait [s] after each of the next walks of an episode, (count, 2)."""
    return np.array([(abs(rng.normal(0.02, 0.005)), rng.randint(3, 20)) for _ in range(count)]).reshape(
        -1, 2
    )


@njit
def step_objects(rows: FloatArray, lanes: Lanes, walks: FloatArray, used: int) -> int:
    """Move all objects of one car's world by one step, in place.

    Args:
        rows: (D, FIELDS).
        walks: (E, 2) from `draw_walks` under domain randomisation, else (0, 2).
        used: how many walks are used up.
    Returns:
        How many walks are used up now.
    """
    for k in range(len(rows)):
        row = rows[k]
        row[TIME] += STEP_TIME
        if row[BEHAVIOUR] == DUCKIEBOT:
            _step_duckiebot(row, lanes)
        elif row[BEHAVIOUR] == DUCKIE:
            if _step_duckie(row, lanes.tile_size):
                if len(walks) > 0:
                    row[PACE] = -math.copysign(walks[used, 0], row[PACE])
                    row[WAIT] = walks[used, 1]
                    used += 1
                else:
                    row[PACE], row[WAIT] = -row[PACE], DUCKIE_WAIT
        elif row[BEHAVIOUR] == CHECKERBOARD:
            _step_checkerboard(row)
        elif abs(row[TIME] - row[PERIOD] * round(row[TIME] / row[PERIOD])) < 0.0005:
            row[PATTERN] = 1.0 - row[PATTERN]
    return used


@njit
def _step_duckiebot(row: FloatArray, lanes: Lanes) -> None:
    """Steer for a point on the lane ahead; stand still where there is no lane (upstream raises there)."""
    x, z, angle = row[X], row[Z], row[ANGLE]
    found, px, pz, tx, tz = closest_curve_point(lanes, x, z, angle)
    if not found:
        return
    found, ahead, cx, cz = False, row[FOLLOW], 0.0, 0.0
    for _ in range(LOOKUPS):
        found, cx, cz, _tx, _tz = closest_curve_point(lanes, px + tx * ahead, pz + tz * ahead, angle)
        if found:
            break
        ahead *= 0.5
    if not found:
        return
    dx, dz = cx - x, cz - z
    norm = math.sqrt(dx * dx + dz * dz)
    c, s = math.cos(angle), math.sin(angle)
    steering = row[GAIN] * -((s * dx + c * dz) / norm)
    right = (row[SPEED] + 0.5 * steering * row[AXLE]) / row[RADIUS]
    left = (row[SPEED] - 0.5 * steering * row[AXLE]) / row[RADIUS]
    right = max(min(right * ((row[GAIN] + row[TRIM]) / MOTOR_CONSTANT), DUTY_LIMIT), -DUTY_LIMIT)
    left = max(min(left * ((row[GAIN] - row[TRIM]) / MOTOR_CONSTANT), DUTY_LIMIT), -DUTY_LIMIT)
    if left == right:
        row[X] = x + STEP_TIME * left * c
        row[Z] = z - STEP_TIME * left * s
        return
    turn = (right - left) / row[AXLE] * STEP_TIME
    r = row[AXLE] * (left + right) / (2 * (left - right))
    mx, mz = x + r * s, z + r * c
    ex, ez = x - mx, z - mz
    row[X] = mx + (ex * math.cos(turn) + ez * math.sin(turn))
    row[Z] = mz + (ez * math.cos(turn) - ex * math.sin(turn))
    row[ANGLE] += turn
    row[YAW] += turn
    corners = row[CORNERS:AXES].reshape(4, 2)
    oriented_box(row[X], row[Z], row[ANGLE], row[WIDTH], row[LENGTH], corners)


@njit
def _step_duckie(row: FloatArray, walk_distance: float) -> bool:
    """Wait, then walk across; whether the walk ended with this step."""
    if row[WALKING] == 0.0:
        row[WAIT] -= STEP_TIME
        if row[WAIT] <= 0:
            row[WALKING] = 1.0
        return False
    dx, dz = row[HEADING_X] * row[PACE], row[HEADING_Z] * row[PACE]
    row[X] += dx
    row[Z] += dz
    for k in range(4):
        row[CORNERS + 2 * k] += dx
        row[CORNERS + 2 * k + 1] += dz
    ex, ez = row[X] - row[START_X], row[Z] - row[START_Z]
    ended = math.sqrt(ex * ex + ez * ez) > walk_distance
    if ended:
        row[START_X], row[START_Z] = row[X], row[Z]
        row[ANGLE] += math.pi
        row[WALKING] = 0.0
    row[YAW] = row[ANGLE] + row[WIGGLE] * math.sin(WIGGLE_RATE * row[TIME])
    return ended


@njit
def _step_checkerboard(row: FloatArray) -> None:
    """Go through the motions that a camera is calibrated with; its box stays behind, as upstream's."""
    phase = row[PHASE]
    if phase >= 420:
        row[X], row[Y], row[Z], row[PHASE] = row[HOME_X], row[HOME_Y], row[HOME_Z], -20
        return
    if 0 <= phase < 40 or 135 <= phase < 170 or 385 <= phase < 420:
        row[X] += BOARD_STEP
    elif 40 <= phase < 135 or 330 <= phase < 355:
        row[X] -= BOARD_STEP
    elif 170 <= phase < 200 or 260 <= phase < 290:
        row[Z] += BOARD_STEP
    elif 200 <= phase < 260:
        row[Z] -= BOARD_STEP
    elif 290 <= phase < 310 or 370 <= phase < 385:
        row[Y] += BOARD_STEP
    elif 310 <= phase < 330 or 355 <= phase < 370:
        row[Y] -= BOARD_STEP
    row[PHASE] += 2


@njit
def hits_moving_objects(rows: FloatArray, robot: FloatArray, heading: float) -> bool:
    """Whether a car's box (4, 2) touches an object that moves."""
    for k in range(len(rows)):
        if rows[k, BEHAVIOUR] != TRAFFICLIGHT and boxes_touch(
            robot,
            heading,
            rows[k, CORNERS:AXES].reshape(4, 2),
            rows[k, AXES:OWN].reshape(2, 2),
        ):
            return True
    return False


@njit
def moving_objects_penalty(rows: FloatArray, x: float, z: float) -> float:
    """How far the safety circle around a car's middle reaches into those of moving objects, 0 or less."""
    total = 0.0
    for k in range(len(rows)):
        if rows[k, BEHAVIOUR] != TRAFFICLIGHT:
            dx, dz = rows[k, X] - x, rows[k, Z] - z
            distance = math.sqrt(dx * dx + rows[k, Y] * rows[k, Y] + dz * dz)
            total += min(0.0, distance - ROBOT_SAFETY_RADIUS - rows[k, SAFETY])
    return total


def moving_poses(objects: FloatArray) -> FloatArray:
    """Of all cars' objects (N, D, FIELDS) those that move: (N, M, 4) x, y, z [m], yaw [rad]."""
    if not objects.shape[1]:
        return np.zeros((len(objects), 0, 4))
    moving = objects[0, :, BEHAVIOUR] != TRAFFICLIGHT
    return np.ascontiguousarray(objects[:, moving][:, :, [X, Y, Z, YAW]])


def light_patterns(objects: FloatArray) -> npt.NDArray[np.int8]:
    """Of all cars' objects (N, D, FIELDS) the traffic lights' patterns, (N, S) 0 or 1."""
    if not objects.shape[1]:
        return np.zeros((len(objects), 0), dtype=np.int8)
    lights = objects[0, :, BEHAVIOUR] == TRAFFICLIGHT
    return objects[:, lights][:, :, PATTERN].astype(np.int8)
