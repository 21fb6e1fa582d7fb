"""The model's weights on disk: `rnn.weights.h5`, and its card `rnn.json`, which tells the sizes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamduck.common.config import from_mapping, to_dict
from dreamduck.common.errors import ConfigError, WeightsError
from dreamduck.common.readers import PathLike
from dreamduck.world_model.categorical.layout import FORMAT, KIND, CategoricalConfig
from dreamduck.world_model.mdn_rnn.files import read_card
from dreamduck.world_model.weights_format import Parameters

WEIGHTS, CARD = FORMAT.weights, FORMAT.card


def load(folder: PathLike) -> tuple[Parameters, CategoricalConfig, dict[str, Any], str]:
    """Weights, their sizes, their card and their fingerprint; see `WeightsFormat.load`."""
    config = config_of(read_card(folder), str(Path(folder) / CARD))
    parameters, card, found = FORMAT.load(folder, config, config)
    return parameters, config, card, found


def save(
    folder: PathLike, parameters: Parameters, config: CategoricalConfig, card: Mapping[str, Any]
) -> None:
    """Write weights, as they are, and their card with their sizes and fingerprint."""
    FORMAT.save(folder, parameters, {**card, "kind": KIND, "sizes": to_dict(config)})


def config_of(card: Mapping[str, Any], source: str) -> CategoricalConfig:
    """The sizes that a card tells.

    Raises:
        WeightsError: they make no sense.
    """
    try:
        return from_mapping(CategoricalConfig, card["sizes"])
    except ConfigError as err:
        raise WeightsError(f"{source}: {err}") from err
