"""The shapes of the two VAEs, and their weights as plain arrays.

The network "2019" is that of Ha & Schmidhuber 2018, App. A.1: its parameters stand in the order in which
the paper's code made its variables, kernels in the paper's layout. The network "residual" has residual
blocks (He et al. 2016), and its decoder makes images larger with depth-to-space (Shi et al. 2016)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import WeightsError
from dreamduck.common.seeding import generator
from dreamduck.recordings.episode import FRAME_SHAPE
from dreamduck.world_model.weights_format import Parameters, WeightsFormat

FloatArray = npt.NDArray[np.float32]
Frames = npt.NDArray[np.uint8]

Z_SIZE = 64
PAPER, RESIDUAL = "2019", "residual"
NETWORKS = (RESIDUAL, PAPER)
SQUARED, PYRAMID, FOCAL = "squared", "pyramid", "focal"
LOSSES = (PYRAMID, SQUARED, FOCAL)


class Sizes(NamedTuple):
    """The sizes that determine the shapes of a VAE's weights."""

    z_size: int = Z_SIZE
    network: str = PAPER


# The network of 2019. Name, kernel size, channels in, channels out; stride 2, no padding.
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


class Convolution(NamedTuple):
    """A convolution of the residual network, padded ("same").

    Attributes:
        name: of the layer.
        kernel_size: of its square kernel.
        inputs: channels in.
        outputs: channels out.
        stride: 1 keeps the size of the image.
    """

    name: str
    kernel_size: int
    inputs: int
    outputs: int
    stride: int = 1

    @property
    def padding(self) -> tuple[int, int]:
        """Pixels of zeros before and after an image whose size the stride divides."""
        total = self.kernel_size - self.stride
        return total // 2, total - total // 2


# Several convolutions are a residual block: what they make is added to what they got. One alone makes the
# image smaller in the encoder; in the decoder, twice as large: four output channels are 2 x 2 pixels.
Block = tuple[Convolution, ...]
ENCODER: tuple[Block, ...] = (
    (Convolution("enc_conv1", 4, 3, 32, 2),),
    (Convolution("enc_conv2", 3, 32, 64, 2),),
    (Convolution("enc_conv3", 3, 64, 128, 2),),
    (
        Convolution("enc_res3_in", 1, 128, 64),
        Convolution("enc_res3", 3, 64, 64),
        Convolution("enc_res3_out", 1, 64, 128),
    ),
    (Convolution("enc_conv4", 3, 128, 256, 2),),
    (
        Convolution("enc_res4_in", 1, 256, 96),
        Convolution("enc_res4", 3, 96, 96),
        Convolution("enc_res4_out", 1, 96, 256),
    ),
)
SMALLEST = 4  # pixels on a side of the residual network's smallest images
DECODER: tuple[Block, ...] = (
    (Convolution("dec_up1", 3, 192, 4 * 96),),
    (Convolution("dec_res1_in", 3, 96, 96), Convolution("dec_res1_out", 3, 96, 96)),
    (Convolution("dec_up2", 3, 96, 4 * 64),),
    (Convolution("dec_res2_in", 3, 64, 64), Convolution("dec_res2_out", 3, 64, 64)),
    (Convolution("dec_up3", 3, 64, 4 * 32),),
    (Convolution("dec_up4", 3, 32, 4 * 3),),
)


def shapes(z_size: int = Z_SIZE, network: str = PAPER) -> dict[str, tuple[int, ...]]:
    """Every parameter's name and shape, for 2019's network in the order of the paper's code.

    Kernels: convolution (k, k, in, out), transposed convolution (k, k, out, in), dense (in, out).
    """
    kernels: dict[str, tuple[int, ...]] = {}
    if network == PAPER:
        kernels |= {n: (k, k, i, o) for n, k, i, o in CONVOLUTIONS}
        encoded, hidden = ENCODED, HIDDEN
    else:
        kernels |= _kernels(ENCODER)
        encoded = SMALLEST**2 * ENCODER[-1][-1].outputs
        hidden = SMALLEST**2 * DECODER[0][0].inputs
    kernels["enc_fc_mu"] = kernels["enc_fc_log_var"] = (encoded, z_size)
    kernels["dec_fc"] = (z_size, hidden)
    if network == PAPER:
        kernels |= {n: (k, k, o, i) for n, k, i, o in TRANSPOSED}
    else:
        kernels |= _kernels(DECODER)
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in kernels.items():
        units = shape[2] if name.startswith("dec_deconv") else shape[-1]
        found[f"{name}/kernel"] = shape
        found[f"{name}/bias"] = (units,)
    return found


def _kernels(blocks: tuple[Block, ...]) -> dict[str, tuple[int, ...]]:
    return {c.name: (c.kernel_size, c.kernel_size, c.inputs, c.outputs) for b in blocks for c in b}


def _shapes_of(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    return shapes(*sizes)


FORMAT: WeightsFormat[Sizes] = WeightsFormat("vae", "VAE", "dreamduck train-vae", _shapes_of)


def initial_parameters(z_size: int, seed: int, network: str = PAPER) -> Parameters:
    """First weights, drawn uniformly; biases are 0.

    Kernels of 2019's network are as large as Glorot and Bengio (2010) have them. Those of the residual
    network keep the size of what passes (He et al. 2015); its residual blocks begin as the identity.
    """
    random = generator(seed, z_size)
    made: Parameters = {}
    for name, shape in shapes(z_size, network).items():
        limit = 0.0
        if len(shape) > 1 and network == PAPER:
            limit = math.sqrt(6 / ((shape[-1] + shape[-2]) * math.prod(shape[:-2])))
        elif len(shape) > 1 and not name.endswith("_out/kernel"):
            relu_follows = not name.startswith(("enc_fc", DECODER[-1][-1].name))
            limit = math.sqrt((6 if relu_follows else 3) / math.prod(shape[:-1]))
        made[name] = random.uniform(-limit, limit, shape).astype(np.float32)
    return made


def check_parameters(arrays: Mapping[str, npt.NDArray[Any]], source: str = "weights") -> Parameters:
    """See `WeightsFormat.check`; the sizes are those of the arrays."""
    kernel = arrays.get("enc_fc_mu/kernel")
    if kernel is None or kernel.ndim != 2 or kernel.shape[1] < 1:
        raise WeightsError(
            f"{source}: expected a VAE with 'enc_fc_mu/kernel' ({ENCODED}, z); train it again"
        )
    return FORMAT.check(arrays, sizes_of(arrays), source)


def sizes_of(parameters: Mapping[str, npt.NDArray[Any]]) -> Sizes:
    """The sizes of the VAE that these weights are of."""
    return Sizes(z_size_of(parameters), PAPER if "dec_deconv1/kernel" in parameters else RESIDUAL)


def z_size_of(parameters: Mapping[str, npt.NDArray[Any]]) -> int:
    """The size of the latent vector that these weights make."""
    return int(parameters["enc_fc_mu/kernel"].shape[1])


def multiply_adds(sizes: Sizes) -> tuple[int, int]:
    """Multiply-adds to encode and to decode one frame."""
    encode, decode, side = 0, 0, FRAME_SHAPE[0]
    if sizes.network == PAPER:
        for _, kernel, inputs, outputs in CONVOLUTIONS:
            side = (side - kernel) // 2 + 1
            encode += side * side * kernel * kernel * inputs * outputs
        side = 1
        for _, kernel, inputs, outputs in TRANSPOSED:
            decode += side * side * kernel * kernel * inputs * outputs
            side = 2 * (side - 1) + kernel
    else:
        for c in (c for block in ENCODER for c in block):
            side //= c.stride
            encode += side * side * c.kernel_size**2 * c.inputs * c.outputs
        side = SMALLEST
        for block in DECODER:
            decode += side * side * sum(c.kernel_size**2 * c.inputs * c.outputs for c in block)
            side *= 2 if len(block) == 1 else 1
    dense = {name: math.prod(shape) for name, shape in shapes(*sizes).items() if len(shape) == 2}
    into_z = dense["enc_fc_mu/kernel"] + dense["enc_fc_log_var/kernel"]
    return encode + into_z, decode + dense["dec_fc/kernel"]


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
