"""Settings of a world model and its dreams: a part of the configurations of worlds and searches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from dreamduck.common.config import check, option
from dreamduck.pretrained import FOLDER
from dreamduck.world_model import WorldModel


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A folder of weights, and the temperature of its dream."""

    weights: str | None = option(
        "", "folder of the world model; the one that ships by default", flags=("-w",)
    )
    temperature: float | None = option(
        None,
        "uncertainty of the dream; by default what suits its kind of dynamics",
        above=0.0,
        flags=("--temp",),
    )

    def __post_init__(self) -> None:
        if self.weights is None:
            object.__setattr__(self, "weights", "")
        check(self)

    @property
    def folder(self) -> Path:
        """The folder of the weights."""
        return Path(self.weights) if self.weights else FOLDER

    def with_temperature(self, search: bool = False) -> ModelConfig:
        """The same with the temperature of the folder's kind of dynamics, where none is given.

        Args:
            search: that of a search.
        Raises:
            WeightsError: there is no world model in the folder.
        """
        if self.temperature is not None:
            return self
        model = WorldModel.load(self.folder)
        found = model.search_temperature if search else model.temperature
        return dataclasses.replace(self, temperature=found)
