"""The MDN-RNN's weights on disk: `rnn.weights.h5`, as Keras writes it, and its card `rnn.json`.

Reading needs h5py alone. Weights that are saved to be used are
rounded to half precision; the card's figures are those of the rounded weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common.config import from_mapping, to_dict
from dreamduck.common.errors import ConfigError, WeightsError
from dreamduck.common.files import weights
from dreamduck.common.readers import PathLike, fingerprint, fingerprint_of
from dreamduck.world_model.mdn_rnn.layout import MDNRNNConfig, Parameters, check_parameters, shapes

WEIGHTS, CARD, INITIAL, MIDWAY = "rnn.weights.h5", "rnn.json", "initial_z.json", "midway.npz"
MAKE = "train it with rnn_train.py, or name another folder"


GROUPS = ("core/vars", "vars")  # which Keras expects


def place(name: str) -> str:
    """Where Keras puts a parameter in its file."""
    layer, variable = name.split("/")
    if layer == "core":
        return f"core/cell/vars/{('kernel', 'recurrent_kernel', 'bias').index(variable)}"
    return f"{layer}/vars/{('kernel', 'bias').index(variable)}"


def write_parameters(path: PathLike, parameters: Parameters) -> None:
    """Write weights in the form of `keras.Model.save_weights`, compressed."""
    weights.write_weights(path, _to_hdf5(parameters))


def _to_hdf5(parameters: Parameters) -> bytes:
    return weights.to_hdf5({place(name): array for name, array in parameters.items()}, GROUPS)


def read_parameters(path: PathLike, config: MDNRNNConfig) -> Parameters:
    """Read weights that Keras or `write_parameters` wrote.

    Raises:
        WeightsError: the file is missing, damaged or of another model.
    """
    return _parse(_read(path, config), path, config)


def _read(path: PathLike, config: MDNRNNConfig) -> bytes:
    return weights.read_weights(path, sum(math.prod(shape) for shape in shapes(config).values()), MAKE)


def _parse(data: bytes, path: PathLike, config: MDNRNNConfig) -> Parameters:
    with weights.open_hdf5(data, path, MAKE) as file:
        arrays = {}
        for name, shape in shapes(config).items():
            if name == "head_share/kernel" and "head_share" not in file:
                arrays[name] = np.ones(shape, np.float32)
                continue
            arrays[name] = weights.read_dataset(file, place(name), shape)
    return check_parameters(arrays, config, str(path))


def load(folder: PathLike) -> tuple[Parameters, MDNRNNConfig, dict[str, Any], str]:
    """Weights that are those of their card, their sizes, the card, and their fingerprint.

    Raises:
        WeightsError: a file is missing or damaged, or the card is of other weights.
    """
    path, card_path = Path(folder) / WEIGHTS, Path(folder) / CARD
    card = read_card(folder)
    config = config_of(card, str(card_path))
    data = _read(path, config)
    found = fingerprint_of(data)
    weights.check_pair(card, found, path, card_path, MAKE)
    return _parse(data, path, config), config, card, found


def rounded(parameters: Parameters) -> Parameters:
    """The weights at half precision, as float32 again."""
    limit = float(np.finfo(np.float16).max)
    return {
        name: np.clip(array, -limit, limit).astype(np.float16).astype(np.float32)
        for name, array in parameters.items()
    }


def save(folder: PathLike, parameters: Parameters, config: MDNRNNConfig, card: Mapping[str, Any]) -> None:
    """Write weights, as they are, and their card into a folder; the card gets their fingerprint."""
    whole = {**card, "kind": "memory", "sizes": to_dict(config)}
    weights.save_pair(Path(folder) / WEIGHTS, _to_hdf5(parameters), Path(folder) / CARD, whole)


def read_card(folder: PathLike) -> dict[str, Any]:
    """The card beside the weights.

    Raises:
        WeightsError: there is none, or it is not one.
    """
    path, card_path = Path(folder) / WEIGHTS, Path(folder) / CARD
    card = weights.read_card(card_path, fingerprint(path) if path.is_file() else None, MAKE)
    if not card and not card_path.exists():
        raise WeightsError(f"{card_path}: no such file; {MAKE}")
    if not isinstance(card.get("sizes"), dict):
        raise WeightsError(
            f"{card_path}: expected a JSON object with 'sizes' (the card of {WEIGHTS}); {MAKE}"
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
