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
from dreamduck.world_model.imagination.noise import POSITION, Noise
from dreamduck.world_model.mdn_rnn import MDNRNN, InitialZ, LSTMState, Prediction
from dreamduck.world_model.mdn_rnn.mixture import FloatArray


class DreamStep(NamedTuple):
    """What one step of N dreams gave."""

    reward: FloatArray  # (N,)
    ended: npt.NDArray[np.bool_]  # (N,)
    prediction: Prediction  # from which all was drawn


class DreamState(NamedTuple):
    """N dreams between two steps."""

    z: FloatArray  # (N, Z)
    h: FloatArray  # (N, H)
    c: FloatArray  # (N, H)
    streams: npt.NDArray[np.uint64]  # (N, 2, 6), where each dream's random streams stand


def start_dreams(dynamics: MDNRNN, initial: InitialZ, seeds: Sequence[int], episode: int = 0) -> DreamState:
    """Begin N dreams.

    Args:
        dynamics: what is dreamt.
        initial: where dreams begin.
        seeds: N of them.
        episode: which dream of each seed.
    """
    noises = Noise.of([(int(seed), episode) for seed in seeds], dynamics.config.z_size)
    begun = [noise.begin() for noise in noises]
    uniform = np.array([first for first, _ in begun])
    normal = np.array([second for _, second in begun], np.float32).reshape(-1, dynamics.config.z_size)
    z = np.clip(initial.draw(uniform, normal), *dynamics.bounds)
    known = initial.recall(uniform, dynamics.config.hidden_size)
    streams = np.array([noise.position() for noise in noises], np.uint64).reshape(-1, *POSITION)
    return DreamState(z, known.h, known.c, streams)


def step_dreams(
    dynamics: MDNRNN, state: DreamState, actions: npt.ArrayLike, temperature: float
) -> tuple[DreamState, DreamStep]:
    """One step of N dreams.

    Args:
        dynamics: what is dreamt.
        state: of the dreams; it stays as it is.
        actions: (N, A).
        temperature: more than 0.
    Raises:
        ConfigError: a temperature that is not more than 0.
    """
    count, size = state.z.shape
    uniform, normal = np.empty((count, 1, size + 1), np.float32), np.empty((count, 1, size), np.float32)
    streams = state.streams.copy()
    noise = Noise(0, 0, size)
    for row in range(count):
        noise.move_to(streams[row])
        noise.draw(uniform[row], normal[row])
        streams[row] = noise.position()
    chance = uniform[:, 0], normal[:, 0]
    z, lstm, found = _step(
        dynamics, state.z, actions, LSTMState(state.h, state.c), *chance, check_temperature(temperature)
    )
    return DreamState(z, lstm.h, lstm.c, streams), found


def _step(
    dynamics: MDNRNN,
    z: FloatArray,
    actions: npt.ArrayLike,
    state: LSTMState,
    uniform: FloatArray,
    normal: FloatArray,
    temperature: float,
) -> tuple[FloatArray, LSTMState, DreamStep]:
    """The next latents and states of N dreams, from chance (N, Z + 1) and (N, Z)."""
    state = dynamics.advance(z, actions, state)
    prediction = dynamics.predict(z, state)
    # At temperature 0 the likelier of the two comes, as with everything else.
    ended = (uniform[:, -1] if temperature > 0 else 0.5) < prediction.end
    z = dynamics.draw(prediction.mixture, uniform[:, :-1], normal, temperature)
    reward = np.where(ended, prediction.end_reward, prediction.reward)
    return z, state, DreamStep(reward, ended, prediction)


class Dreams:
    """N dreams side by side.

    Args:
        memory: what is dreamt.
        initial: where it begins.
        count: N.
        temperature: 1 as the MDN-RNN expects; less is surer, more is stranger.
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
            seeds: one for each dream that begins.
            rows: which; all by default.
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
            self._begun(noise).draw(uniform, normal)
        chance = self._uniform[:, 0], self._normal[:, 0]
        self.z, self.state, found = _step(
            self.memory, self.z, actions, self.state, *chance, self.temperature
        )
        return found

    def get_state(self) -> DreamState:
        """All N dreams as they stand; a copy.

        Raises:
            ResetNeeded: a dream has not begun.
        """
        streams = [self._begun(noise).position() for noise in self._noise]
        return DreamState(self.z.copy(), self.state.h.copy(), self.state.c.copy(), np.array(streams))

    def set_state(self, state: DreamState) -> None:
        """Go on from what `get_state` gave, of as many dreams."""
        self.z, self.state = state.z.copy(), LSTMState(state.h.copy(), state.c.copy())
        self._noise = [Noise(0, 0, self.z.shape[1]) for _ in range(self.count)]
        for noise, position in zip(self._noise, state.streams, strict=True):
            self._begun(noise).move_to(position)

    def _begun(self, noise: Noise | None) -> Noise:
        if noise is None:
            raise ResetNeeded("expected a reset before step; call reset")
        return noise


def check_temperature(temperature: float) -> float:
    """A temperature as a float.

    Raises:
        ConfigError: it is not a finite number more than 0.
    """
    good = isinstance(temperature, (int, float, np.number)) and not isinstance(temperature, bool)
    if not good or not 0 < temperature < float("inf"):
        raise ConfigError(f"temperature: expected a finite number more than 0, got {temperature!r}")
    return float(temperature)
