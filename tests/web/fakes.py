"""An environment and a factory that need no simulator and no weights."""

import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces

from dreamduck.common.errors import ConfigError
from dreamduck.envs.base import SingleEnv
from dreamduck.web.recording import Recorder
from dreamduck.web.scenes import Outcome, Scene
from dreamduck.web.session_factory import SessionFactory
from dreamduck.web.share_link import Start

LATENTS = 4


class LineEnv(SingleEnv):
    """A car on a line: throttle moves it, 1.0 is the end, noise comes from the seed and temperature."""

    kept: ClassVar[tuple[str, ...]] = ("place", "z", "seed")

    def _configure(self, settings):
        return spaces.Box(-1, 1, (1,), np.float32), 10

    def _make(self, num_envs, threads):
        self.z = np.zeros(LATENTS, np.float32)
        self.place, self.seed, self.temperature = 0.0, 0, 0.0
        self.large = False  # whether its images are large
        self.pace = 0.0  # seconds that a step takes
        self.entered = threading.Event()  # a step has begun

    @property
    def steps(self):
        return self._steps

    def about(self):
        return {"map_name": "line", "simulator": "line", "seed": self.seed}

    def frame(self):
        frame = np.zeros((64, 64, 3), np.uint8)
        frame[..., 0] = np.uint8(round(abs(self.place) * 200))
        frame[..., 1] = np.uint8(np.clip(self.z[0] * 20, 0, 255))
        return frame

    def set_state(self, state):
        self._work()
        super().set_state(state)

    def _work(self):
        self.entered.set()
        time.sleep(self.pace)

    def _begin(self, envs, seeds, options):
        self.place, self.seed = 0.0, seeds[0]
        return {"end": np.array([""], dtype=object)}

    def _advance(self, actions):
        self._work()
        noise = np.random.default_rng((self.seed, self._steps)).standard_normal()
        self.place += 0.01 * float(actions[0, 0]) + 0.001 * self.temperature * noise
        ended = np.array([abs(self.place) >= 1])
        return actions[:, 0], ended, {"end": np.array(["off-road" if ended[0] else ""], dtype=object)}

    def _observe(self):
        return np.full((1, 1), self.place, np.float32)

    def _images(self):
        return [self.frame()]

    def _parts(self):
        return {}


class LineScene(Scene):
    """An episode on the line."""

    env: LineEnv

    def __init__(self, start: Start) -> None:
        env = LineEnv()
        env.reset(seed=start.seed)
        super().__init__(env, start, {"expert": lambda: np.array([1.0, 0.25], np.float32)})

    @property
    def latents(self):
        return self.env.z

    def decode(self, z):
        frames = np.zeros((len(z), 64, 64, 3), np.uint8)
        frames[..., 1] = np.clip(z[:, 0] * 20, 0, 255)[:, None, None]
        frames[..., 2] = np.clip(z[:, 1] * 20 + 100, 0, 255)[:, None, None]
        return frames

    def step(self, action, temperature) -> Outcome:
        self.env.temperature = temperature
        return super().step(action, temperature)

    def show(self, moment, ahead):
        facts: dict[str, Any] = {"place": self.env.place, "ahead": [float(v) for v in ahead]}
        if self.env.large:
            noise = np.random.default_rng(self.env.steps).integers(0, 255, (480, 640, 3), np.uint8)
            return {"camera": lambda: noise}, facts
        return {"camera": self.env.frame}, facts


class LineFactory(SessionFactory):
    """Begins such episodes, and remembers their environments."""

    def __init__(self, folder: Path) -> None:
        self.recorder = Recorder(folder / "records", folder / "videos", 0.1)
        self.made: list[LineEnv] = []
        self.pains = 0.0  # seconds that an environment takes to be made
        self.pace = 0.0  # seconds that its steps take

    @property
    def temperature(self) -> float:
        return 0.1

    def describe(self) -> dict[str, Any]:
        return {"worlds": {"road": "", "seen": "", "dream": ""}}

    def outline(self, name: str) -> dict[str, Any]:
        return {"name": name}

    def make(self, start: Start) -> Scene:
        if start.map_name == "nowhere":
            raise ConfigError("map_name: no such map")
        scene = LineScene(start)
        self.made.append(scene.env)
        scene.env.pace = self.pace
        time.sleep(self.pains)
        return scene

    def latents(self, frame):
        return tuple(float(v) for v in frame.mean(axis=(0, 1)))
