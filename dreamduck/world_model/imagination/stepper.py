"""Dreams step by step in numpy, for the Gym worlds.

It needs no TensorFlow, so that it works inside anybody's graph,
session or process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError, ResetNeeded
from dreamduck.world_model.dynamics import Dynamics, FloatArray, InitialZ, Prediction, RecurrentState
from dreamduck.world_model.dynamics.start_states import begin
from dreamduck.world_model.imagination.noise import POSITION, Noise


class DreamStep(NamedTuple):
    """The result of one step of N dreams."""

    reward: FloatArray  # (N,)
    ended: npt.NDArray[np.bool_]  # (N,)
    prediction: Prediction  # from which all was drawn


class DreamState(NamedTuple):
    """N dreams between two steps."""

    z: FloatArray  # (N, Z)
    h: FloatArray  # (N, H)
    c: FloatArray  # (N, C)
    streams: npt.NDArray[np.uint64]  # (N, 2, 6), where each dream's random streams stand


def start_dreams(dynamics: Dynamics, initial: InitialZ, seeds: Sequence[int]) -> DreamState:
    """Begin N dreams.

    Args:
        dynamics: what is dreamt.
        initial: where dreams begin.
        seeds: N of them.
    """
    noises = Noise.of([(int(seed), 0) for seed in seeds], dynamics.config.z_size)
    z, state = begin_dreams(dynamics, initial, noises)
    streams = np.array([noise.position() for noise in noises], np.uint64).reshape(-1, *POSITION)
    return DreamState(z, state.h, state.c, streams)


def begin_dreams(
    dynamics: Dynamics, initial: InitialZ, noises: Sequence[Noise]
) -> tuple[FloatArray, RecurrentState]:
    """The first latents (N, Z) and states of N dreams."""
    begun = [noise.begin() for noise in noises]
    uniform = np.array([first for first, _ in begun])
    normal = np.array([second for _, second in begun], np.float32).reshape(-1, dynamics.config.z_size)
    return begin(dynamics, initial, uniform, normal)


def step_dreams(
    dynamics: Dynamics, state: DreamState, actions: npt.ArrayLike, temperature: float | None = None
) -> tuple[DreamState, DreamStep]:
    """One step of N dreams.

    Args:
        dynamics: what is dreamt.
        state: of the dreams; it stays as it is.
        actions: (N, A).
        temperature: more than 0; None for that of the kind of dynamics.
    Raises:
        ConfigError: a temperature that is not more than 0.
    """
    uniform, normal = chance_arrays(dynamics, len(state.z))
    streams = state.streams.copy()
    noise = Noise(0, 0, dynamics.config.z_size)
    for row in range(len(state.z)):
        noise.move_to(streams[row])
        noise.draw(uniform[row], normal[row])
        streams[row] = noise.position()
    recurrent = RecurrentState(state.h, state.c)
    chance = uniform[:, 0], normal[:, 0]
    z, recurrent, found = _step(
        dynamics, state.z, actions, recurrent, *chance, check_temperature(temperature, dynamics)
    )
    return DreamState(z, recurrent.h, recurrent.c, streams), found


def chance_arrays(dynamics: Dynamics, count: int, steps: int = 1) -> tuple[FloatArray, FloatArray]:
    """Zeros for the random numbers of N dreams: (N, T, U + 1), the last for the end, and (N, T, N')."""
    sizes = dynamics.config
    return (
        np.zeros((count, steps, sizes.uniform_size + 1), np.float32),
        np.zeros((count, steps, sizes.normal_size), np.float32),
    )


def _step(
    dynamics: Dynamics,
    z: FloatArray,
    actions: npt.ArrayLike,
    state: RecurrentState,
    uniform: FloatArray,
    normal: FloatArray,
    temperature: float,
) -> tuple[FloatArray, RecurrentState, DreamStep]:
    """The next latents and states of N dreams, from their random numbers."""
    z, state, prediction = dynamics.step(z, actions, state, uniform[:, :-1], normal, temperature)
    # At temperature 0 the likelier of the two comes, as with everything else.
    ended = (uniform[:, -1] if temperature > 0 else 0.5) < prediction.end
    reward = np.where(ended, prediction.end_reward, prediction.reward)
    return z, state, DreamStep(reward, ended, prediction)


class Dreams:
    """N dreams side by side.

    Args:
        dynamics: what is dreamt.
        initial: where it begins.
        count: N.
        temperature: 1 as the dynamics expect; less is surer, more is stranger; None for that of their kind.
    Raises:
        ConfigError: a temperature that is not more than 0.
    """

    def __init__(
        self, dynamics: Dynamics, initial: InitialZ, count: int = 1, temperature: float | None = None
    ) -> None:
        self.dynamics, self.initial, self.count = dynamics, initial, count
        self.temperature = check_temperature(temperature, dynamics)
        self.z: FloatArray = np.zeros((count, dynamics.config.z_size), np.float32)
        self.state = dynamics.start(count)
        self._noise: list[Noise | None] = [None] * count
        self._uniform, self._normal = chance_arrays(dynamics, count)

    @property
    def observation(self) -> FloatArray:
        """(N, Z + C + H) [z, c, h]."""
        return self.dynamics.features(self.z, self.state)

    def reset(self, seeds: Sequence[int], rows: Sequence[int] | None = None, episode: int = 0) -> None:
        """Begin dreams.

        Args:
            seeds: one for each dream that begins.
            rows: which; all by default.
        """
        noises = Noise.of([(int(seed), episode) for seed in seeds], self.dynamics.config.z_size)
        chosen = np.arange(self.count) if rows is None else np.asarray(rows, np.intp)
        for row, noise in zip(chosen, noises, strict=True):
            self._noise[row] = noise
        self.z[chosen], state = begin_dreams(self.dynamics, self.initial, noises)
        self.state.put(chosen, state)

    def step(self, actions: npt.ArrayLike) -> DreamStep:
        """Step all dreams.

        Args:
            actions: (N, A).
        Raises:
            ResetNeeded: a dream has not begun.
        """
        for noise, uniform, normal in zip(self._noise, self._uniform, self._normal, strict=True):
            self._begun(noise).draw(uniform, normal)
        chance = self._uniform[:, 0], self._normal[:, 0]
        self.z, self.state, found = _step(
            self.dynamics, self.z, actions, self.state, *chance, self.temperature
        )
        return found

    def get_state(self) -> DreamState:
        """A snapshot of all N dreams; a copy.

        Raises:
            ResetNeeded: a dream has not begun.
        """
        streams = [self._begun(noise).position() for noise in self._noise]
        return DreamState(self.z.copy(), self.state.h.copy(), self.state.c.copy(), np.array(streams))

    def set_state(self, state: DreamState) -> None:
        """Return to a snapshot of as many dreams."""
        self.z, self.state = state.z.copy(), RecurrentState(state.h, state.c).copy()
        self._noise = [Noise(0, 0, self.z.shape[1]) for _ in range(self.count)]
        for noise, position in zip(self._noise, state.streams, strict=True):
            self._begun(noise).move_to(position)

    def _begun(self, noise: Noise | None) -> Noise:
        if noise is None:
            raise ResetNeeded("expected a reset before step; call reset")
        return noise


def check_temperature(temperature: float | None, dynamics: Dynamics) -> float:
    """A temperature as a float; that of the kind of dynamics for None.

    Raises:
        ConfigError: it is not a finite number more than 0.
    """
    if temperature is None:
        return dynamics.temperature
    good = isinstance(temperature, (int, float, np.number)) and not isinstance(temperature, bool)
    if not good or not 0 < temperature < float("inf"):
        raise ConfigError(f"temperature: expected a finite number more than 0, got {temperature!r}")
    return float(temperature)
