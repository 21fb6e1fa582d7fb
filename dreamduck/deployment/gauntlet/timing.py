"""Perturbations of time: late commands, an irregular rate of frames, frames that are lost.

Time is counted in steps of the simulation, 1/30 s each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import generator
from dreamduck.deployment.gauntlet.config import Strengths
from dreamduck.simulator.base import SIMULATION_RATE, FloatArray

RATE_STREAM = 0x72617465  # of the gauntlet's seed
ROUNDING = 1e-6  # [steps] that a latency may exceed whole steps by, without one more


def regular_steps(steps: int, frame_skip: int) -> npt.NDArray[np.bool_]:
    """(steps,) in which a frame comes, at the rate that the policy is made for."""
    return np.arange(steps) % frame_skip == 0


def irregular_steps(steps: int, strengths: Strengths, seed: int, key: int) -> npt.NDArray[np.bool_]:
    """(steps,) in which a frame comes, where the rate changes and frames are lost.

    The time from a frame to the next is that of a rate drawn evenly between the slowest and the fastest.

    Args:
        steps: how many.
        strengths: slowest and fastest rate, share of frames lost.
        seed: of the gauntlet.
        key: the place of what shares these steps.
    """
    rng = generator(seed, RATE_STREAM, key)
    most = math.ceil(steps * strengths.rate_high / SIMULATION_RATE) + 1
    rates = rng.uniform(strengths.rate_low, strengths.rate_high, most)
    times = np.concatenate([[0.0], np.cumsum(SIMULATION_RATE / rates)])  # [steps]
    kept = rng.uniform(size=len(times)) >= strengths.dropped
    kept[0] = True  # a drive begins with a frame
    places = np.ceil(times[kept]).astype(np.int64)
    comes = np.zeros(steps, np.bool_)
    comes[places[places < steps]] = True
    return comes


class CommandDelay:
    """Hands on the commands of N cars, each car's later by its own latency; zeros until the first arrives.

    Args:
        latencies: (N,) [s]; rounded up to whole steps.
    """

    def __init__(self, latencies: Sequence[float]) -> None:
        self.delays = np.ceil(np.asarray(latencies) * SIMULATION_RATE - ROUNDING).astype(np.int64)
        self._kept = np.zeros((int(self.delays.max()) + 1, len(self.delays), 2))
        self._step = 0

    def __call__(self, commands: FloatArray) -> FloatArray:
        """The commands (N, 2) that arrive in this step, of those given in this step and before."""
        size, cars = len(self._kept), np.arange(len(self.delays))
        self._kept[self._step % size] = commands
        arrived = self._kept[(self._step - self.delays) % size, cars]
        self._step += 1
        return arrived
