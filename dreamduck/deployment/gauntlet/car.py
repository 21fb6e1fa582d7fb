"""Perturbations of the car: how its camera is mounted, its motors, and pushes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dreamduck.common.seeding import generators
from dreamduck.deployment.gauntlet.perturbations import Conditions
from dreamduck.simulator.base import SIMULATION_RATE, Variation
from dreamduck.simulator.native import NativeSimulator

PUSH_STREAM = 3  # of an episode's seed
PUSH_STEPS = 3  # of the simulation, that a push takes


def variations(conditions: Sequence[Conditions], distortion: bool) -> list[Variation]:
    """What the simulator draws for the episodes.

    Args:
        conditions: (N,) of the episodes.
        distortion: whether the policy's own camera has the fish-eye lens.
    """
    return [Variation(one.domain_rand, distortion or one.fish_eye, one.dynamics_rand) for one in conditions]


def disturb(simulator: NativeSimulator, conditions: Sequence[Conditions]) -> None:
    """Mount cameras and scale motors after a reset."""
    height, pitch, left, right = np.array(
        [(one.height, one.pitch, one.left, one.right) for one in conditions]
    ).T
    simulator.mount_cameras(height, pitch)
    simulator.scale_motors(left, right)


class Pushes:
    """Pushes N cars sideways at random times, to a side that is drawn each time.

    Args:
        conditions: (N,) of the episodes.
        seeds: (N,) of the episodes.
        interval: [s] from a push to the next, on average.
        steps: of the simulation.
    """

    def __init__(
        self, conditions: Sequence[Conditions], seeds: Sequence[int], interval: float, steps: int
    ) -> None:
        distance = np.array([one.push for one in conditions])
        self._any = bool(distance.any())
        streams = generators(list(seeds), [(PUSH_STREAM,)] * len(seeds))
        drawn = np.stack([rng.uniform(size=(steps, 2)) for rng in streams], axis=1)  # (steps, N, 2)
        begins = drawn[..., 0] < 1.0 / (interval * SIMULATION_RATE)
        sides = np.where(begins, np.where(drawn[..., 1] < 0.5, 1.0, -1.0), 0.0)
        self._moves = np.zeros((steps, len(distance)))
        for late in range(PUSH_STEPS):
            self._moves[late:] += sides[: steps - late] * distance / PUSH_STEPS

    def apply(self, simulator: NativeSimulator, step: int) -> None:
        """Push those whose time has come."""
        if self._any:
            simulator.push(self._moves[step])
