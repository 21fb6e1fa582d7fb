"""The memory's weights on disk: `rnn.weights.h5`, as Keras writes it, and its card `rnn.json`.

Flow: series -> [memory] -> dream. Reading needs h5py alone. Weights that are saved to be used are
rounded to half precision; the card's figures are those of the rounded weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dreamduck.config import from_mapping, to_dict
from dreamduck.errors import ConfigError, WeightsError
from dreamduck.memory.layout import MemoryConfig, Parameters, check_parameters, shapes
from dreamduck.storage import PathLike, fingerprint, read_json, replacing, sweep, write_json

WEIGHTS, CARD, INITIAL, MIDWAY = "rnn.weights.h5", "rnn.json", "initial_z.json", "midway.npz"
MAKE = "train it with rnn_train.py, or name another folder"


def place(name: str) -> str:
    """Where Keras puts a parameter in its file."""
    layer, variable = name.split("/")
    if layer == "core":
        return f"core/cell/vars/{('kernel', 'recurrent_kernel', 'bias').index(variable)}"
    return f"{layer}/vars/{('kernel', 'bias').index(variable)}"


def write_parameters(path: PathLike, parameters: Parameters) -> None:
    """Write weights in the form of `keras.Model.save_weights`, compressed."""
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for name, array in parameters.items():
            # byte shuffling puts the zeros that rounding left side by side
            file.create_dataset(
                place(name), data=array, compression="gzip", compression_opts=9, shuffle=True
            )
        file.create_group("core/vars")
        file.create_group("vars")


def read_parameters(path: PathLike, config: MemoryConfig) -> Parameters:
    """Read weights that Keras or `write_parameters` wrote.

    Raises:
        WeightsError: the file is missing, damaged or of another model.
    """
    if not Path(path).is_file():
        raise WeightsError(f"{path}: no such file; {MAKE}")
    try:
        with h5py.File(path, "r") as file:
            arrays = {}
            for name, shape in shapes(config).items():
                if name == "head_share/kernel" and "head_share" not in file:
                    arrays[name] = np.ones(shape, np.float32)
                    continue
                data = file[place(name)]
                if data.shape != shape:  # before reading: a damaged header may claim terabytes
                    raise WeightsError(f"{path}: {name} is {data.shape}, expected {shape}; {MAKE}")
                arrays[name] = data[()]
    except WeightsError:
        raise
    except (OSError, KeyError, AttributeError, RuntimeError, ValueError, TypeError) as err:
        raise WeightsError(f"{path}: not a readable weights file of the memory ({err}); {MAKE}") from err
    return check_parameters(arrays, config, str(path))


def rounded(parameters: Parameters) -> Parameters:
    """The weights at half precision, as float32 again."""
    limit = float(np.finfo(np.float16).max)
    return {
        name: np.clip(array, -limit, limit).astype(np.float16).astype(np.float32)
        for name, array in parameters.items()
    }


def save(folder: PathLike, parameters: Parameters, config: MemoryConfig, card: Mapping[str, Any]) -> None:
    """Write weights, as they are, and their card into a folder; the card gets their fingerprint."""
    path = Path(folder) / WEIGHTS
    sweep(folder)
    write_parameters(path, parameters)
    whole = {**card, "kind": "memory", "sizes": to_dict(config), "weights": fingerprint(path)}
    write_json(Path(folder) / CARD, whole)


def read_card(folder: PathLike) -> dict[str, Any]:
    """The card beside the weights.

    Raises:
        WeightsError: there is none, or it is not one.
    """
    path = Path(folder) / CARD
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; {MAKE}")
    card = read_json(path, WeightsError)
    if not isinstance(card, dict) or not isinstance(card.get("sizes"), dict):
        raise WeightsError(f"{path}: expected a JSON object with 'sizes' (the card of {WEIGHTS}); {MAKE}")
    return card


def config_of(card: Mapping[str, Any], source: str) -> MemoryConfig:
    """The sizes that a card tells.

    Raises:
        WeightsError: they make no sense.
    """
    try:
        return from_mapping(MemoryConfig, card["sizes"])
    except ConfigError as err:
        raise WeightsError(f"{source}: {err}") from err
