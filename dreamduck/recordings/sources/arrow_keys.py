"""Arrow keys as actions of any action space.

They give throttle (up, down) and steering (left, right), each in [-1, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.recordings.sources.action_space import DISCRETE, DRIVING, ActionSpace

# of no key and of each key, as Atari's games and ViZDoom call them
NAMES = ("NOOP",), ("LEFT", "TURN_LEFT"), ("RIGHT", "TURN_RIGHT"), ("UP", "FORWARD"), ("DOWN", "BACKWARD")
PRESSED = 0.2  # of a number, beyond which it chooses a discrete action
KEYS = LEFT, RIGHT, UP, DOWN = "\u2190\u2192\u2191\u2193"


def from_keys(space: ActionSpace, throttle: float, steering: float) -> npt.NDArray[np.float32]:
    """The action for what the arrow keys give; `web/page/keys.js` does the same.

    Of a Box the first number goes left and right, the second up and down, each from where 0 is, or the
    bound that is nearest to it; where the second has no lower half, down moves the third. Discrete actions
    have keys by their names, or else up to the fifth.

    Args:
        space: of the environment.
        throttle: up to down, 1 to -1.
        steering: left to right, 1 to -1.
    Returns:
        (A,), see `ActionSpace`.
    """
    if space == DRIVING:
        return np.array([throttle, steering], np.float32)
    if space.kind == DISCRETE:
        pressed = (steering > PRESSED, steering < -PRESSED, throttle > PRESSED, throttle < -PRESSED, True)
        key = (1, 2, 3, 4, 0)[pressed.index(True)]
        return np.eye(space.size, dtype=np.float32)[discrete_actions(space)[key]]
    rest = at_rest(space)
    vector = rest.copy()
    moved = {0: -steering, 1: throttle}
    if (rest[1:2] <= -1).any():
        moved[2] = max(-throttle, 0.0)
    for number, by in moved.items():
        if number < space.size:
            vector[number] += by * (1 - rest[number] if by > 0 else rest[number] + 1)
    return vector.astype(np.float32)


def at_rest(space: ActionSpace) -> npt.NDArray[np.float64]:
    """The action (A,) of a Box where no key is pressed: 0, or the nearest bound."""
    low, high = np.array(space.low), np.array(space.high)
    return 2 * (np.clip(0.0, low, high) - low) / (high - low) - 1


def legend(space: ActionSpace) -> str:
    """A description of the arrow keys for the user."""
    if space.kind == DISCRETE:
        rest, *others = discrete_actions(space)
        named = [("no key", rest), *((k, a) for k, a in zip(KEYS, others, strict=True) if a != rest)]
        return "Actions: " + ", ".join(f"{key} {space.start + action}" for key, action in named)
    parts = [f"{LEFT} {RIGHT} the first"]
    if space.size > 1:
        one_sided = space.size > 2 and at_rest(space)[1] <= -1
        parts.append(f"{UP} the second, {DOWN} the third" if one_sided else f"{UP} {DOWN} the second")
    return f"Numbers of the action: {', '.join(parts)} of {space.size}"


def discrete_actions(space: ActionSpace) -> tuple[int, ...]:
    """What no key, left, right, up and down choose of discrete actions, counted from 0."""
    if space.arrow_keys:
        return space.arrow_keys
    if space.size == 2:
        return 0, 0, 1, 0, 0
    return tuple(action if action < space.size else 0 for action in range(5))


def named_keys(env: Any) -> tuple[int, ...]:
    """What the arrow keys choose of the discrete actions of an environment that names them.

    Args:
        env: one that is made; Atari's games and ViZDoom's have names.
    Returns:
        See `ActionSpace.arrow_keys`; empty where there are no names, none for left and right, or as many
        as the actions are.
    """
    try:
        names = _names(env.unwrapped)
    except Exception:  # anything, from a foreign environment
        return ()
    if len(names) != env.action_space.n:  # a wrapper has changed the actions
        return ()
    found = [next((names.index(name) for name in key if name in names), -1) for key in NAMES]
    if min(found[1:3]) < 0:
        return ()
    return tuple(max(action, found[0], 0) if action < 0 else action for action in found)


def _names(env: Any) -> list[str]:
    """Names of discrete actions, in their order: NOOP, or the buttons that are pressed."""
    if hasattr(env, "get_action_meanings"):
        return [str(name).upper() for name in env.get_action_meanings()]
    if not hasattr(env, "button_map"):
        return []
    buttons = [button.name.removeprefix("MOVE_") for button in env.game.get_available_buttons()]
    pressed = [[name for name, down in zip(buttons, row, strict=True) if down] for row in env.button_map]
    return [" ".join(row) or "NOOP" for row in pressed]
