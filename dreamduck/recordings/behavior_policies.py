"""The behaviour policies that episodes are recorded with.

Random weights alone leave the car spinning at the
roadside, and a model that never saw a curve cannot dream one; the expert alone never leaves its
lane. So every episode draws one of these policies, and each visits states that the others do not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError

FloatArray = npt.NDArray[np.float64]
Generator = np.random.Generator
STRETCH = (5, 40)  # steps that a policy with two ways of driving keeps to one, at least and at most
OWN_POLICY = "module:function"  # a user's policy: MODULE:FUNCTION
GRAY_SIDE = 8  # [pixels] width and height of the random controller's image


class BehaviorPolicy(Protocol):
    """Drives one car for one episode."""

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """The action for this step.

        Args:
            step: since the episode began.
            frame: (64, 64, 3) uint8, what the camera sees.
            expert: (2,) what the expert would do here.
        Returns:
            (2,) throttle and steering; clipped to [-1, 1] afterwards.
        """
        ...


class OrnsteinUhlenbeck:
    """A smooth random walk (Ornstein-Uhlenbeck) with mean 0.

    Args:
        random: the random stream.
        time_constant: steps after which a deviation has decayed to 1/e.
        std: standard deviation in the long run, one or one for each dimension.
    """

    def __init__(self, random: Generator, time_constant: float, std: float | Sequence[float]) -> None:
        self._random = random
        self._keep = float(np.exp(-1 / time_constant))
        self._std = np.broadcast_to(np.asarray(std, dtype=np.float64), (2,))
        self._value = random.normal(size=2) * self._std

    def __call__(self) -> FloatArray:
        """The next value, (2,)."""
        fresh = self._random.normal(size=2) * self._std * np.sqrt(1 - self._keep**2)
        self._value = self._keep * self._value + fresh
        return self._value.copy()


class RandomController:
    """A linear controller with random weights on a small gray image, as at the start of a search."""

    def __init__(self, random: Generator, frames: int) -> None:
        self._weights = random.normal(0, random.uniform(0.2, 1.5) / GRAY_SIDE, (2, GRAY_SIDE * GRAY_SIDE))
        self._bias = np.array([random.uniform(0.0, 1.0), random.normal(0, 0.3)])

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        side = frame.shape[0] // GRAY_SIDE
        blocks = frame[: GRAY_SIDE * side, : GRAY_SIDE * side].reshape(GRAY_SIDE, side, GRAY_SIDE, side, 3)
        gray = blocks.mean(axis=(1, 3, 4)).ravel() / 255
        return np.tanh(self._weights @ (gray - gray.mean()) + self._bias)


class RandomWalk:
    """Smooth random walks in throttle and steering, around a mean that the episode draws."""

    def __init__(self, random: Generator, frames: int) -> None:
        self._mean = np.array([random.uniform(-0.1, 0.9), random.normal(0, 0.25)])
        self._noise = OrnsteinUhlenbeck(random, random.uniform(5, 30), (0.3, random.uniform(0.1, 0.6)))

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        return self._mean + self._noise()


class NoisyExpert:
    """The expert at another speed, with smooth noise."""

    def __init__(self, random: Generator, frames: int) -> None:
        self._speed = random.uniform(0.4, 1.5)
        noise = random.choice([0.0, 0.1, 0.2, 0.35])
        self._noise = OrnsteinUhlenbeck(random, random.uniform(1, 12), (noise / 2, noise))

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        return expert * (self._speed, 1.0) + self._noise()


class RecklessExpert:
    """The expert, with random actions now and then for a few steps, from which it must recover."""

    def __init__(self, random: Generator, frames: int) -> None:
        self._random = random
        self._expert = NoisyExpert(random, frames)
        self._probability = random.uniform(0.01, 0.06)  # of each step, that random actions begin
        self._until, self._override = 0, np.zeros(2)

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        steady = self._expert.act(step, frame, expert)
        if step >= self._until and self._random.random() < self._probability:
            self._until = step + int(self._random.integers(3, 16))
            throttle = self._random.choice([self._random.uniform(-1, 1), 0.0, 1.0], p=[0.6, 0.2, 0.2])
            self._override = np.array([throttle, self._random.uniform(-1, 1)])
        return self._override if step < self._until else steady


class Crash:
    """The expert, until some step from which it leaves the road."""

    def __init__(self, random: Generator, frames: int) -> None:
        self._expert = NoisyExpert(random, frames)
        self._begin = int(random.integers(max(1, frames // 10), max(2, frames * 4 // 5)))
        side = random.choice([-1.0, 0.0, 1.0])  # 0: straight on, out of the next curve
        self._override = np.array([random.uniform(0.3, 1.0), side * random.uniform(0.2, 1.0)])

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        steady = self._expert.act(step, frame, expert)
        return steady if step < self._begin else self._override


class Standing:
    """No command at all: half of the episodes from the first step on, the others after a drive."""

    def __init__(self, random: Generator, frames: int) -> None:
        self._expert = NoisyExpert(random, frames)
        self._begin = int(random.integers(1, max(2, frames // 2))) if random.random() < 0.5 else 0

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        steady = self._expert.act(step, frame, expert)
        return steady if step < self._begin else np.zeros(2)


class Stopping:
    """The expert, which stops again and again for a while without any command, and drives on."""

    def __init__(self, random: Generator, frames: int) -> None:
        self._random, self._expert = random, NoisyExpert(random, frames)
        self._until, self._drives = 0, bool(random.random() < 0.5)
        self._command = np.zeros(2)

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        steady = self._expert.act(step, frame, expert)
        if step >= self._until:
            self._until = step + int(self._random.integers(STRETCH[0], STRETCH[1] + 1))
            self._drives = not self._drives
            self._command = self._draw_command()
        return steady if self._drives else self._command

    def _draw_command(self) -> FloatArray:
        """The action (2,) until the expert drives again."""
        return np.zeros(2)


class Reversing(Stopping):
    """The expert, which backs up again and again for a while, also off the road."""

    def _draw_command(self) -> FloatArray:
        return np.array([self._random.uniform(-1.0, -0.2), self._random.normal(0, 0.2)])


class Creeping:
    """The expert at walking pace and slower, with little noise."""

    def __init__(self, random: Generator, frames: int) -> None:
        self._speed = random.uniform(0.05, 0.35)
        self._noise = OrnsteinUhlenbeck(random, random.uniform(5, 20), (0.02, 0.05))

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        return expert * (self._speed, 1.0) + self._noise()


POLICIES: Mapping[str, Callable[[Generator, int], BehaviorPolicy]] = {
    "random": RandomController,
    "walk": RandomWalk,
    "expert": NoisyExpert,
    "reckless": RecklessExpert,
    "crash": Crash,
    "stand": Standing,
    "stop": Stopping,
    "creep": Creeping,
    "reverse": Reversing,
}
DEFAULT_MIX = ("random=1", "walk=2", "expert=3", "reckless=3", "crash=1")


def parse_mix(mix: Sequence[str], known: Collection[str] = POLICIES) -> dict[str, float]:
    """Read "name=weight" (or "name", weight 1) into shares that add up to 1.

    Args:
        mix: as a person gives it.
        known: names of policies; with "module:function" among them, every such name is one.
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
        own = OWN_POLICY in known and ":" in name
        if (name not in known and not own) or name in shares or not 0 < value < np.inf:
            raise ConfigError(
                f"policies: expected {', '.join(known)}, each once at most, as name=weight; got {part!r}"
            )
        shares[name] = value
    if not shares:
        raise ConfigError(f"policies: expected some of {', '.join(known)}, got none")
    total = sum(shares.values())
    return {name: value / total for name, value in shares.items()}


def make_policy(policy: str, random: Generator, frames: int) -> BehaviorPolicy:
    """A policy for one episode of at most `frames` steps."""
    return POLICIES[policy](random, frames)
