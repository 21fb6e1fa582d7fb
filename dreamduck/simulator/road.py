"""The road: N cars in a simulator, the reward of a step, and its `info`.

This is the only place where actions are scaled and
rewards are made; the Gym worlds, the recorder and the search all drive through it.

The reward "progress" pays metres along the lane. Upstream's own pays 1.2 a step for standing
still aligned with the lane, so that agents learn to stop; it stays available as "simulator"."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.config import check, option, part
from dreamduck.common.errors import ActionError
from dreamduck.simulator.base import (
    END_NONE,
    ENDS,
    SIMULATION_RATE,
    SIMULATORS,
    CarState,
    FloatArray,
    Frames,
    SimulatorConfig,
    Variation,
)
from dreamduck.simulator.factory import make_simulator

REWARDS = ("progress", "simulator")
HALF_LANE = 0.105  # [m] farther from the centre than this, the car is out of its lane
OUT_OF_LANE_COST = 0.3  # [m/s] taken off while out of the lane
ASKEW_COST = 0.3  # [m/s] times sin^2 of the lane angle: circling on the spot must not pay
CRASH_COST = 1.0  # [m] taken off when the episode ends off the road or in a collision


@dataclasses.dataclass(frozen=True)
class RoadConfig:
    """A simulator's settings, and what the environments add to them."""

    simulation: SimulatorConfig = part(SimulatorConfig)
    simulator: str = option("native", "simulator", choices=SIMULATORS)
    reward: str = option("progress", "metres along the lane, or upstream's own", choices=REWARDS)
    steering_gain: float = option(
        3.14, "steering is multiplied by this; 3.14 gives the yaw rate of 2019's simulator", above=0.0
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def step_time(self) -> float:
        """Duration of one step of the world [s]."""
        return self.simulation.frame_skip / SIMULATION_RATE


class RoadStep(NamedTuple):
    """What one step of N cars gave."""

    state: CarState
    reward: npt.NDArray[np.float32]  # (N,)
    terminated: npt.NDArray[np.bool_]  # (N,)

    @property
    def truncated(self) -> npt.NDArray[np.bool_]:
        """(N,), none: a road has no limit of steps."""
        return np.zeros_like(self.terminated)


class Road:
    """N cars on one map.

    Args:
        config: the world's settings.
        num_cars: N.
        settings: handed to the simulator, for example `threads`.
    """

    def __init__(self, config: RoadConfig, num_cars: int = 1, **settings: Any) -> None:
        self.config = config
        self.num_cars = num_cars
        self.simulator = make_simulator(config.simulator, config.simulation, num_cars, **settings)
        self._last_position = np.zeros((num_cars, 2))

    def reset(
        self,
        seeds: Sequence[int],
        starts: FloatArray | None = None,
        cars: npt.NDArray[np.int64] | None = None,
        variations: Sequence[Variation] | None = None,
    ) -> CarState:
        """Begin episodes; see `Simulator.reset`."""
        state = self.simulator.reset(seeds, starts, cars, variations)
        chosen = slice(None) if cars is None else cars
        self._last_position[chosen] = state.pose[chosen, :2]
        return state

    def step(self, actions: npt.ArrayLike) -> RoadStep:
        """Drive every car one step.

        Args:
            actions: (N, 2) in [-1, 1]: throttle, steering. Values outside are clipped.
        Raises:
            ActionError: the shape is wrong or a number is not finite.
        """
        return self.drive(check_actions(actions, self.num_cars))

    def drive(self, actions: FloatArray) -> RoadStep:
        """Drive every car one step.

        Args:
            actions: (N, 2) as `check_actions` gives them.
        """
        state = self.simulator.step(actions * (1.0, self.config.steering_gain))
        moved = state.pose[:, :2] - self._last_position
        self._last_position = state.pose[:, :2].copy()
        terminated = state.end != END_NONE
        if self.config.reward == "simulator":
            reward = state.simulator_reward
        else:
            reward = progress_reward(state, moved, self.config.step_time)
        return RoadStep(state, reward.astype(np.float32), terminated)

    def get_state(self) -> Any:
        """A snapshot; see `Simulator.get_state`."""
        return self.simulator.get_state(), self._last_position.copy()

    def set_state(self, state: Any) -> CarState:
        """Return to a snapshot; see `Simulator.set_state`."""
        simulator, position = state
        self._last_position = position.copy()
        return self.simulator.set_state(simulator)

    def frames(self, out: Frames | None = None, cars: npt.NDArray[np.int64] | None = None) -> Frames:
        """What each camera sees now, (N, H, W, 3) uint8; see `Simulator.frames`."""
        return self.simulator.frames(out, cars)

    def view(self, mode: str, width: int = 640, height: int = 480, car: int = 0) -> Frames:
        """An image for people; see `Simulator.view`."""
        return self.simulator.view(mode, width, height, car)

    def close(self) -> None:
        """Free the simulator."""
        self.simulator.close()


def check_actions(actions: npt.ArrayLike, count: int) -> FloatArray:
    """The actions as (count, 2) float64, clipped to [-1, 1].

    Raises:
        ActionError: the shape is wrong or a number is not finite.
    """
    try:
        array = np.asarray(actions, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise ActionError(f"action: expected numbers [throttle, steering], got {actions!r}") from err
    if array.shape != (count, 2):
        raise ActionError(
            f"action: expected shape {(count, 2)} ([throttle, steering] for each car), got {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ActionError(f"action: expected finite numbers in [-1, 1], got {array.tolist()}")
    return np.clip(array, -1.0, 1.0)


def in_lane(state: CarState) -> npt.NDArray[np.bool_]:
    """(N,) whether each car's centre is inside the right-hand lane, heading along it."""
    return (np.abs(state.lane_dist) <= HALF_LANE) & (np.cos(state.lane_angle) > 0)


def lane_progress(state: CarState, moved: FloatArray) -> FloatArray:
    """(N,) metres moved along the lane; 0 where there is no lane. `moved` is (N, 2) [m]."""
    return np.nan_to_num((moved * state.lane_tangent).sum(axis=1), nan=0.0)


def progress_reward(state: CarState, moved: FloatArray, step_time: float) -> FloatArray:
    """Metres along the lane, minus penalties for leaving it, a wrong heading and collisions, (N,)."""
    inside = in_lane(state)
    progress = lane_progress(state, moved)
    paid = np.where(inside, progress, np.minimum(progress, 0.0))
    askew = np.nan_to_num(np.sin(state.lane_angle) ** 2, nan=1.0)
    cost = step_time * (OUT_OF_LANE_COST * ~inside + ASKEW_COST * askew)
    return paid - cost - CRASH_COST * (state.end != END_NONE)


def cars_info(state: CarState) -> dict[str, npt.NDArray[Any]]:
    """`info` of all cars, N rows each."""
    return {
        "lane_dist": state.lane_dist.copy(),
        "lane_angle": state.lane_angle.copy(),
        "in_lane": in_lane(state),
        "speed": state.speed.copy(),
        "pose": state.pose.copy(),
        "tile": state.tile.copy(),
        "simulator_reward": state.simulator_reward.copy(),
        "proximity_penalty": state.proximity_penalty.copy(),
        "end": np.array(ENDS, dtype=object)[state.end],
    }


def car_info(state: CarState) -> dict[str, Any]:
    """`info` of the first car."""
    return first_row(cars_info(state))


def first_row(info: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """The first row of each array of `info`, in plain Python."""
    return {
        key: tuple(values[0].tolist()) if values.ndim > 1 else values[:1].tolist()[0]
        for key, values in info.items()
    }
