"""A world and a workshop that need no simulator and no weights."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common.errors import ConfigError
from dreamduck.web.recording import Recorder
from dreamduck.web.session import Outcome, World
from dreamduck.web.share_link import Start

LATENTS = 4


class LineWorld:
    """A car on a line: throttle moves it, 1.0 is the end, noise comes from the seed and temperature."""

    simulator: str = "line"
    environment: dict[str, Any] | None = None
    drivers: tuple[str, ...] = ("person", "expert")

    def __init__(self, start: Start) -> None:
        self.start = start
        self.z = np.zeros(LATENTS, np.float32)
        self.place, self.steps, self.closed = 0.0, 0, False
        self.large = False  # whether its pictures are large
        self.pace = 0.0  # seconds that a step takes
        self.entered = threading.Event()  # a step has begun

    def step(self, action, temperature):
        self.entered.set()
        time.sleep(self.pace)
        noise = np.random.default_rng((self.start.seed, self.steps)).standard_normal()
        self.place += 0.01 * float(action[0]) + 0.001 * temperature * noise
        self.steps += 1
        return Outcome(float(action[0]), "off-road" if abs(self.place) >= 1 else "")

    def mark(self):
        return self.place, self.steps, self.z.copy()

    def back(self, mark, actions):
        assert len(actions) == mark[1]
        self.place, self.steps, self.z = mark[0], mark[1], mark[2].copy()

    def act(self, driver):
        return np.array([1.0, 0.25], np.float32)

    def pull(self, latent, value):
        if latent >= LATENTS:
            raise ConfigError("no such latent")
        self.z[latent] = value

    def frame(self):
        frame = np.zeros((64, 64, 3), np.uint8)
        frame[..., 0] = np.uint8(round(abs(self.place) * 200))
        frame[..., 1] = np.uint8(np.clip(self.z[0] * 20, 0, 255))
        return frame

    def look(self, ahead, temperature):
        facts: dict[str, Any] = {"place": self.place, "ahead": [float(v) for v in ahead]}
        if self.large:
            noise = np.random.default_rng(self.steps).integers(0, 255, (480, 640, 3), np.uint8)
            return {"camera": noise}, facts
        return {"camera": self.frame()}, facts

    def close(self):
        self.closed = True


class LineWorkshop:
    """Makes such worlds, and remembers them."""

    def __init__(self, folder: Path) -> None:
        self.recorder = Recorder(folder / "records", folder / "films", 0.1)
        self.made: list[LineWorld] = []
        self.pains = 0.0  # seconds that a world takes to be made
        self.pace = 0.0  # seconds that a step of the worlds takes

    def describe(self) -> dict[str, Any]:
        return {"worlds": {"road": "", "seen": "", "dream": ""}}

    def outline(self, name: str) -> dict[str, Any]:
        return {"name": name}

    def make(self, start: Start) -> World:
        if start.map_name == "nowhere":
            raise ConfigError("map_name: no such map")
        self.made.append(LineWorld(start))
        self.made[-1].pace = self.pace
        time.sleep(self.pains)
        return self.made[-1]

    def latents(self, frame):
        return tuple(float(v) for v in frame.mean(axis=(0, 1)))
