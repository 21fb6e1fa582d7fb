"""The shape of the VAE, and its weights as plain arrays.

Source: Ha & Schmidhuber 2018, App. A.1. Parameters stand in the order in which the paper's code made its
variables, kernels in the paper's layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import WeightsError
from dreamduck.common.seeding import generator
from dreamduck.world_model.weights_format import Parameters, WeightsFormat

FloatArray = npt.NDArray[np.float32]
Frames = npt.NDArray[np.uint8]

FRAME_SHAPE = (64, 64, 3)
Z_SIZE = 64
# name, kernel size, channels in, channels out; every one has stride 2 and no padding
CONVOLUTIONS = (
    ("enc_conv1", 4, 3, 32),
    ("enc_conv2", 4, 32, 64),
    ("enc_conv3", 4, 64, 128),
    ("enc_conv4", 4, 128, 256),
)
ENCODED = 2 * 2 * 256  # what the convolutions leave of a frame
HIDDEN = 4 * 256  # units of the decoder's dense layer, seen as an image of 1 x 1
TRANSPOSED = (
    ("dec_deconv1", 5, HIDDEN, 128),
    ("dec_deconv2", 5, 128, 64),
    ("dec_deconv3", 6, 64, 32),
    ("dec_deconv4", 6, 32, 3),
)


def shapes(z_size: int = Z_SIZE) -> dict[str, tuple[int, ...]]:
    """Every parameter's name and shape, in the order of the paper's code.

    Kernels: convolution (k, k, in, out), transposed convolution (k, k, out, in), dense (in, out).
    """
    kernels: dict[str, tuple[int, ...]] = {n: (k, k, i, o) for n, k, i, o in CONVOLUTIONS}
    kernels["enc_fc_mu"] = kernels["enc_fc_log_var"] = (ENCODED, z_size)
    kernels["dec_fc"] = (z_size, HIDDEN)
    kernels.update({n: (k, k, o, i) for n, k, i, o in TRANSPOSED})
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in kernels.items():
        units = shape[2] if name.startswith("dec_deconv") else shape[-1]
        found[f"{name}/kernel"] = shape
        found[f"{name}/bias"] = (units,)
    return found


FORMAT: WeightsFormat[int] = WeightsFormat("vae", "VAE", "vae_train.py", shapes)


def initial_parameters(z_size: int, seed: int) -> Parameters:
    """First weights: kernels as Glorot and Bengio (2010) draw them, uniformly; biases 0."""
    random = generator(seed, z_size)
    made: Parameters = {}
    for name, shape in shapes(z_size).items():
        fans = (shape[-1] + shape[-2]) * math.prod(shape[:-2]) if len(shape) > 1 else 0
        limit = math.sqrt(6 / fans) if fans else 0.0
        made[name] = random.uniform(-limit, limit, shape).astype(np.float32)
    return made


def check_parameters(arrays: Mapping[str, npt.NDArray[Any]], source: str = "weights") -> Parameters:
    """See `WeightsFormat.check`; the size of the latent is that of the arrays."""
    kernel = arrays.get("enc_fc_mu/kernel")
    if kernel is None or kernel.ndim != 2 or kernel.shape[1] < 1:
        raise WeightsError(
            f"{source}: expected a VAE with 'enc_fc_mu/kernel' ({ENCODED}, z); train it again"
        )
    return FORMAT.check(arrays, int(kernel.shape[1]), source)


def z_size_of(parameters: Mapping[str, FloatArray]) -> int:
    """The size of the latent vector that these weights make."""
    return int(parameters["enc_fc_mu/kernel"].shape[1])


def phase_kernel(kernel: npt.NDArray[np.float32]) -> FloatArray:
    """A stride-2 transposed convolution's kernel as that of an ordinary 3 x 3 convolution.

    Output pixel 2m + a hears input m - d through tap 2d + a, so that each of the four phases
    (a, b) of a 2 x 2 output block is a convolution of its own; depth-to-space then interleaves
    them. A 5 x 5 kernel gets a row and a column of zeros.

    Args:
        kernel: (k, k, out, in), k 5 or 6.
    Returns:
        (3, 3, in, 2 * 2 * out), for an input padded by 2 on every side.
    """
    k, _, units, channels = kernel.shape
    padded = np.pad(kernel, ((0, 6 - k), (0, 6 - k), (0, 0), (0, 0)))
    taps = padded.reshape(3, 2, 3, 2, units, channels)[::-1, :, ::-1]  # d, a, e, b, out, in
    return np.ascontiguousarray(taps.transpose(0, 2, 5, 1, 3, 4).reshape(3, 3, channels, 4 * units))
