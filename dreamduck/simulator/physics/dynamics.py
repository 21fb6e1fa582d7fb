"""Dynamics of a car: wheels, inertia and delay of a Duckiebot DB18.

Upstream's model (duckietown_world, nominal DB18 with 0.15 s of delay): forward
Euler for the speeds, the exact motion along an arc for the pose, in a right-handed frame with y up."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.compiled import njit
from dreamduck.common.seeding import generator
from dreamduck.simulator.base import SIMULATION_RATE, FloatArray
from dreamduck.simulator.robot import (
    ANGULAR_DRAG,
    ANGULAR_GAIN,
    DELAY,
    DUTY_LIMIT,
    LINEAR_DRAG,
    LINEAR_GAIN,
    MOTOR_CONSTANT,
    WHEEL_DISTANCE,
    WHEEL_RADIUS,
)

STEP_TIME = 1.0 / SIMULATION_RATE  # [s]
COMMANDS_KEPT = 8  # the longest delay is seven and a half steps
NO_COMMAND = -1
TINY_TURN = 1e-8  # [rad] below it a step is straight
DELAYS = (0.05, 0.1, DELAY, 0.2, 0.25)  # [s] that are drawn
GAIN_SPREAD, TRIM_SPREAD, DISTANCE_SPREAD = 0.2, 0.1, 0.1  # share of 1; share of the gain; share of itself
RANDOM_STREAM = 1  # of an episode's seed, apart from all that upstream draws


class Dynamics(NamedTuple):
    """The parameters of a car's motion that differ between cars.

    Attributes:
        gain: both motors turn so many times as fast.
        trim: added to the gain of the right motor and taken from that of the left.
        delay: [s] from command to motor, one of DELAYS.
        wheel_distance: [m] that steering is computed with.
    """

    gain: float
    trim: float
    delay: float
    wheel_distance: float


NOMINAL = Dynamics(1.0, 0.0, DELAY, WHEEL_DISTANCE)


def draw_dynamics(seed: int, spread: float = 1.0) -> Dynamics:
    """The dynamics of the episode of this seed, where they are random.

    Args:
        seed: of the episode.
        spread: gain, trim and wheel distance differ from the usual ones up to so many times as much.
    """
    rng = generator(seed, RANDOM_STREAM)
    gain, trim, distance = rng.uniform(-spread, spread, 3) * (GAIN_SPREAD, TRIM_SPREAD, DISTANCE_SPREAD)
    delay = DELAYS[int(rng.integers(len(DELAYS)))]
    return Dynamics(1.0 + float(gain), float(trim), delay, WHEEL_DISTANCE * (1.0 + float(distance)))


def command_ages(steps: int, delay: float = DELAY) -> npt.NDArray[np.int8]:
    """How many steps old the command is that the motors follow, for each step from the reset on.

    The usual delay of 0.15 s is four and a half steps: upstream takes the command nearest in time, and
    which of the two that is hangs on the rounding of its sum of time steps, which is repeated here.

    Args:
        steps: how many.
        delay: [s].
    Returns:
        (steps,) int8; NO_COMMAND while none has arrived.
    """
    given = np.concatenate([[0.0], np.cumsum(np.full(steps, STEP_TIME))])  # sums in sequence, as upstream
    wanted = given[1:] - delay
    newest = np.arange(steps)
    after = np.searchsorted(given[:steps], wanted, side="left")
    before = np.maximum(after - 1, 0)
    nearer = np.abs(wanted - given[before]) < np.abs(wanted - given[after])
    chosen = np.where((after > 0) & nearer, before, after)
    return np.where(wanted < 0.0, NO_COMMAND, newest - chosen).astype(np.int8)


@njit
def wheel_duties(
    throttle: float, steering: float, wheel_distance: float, gain: float, trim: float
) -> tuple[float, float]:
    """The duty cycles (left, right) of the motors in [-1, 1] for an action, as upstream's DuckietownEnv."""
    right = (throttle + 0.5 * steering * wheel_distance) / WHEEL_RADIUS * ((gain + trim) / MOTOR_CONSTANT)
    left = (throttle - 0.5 * steering * wheel_distance) / WHEEL_RADIUS * ((gain - trim) / MOTOR_CONSTANT)
    return (
        max(min(left, DUTY_LIMIT), -DUTY_LIMIT),
        max(min(right, DUTY_LIMIT), -DUTY_LIMIT),
    )


def action_of_duties(duties: FloatArray) -> FloatArray:
    """The action for which a nominal car's motors get these duty cycles: the inverse of `wheel_duties`.

    Args:
        duties: (N, 2), left and right.
    Returns:
        (N, 2) throttle and steering, as `Simulator.step` takes them: neither clipped, nor with a
        `steering_gain`.
    """
    left, right = np.asarray(duties, np.float64).T
    metres = WHEEL_RADIUS * MOTOR_CONSTANT  # a wheel at full duty moves so many a second
    return np.stack([(right + left) / 2 * metres, (right - left) * metres / WHEEL_DISTANCE], axis=1)


@njit
def integrate(frame: FloatArray, velocity: FloatArray, left: float, right: float) -> None:
    """Move a car by one step, in place.

    Args:
        frame: (4,) cosine and sine of the heading, x, y [m] in the right-handed frame.
        velocity: (2,) forward [m/s], turning [rad/s].
        left: duty cycles in [-1, 1].
        right: likewise.
    """
    velocity[0] += STEP_TIME * (-LINEAR_DRAG * velocity[0] + (LINEAR_GAIN * right + LINEAR_GAIN * left))
    velocity[1] += STEP_TIME * (-ANGULAR_DRAG * velocity[1] + (ANGULAR_GAIN * right - ANGULAR_GAIN * left))
    ahead, turn = STEP_TIME * velocity[0], STEP_TIME * velocity[1]
    cos, sin, along, aside = 1.0, 0.0, ahead, 0.0
    if abs(turn) >= TINY_TURN:
        cos, sin = math.cos(turn), math.sin(turn)
        along, aside = sin / turn * ahead, (1 - cos) / turn * ahead
    c, s = frame[0], frame[1]
    frame[2] += c * along - s * aside
    frame[3] += s * along + c * aside
    frame[0] = c * cos - s * sin
    frame[1] = s * cos + c * sin


@njit
def heading_of(frame: FloatArray) -> float:
    """The heading [rad] in [-pi, pi) of a frame."""
    angle = math.atan2(frame[1], frame[0])
    return -math.pi if angle == math.pi else angle
