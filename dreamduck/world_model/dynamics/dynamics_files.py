"""The files of dynamics: weights, `rnn.weights.h5`, and their card, `rnn.json`, which holds kind and sizes.

Weights that are saved to be used are rounded to half precision; the card's figures are those of the rounded
weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from dreamduck.common.config import from_mapping, to_dict
from dreamduck.common.errors import ConfigError, WeightsError
from dreamduck.common.readers import PathLike
from dreamduck.world_model.weights_format import Parameters, WeightsFormat

Sizes = TypeVar("Sizes")


@dataclasses.dataclass(frozen=True)
class DynamicsFiles(Generic[Sizes]):
    """The files of one kind of dynamics.

    Attributes:
        kind: as a card names it.
        format: of the weights.
        config: the class of the sizes.
    """

    kind: str
    format: WeightsFormat[Sizes]
    config: type[Sizes]

    def load(self, folder: PathLike) -> tuple[Parameters, Sizes, dict[str, Any], str]:
        """Weights, their sizes, their card and their fingerprint; see `WeightsFormat.load`."""
        config = self.config_of(self.read_card(folder), str(Path(folder) / self.format.card))
        parameters, card, found = self.format.load(folder, config, config)
        return parameters, config, card, found

    def save(
        self, folder: PathLike, parameters: Parameters, config: Sizes, card: Mapping[str, Any]
    ) -> None:
        """Write weights, as they are, and their card with their sizes and fingerprint."""
        self.format.save(folder, parameters, {**card, "kind": self.kind, "sizes": to_dict(config)})

    def read_card(self, folder: PathLike) -> dict[str, Any]:
        """The card beside the weights, of any kind of dynamics.

        Raises:
            WeightsError: there is none, or it is damaged.
        """
        form = self.format
        card, path = form.read_card(folder), Path(folder) / form.card
        if not card and not path.exists():
            raise WeightsError(f"{path}: no such file; {form.remedy}")
        if not isinstance(card.get("sizes"), dict):
            raise WeightsError(
                f"{path}: expected a JSON object with 'sizes' (the card of {form.weights}); {form.remedy}"
            )
        return card

    def config_of(self, card: Mapping[str, Any], source: str) -> Sizes:
        """The sizes in a card.

        Args:
            card: of a folder.
            source: what an error message calls it.
        Raises:
            WeightsError: they are damaged.
        """
        try:
            return from_mapping(self.config, card["sizes"])
        except ConfigError as err:
            raise WeightsError(f"{source}: {err}") from err
