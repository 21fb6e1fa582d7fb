"""Arrow keys as actions of any action space.

They give throttle (up, down) and steering (left, right), each in [-1, 1]."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dreamduck.recordings.sources.action_space import DISCRETE, DRIVING, ActionSpace

PRESSED = 0.2  # of a number, beyond which it chooses a discrete action
LEFT, RIGHT, UP, DOWN = "\u2190\u2192\u2191\u2193"


def from_keys(space: ActionSpace, throttle: float, steering: float) -> npt.NDArray[np.float32]:
    """The action for what the arrow keys give; `web/page/keys.js` does the same.

    Of a Box the first number goes left and right, the second up and down, each from where 0 is, or the
    bound that is nearest to it; where the second has no lower half, down moves the third. Discrete actions
    have keys up to the fifth.

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
        return np.eye(space.size, dtype=np.float32)[_chosen(space.size, throttle, steering)]
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
        names = [LEFT, RIGHT] if space.size == 2 else ["no key", LEFT, RIGHT, UP, DOWN]
        named = zip(names, range(space.start, space.start + space.size), strict=False)
        return "Actions: " + ", ".join(f"{name} {action}" for name, action in named)
    parts = [f"{LEFT} {RIGHT} the first"]
    if space.size > 1:
        one_sided = space.size > 2 and at_rest(space)[1] <= -1
        parts.append(f"{UP} the second, {DOWN} the third" if one_sided else f"{UP} {DOWN} the second")
    return f"Numbers of the action: {', '.join(parts)} of {space.size}"


def _chosen(size: int, throttle: float, steering: float) -> int:
    """Which of `size` discrete actions."""
    if size == 2:
        return int(steering < -PRESSED)
    pressed = (steering > PRESSED, steering < -PRESSED, throttle > PRESSED, throttle < -PRESSED, True)
    wanted = (1, 2, 3, 4, 0)[pressed.index(True)]
    return wanted if wanted < size else 0
