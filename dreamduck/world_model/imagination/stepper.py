"""Dreams step by step in numpy: what the Gym worlds run on.

It needs no TensorFlow, so that it works inside anybody's graph,
session or process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError, ResetNeeded
from dreamduck.world_model.imagination import TEMPERATURE
from dreamduck.world_model.imagination.noise import Noise
from dreamduck.world_model.mdn_rnn import MDNRNN, InitialZ, LSTMState
from dreamduck.world_model.mdn_rnn.mixture import FloatArray


class DreamStep(NamedTuple):
    """What one step of N dreams gave."""

    reward: FloatArray  # (N,)
    ended: npt.NDArray[np.bool_]  # (N,)
    probability: FloatArray  # (N,), of the end


class Dreams:
    """N dreams side by side.

    Args:
        memory, initial: what is dreamt, and where it begins.
        count: N.
        temperature: 1 as the memory expects; less is surer, more is stranger.
    Raises:
        ConfigError: a temperature that is not more than 0.
    """

    def __init__(
        self, memory: MDNRNN, initial: InitialZ, count: int = 1, temperature: float = TEMPERATURE
    ) -> None:
        self.memory, self.initial, self.count = memory, initial, count
        self.temperature = check_temperature(temperature)
        size = memory.config.z_size
        self.z: FloatArray = np.zeros((count, size), np.float32)
        self.state = memory.start(count)
        self._noise: list[Noise | None] = [None] * count
        self._uniform = np.zeros((count, 1, size + 1), np.float32)
        self._normal = np.zeros((count, 1, size), np.float32)

    @property
    def observation(self) -> FloatArray:
        """(N, Z + 2H) [z, c, h]."""
        return np.concatenate([self.z, self.state.c, self.state.h], axis=1)

    def reset(self, seeds: Sequence[int], rows: Sequence[int] | None = None, episode: int = 0) -> None:
        """Begin dreams.

        Args:
            seeds: one for each dream that begins. rows: which; all by default.
        """
        noises = Noise.of([(int(seed), episode) for seed in seeds], self.memory.config.z_size)
        for row, noise in zip(range(self.count) if rows is None else rows, noises, strict=True):
            self._noise[row] = noise
            uniform, normal = noise.begin()
            self.z[row] = np.clip(self.initial.draw(uniform, normal), *self.memory.bounds)
            known = self.initial.recall(uniform, self.memory.config.hidden_size)
            self.state.h[row], self.state.c[row] = known

    def step(self, actions: npt.ArrayLike) -> DreamStep:
        """Dream on.

        Args:
            actions: (N, A).
        Raises:
            ResetNeeded: a dream has not begun.
        """
        for noise, uniform, normal in zip(self._noise, self._uniform, self._normal, strict=True):
            if noise is None:
                raise ResetNeeded("expected a reset before step; call reset")
            noise.draw(uniform, normal)
        state = self.memory.advance(self.z, actions, self.state)
        prediction = self.memory.predict(self.z, state)
        uniform, normal = self._uniform[:, 0], self._normal[:, 0]
        ended = uniform[:, -1] < prediction.end
        self.z = self.memory.draw(prediction.mixture, uniform[:, :-1], normal, self.temperature)
        self.state = LSTMState(state.h, state.c)
        return DreamStep(np.where(ended, prediction.end_reward, prediction.reward), ended, prediction.end)


def check_temperature(temperature: float) -> float:
    """A temperature as a float.

    Raises:
        ConfigError: it is not a finite number more than 0.
    """
    good = isinstance(temperature, (int, float, np.number)) and not isinstance(temperature, bool)
    if not good or not 0 < temperature < float("inf"):
        raise ConfigError(f"temperature: expected a finite number more than 0, got {temperature!r}")
    return float(temperature)
