"""The residual VAE in numpy and compiled products."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.products import Product
from dreamduck.world_model.vae.layout import (
    DECODER,
    ENCODER,
    SMALLEST,
    Block,
    Convolution,
    FloatArray,
    Frames,
)
from dreamduck.world_model.weights_format import Parameters

Layers = list[list[tuple[Convolution, Product]]]


class ResidualInference:
    """The residual network.

    Args:
        parameters: as `layout.shapes` names them.
    """

    def __init__(self, parameters: Parameters) -> None:
        first = f"{ENCODER[0][0].name}/kernel"
        scaled = {**parameters, first: parameters[first] / np.float32(255)}  # frames are taken as bytes
        self._encoder, self._decoder = _layers(ENCODER, scaled), _layers(DECODER, parameters)
        self._heads = heads(parameters)
        self._start = Product(parameters["dec_fc/kernel"], parameters["dec_fc/bias"], spread=False)

    def encode(self, frames: Frames) -> FloatArray:
        """Frames (B, 64, 64, 3) uint8 to mu beside logvar, (B, 2 Z)."""
        h: npt.NDArray[Any] = frames
        for block in self._encoder:
            h = _relu(_block(block, h))
        return self._heads(h.reshape(len(h), -1))

    def decode(self, z: FloatArray) -> FloatArray:
        """Latents (B, Z) to images before the sigmoid, (B, 64, 64, 3)."""
        h = self._start(z).reshape(len(z), SMALLEST, SMALLEST, -1)
        for block in self._decoder:
            h = _block(block, _relu(h))
            if len(block) == 1:
                n = h.shape[1]
                h = h.reshape(len(z), n, n, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
                h = h.reshape(len(z), 2 * n, 2 * n, -1)
        return h


def heads(p: Parameters) -> Product:
    """The two dense layers that end an encoder, as one: mu beside logvar."""
    kernels, biases = ([p[f"enc_fc_{n}/{v}"] for n in ("mu", "log_var")] for v in ("kernel", "bias"))
    return Product(np.concatenate(kernels, axis=1), np.concatenate(biases), spread=False)


def patches(images: npt.NDArray[Any], kernel_size: int, size: int, stride: int = 1) -> FloatArray:
    """The patches of an image that a convolution without padding sees.

    Args:
        images: (B, n, n, C).
        kernel_size: k.
        size: m, of its output.
        stride: of the convolution.
    Returns:
        (B m m, k k C) float32.
    """
    images = np.ascontiguousarray(images)
    batch, row = len(images), kernel_size * images.shape[3]  # a patch's row is one run of memory
    b, y, x, _ = images.strides
    shape, strides = (batch, size, size, kernel_size, row), (b, stride * y, stride * x, y, images.itemsize)
    views = np.lib.stride_tricks.as_strided(images, shape, strides, writeable=False)
    # astype copies once, from bytes to floats for the first layer
    return views.astype(np.float32, order="C").reshape(batch * size * size, kernel_size * row)


def _layers(blocks: tuple[Block, ...], p: Parameters) -> Layers:
    def product(c: Convolution) -> Product:
        kernel = p[f"{c.name}/kernel"].reshape(-1, c.outputs)
        return Product(kernel, p[f"{c.name}/bias"], spread=False)

    return [[(c, product(c)) for c in block] for block in blocks]


def _block(block: list[tuple[Convolution, Product]], given: npt.NDArray[Any]) -> FloatArray:
    """A convolution, or a residual block, before the last relu."""
    h = given
    for i, (c, product) in enumerate(block):
        h = _convolve(_relu(h) if i else h, c, product)
    return h if len(block) == 1 else given + h


def _convolve(images: npt.NDArray[Any], c: Convolution, product: Product) -> FloatArray:
    before, after = c.padding
    batch, n, _, channels = images.shape
    padded = images
    if before + after:
        wide = n + before + after
        padded = np.zeros((batch, wide, wide, channels), images.dtype)
        padded[:, before : before + n, before : before + n] = images
    size = n // c.stride
    return product(patches(padded, c.kernel_size, size, c.stride)).reshape(batch, size, size, -1)


def _relu(h: npt.NDArray[Any]) -> FloatArray:
    return np.maximum(h, 0, out=h)
