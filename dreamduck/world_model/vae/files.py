"""The VAE's weights on disk: `vae.weights.h5`, which holds the size of the latent, and its card `vae.json`.

Weights that are saved to be used (`shipped`) are brought into a form that takes a seventh of the space and
makes the same images; the card's figures are measured on that form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dreamduck.common.files.weights import find_dataset
from dreamduck.common.readers import PathLike
from dreamduck.world_model.vae.layout import FORMAT, PAPER, RESIDUAL, Sizes, shapes, sizes_of
from dreamduck.world_model.weights_format import Parameters, at_half_precision

Z_LIMIT = 4096  # a larger latent is a damaged file
LARGEST = Sizes(Z_LIMIT, RESIDUAL)
WEIGHTS, CARD = FORMAT.weights, FORMAT.card
read_card = FORMAT.read_card


def read_parameters(path: PathLike) -> Parameters:
    """See `WeightsFormat.read`."""
    return FORMAT.read(path, _sizes, LARGEST)


def load(folder: PathLike) -> tuple[Parameters, dict[str, Any], str]:
    """Weights, their card, empty where there is none, and their fingerprint; see `WeightsFormat.load`."""
    return FORMAT.load(folder, _sizes, LARGEST)


def save(folder: PathLike, parameters: Parameters, card: Mapping[str, Any]) -> None:
    """Write weights, as they are, and their card with their size and fingerprint."""
    FORMAT.save(folder, parameters, {**card, **sizes_of(parameters)._asdict()})


def shipped(parameters: Parameters) -> Parameters:
    """The same VAE at half precision (as float32 again), 2019's network with fewer numbers.

    There no activation stands between the decoder's dense layer and the first transposed convolution, so
    that only their product counts, whose rank is Z. The dense layer becomes the identity (and a
    constant unit for the biases), the convolution the product; the rest is zeros, which take no space.
    """
    made = dict(parameters)
    z_size, network = sizes_of(parameters)
    if network == PAPER and z_size < (kernel := parameters["dec_deconv1/kernel"]).shape[3]:
        spread = kernel.astype(np.float64)  # (5, 5, out, hidden)
        made["dec_fc/kernel"] = np.eye(z_size, kernel.shape[3], dtype=np.float32)
        made["dec_fc/bias"] = np.eye(1, kernel.shape[3], z_size, dtype=np.float32)[0]
        made["dec_deconv1/kernel"] = np.zeros_like(kernel)
        made["dec_deconv1/kernel"][..., :z_size] = spread @ parameters["dec_fc/kernel"].T
        made["dec_deconv1/kernel"][..., z_size] = spread @ parameters["dec_fc/bias"]
    return at_half_precision(made)


def _sizes(file: Any) -> Sizes:
    """Of the VAE in an open HDF5 file."""
    network = PAPER if "dec_deconv1" in file else RESIDUAL
    encoded, _ = shapes(1, network)["enc_fc_mu/kernel"]
    shape = find_dataset(file, "enc_fc_mu/vars/0").shape
    if len(shape) != 2 or shape[0] != encoded or not 1 <= shape[1] <= Z_LIMIT:
        raise ValueError(f"not of the VAE: no 'enc_fc_mu' of shape ({encoded}, z)")
    return Sizes(int(shape[1]), network)
