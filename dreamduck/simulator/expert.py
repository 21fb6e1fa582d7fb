"""The expert: pure pursuit of the lane with the true pose, for many cars at once.

It steers for a point on the lane ahead of the car
and slows down for curves and where the road ends. At crossings it follows the lane that upstream's geometry
picks for the heading: straight on where there is a way straight on, otherwise the left turn. It knows the
map but not where other cars and ducks are. Source: Coulter, "Implementation of the Pure Pursuit Path
Tracking Algorithm", 1992."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.config import check, option
from dreamduck.common.kernels.compiled import njit
from dreamduck.simulator.base import CarState, FloatArray
from dreamduck.simulator.maps.lanes import Lanes, choose_curve, map_lanes, tile_index
from dreamduck.simulator.maps.map import Map
from dreamduck.simulator.physics.collisions import Boxes, hits_static, on_road, robot_box, static_boxes
from dreamduck.simulator.robot import ANGULAR_DRAG, DELAY, LINEAR_DRAG

SAMPLES = 33  # points on each curve
JOINT = 0.05  # [tile sizes] by which the ends of two curves may miss each other
SPEED_PER_THROTTLE = 0.6988  # [m/s] at rest after a while, see docs/simulator.md
TURN_PER_STEERING = 0.4456  # [rad/s] likewise, before the steering gain
# Manoeuvres tried in turn until the way is free: metres left of the lane's centre, share of the speed.
TRIES = (
    (0.0, 1.0),
    (0.08, 1.0),
    (-0.04, 1.0),
    (0.16, 0.8),
    (0.24, 0.6),
    (0.0, 0.5),
    (0.0, 0.0),
    (0.0, -1.0),
)
CREEP = 0.1  # [m/s] backwards
STANDING = 0.02  # [m/s] slower than this the road has ended, and it turns about
HARD_TURN = 1.2  # [rad/s] when it must go slower than it would like
LOOKAHEAD_TIME, LOOKAHEAD_STEPS = 0.1, 10  # [s]
MARGIN = 1.05  # the car counts as larger by this factor
DEAD_END = 0.22  # [m] before the end of the road where the car stands still


@dataclasses.dataclass(frozen=True)
class ExpertConfig:
    """How the expert drives."""

    speed: float = option(0.40, "speed on straight road", unit="m/s", above=0.0, high=0.55)
    turn_rate: float = option(0.95, "highest yaw rate it plans for", unit="rad/s", above=0.0)
    reach: float = option(0.16, "distance of the point it steers for, at rest", unit="m", above=0.0)
    reach_time: float = option(0.25, "times the speed, added to the reach", unit="s", low=0.0)
    latency: float = option(0.25, "it plans from where it will be after this time", unit="s", low=0.0)
    braking: float = option(0.5, "it slows down no harder than this", unit="m/s^2", above=0.0)
    steering_gain: float = option(3.14, "steering gain of the environment", above=0.0)

    def __post_init__(self) -> None:
        check(self)


class Routes(NamedTuple):
    """The lanes as the expert follows them: C curves of SAMPLES points.

    Attributes:
        points: (C, SAMPLES, 2) x, z [m].
        along: (C, SAMPLES) [m] from the curve's beginning.
        limit: (C, SAMPLES) [m/s] the speed that the bend allows.
        after: (C,) the next curve, -1: none.
    """

    points: FloatArray
    along: FloatArray
    limit: FloatArray
    after: npt.NDArray[np.int64]


def make_routes(lanes: Lanes, config: ExpertConfig) -> Routes:
    """Compute the routes of a map."""
    t = np.linspace(0.0, 1.0, SAMPLES)[:, None]
    weights = np.concatenate([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1)
    points = np.einsum("sk,ckx->csx", weights, lanes.points)
    steps = np.linalg.norm(np.diff(points, axis=1), axis=2)
    along = np.concatenate([np.zeros((len(points), 1)), np.cumsum(steps, axis=1)], axis=1)
    after = np.array([_next_curve(lanes, points[curve]) for curve in range(len(points))], dtype=np.int64)
    bends = np.array([_bends(along[curve], points[curve], config.reach) for curve in range(len(points))])
    limit = np.minimum(config.speed, config.turn_rate / np.maximum(bends, 1e-6))
    return Routes(points, along, limit.reshape(along.shape), after)


def _next_curve(lanes: Lanes, points: FloatArray) -> int:
    """The curve that continues the points (SAMPLES, 2) of another; the straightest one."""
    end, direction = points[-1], points[-1] - points[-2]
    beyond = end + 0.02 * lanes.tile_size * direction / np.linalg.norm(direction)
    tile = tile_index(lanes, *beyond)
    if tile < 0:
        return -1
    curves = np.arange(lanes.first[tile], lanes.first[tile] + lanes.number[tile])
    gaps = np.linalg.norm(lanes.points[curves, 0] - end, axis=1)
    joined = curves[gaps < JOINT * lanes.tile_size]
    fits = lanes.chords[joined] @ direction
    return int(joined[np.argmax(fits)]) if len(joined) else -1


def _bends(along: FloatArray, points: FloatArray, window: float) -> FloatArray:
    """The curvature [1/m] at each sample, averaged over `window` [m]: a pursuer cuts sharper bends."""
    directions = np.unwrap(np.arctan2(*np.gradient(points, axis=0).T))
    low = np.interp(along - window / 2, along, directions)
    high = np.interp(along + window / 2, along, directions)
    return np.asarray(np.abs(high - low) / window)


class Expert:
    """Drives cars on one map.

    Args:
        map: where it drives.
        config: how it drives.
    """

    def __init__(self, map: Map, config: ExpertConfig | None = None) -> None:
        self.config = config or ExpertConfig()
        self._lanes = map_lanes(map)
        self._boxes = static_boxes(map)
        self._routes = make_routes(self._lanes, self.config)

    def __call__(self, state: CarState) -> FloatArray:
        """The actions (N, 2), throttle and steering in [-1, 1], for N cars as they are."""
        actions = np.zeros((len(state.pose), 2))
        c = self.config
        settings = (c.reach, c.reach_time, c.latency, c.braking, c.turn_rate)
        _pursue(
            self._lanes, self._boxes, self._routes, state.pose, state.speed, np.array(settings), actions
        )
        actions[:, 0] /= SPEED_PER_THROTTLE
        actions[:, 1] /= TURN_PER_STEERING * self.config.steering_gain
        return np.clip(actions, -1.0, 1.0)


@njit
def _pursue(
    lanes: Lanes,
    boxes: Boxes,
    routes: Routes,
    poses: FloatArray,
    speeds: FloatArray,
    settings: FloatArray,
    out: FloatArray,
) -> None:
    """Write speed [m/s] and yaw rate [rad/s] that each car should take; zeros where there is no lane."""
    reach, reach_time, latency, braking, turn_rate = settings
    for car in range(len(poses)):
        speed, heading = speeds[car], poses[car, 2]
        tile = tile_index(lanes, poses[car, 0], poses[car, 1])
        if tile < 0:
            continue
        x = poses[car, 0] + latency * speed * math.cos(heading)
        z = poses[car, 1] - latency * speed * math.sin(heading)
        curve, start = _locate(routes, choose_curve(lanes, tile, heading), x, z)
        wanted = _allowed_speed(routes, curve, start, braking)
        distance = start + reach + reach_time * speed
        best = -1
        for offset, share in TRIES:
            dx, dz = _point_ahead(routes, curve, distance, offset)
            dx, dz = dx - x, dz - z
            c, s = math.cos(heading), math.sin(heading)
            ahead, left = dx * c - dz * s, -dx * s - dz * c
            bend = 2.0 * left / (dx * dx + dz * dz)
            forward = share * min(wanted, turn_rate / max(abs(bend), 1e-6))
            turn = bend * max(speed, forward)
            if share <= 0.0 or ahead <= 0.0:
                forward = min(forward, 0.0) - (CREEP if share < 0.0 else 0.0)
                turn = min(max(HARD_TURN * math.atan2(left, ahead), -HARD_TURN), HARD_TURN)
            if wanted < STANDING:
                forward, turn = 0.0, HARD_TURN
            lasts = _safe_steps(lanes, boxes, poses[car], speed, forward, turn)
            if lasts > best:
                best, out[car, 0], out[car, 1] = lasts, forward, turn
            if lasts == LOOKAHEAD_STEPS:
                break


@njit
def _safe_steps(
    lanes: Lanes, boxes: Boxes, pose: FloatArray, speed: float, forward: float, turn: float
) -> int:
    """How many steps a car that is commanded so, with its delay, stays on the road and free."""
    x, z, heading = pose
    for k in range(LOOKAHEAD_STEPS):
        since = max((k + 1) * LOOKAHEAD_TIME - DELAY, 0.0)
        v = forward + (speed - forward) * math.exp(-LINEAR_DRAG * since)
        heading += LOOKAHEAD_TIME * turn * (1 - math.exp(-ANGULAR_DRAG * since))
        x += LOOKAHEAD_TIME * v * math.cos(heading)
        z -= LOOKAHEAD_TIME * v * math.sin(heading)
        if not on_road(lanes, x, z, heading, MARGIN):
            return k
        if hits_static(boxes, robot_box(x, z, heading), heading):
            return k
    return LOOKAHEAD_STEPS


@njit
def _locate(routes: Routes, curve: int, x: float, z: float) -> tuple[int, float]:
    """The curve, or the one after it, and how far along it [m] its point nearest to (x, z) is."""
    best, found, place = math.inf, curve, 0.0
    for candidate in (curve, routes.after[curve]):
        if candidate < 0:
            continue
        for k in range(SAMPLES):
            dx, dz = routes.points[candidate, k, 0] - x, routes.points[candidate, k, 1] - z
            if dx * dx + dz * dz < best:
                best, found, place = dx * dx + dz * dz, candidate, routes.along[candidate, k]
    return found, place


@njit
def _allowed_speed(routes: Routes, curve: int, start: float, braking: float) -> float:
    """The speed [m/s] now from which all that lies ahead can still be taken."""
    allowed, passed = math.inf, -start
    for _ in range(3):
        for k in range(SAMPLES):
            distance = passed + routes.along[curve, k]
            if distance >= -0.02:
                limit = routes.limit[curve, k]
                allowed = min(allowed, math.sqrt(limit * limit + 2 * braking * max(distance, 0.0)))
        passed += routes.along[curve, SAMPLES - 1]
        curve = routes.after[curve]
        if curve < 0:
            return min(allowed, math.sqrt(2 * braking * max(passed - DEAD_END, 0.0)))
    return allowed


@njit
def _point_ahead(routes: Routes, curve: int, distance: float, offset: float) -> tuple[float, float]:
    """The point that is `distance` [m] along the route and `offset` [m] left; straight on where it ends."""
    last = SAMPLES - 1
    while distance > routes.along[curve, last] and routes.after[curve] >= 0:
        distance -= routes.along[curve, last]
        curve = routes.after[curve]
    k = min(max(int(np.searchsorted(routes.along[curve], distance)), 1), last)
    ax, az = routes.points[curve, k - 1, 0], routes.points[curve, k - 1, 1]
    length = routes.along[curve, k] - routes.along[curve, k - 1]
    ux, uz = (routes.points[curve, k, 0] - ax) / length, (routes.points[curve, k, 1] - az) / length
    distance -= routes.along[curve, k - 1]
    return ax + distance * ux + offset * uz, az + distance * uz - offset * ux
