"""A person at the keyboard as a behaviour policy, for recordings of any Gymnasium environment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError
from dreamduck.recordings.sources.action_space import ActionSpace
from dreamduck.recordings.sources.arrow_keys import from_keys, legend
from dreamduck.window.keyboard import person_action
from dreamduck.window.window import Keys, Window

# pygame's numbers of keys that have no letter, as pyglet names them
NAMED = {
    1073741903: "RIGHT",
    1073741904: "LEFT",
    1073741905: "DOWN",
    1073741906: "UP",
    8: "BACKSPACE",
    9: "TAB",
    13: "RETURN",
    32: "SPACE",
}
FIRST = "a key begins; escape ends the recording"


class RecordingStopped(Exception):
    """The person pressed escape, or closed the window."""


class KeyboardPolicy:
    """Acts as the keys say.

    Args:
        actions: of the environment.
        fps: steps a second.
        keys_to_action: as `gymnasium.utils.play` takes it: letters or pygame's numbers of keys that are
            held together, and the environment's action; None: the arrow keys, see `arrow_keys`.
    Raises:
        ConfigError: `keys_to_action` has no actions of this environment.
        DisplayError: there is no display.
        DependencyError: the window's packages are not installed.
    """

    def __init__(
        self, actions: ActionSpace, fps: float, keys_to_action: Mapping[Any, Any] | None = None
    ) -> None:
        self._actions, self._fps = actions, fps
        self._table = {
            frozenset(map(key_name, held if isinstance(held, tuple | list) else (held,))): encoded(
                actions, action
            )
            for held, action in (keys_to_action or {}).items()
        }
        keys = sorted({name for held in self._table for name in held})
        self._legend = f"keys: {' '.join(keys)}" if self._table else legend(actions)
        self._window = Window("record")

    def act(
        self, step: int, frame: npt.NDArray[np.uint8], expert: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """See `BehaviorPolicy.act`.

        Raises:
            RecordingStopped: escape was pressed, or the window closed.
        """
        if step == 0:
            while not self._shown(frame, FIRST).pressed:
                pass
        keys = self._shown(frame, f"step {step}")
        if not self._table:
            return np.asarray(from_keys(self._actions, *person_action(keys).tolist()), np.float64)
        return self._chosen({*keys.held, *keys.pressed})

    def close(self) -> None:
        """Close the window."""
        self._window.close()

    def _shown(self, frame: npt.NDArray[np.uint8], text: str) -> Keys:
        keys = self._window.show(frame, [text, self._legend], self._fps)
        if keys.closed or "ESCAPE" in keys.pressed:
            raise RecordingStopped
        return keys

    def _chosen(self, held: Collection[str]) -> npt.NDArray[np.float64]:
        """The action of the most keys that are held together."""
        fitting = [keys for keys in self._table if keys <= set(held)]
        if not fitting:
            return np.asarray(from_keys(self._actions, 0.0, 0.0), np.float64)
        return self._table[max(fitting, key=len)]


def key_name(key: int | str) -> str:
    """A key as pyglet names it.

    Args:
        key: a letter, or pygame's number.
    Raises:
        ConfigError: another.
    """
    number = ord(key) if isinstance(key, str) and len(key) == 1 else key
    if number in NAMED:
        return NAMED[number]
    if isinstance(number, int | np.integer) and 32 < number < 127:
        letter = chr(number)
        return f"_{letter}" if letter.isdigit() else letter.upper()
    raise ConfigError(f"keys_to_action: expected letters, digits, space or arrow keys, got {key!r}")


def encoded(actions: ActionSpace, action: Any) -> npt.NDArray[np.float64]:
    """The vector (A,) of an environment's action."""
    return actions.encode(np.asarray(action)[np.newaxis], 1)[0]
