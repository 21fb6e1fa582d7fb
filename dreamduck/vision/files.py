"""The VAE's weights on disk: `vae.weights.h5`, as Keras writes it, and its card `vae.json`.

Flow: recordings -> [vision] -> series. Reading needs h5py alone. Weights that are saved to be used
(`shipped`) are brought into a form that takes a seventh of the room and makes the same pictures; the
card's figures are measured on that form."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dreamduck.errors import WeightsError
from dreamduck.storage import PathLike, fingerprint, read_json, replacing, sweep, write_json
from dreamduck.vision.layout import ENCODED, Parameters, check_parameters, shapes, z_size_of

WEIGHTS, CARD = "vae.weights.h5", "vae.json"
Z_LIMIT = 4096  # a larger latent is a damaged file
VARIABLES = ("kernel", "bias")  # Keras numbers a layer's variables in this order


def write_parameters(path: PathLike, parameters: Parameters) -> None:
    """Write weights in the form of `keras.Model.save_weights`, compressed."""
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for name, array in parameters.items():
            layer, variable = name.split("/")
            where = f"{layer}/vars/{VARIABLES.index(variable)}"
            # byte shuffling puts the zeros that rounding left side by side
            file.create_dataset(where, data=array, compression="gzip", compression_opts=9, shuffle=True)
        file.create_group("vars")


def read_parameters(path: PathLike) -> Parameters:
    """Read weights that Keras or `write_parameters` wrote.

    Raises:
        WeightsError: the file is missing, damaged or of another model.
    """
    if not Path(path).is_file():
        raise WeightsError(f"{path}: no such file; train it with vae_train.py, or name another folder")
    try:
        with h5py.File(path, "r") as file:
            z_size = _z_size(file, path)
            arrays = {}
            for name, shape in shapes(z_size).items():
                layer, variable = name.split("/")
                data = file[f"{layer}/vars/{VARIABLES.index(variable)}"]
                if data.shape != shape:  # before reading: a damaged header may claim terabytes
                    raise WeightsError(f"{path}: {name} is {data.shape}, expected {shape}")
                arrays[name] = data[()]
    except WeightsError:
        raise
    except (OSError, KeyError, AttributeError, RuntimeError, ValueError, TypeError) as err:
        raise WeightsError(f"{path}: not a readable weights file of the VAE ({err})") from err
    return check_parameters(arrays, str(path))


def shipped(parameters: Parameters) -> Parameters:
    """The same VAE with fewer numbers, at half precision (as float32 again).

    No activation stands between the decoder's dense layer and the first transposed convolution, so
    that only their product counts, whose rank is Z. The dense layer becomes the identity (and a
    constant unit for the biases), the convolution the product; the rest is zeros, which take no room.
    """
    made = dict(parameters)
    z_size, kernel = z_size_of(parameters), parameters["dec_deconv1/kernel"]
    if z_size < kernel.shape[3]:
        spread = kernel.astype(np.float64)  # (5, 5, out, hidden)
        made["dec_fc/kernel"] = np.eye(z_size, kernel.shape[3], dtype=np.float32)
        made["dec_fc/bias"] = np.eye(1, kernel.shape[3], z_size, dtype=np.float32)[0]
        made["dec_deconv1/kernel"] = np.zeros_like(kernel)
        made["dec_deconv1/kernel"][..., :z_size] = spread @ parameters["dec_fc/kernel"].T
        made["dec_deconv1/kernel"][..., z_size] = spread @ parameters["dec_fc/bias"]
    limit = float(np.finfo(np.float16).max)
    return {n: np.clip(a, -limit, limit).astype(np.float16).astype(np.float32) for n, a in made.items()}


def save(folder: PathLike, parameters: Parameters, card: Mapping[str, Any]) -> None:
    """Write weights, as they are, and their card into a folder; the card gets their fingerprint."""
    path = Path(folder) / WEIGHTS
    sweep(folder)
    write_parameters(path, parameters)
    write_json(Path(folder) / CARD, {**card, "z_size": z_size_of(parameters), "weights": fingerprint(path)})


def read_card(folder: PathLike) -> dict[str, Any]:
    """The card beside the weights; empty where there is none."""
    path = Path(folder) / CARD
    if not path.is_file():
        return {}
    card = read_json(path, WeightsError)
    if not isinstance(card, dict):
        raise WeightsError(
            f"{path}: expected a JSON object (the card of {WEIGHTS}), got {type(card).__name__}"
        )
    return card


def _z_size(file: Any, path: PathLike) -> int:
    with contextlib.suppress(KeyError):
        shape = file["enc_fc_mu/vars/0"].shape
        if len(shape) == 2 and shape[0] == ENCODED and 1 <= shape[1] <= Z_LIMIT:
            return int(shape[1])
    raise WeightsError(f"{path}: not a weights file of the VAE: no 'enc_fc_mu' of shape ({ENCODED}, z)")
