"""Baselines and adapters: no action, random actions, the expert, functions of frames or of [z, c, h].

Each controls N cars at once, see `dreamduck.controllers.evaluator.Policy`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common import seeding
from dreamduck.common.errors import ActionError
from dreamduck.simulator.base import CarState, FloatArray
from dreamduck.simulator.expert import Expert, ExpertConfig
from dreamduck.simulator.maps.map import Map

Frames = npt.NDArray[np.uint8]
STRAIGHT_THROTTLE = 0.5  # [-1, 1], about 0.35 m/s, as policies that take the curves


class StandStill:
    """No action, as a baseline."""

    needs_frames = False

    def start(self, seeds: Sequence[int]) -> None:
        """Do nothing: there is no state."""

    def act(self, state: CarState, frames: Frames | None) -> FloatArray:
        """No throttle, no steering."""
        return np.zeros((len(state.pose), 2))


class DriveStraight(StandStill):
    """Drives on without steering."""

    def act(self, state: CarState, frames: Frames | None) -> FloatArray:
        """Half throttle, no steering."""
        return np.tile([STRAIGHT_THROTTLE, 0.0], (len(state.pose), 1))


class Random:
    """A new action drawn evenly at every step, for each car from its own seed."""

    needs_frames = False

    def __init__(self) -> None:
        self._generators: list[np.random.Generator] = []

    def start(self, seeds: Sequence[int]) -> None:
        """One stream for each car."""
        self._generators = [seeding.generator(seed, 0) for seed in seeds]

    def act(self, state: CarState, frames: Frames | None) -> FloatArray:
        """Anything in [-1, 1]."""
        return np.stack([generator.uniform(-1.0, 1.0, 2) for generator in self._generators])


class PurePursuit(StandStill):
    """The expert, which knows the true pose."""

    def __init__(self, map: Map, steering_gain: float) -> None:
        self._expert = Expert(map, ExpertConfig(steering_gain=steering_gain))

    def act(self, state: CarState, frames: Frames | None) -> FloatArray:
        """Follow the lane."""
        return self._expert(state)


class FramePolicy:
    """Any function from frames (N, H, W, 3) uint8 to actions (N, 2), for example a PPO agent's.

    Args:
        predict: the function; a recurrent one keeps its own state.
        restart: called before each round of episodes.
    """

    needs_frames = True

    def __init__(
        self, predict: Callable[[Any], Any], restart: Callable[[Sequence[int]], None] | None = None
    ) -> None:
        self._predict, self._restart = predict, restart

    def start(self, seeds: Sequence[int]) -> None:
        """Tell the policy that episodes begin."""
        if self._restart is not None:
            self._restart(seeds)

    def act(self, state: CarState, frames: Frames | None) -> FloatArray:
        """Call the policy.

        Raises:
            ActionError: it gave something else than (N, 2) numbers.
        """
        assert frames is not None
        return _checked(self._predict(frames), len(state.pose))


class ModelPolicy(FramePolicy):
    """A function from [z, c, h] (N, Z + C + H) to actions (N, 2), for example an agent of the dream.

    Args:
        predict: the function; a recurrent one keeps its own state.
        perception: of all cars; keeps the recurrent state of the world model.
        restart: called before each round of episodes.
    """

    def __init__(
        self,
        predict: Callable[[npt.NDArray[np.float32]], Any],
        perception: Any,
        restart: Callable[[Sequence[int]], None] | None = None,
    ) -> None:
        super().__init__(predict, restart)
        self._perception = perception
        self._last: FloatArray | None = None

    def start(self, seeds: Sequence[int]) -> None:
        """Tell the policy that episodes begin, and reset the recurrent state."""
        super().start(seeds)
        self._last = None

    def act(self, state: CarState, frames: Frames | None) -> FloatArray:
        """Encode the frames, and call the policy.

        Raises:
            ActionError: it gave something else than (N, 2) numbers.
        """
        if self._last is None:
            seen = self._perception.reset(frames)
        else:
            seen = self._perception.step(frames, self._last)
        self._last = _checked(self._predict(seen), len(state.pose))
        return self._last


def _checked(actions: Any, count: int) -> FloatArray:
    found = np.asarray(actions, dtype=np.float64)
    if found.shape != (count, 2):
        raise ActionError(f"policy: expected actions of shape {(count, 2)}, got {found.shape}")
    return found
