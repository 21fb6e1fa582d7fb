"""The VAE's weights on disk: `vae.weights.h5`, as Keras writes it, and its card `vae.json`.

Reading needs h5py alone. Weights that are saved to be used
(`shipped`) are brought into a form that takes a seventh of the room and makes the same pictures; the
card's figures are measured on that form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common.files import weights
from dreamduck.common.readers import PathLike, fingerprint, fingerprint_of
from dreamduck.world_model.vae.layout import ENCODED, Parameters, check_parameters, shapes, z_size_of

WEIGHTS, CARD = "vae.weights.h5", "vae.json"
Z_LIMIT = 4096  # a larger latent is a damaged file
MAKE = "train it with vae_train.py, or name another folder"
VARIABLES = ("kernel", "bias")  # Keras numbers a layer's variables in this order


def write_parameters(path: PathLike, parameters: Parameters) -> None:
    """Write weights in the form of `keras.Model.save_weights`, compressed."""
    weights.write_weights(path, _to_hdf5(parameters))


def _to_hdf5(parameters: Parameters) -> bytes:
    return weights.to_hdf5({_place(name): array for name, array in parameters.items()}, ("vars",))


def _place(name: str) -> str:
    """Where Keras puts a parameter in its file."""
    layer, variable = name.split("/")
    return f"{layer}/vars/{VARIABLES.index(variable)}"


def read_parameters(path: PathLike) -> Parameters:
    """Read weights that Keras or `write_parameters` wrote.

    Raises:
        WeightsError: the file is missing, damaged or of another model.
    """
    return _parse(_read(path), path)


def _read(path: PathLike) -> bytes:
    most = sum(math.prod(shape) for shape in shapes(Z_LIMIT).values())
    return weights.read_weights(path, most, MAKE)


def _parse(data: bytes, path: PathLike) -> Parameters:
    with weights.open_hdf5(data, path, MAKE) as file:
        found = shapes(_z_size(file)).items()
        arrays = {name: weights.read_dataset(file, _place(name), shape) for name, shape in found}
    return check_parameters(arrays, str(path))


def load(folder: PathLike) -> tuple[Parameters, dict[str, Any], str]:
    """Weights that are those of their card, the card, and their fingerprint.

    Raises:
        WeightsError: a file is missing or damaged, or the card is of other weights.
    """
    path, card_path = Path(folder) / WEIGHTS, Path(folder) / CARD
    data = _read(path)
    found = fingerprint_of(data)
    card = weights.read_card(card_path, found, MAKE)
    weights.check_pair(card, found, path, card_path, MAKE)
    return _parse(data, path), card, found


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
    whole = {**card, "z_size": z_size_of(parameters)}
    weights.save_pair(Path(folder) / WEIGHTS, _to_hdf5(parameters), Path(folder) / CARD, whole)


def read_card(folder: PathLike) -> dict[str, Any]:
    """The card beside the weights; empty where there is none.

    Raises:
        WeightsError: it is damaged.
    """
    path = Path(folder) / WEIGHTS
    return weights.read_card(Path(folder) / CARD, fingerprint(path) if path.is_file() else None, MAKE)


def _z_size(file: Any) -> int:
    shape = weights.find_dataset(file, "enc_fc_mu/vars/0").shape
    if len(shape) != 2 or shape[0] != ENCODED or not 1 <= shape[1] <= Z_LIMIT:
        raise ValueError(f"not of the VAE: no 'enc_fc_mu' of shape ({ENCODED}, z)")
    return int(shape[1])
