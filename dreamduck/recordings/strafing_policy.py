"""A behaviour policy for Doom's Take Cover: it steps aside to the left and to the right in turn.

Fireballs fly to where the player was when they were thrown, so a player that keeps moving lives longer than
one that moves at random, and recordings show the later part of an episode, with more monsters. At random
times it forgets its side and keeps one random action.
Constants were fitted to `VizdoomTakeCover-v1` with a frame skip of 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

SIDES = (1, 2)  # actions: right, left
STRETCH = (8, 30)  # [steps] for which a side is kept, by the episode
VARIATION = (0.6, 1.4)  # of that, each time
FORGETS = (0.0, 0.03)  # share of the steps at which it forgets its side, by the episode
FORGOTTEN = (3, 20)  # [steps] for which it does


def strafing(action_space: Any, seed: int) -> Callable[[npt.NDArray[np.uint8]], int]:
    """A policy for one episode.

    Args:
        action_space: of Take Cover: `Discrete(3)`.
        seed: of the episode.
    """
    random = np.random.default_rng(seed)
    stretch = random.uniform(*STRETCH)
    forgets = random.uniform(*FORGETS)
    side, steps_left = int(random.integers(2)), int(random.integers(stretch)) + 1
    action, forgotten = 0, 0

    def act(frame: npt.NDArray[np.uint8]) -> int:
        nonlocal side, steps_left, action, forgotten
        if forgotten == 0 and random.random() < forgets:
            action, forgotten = int(random.integers(action_space.n)), int(random.integers(*FORGOTTEN))
        if forgotten:
            forgotten -= 1
            return action
        if steps_left <= 0:
            side, steps_left = 1 - side, int(stretch * random.uniform(*VARIATION))
        steps_left -= 1
        return SIDES[side]

    return act
