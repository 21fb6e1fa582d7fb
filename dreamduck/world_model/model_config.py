"""Which world model is used, and how it dreams: a part of the configurations of worlds and searches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from dreamduck.common.config import check, option
from dreamduck.pretrained import FOLDER
from dreamduck.world_model.imagination import TEMPERATURE


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A folder of weights, and the temperature of its dream."""

    weights: str | None = option(
        "", "folder of the world model; the one that ships by default", flags=("-w",)
    )
    temperature: float = option(TEMPERATURE, "uncertainty of the dream", above=0.0, flags=("--temp",))

    def __post_init__(self) -> None:
        if self.weights is None:
            object.__setattr__(self, "weights", "")
        check(self)

    @property
    def folder(self) -> Path:
        """Where the weights lie."""
        return Path(self.weights) if self.weights else FOLDER
