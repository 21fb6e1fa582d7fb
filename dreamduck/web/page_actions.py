"""Actions of any environment as the page has them: two numbers, as throttle and steering are.

The page sends what the arrow keys give; links and episodes hold two integers a step, into which any action
is packed. Of Duckietown all three are throttle and steering."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError
from dreamduck.recordings.sources.action_space import DISCRETE, DRIVING, ActionSpace
from dreamduck.recordings.sources.arrow_keys import at_rest, discrete_actions
from dreamduck.web.share_link import GRID, on_grid

Pair = npt.NDArray[np.float32]  # (2,), on the grid
Vector = npt.NDArray[np.float32]  # (A,), see `ActionSpace`

BITS = 15  # of each integer
MOST = 10  # numbers that two integers hold; 3 bits each


class PageActions:
    """An action space, as the page has it.

    Args:
        space: of the environment.
    Raises:
        ConfigError: its actions have more numbers than a link holds.
    """

    def __init__(self, space: ActionSpace) -> None:
        if space.kind != DISCRETE and space.size > MOST:
            raise ConfigError(f"actions: expected at most {MOST} numbers for the page, got {space.size}")
        self.space = space
        self._top = 2 ** (2 * BITS // max(space.size, 1)) - 2  # even, so that 0 is on its scale

    @property
    def described(self) -> dict[str, Any]:
        """The settings of `page/keys.js`."""
        kind, discrete = self.space.kind, self.space.kind == DISCRETE
        how = {"keys": discrete_actions(self.space)} if discrete else {"rest": at_rest(self.space).tolist()}
        return {"kind": kind, "size": self.space.size, **how}

    def pack(self, vector: npt.ArrayLike) -> Pair:
        """An action as two numbers on the grid, as near as the grid allows.

        Args:
            vector: (A,).
        """
        wanted = self.space.executed(np.asarray(vector, np.float64)[np.newaxis])[0]
        if self.space.kind == DISCRETE:
            return self._pair(int(wanted.argmax()))
        if self.space.size == 1:
            return on_grid([wanted[0], 0.0])
        if self.space.size == 2:
            return on_grid(wanted)
        code = 0
        for value in reversed(wanted.tolist()):
            code = code * (self._top + 1) + round((value + 1) / 2 * self._top)
        return self._pair(code)

    def unpack(self, pair: Pair) -> Vector:
        """The action (A,) in two numbers; see `pack`."""
        if self.space.kind != DISCRETE and self.space.size <= 2:
            return np.asarray(pair[: self.space.size], np.float32)
        low, high = np.abs(np.rint(np.asarray(pair, np.float64) * GRID)).astype(int).tolist()
        code = low + (high << BITS)
        if self.space.kind == DISCRETE:
            return np.eye(self.space.size, dtype=np.float32)[min(code, self.space.size - 1)]
        found = []
        for _ in range(self.space.size):
            code, digit = divmod(code, self._top + 1)
            found.append(2 * digit / self._top - 1)
        return np.array(found, np.float32)

    def executed(self, pair: Pair) -> Any:
        """The environment's action in two numbers."""
        return pair if self.space == DRIVING else self.space.decode(self.unpack(pair)[np.newaxis])[0]

    def shown(self, pair: Pair) -> list[float]:
        """An action as the page shows it, for up and down, and for left and right."""
        if self.space == DRIVING:
            return [float(value) for value in pair]
        if self.space.kind == DISCRETE:
            return [0.0, 0.0]
        vector = self.unpack(pair)
        return [float(vector[1]) if len(vector) > 1 else 0.0, -float(vector[0])]

    @staticmethod
    def _pair(code: int) -> Pair:
        return on_grid([(code & (2**BITS - 1)) / GRID, (code >> BITS) / GRID])
