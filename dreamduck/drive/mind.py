"""The world model of one tab: what it sees, what it remembers, what it expects.

Flow: vision, memory, control -> [mind] -> road, dream."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.control.controllers import Controller
from dreamduck.drive.session import Action, Frame
from dreamduck.errors import ConfigError, WeightsError

Floats = npt.NDArray[np.float32]
SHOWN_DECIMALS = 4  # of latents that go to the page


@dataclasses.dataclass(frozen=True)
class Model:
    """A world model, loaded once and shared; it holds no state of any drive."""

    vision: Any
    memory: Any

    @property
    def z_size(self) -> int:
        return self.memory.config.z_size

    @property
    def hidden_size(self) -> int:
        return self.memory.config.hidden_size

    @property
    def latent_order(self) -> list[int]:
        return list(range(self.z_size))


def load_model(folder: Path) -> Model:
    """The world model in a folder."""
    raise WeightsError(f"{folder}: memory not there yet")


@dataclasses.dataclass(frozen=True)
class Thought:
    """Everything a mind holds at a moment; never changed."""

    z: Floats


class Mind:
    """placeholder until memory lands."""

    controller: Controller | None
    thought: Thought

    def __init__(self, model: Model, controller: Controller | None, seed: int) -> None:
        raise ConfigError("no")

    def begin(self, frame: Frame) -> None: ...
    def watch(self, frame: Frame, action: Action) -> None: ...
    def act(self) -> Action:
        raise ConfigError("no")
    def pull(self, latent: int, value: float) -> None: ...
    def look(self) -> tuple[dict[str, Frame], dict[str, Any]]:
        raise ConfigError("no")
