"""The VAE's two directions, in numpy and compiled products.

Convolutions become one matrix product each, over patches
that numpy copies out with strides; for one frame this is quicker than any graph (measured by
`benchmarks/vae.py`), and it runs inside anybody's session, or beside OpenGL, where TensorFlow
cannot."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.products import Product
from dreamduck.common.processes.threads import cores
from dreamduck.world_model.vae.layout import (
    CONVOLUTIONS,
    PAPER,
    TRANSPOSED,
    FloatArray,
    Frames,
    phase_kernel,
    sizes_of,
)
from dreamduck.world_model.vae.residual_inference import ResidualInference, heads, patches
from dreamduck.world_model.weights_format import Parameters

CHUNK = 8  # frames at a time: patches of more fall out of the processor's cache


def _in_chunks(function: Callable[[Any], FloatArray], rows: npt.NDArray[Any]) -> list[FloatArray]:
    """Apply a function to a few rows at a time; many chunks are spread over the cores."""
    chunks = [rows[i : i + CHUNK] for i in range(0, len(rows), CHUNK)]
    workers = min(len(chunks), cores())
    if workers < 2:
        return [function(chunk) for chunk in chunks]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, chunks))


class NumpyVAE:
    """Encoder and decoder with prepared weights; holds no state between calls.

    Args:
        parameters: as `layout.shapes` names them.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.z_size, network = sizes_of(parameters)
        self._network = (PaperInference if network == PAPER else ResidualInference)(parameters)

    def encode(self, frames: Frames) -> tuple[FloatArray, FloatArray]:
        """Frames (B, 64, 64, 3) uint8 to (mu, logvar), each (B, Z) float32."""
        found = _in_chunks(self._network.encode, frames)
        joined = np.concatenate(found) if found else np.empty((0, 2 * self.z_size), np.float32)
        return joined[:, : self.z_size].copy(), joined[:, self.z_size :].copy()

    def decode(self, z: FloatArray) -> FloatArray:
        """Latents (B, Z) to images (B, 64, 64, 3) float32 in [0, 1]."""
        images = _in_chunks(self._decode, z)
        return np.concatenate(images) if images else np.empty((0, 64, 64, 3), np.float32)

    def _decode(self, z: FloatArray) -> FloatArray:
        return np.asarray(1 / (1 + np.exp(-np.clip(self._network.decode(z), -60, 60))), np.float32)


class PaperInference:
    """The network of 2019.

    Args:
        parameters: as `layout.shapes` names them.
    """

    def __init__(self, parameters: Parameters) -> None:
        p = parameters
        kernels = [p[f"{n}/kernel"].reshape(k * k * i, o) for n, k, i, o in CONVOLUTIONS]
        kernels[0] = kernels[0] / np.float32(255)  # frames are taken as bytes
        biases = [p[f"{layer[0]}/bias"] for layer in CONVOLUTIONS]
        self._encoder = [Product(*layer, spread=False) for layer in zip(kernels, biases, strict=True)]
        self._heads = heads(p)
        # The decoder's dense layer has no activation, so that it and the first transposed
        # convolution, a dense layer too on an image of 1 x 1, are one matrix of rank Z.
        kernel = p["dec_deconv1/kernel"]  # (5, 5, 128, 1024)
        spread = kernel.transpose(3, 0, 1, 2).reshape(kernel.shape[3], -1)
        bias = p["dec_fc/bias"] @ spread + np.tile(p["dec_deconv1/bias"], 25)
        self._start = Product(p["dec_fc/kernel"] @ spread, bias, spread=False)
        self._decoder = [
            (k, Product(phase_kernel(p[f"{n}/kernel"]).reshape(9 * i, 4 * o), spread=False), p[f"{n}/bias"])
            for n, k, i, o in TRANSPOSED[1:]
        ]

    def encode(self, frames: Frames) -> FloatArray:
        """Frames (B, 64, 64, 3) uint8 to mu beside logvar, (B, 2 Z)."""
        h = np.ascontiguousarray(frames)
        batch = len(h)
        for layer in self._encoder:
            size = (h.shape[1] - 4) // 2 + 1
            out = layer(patches(h, 4, size, 2))
            h = np.maximum(out, 0, out=out).reshape(batch, size, size, -1)
        return self._heads(h.reshape(batch, -1))

    def decode(self, z: FloatArray) -> FloatArray:
        """Latents (B, Z) to images before the sigmoid, (B, 64, 64, 3)."""
        batch = len(z)
        h = np.maximum(self._start(z), 0).reshape(batch, 5, 5, -1)
        for k, product, bias in self._decoder:
            size = h.shape[1]
            padded = np.zeros((batch, size + 4, size + 4, h.shape[3]), np.float32)
            padded[:, 2:-2, 2:-2] = h
            n = size + 2
            phases = product(patches(padded, 3, n))
            blocks = phases.reshape(batch, n, n, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
            out = 2 * (size - 1) + k
            h = blocks.reshape(batch, 2 * n, 2 * n, -1)[:, :out, :out] + bias
            if len(bias) != 3:
                np.maximum(h, 0, out=h)
        return h
