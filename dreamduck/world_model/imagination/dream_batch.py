"""The dreams of a rollout: which are in the compiled batch, their random numbers, and their scores.

Candidates whose dreams have all ended drop out of the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.backend import threads_used
from dreamduck.world_model.dynamics import Dynamics, InitialZ
from dreamduck.world_model.imagination.noise import Noise
from dreamduck.world_model.imagination.randomization import RandomizationConfig, begin_perceived, randomize
from dreamduck.world_model.imagination.stepper import begin_dreams, chance_arrays

ROWS = 8  # batches are filled up to a multiple of this
A_THREAD = 4096  # dream steps from which a thread pays for their noise
STATE = 6  # arrays that every dream carries; a randomised one has more
WORTH = 0.85  # ended candidates drop out when no more than this share of the rows is left


class DreamBatch:
    """The dreams in progress, and the scores of all.

    Args:
        dynamics: of the dreams.
        initial: their first latents and states.
        theta: (P, n), the candidates.
        episodes: E, of each candidate.
        seeds: P of them.
        randomization: see `Dream.rollout`.

    Attributes:
        theta: (R, n), of the candidates that are still dreamt.
        carried: arrays of R * E rows, from step to step.
    """

    def __init__(
        self,
        dynamics: Dynamics,
        initial: InitialZ,
        theta: npt.NDArray[np.float32],
        episodes: int,
        seeds: list[int],
        randomization: RandomizationConfig | None,
    ) -> None:
        self._dynamics, self._episodes = dynamics, episodes
        count = len(theta)
        places = [(seed, e) for seed in seeds for e in range(episodes)]
        self._noise = Noise.of(places, dynamics.config.z_size)  # candidate by candidate
        first, state = begin_dreams(dynamics, initial, self._noise)
        self._scores = [np.zeros((count, episodes), kind) for kind in (np.float32, np.int64, np.bool_)]
        self._scores[2][:] = True
        self._candidates = np.arange(count)  # which are in the batch, filled up at its end
        rows = self._filled(self._candidates)

        def batch(part: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return part.reshape(count, episodes, *part.shape[1:])[rows].reshape(-1, *part.shape[1:])

        z, h, c = map(batch, (first, *state))
        flat = [np.zeros(len(z), np.float32), np.zeros(len(z), np.int32), np.ones(len(z), np.bool_)]
        flat[2].reshape(len(rows), episodes)[len(self._candidates) :] = False
        self.carried: Sequence[Any] = [z, c, h, *flat]
        if randomization:
            drawn = randomize(randomization, dynamics, places)
            perceived = begin_perceived(dynamics, first, state, drawn)
            self.carried = [*self.carried, *map(batch, (*perceived, *drawn))]
        self.theta = theta[rows]

    def _filled(self, candidates: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Some of them twice, so that the rows are a multiple of `ROWS`."""
        unit = ROWS // math.gcd(ROWS, self._episodes)
        return np.resize(candidates, -(-len(candidates) // unit) * unit)

    def draw(self, steps: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The noise of the next steps, see `chance_arrays`; B rows."""
        rows, known = len(self.theta) * self._episodes, len(self._candidates) * self._episodes
        uniform, normal = chance_arrays(self._dynamics, rows, steps)
        firsts = self._candidates * self._episodes
        noises = [self._noise[first + e] for first in firsts for e in range(self._episodes)]
        workers = min(threads_used(), -(-known * steps // A_THREAD))
        parts = np.linspace(0, known, workers + 1).astype(int)

        def fill(begin: int, end: int) -> None:
            for row in range(begin, end):
                noises[row].draw(uniform[row], normal[row])

        if workers < 2:
            fill(0, known)
        else:
            with ThreadPoolExecutor(workers) as pool:  # numpy draws without holding Python's lock
                list(pool.map(fill, parts[:-1], parts[1:]))
        return uniform, normal

    def drop(self, keep_all: bool = False) -> bool:
        """Add the scores and drop finished candidates; return whether any dream continues."""
        count, episodes = len(self._candidates), self._episodes
        values = [
            np.asarray(part)[: count * episodes].reshape(count, episodes) for part in self.carried[3:STATE]
        ]
        for score, value in zip(self._scores, values, strict=True):
            score[self._candidates] = value
        going = values[2].any(axis=1)
        if keep_all or not going.any() or going.sum() > WORTH * len(self.theta):
            return keep_all or bool(going.any())
        places = self._filled(np.flatnonzero(going))
        rows = (places[:, None] * episodes + np.arange(episodes)).reshape(-1)
        kept = [np.asarray(part)[rows] for part in self.carried]
        self._candidates = self._candidates[going]
        kept[STATE - 1].reshape(len(places), episodes)[len(self._candidates) :] = False
        self.carried = kept
        self.theta = self.theta[places]
        return True

    def results(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Sums of rewards, lengths, and which were never ended, each (P, E)."""
        reward, length, alive = self._scores
        return reward, length, alive
