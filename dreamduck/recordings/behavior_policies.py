"""Who drives while episodes are recorded.

Random weights alone leave the car spinning at the
roadside, and a model that never saw a curve cannot dream one; the expert alone never leaves its
lane. So every episode draws one of these drivers, and each knows something the others do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError

FloatArray = npt.NDArray[np.float64]
Generator = np.random.Generator
GREY = 8  # the random controller's picture is so many pixels wide and high


class BehaviorPolicy(Protocol):
    """Drives one car for one episode."""

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """What to do now.

        Args:
            step: since the episode began.
            frame: (64, 64, 3) uint8, what the camera sees.
            expert: (2,) what the expert would do here.
        Returns:
            (2,) throttle and steering; clipped to [-1, 1] afterwards.
        """
        ...


class Wander:
    """A smooth random walk (Ornstein-Uhlenbeck) with mean 0.

    Args:
        random: where the noise comes from.
        memory: steps after which a deviation has faded to 1/e.
        spread: standard deviation in the long run, one or one for each dimension.
    """

    def __init__(self, random: Generator, memory: float, spread: float | Sequence[float]) -> None:
        self._random = random
        self._keep = float(np.exp(-1 / memory))
        self._spread = np.broadcast_to(np.asarray(spread, dtype=np.float64), (2,))
        self._value = random.normal(size=2) * self._spread

    def __call__(self) -> FloatArray:
        """The next value, (2,)."""
        fresh = self._random.normal(size=2) * self._spread * np.sqrt(1 - self._keep**2)
        self._value = self._keep * self._value + fresh
        return self._value.copy()


class RandomController:
    """A linear controller with random weights on a tiny grey picture, as a search begins with."""

    def __init__(self, random: Generator, frames: int) -> None:
        self._weights = random.normal(0, random.uniform(0.2, 1.5) / GREY, (2, GREY * GREY))
        self._bias = np.array([random.uniform(0.0, 1.0), random.normal(0, 0.3)])

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        side = frame.shape[0] // GREY
        blocks = frame[: GREY * side, : GREY * side].reshape(GREY, side, GREY, side, 3)
        grey = blocks.mean(axis=(1, 3, 4)).ravel() / 255
        return np.tanh(self._weights @ (grey - grey.mean()) + self._bias)


class RandomWalk:
    """Smooth random walks in throttle and steering, around a pace and a bend that the episode draws."""

    def __init__(self, random: Generator, frames: int) -> None:
        self._mean = np.array([random.uniform(-0.1, 0.9), random.normal(0, 0.25)])
        self._wander = Wander(random, random.uniform(5, 30), (0.3, random.uniform(0.1, 0.6)))

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        return self._mean + self._wander()


class NoisyExpert:
    """The expert at another pace, with a smooth tremor."""

    def __init__(self, random: Generator, frames: int) -> None:
        self._pace = random.uniform(0.4, 1.5)
        tremor = random.choice([0.0, 0.1, 0.2, 0.35])
        self._wander = Wander(random, random.uniform(1, 12), (tremor / 2, tremor))

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        return expert * (self._pace, 1.0) + self._wander()


class RecklessExpert:
    """The expert, who now and then for a moment does anything at all, and then has to save the car."""

    def __init__(self, random: Generator, frames: int) -> None:
        self._random = random
        self._calm = NoisyExpert(random, frames)
        self._often = random.uniform(0.01, 0.06)  # chance a step that a moment begins
        self._until, self._whim = 0, np.zeros(2)

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        calm = self._calm.act(step, frame, expert)
        if step >= self._until and self._random.random() < self._often:
            self._until = step + int(self._random.integers(3, 16))
            throttle = self._random.choice([self._random.uniform(-1, 1), 0.0, 1.0], p=[0.6, 0.2, 0.2])
            self._whim = np.array([throttle, self._random.uniform(-1, 1)])
        return self._whim if step < self._until else calm


class Crash:
    """The expert, who at some moment leaves the road on purpose."""

    def __init__(self, random: Generator, frames: int) -> None:
        self._calm = NoisyExpert(random, frames)
        self._moment = int(random.integers(max(1, frames // 10), max(2, frames * 4 // 5)))
        side = random.choice([-1.0, 0.0, 1.0])  # 0: straight on, out of the next curve
        self._whim = np.array([random.uniform(0.3, 1.0), side * random.uniform(0.2, 1.0)])

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        calm = self._calm.act(step, frame, expert)
        return calm if step < self._moment else self._whim


POLICIES: Mapping[str, type[RandomController | RandomWalk | NoisyExpert | RecklessExpert | Crash]] = {
    "random": RandomController,
    "walk": RandomWalk,
    "expert": NoisyExpert,
    "reckless": RecklessExpert,
    "crash": Crash,
}
DEFAULT_MIX = ("random=1", "walk=2", "expert=3", "reckless=3", "crash=1")


def parse_mix(mix: Sequence[str]) -> dict[str, float]:
    """Read "name=weight" (or "name", weight 1) into shares that add up to 1.

    Raises:
        ConfigError: an unknown name, a name given twice, or a weight that is not positive.
    """
    shares: dict[str, float] = {}
    for part in mix:
        name, _, weight = part.partition("=")
        try:
            value = float(weight) if weight else 1.0
        except ValueError:
            value = -1.0
        if name not in POLICIES or name in shares or not 0 < value < np.inf:
            raise ConfigError(
                f"policies: expected {', '.join(POLICIES)}, each once at most, as name=weight; got {part!r}"
            )
        shares[name] = value
    if not shares:
        raise ConfigError(f"policies: expected some of {', '.join(POLICIES)}, got none")
    total = sum(shares.values())
    return {name: value / total for name, value in shares.items()}


def make_driver(policy: str, random: Generator, frames: int) -> BehaviorPolicy:
    """A driver for one episode of at most `frames` steps."""
    return POLICIES[policy](random, frames)
