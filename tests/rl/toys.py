"""Small worlds that are quick, need no window system, and can be learned."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class Dot(gym.Env[Any, Any]):
    """A dot on a line, pushed to the middle; the reward is how near it is. 20 steps."""

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 10}  # noqa: RUF012  (Gymnasium's form)

    def __init__(self, render_mode: str | None = None, images: bool = False) -> None:
        self.render_mode, self.images = render_mode, images
        self.shown = 0
        if images:
            self.observation_space: gym.Space[Any] = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
        else:
            self.observation_space = gym.spaces.Box(-2, 2, (1,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.place, self.steps = float(self.np_random.uniform(-1, 1)), 0
        return self._seen(), {"place": self.place}

    def step(self, action: Any) -> Any:
        self.place = float(np.clip(self.place + 0.3 * float(action[0]), -2, 2))
        self.steps += 1
        return self._seen(), -abs(self.place), False, self.steps >= 20, {"place": self.place}

    def _seen(self) -> Any:
        return self._image() if self.images else np.array([self.place], np.float32)

    def _image(self) -> Any:
        frame = np.zeros((64, 64, 3), np.uint8)
        column = int((self.place + 2) * 15)
        frame[:, column : column + 4] = 255
        return frame

    def render(self) -> Any:
        self.shown += 1
        return self._image() if self.render_mode == "rgb_array" else None


class Pair(Dot):
    """The same with an observation in two parts."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.observation_space = gym.spaces.Dict(
            {"a": gym.spaces.Box(-2, 2, (1,)), "b": gym.spaces.Discrete(2)}
        )

    def _seen(self) -> Any:
        return {"a": np.array([self.place], np.float32), "b": 1}


for name, kind, more in (
    ("Dot-v0", "Dot", {}),
    ("DotCam-v0", "Dot", {"images": True}),
    ("DotPair-v0", "Pair", {}),
):
    if name not in gym.registry:
        gym.register(name, entry_point=f"{__name__}:{kind}", kwargs=more)


class Countdown(gym.Env[Any, Any]):
    """Observes the steps that are left; terminates at 0, or is truncated, as its arguments say."""

    def __init__(self, length: int, cut: bool) -> None:
        self.length, self.cut, self.render_mode = length, cut, None
        self.observation_space = gym.spaces.Box(-1, 99, (1,), np.float32)
        self.action_space = gym.spaces.Discrete(2)
        self.resets = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left, self.resets = self.length, self.resets + 1
        return np.array([self.left], np.float32), {"resets": self.resets}

    def step(self, action: Any) -> Any:
        self.left -= 1
        over = self.left == 0
        return (
            np.array([self.left], np.float32),
            1.0,
            over and not self.cut,
            over and self.cut,
            {"left": self.left},
        )
