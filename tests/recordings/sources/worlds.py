"""Tiny environments of our own: a dot that is to be kept in the middle."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

HEIGHT, WIDTH = 48, 80
MODULE = "tests.recordings.sources.worlds"


class Dot(gymnasium.Env[Any, Any]):
    """A dot, pushed to the left or the right; at the border the episode ends.

    Args:
        discrete: left, nothing, right; else a push and a brake.
        form: of the observation: "picture", "gray", "float", "first", "dictionary", "goal", "numbers"; or
            with a fault: "float as bytes", "mask".
        breaks: after so many steps; 0: never.
        fault: that it breaks by: "error", "death" of the process, "reward" that is not finite.
        chance: whether seeds count nothing.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 20}  # type: ignore[misc]

    def __init__(
        self,
        discrete: bool = True,
        form: str = "picture",
        breaks: int = 0,
        fault: str = "error",
        chance: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self.form, self.breaks, self.fault, self.chance = form, breaks, fault, chance
        self.render_mode = render_mode
        low, high = np.array([-2, 0], np.float32), np.array([2, 1], np.float32)
        self.action_space: Any = spaces.Discrete(3, start=5) if discrete else spaces.Box(low, high)
        image = spaces.Box(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        spaces_of: dict[str, Any] = {
            "picture": image,
            "gray": spaces.Box(0, 255, (HEIGHT, WIDTH), np.uint8),
            "float": spaces.Box(0.0, 1.0, (HEIGHT, WIDTH, 1), np.float32),
            "first": spaces.Box(0, 255, (3, HEIGHT, WIDTH), np.uint8),
            "dictionary": spaces.Dict({"screen": image, "speed": spaces.Box(-9.0, 9.0, (1,))}),
            "goal": spaces.Dict({"observation": image, "goal": spaces.Box(-9.0, 9.0, (1,))}),
            "numbers": spaces.Box(-9.0, 9.0, (1,)),
            "composite": image,
            "float as bytes": image,
            "mask": spaces.Box(0, 1, (HEIGHT, WIDTH, 3), np.uint8),
        }
        self.observation_space = spaces_of[form]
        if form == "composite":
            self.action_space = spaces.Tuple((spaces.Discrete(2), spaces.Discrete(3)))
        self.x = self.speed = 0.0
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=None if self.chance else seed)
        self.x, self.speed, self.steps = float(self.np_random.uniform(30, 50)), 0.0, 0
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        push = int(action) - 6 if isinstance(self.action_space, spaces.Discrete) else float(action[0])
        self.steps += 1
        if self.steps == self.breaks and self.fault == "error":
            raise RuntimeError("the dot fell off")
        if self.steps == self.breaks and self.fault == "death":
            os._exit(3)
        self.speed = 0.8 * self.speed + 0.5 * push + float(self.np_random.normal(0, 0.4))
        self.x += self.speed
        reward = 1 - abs(self.x - 40) / 40 if self.steps != self.breaks else float("nan")
        return self._observation(), reward, not 8 < self.x < 72, False, {"x": self.x}

    def render(self) -> Any:
        image = np.full((HEIGHT, WIDTH, 3), (20, 40, 60), np.uint8)
        image[16:32, max(0, int(self.x) - 5) : int(self.x) + 5] = (250, 200, 0)
        return image

    def _observation(self) -> Any:
        image = self.render()
        return {
            "picture": image,
            "composite": image,
            "gray": image[..., 0],
            "float": (image[..., :1] / 255).astype(np.float32),
            "first": np.moveaxis(image, 2, 0),
            "dictionary": {"screen": image, "speed": np.array([self.speed], np.float32)},
            "goal": {"observation": image, "goal": np.array([40], np.float32)},
            "numbers": np.array([self.speed], np.float32),
            "float as bytes": image / np.float32(255),
            "mask": image // 255,
        }[self.form]


class FineDot(Dot):
    """A dot with small actions of float64 or float16, whose bounds float32 does not hold."""

    def __init__(self, dtype: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.action_space = spaces.Box(-0.1, 0.3, (2,), np.dtype(dtype).type)

    def close(self) -> None:
        raise RuntimeError("the dot stays open")


def own_policy(action_space: Any, seed: int) -> Any:
    """A policy of one's own."""
    return lambda frame: action_space.start


def wrong_policy(action_space: Any, seed: int) -> Any:
    """One that gives no action."""
    return lambda frame: 99


class NoisyDot(Dot):
    """A dot whose rewards are noisy, whatever the seed."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, *rest = super().step(action)
        return observation, reward + int.from_bytes(os.urandom(4)), *rest


gymnasium.register("NoisyDot-v1", entry_point=f"{MODULE}:NoisyDot", max_episode_steps=60)
gymnasium.register("FineDot-v1", entry_point=f"{MODULE}:FineDot", max_episode_steps=60)
gymnasium.register("Dot-v3", entry_point=f"{MODULE}:Dot", max_episode_steps=60)
gymnasium.register(
    "DotBox-v0", entry_point=f"{MODULE}:Dot", max_episode_steps=60, kwargs={"discrete": False}
)
