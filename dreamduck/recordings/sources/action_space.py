"""Actions of any environment as vectors: what recordings hold, dynamics take and controllers give.

A continuous action of A numbers is scaled to [-1, 1]; one of n discrete actions is a one-hot vector."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from dreamduck.common.errors import ActionError, ConfigError
from dreamduck.simulator.environment import is_own
from dreamduck.simulator.road import check_actions

Vectors = npt.NDArray[np.float64]

DRIVE, BOX, DISCRETE = KINDS = ("drive", "box", "discrete")
ARROW_KEYS = "arrow_keys"  # of a description
MOST = 256  # numbers in an action
EXPECTED = "expected Discrete(n) or a bounded Box; wrap the environment so that it takes one of these"


@dataclasses.dataclass(frozen=True)
class ActionSpace:
    """An action space, and its vectors of A numbers in [-1, 1].

    Attributes:
        kind: "drive" (Duckietown's throttle and steering), "box" or "discrete".
        size: A.
        low: (A,) of a Box, flat.
        high: likewise.
        shape: of a Box.
        start: of a Discrete, its first action.
        arrow_keys: of a Discrete whose actions have names: which of them no key, left, right, up and down
            mean, counted from 0; empty where they have none.
    """

    kind: str
    size: int
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    shape: tuple[int, ...] = ()
    start: int = 0
    arrow_keys: tuple[int, ...] = dataclasses.field(default=(), compare=False)

    @classmethod
    def of(cls, space: spaces.Space[Any], source: str = "env") -> ActionSpace:
        """The action space of a Gymnasium environment.

        Args:
            space: of one environment.
            source: what an error message calls it.
        Raises:
            ConfigError: a composite space, a Box without bounds, or of more than `MOST` numbers.
        """
        if isinstance(space, spaces.Discrete) and space.n <= MOST:
            return cls(DISCRETE, int(space.n), start=int(space.start))
        if not isinstance(space, spaces.Box) or not 0 < int(np.prod(space.shape)) <= MOST:
            raise ConfigError(f"{source}: actions: {EXPECTED} (at most {MOST} numbers), got {space}")
        with np.errstate(over="ignore"):  # in float32, as cards have them
            low, high = (bound.astype(np.float32).ravel() for bound in (space.low, space.high))
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise ConfigError(f"{source}: actions: {EXPECTED}, got {space}")
        if not np.issubdtype(space.dtype, np.floating) or not (low < high).all():
            raise ConfigError(f"{source}: actions: expected a Box of real numbers, low < high, got {space}")
        return cls(BOX, len(low), tuple(low.tolist()), tuple(high.tolist()), tuple(space.shape))

    @classmethod
    def of_environment(cls, environment: Mapping[str, Any]) -> ActionSpace | None:
        """The action space in the description of an environment; None where it has none.

        Raises:
            ConfigError: it is damaged.
        """
        found = environment.get("action_space")
        if found is None:
            return None
        try:
            if "n" in found:
                space: spaces.Space[Any] = spaces.Discrete(
                    int(found["n"]), start=int(found.get("start", 0))
                )
                keys = tuple(map(int, environment.get(ARROW_KEYS, ())))
                if len(keys) not in (0, 5) or any(not 0 <= key < found["n"] for key in keys):
                    raise ValueError(keys)
                return dataclasses.replace(cls.of(space, "card"), arrow_keys=keys)
            low, high = (np.array(found[name], np.float32) for name in ("low", "high"))
            made = cls.of(spaces.Box(low, high, dtype=np.float32), "card")
        except (AssertionError, KeyError, TypeError, ValueError, OverflowError) as err:
            raise ConfigError(
                f"card: action_space: expected n, or low and high, got {found!r:.200}"
            ) from err
        drives = is_own(environment.get("id"))
        return DRIVING if drives and made.shape == (2,) else made

    @property
    def described(self) -> dict[str, Any]:
        """The description, for JSON."""
        if self.kind == DISCRETE:
            return {"n": self.size, **({"start": self.start} if self.start else {})}
        low, high = (np.reshape(part, self.shape).tolist() for part in (self.low, self.high))
        return {"low": low, "high": high}

    @property
    def space(self) -> spaces.Space[Any]:
        """The space as Gymnasium's class."""
        if self.kind == DISCRETE:
            return spaces.Discrete(self.size, start=self.start)
        low, high = (np.reshape(part, self.shape).astype(np.float32) for part in (self.low, self.high))
        return spaces.Box(low, high, dtype=np.float32)

    def encode(self, actions: npt.ArrayLike, count: int) -> Vectors:
        """Actions of the environment as vectors; those of a Box outside its bounds are clipped.

        Args:
            actions: of `count` environments.
        Returns:
            (count, A).
        Raises:
            ActionError: another shape, a number that is not finite, or no action of a Discrete.
        """
        if self.kind == DRIVE:
            return check_actions(actions, count)
        if self.kind == DISCRETE:
            return self._one_hot(actions, count)
        try:
            array = np.asarray(actions, dtype=np.float64)
        except (TypeError, ValueError) as err:
            raise ActionError(f"action: expected numbers of shape {self.shape}, got {actions!r}") from err
        if array.shape != (count, *self.shape):
            raise ActionError(f"action: expected shape {(count, *self.shape)}, got {array.shape}")
        if not np.isfinite(array).all():
            raise ActionError(f"action: expected finite numbers, got {array.tolist()!r:.200}")
        low, high = np.array(self.low), np.array(self.high)
        return np.clip(2 * (array.reshape(count, -1) - low) / (high - low) - 1, -1.0, 1.0)

    def executed(self, vectors: npt.ArrayLike) -> Vectors:
        """What is executed where a policy gives these vectors: clipped, or the greatest as one-hot.

        Args:
            vectors: (N, A).
        """
        wanted = np.asarray(vectors, dtype=np.float64)
        if self.kind == DISCRETE:
            found: Vectors = np.eye(self.size)[wanted.argmax(axis=-1)]
            return found
        return np.clip(wanted, -1, 1)

    def decode(self, vectors: npt.ArrayLike) -> npt.NDArray[Any]:
        """The environment's actions for vectors.

        Args:
            vectors: (N, A).
        Returns:
            (N, ...) float32, or (N,) int64 of a Discrete.
        """
        executed = self.executed(vectors)
        if self.kind == DISCRETE:
            return executed.argmax(axis=-1) + self.start
        low, high = np.array(self.low), np.array(self.high)
        scaled = low + (executed + 1) / 2 * (high - low)
        return scaled.astype(np.float32).reshape(len(scaled), *self.shape)

    def sample(self, random: np.random.Generator) -> Vectors:
        """The vector (A,) of a random action."""
        if self.kind == DISCRETE:
            found: Vectors = np.eye(self.size)[random.integers(self.size)]
            return found
        return random.uniform(-1, 1, self.size)

    def _one_hot(self, actions: npt.ArrayLike, count: int) -> Vectors:
        array = np.asarray(actions)
        last = self.start + self.size - 1
        if array.shape != (count,) or array.dtype.kind not in "iu":
            raise ActionError(
                f"action: expected {count} integers from {self.start} to {last}, "
                f"got {array.tolist()!r:.200}"
            )
        if ((array < self.start) | (array > last)).any():
            raise ActionError(f"action: expected {self.start} to {last}, got {array.tolist()!r:.200}")
        found: Vectors = np.eye(self.size)[array - self.start]
        return found


DRIVING = ActionSpace(DRIVE, 2, (-1.0, -1.0), (1.0, 1.0), (2,))
