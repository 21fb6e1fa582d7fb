"""The protocol of a simulator: N cars, arrays in and out.

Two classes have it: `native` (our own core, many cars
a call) and `gym-duckietown` (the reference, one car a process). A simulator knows Duckietown's
own physics, reward and end; our own reward is computed in `road`."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from dreamduck.common.config import check, option
from dreamduck.common.errors import ConfigError, StartError

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
Frames = npt.NDArray[np.uint8]

SIMULATORS = ("native", "gym-duckietown")
SIMULATION_RATE = 30.0  # steps of physics a second, upstream's frame_rate
INVALID_POSE_REWARD = -1000.0  # upstream's reward at an end
START_TRIES = 5000  # poses that are tried on one tile
START_TILES = 10  # drawn one after the other; upstream puts the car at (1, 1) after the first, road or not

END_NONE, END_OFF_ROAD, END_COLLISION = 0, 1, 2
ENDS = ("", "off-road", "collision")  # by code


@dataclasses.dataclass(frozen=True)
class SimulatorConfig:
    """Settings of a simulator; `make`, the classes and the flags have the same names."""

    map_name: str = option(
        "loop_empty", "Duckietown map: its name, a path to a .yaml file, or generated:N with a number N"
    )
    domain_rand: bool = option(False, "draw light, colours, camera and wheels at random at every reset")
    dynamics_rand: bool = option(
        False,
        "draw the motors' gain, trim and delay and the distance of the wheels at random at every reset",
    )
    distortion: bool = option(False, "distort the image as the Duckiebot's fish-eye lens does")
    frame_skip: int = option(
        3, "steps of physics for each step of the world", unit="1/30 s", low=1, high=900
    )
    start_angle: float = option(
        60.0,
        "largest angle of drawn starts to the lane; 60 is gym-duckietown's, 4 that of "
        "the AI Driving Olympics",
        unit="degrees",
        low=1.0,
        high=180.0,
    )
    camera_width: int = option(64, "width of the camera's image", unit="pixels", low=8, high=1920)
    camera_height: int = option(64, "height of the camera's image", unit="pixels", low=8, high=1080)

    def __post_init__(self) -> None:
        if isinstance(self.map_name, os.PathLike):
            object.__setattr__(self, "map_name", os.fspath(self.map_name))
        check(self)
        if not self.map_name:
            raise ConfigError("map_name: expected a map's name, got ''")

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(H, W, 3) of a camera's frame."""
        return self.camera_height, self.camera_width, 3


class Variation(NamedTuple):
    """The settings that may differ from one episode to the next; see `SimulatorConfig`."""

    domain_rand: bool
    distortion: bool
    dynamics_rand: bool


def wrapped(angle: float) -> float:
    """The same direction as an angle [rad] in [-pi, pi); one that is in there is not changed at all."""
    if -math.pi <= angle < math.pi:
        return float(angle)
    turned = math.remainder(angle, math.tau)
    return -math.pi if turned == math.pi else turned


def no_start(map_name: str, start_angle: float) -> StartError:
    """The error where no start was found on the tiles that were drawn."""
    return StartError(
        f"start: expected free road within {start_angle:g} degrees of the lane's direction on {map_name}, "
        f"found none in {START_TILES} times {START_TRIES} tries; give a start, raise start_angle, or take "
        "objects off the road"
    )


def check_reset(
    config: SimulatorConfig,
    num_cars: int,
    seeds: Sequence[int],
    starts: FloatArray | None,
    cars: npt.NDArray[np.int64] | None,
    variations: Sequence[Variation] | None,
) -> tuple[npt.NDArray[np.int64], FloatArray, Sequence[Variation]]:
    """Check the arguments of a reset before anything changes; see `Simulator.reset`.

    Args:
        config: of the simulator.
        num_cars: N, likewise.
        seeds: as given.
        starts: likewise.
        cars: likewise.
        variations: likewise.
    Returns:
        The indices (n,) of the cars to reset, their starts (n, 3), nan where one is to be drawn, and n
        variations.
    Raises:
        ConfigError: seeds, cars or variations do not fit.
        StartError: a start is of another shape, or neither finite nor all nan.
    """
    chosen = np.arange(num_cars) if cars is None else np.asarray(cars, dtype=np.int64)
    if chosen.ndim != 1 or ((chosen < 0) | (chosen >= num_cars)).any():
        raise ConfigError(f"cars: expected indices from 0 to {num_cars - 1}, got {chosen.tolist()}")
    count = len(chosen)
    if len(set(chosen.tolist())) != count:
        raise ConfigError(f"cars: expected each index once, got {chosen.tolist()}")
    if len(seeds) != count:
        raise ConfigError(f"seeds: expected {count}, one for each car, got {len(seeds)}")
    for seed in seeds:
        if not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ConfigError(f"seeds: expected integers of at least 0, got {seed!r}")
    poses = np.full((count, 3), np.nan) if starts is None else np.array(starts, dtype=np.float64)
    if poses.shape != (count, 3):
        raise StartError(f"start: expected shape {(count, 3)} (x, z, heading), got {poses.shape}")
    given = poses[~np.isnan(poses).all(axis=1)]
    if not np.isfinite(given).all():
        raise StartError(f"start: expected finite numbers (x, z, heading), got {given.tolist()}")
    if variations is None:
        variations = [Variation(config.domain_rand, config.distortion, config.dynamics_rand)] * count
    elif len(variations) != count:
        raise ConfigError(f"variations: expected {count}, one for each car, got {len(variations)}")
    return chosen, poses, variations


@dataclasses.dataclass(frozen=True)
class CarState:
    """The state of N cars after a reset or a step; every array has N rows.

    Attributes:
        pose: (N, 3) float64, x [m], z [m], heading [rad] in [-pi, pi); upstream's coordinates:
            heading 0 along +x, direction (cos, -sin) in (x, z).
        speed: (N,) float64 [m/s], upstream's `speed`.
        lane_dist: (N,) float64 [m], offset from the centre of the right-hand lane with upstream's
            sign; nan where there is no lane below the car.
        lane_angle: (N,) float64 [rad] in [-pi, pi], heading relative to the lane, upstream's sign;
            nan likewise.
        lane_tangent: (N, 2) float64, unit direction of the lane in (x, z); nan likewise.
        tile: (N, 2) int64, (i, j).
        simulator_reward: (N,) float64, upstream's own reward of this step (0 after a reset).
        proximity_penalty: (N,) float64, upstream's, 0 or less.
        end: (N,) int8, one of END_NONE, END_OFF_ROAD, END_COLLISION.
    """

    pose: FloatArray
    speed: FloatArray
    lane_dist: FloatArray
    lane_angle: FloatArray
    lane_tangent: FloatArray
    tile: npt.NDArray[np.int64]
    simulator_reward: FloatArray
    proximity_penalty: FloatArray
    end: npt.NDArray[np.int8]


class Simulator(Protocol):
    """N cars, each alone in its own copy of one map, stepped together."""

    config: SimulatorConfig
    num_cars: int

    def reset(
        self,
        seeds: Sequence[int],
        starts: FloatArray | None = None,
        cars: npt.NDArray[np.int64] | None = None,
        variations: Sequence[Variation] | None = None,
    ) -> CarState:
        """Begin an episode for the given cars.

        Args:
            seeds: one seed for each car that is reset; the same seed gives the same episode,
                bit for bit, whatever was driven before.
            starts: (n, 3) x [m], z [m], heading [rad], any number of turns; a row of nan, or None
                for all, is drawn as upstream draws it.
            cars: (n,) indices of the cars to reset; all by default.
            variations: n of them; by default that of the settings for all.
        Returns:
            The state of all N cars; those not reset are as they were.
        Raises:
            StartError: a start is not on a drivable tile, or touches an object; or none that
                `start_angle` allows was found on the tile that was drawn.
        """
        ...

    def step(self, actions: FloatArray) -> CarState:
        """Drive every car for `frame_skip` steps of physics.

        Args:
            actions: (N, 2) [throttle, steering] as upstream's `DuckietownEnv.step` takes them; finite,
                which the caller has checked, see `road.check_actions`.
        """
        ...

    def frames(self, out: Frames | None = None, cars: npt.NDArray[np.int64] | None = None) -> Frames:
        """What each car's camera sees now, (N, camera_height, camera_width, 3) uint8 RGB.

        Args:
            out: the array to write to.
            cars: (n,) indices of the cars that are seen through; all by default. One frame for each.
        """
        ...

    def view(self, mode: str, width: int, height: int, car: int = 0) -> Frames:
        """An image for people, (height, width, 3) uint8.

        Args:
            mode: "camera" or "top_down".
        """
        ...

    def get_state(self) -> Any:
        """A snapshot of all cars, never changed afterwards.

        Raises:
            ResetNeeded: a car has not begun an episode, and the simulator needs one.
        """
        ...

    def set_state(self, state: Any) -> CarState:
        """Return to a snapshot of as many cars with the same settings; driving on gives the same again."""
        ...

    def close(self) -> None:
        """Free what is held; calling it twice is harmless."""
        ...
