"""The MDN-RNN's weights on disk: `rnn.weights.h5`, and its card `rnn.json`, which tells the sizes.

Weights that are saved to be used are rounded to half precision; the card's figures are those of the rounded
weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamduck.common.config import from_mapping, to_dict
from dreamduck.common.errors import ConfigError, WeightsError
from dreamduck.common.readers import PathLike
from dreamduck.world_model.mdn_rnn.layout import FORMAT, KIND, MDNRNNConfig
from dreamduck.world_model.weights_format import Parameters, at_half_precision

WEIGHTS, CARD = FORMAT.weights, FORMAT.card
write_parameters, rounded = FORMAT.write, at_half_precision


def read_parameters(path: PathLike, config: MDNRNNConfig) -> Parameters:
    """See `WeightsFormat.read`."""
    return FORMAT.read(path, config, config)


def load(folder: PathLike) -> tuple[Parameters, MDNRNNConfig, dict[str, Any], str]:
    """Weights, their sizes, their card and their fingerprint; see `WeightsFormat.load`."""
    config = config_of(read_card(folder), str(Path(folder) / CARD))
    parameters, card, found = FORMAT.load(folder, config, config)
    return parameters, config, card, found


def save(folder: PathLike, parameters: Parameters, config: MDNRNNConfig, card: Mapping[str, Any]) -> None:
    """Write weights, as they are, and their card with their sizes and fingerprint."""
    FORMAT.save(folder, parameters, {**card, "kind": KIND, "sizes": to_dict(config)})


def read_card(folder: PathLike) -> dict[str, Any]:
    """The card beside the weights.

    Raises:
        WeightsError: there is none, or it is not one.
    """
    card, path = FORMAT.read_card(folder), Path(folder) / CARD
    if not card and not path.exists():
        raise WeightsError(f"{path}: no such file; {FORMAT.remedy}")
    if not isinstance(card.get("sizes"), dict):
        raise WeightsError(
            f"{path}: expected a JSON object with 'sizes' (the card of {WEIGHTS}); {FORMAT.remedy}"
        )
    return card


def config_of(card: Mapping[str, Any], source: str) -> MDNRNNConfig:
    """The sizes that a card tells.

    Raises:
        WeightsError: they make no sense.
    """
    try:
        return from_mapping(MDNRNNConfig, card["sizes"])
    except ConfigError as err:
        raise WeightsError(f"{source}: {err}") from err
