"""A behaviour policy for `CarRacing`: it steers by a smooth random walk, with more gas than brake.

Source of the idea: Ha & Schmidhuber 2018, whose random controllers are biased towards the gas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

TIME_CONSTANT = (2.0, 10.0)  # [steps] after which a deviation has decayed to 1/e
MEAN = np.array([0.0, 0.35, -0.5])  # of steering, gas, brake; below 0 the brake is free
MEAN_SPREAD = np.array([0.1, 0.15, 0.15])  # from one episode to another
SPREAD = np.array([0.4, 0.25, 0.4])  # within an episode


def racing(action_space: Any, seed: int) -> Callable[[Any], FloatArray]:
    """A policy for one episode.

    Args:
        action_space: of the environment: steering in [-1, 1], gas and brake in [0, 1].
        seed: of its random numbers.
    Returns:
        The action for a frame; it does not look at it.
    """
    random = np.random.default_rng(seed)
    keep = float(np.exp(-1 / random.uniform(*TIME_CONSTANT)))
    mean = random.normal(MEAN, MEAN_SPREAD)
    deviation = random.normal(0.0, SPREAD)

    def act(frame: Any) -> FloatArray:
        nonlocal deviation
        action = np.clip(mean + deviation, action_space.low, action_space.high)
        deviation = keep * deviation + random.normal(0.0, SPREAD) * np.sqrt(1 - keep**2)
        return action.astype(np.float32)

    return act
