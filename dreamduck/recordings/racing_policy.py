"""A behaviour policy for `CarRacing`: it follows the road in the frame, with errors in each episode.

The errors are smooth random walks of the action, so that recordings show the road from its middle, from its
sides and from the grass. At random times the car forgets the road and keeps one random action: from these
moments dynamics learn what an action does, where else it would only tell how the road goes on. The car's
speed is in no frame; it is estimated from the gas and the brake.
Constants were fitted to `CarRacing-v3` with a frame skip of 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Frame = npt.NDArray[np.uint8]

CAR_ROW, CAR_COLUMN = 50, 31.5  # [pixels] of the point before the car, in a frame of 64 x 64
GREY, CONTRAST = (85, 125), 14  # levels of the road; most between a pixel's channels
WIDTH = 9  # [pixels] to the side within which the road continues in the next row

LOOKAHEAD = (10, 0.2)  # [pixels] to the point that is steered to; and for each unit of speed
STEERING = 1.3  # for each radian to that point
FAR = 36  # [pixels] to the point that shows a bend
BEND = (0.4, 1.3)  # share of the speed that each radian to that point takes away; the least is too quick
SLOW, LOST = 30.0, 12.0  # speed in a bend; speed where no road is seen
TOP = (45.0, 100.0)  # speed on a straight road
GAS, BRAKE = 400.0, 32.0  # gain of the squared speed by gas; loss of speed by brake, each in a step
HELD = 0.995  # share of the speed that a step keeps

TIME_CONSTANT = (2.0, 10.0)  # [steps] after which an error has decayed to 1/e
ERROR = np.array([0.35, 0.2, 0.1])  # standard deviations of steering, gas, brake in the worst episodes

FORGETS = (0.0, 0.06)  # share of the steps at which the car forgets the road, by the episode
FORGOTTEN = (3, 20)  # [steps] for which it does
BEYOND = 1.5  # random actions go beyond their bounds by this factor, and are cut off


def road_ahead(frame: Frame) -> FloatArray:
    """The middle of the road, from the car upwards, for as long as the rows show it.

    Args:
        frame: (64, 64, 3), without the instruments.
    Returns:
        (R, 2), how far ahead and how far to the right of the car [pixels]; R is 0 where no road is seen.
    """
    levels = frame.astype(np.int16)
    mean, contrast = levels.mean(axis=2), levels.max(axis=2) - levels.min(axis=2)
    road = (contrast <= CONTRAST) & (mean >= GREY[0]) & (mean <= GREY[1])
    found: list[tuple[float, float]] = []
    centre = CAR_COLUMN
    for row in range(CAR_ROW, -1, -1):
        columns = np.flatnonzero(road[row])
        near = columns[np.abs(columns - centre) <= WIDTH] if found else columns
        if len(near):
            centre = float(near.mean())
            found.append((CAR_ROW - row, centre - CAR_COLUMN))
        elif found:
            break
    return np.array(found, np.float32).reshape(-1, 2)


class RoadFollower:
    """Steers to a point of the road ahead, and is slower where it bends.

    Args:
        top: speed on a straight road.
        bend: share of the speed that is taken away for each radian to the far point.
    """

    def __init__(self, top: float, bend: float) -> None:
        self._top, self._bend, self._speed, self._side = top, bend, 0.0, 0.0

    def act(self, frame: Frame) -> FloatArray:
        """Steering in [-1, 1], gas and brake in [0, 1]."""
        points, speed = road_ahead(frame), self._speed
        wanted, steering = LOST, self._side  # turns to where the road was last
        if len(points):
            near = points[np.searchsorted(points[:-1, 0], LOOKAHEAD[0] + LOOKAHEAD[1] * speed)]
            far = points[np.searchsorted(points[:-1, 0], FAR)]
            angle, bend = (np.arctan2(aside, ahead + 3) for ahead, aside in (near, far))
            steering, self._side = STEERING * angle, 0.5 * np.sign(angle)
            wanted = max(SLOW, self._top * (1 - self._bend * abs(bend)))
        gas = np.clip((wanted**2 - speed**2) / GAS, 0, 1)
        brake = np.clip((speed - wanted - 3) / BRAKE, 0, 0.8)
        return np.array([steering, gas, brake], np.float32)

    def moved(self, gas: float, brake: float) -> None:
        """Estimate the speed after a step."""
        self._speed = HELD * max(0.0, np.sqrt(self._speed**2 + GAS * gas) - BRAKE * brake)


def racing(action_space: Any, seed: int) -> Callable[[Any], FloatArray]:
    """A policy for one episode.

    Args:
        action_space: of the environment: steering in [-1, 1], gas and brake in [0, 1].
        seed: of its random numbers.
    Returns:
        The action for a frame.
    """
    random = np.random.default_rng(seed)
    follower = RoadFollower(random.uniform(*TOP), random.uniform(*BEND))
    keep = float(np.exp(-1 / random.uniform(*TIME_CONSTANT)))
    spread = ERROR * random.uniform()
    error = random.normal(0.0, spread)
    forgets, left = random.uniform(*FORGETS), 0
    wild = error

    def act(frame: Any) -> FloatArray:
        nonlocal error, left, wild
        if not left and random.uniform() < forgets:
            left = int(random.integers(*FORGOTTEN))
            wild = random.uniform(-BEYOND, BEYOND, 3) * np.array([1, 1, random.integers(2)])
        wanted = wild if left else follower.act(frame) + error
        left -= left > 0
        action = np.clip(wanted, action_space.low, action_space.high)
        follower.moved(*action[1:])
        error = keep * error + random.normal(0.0, spread) * np.sqrt(1 - keep**2)
        return action.astype(np.float32)

    return act
