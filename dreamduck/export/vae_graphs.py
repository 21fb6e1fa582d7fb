"""The VAE's encoder and decoder as ONNX graphs."""

from __future__ import annotations

import numpy as np

from dreamduck.export.onnx_graph import Array, Graph
from dreamduck.world_model.vae import VAE
from dreamduck.world_model.vae.layout import (
    CONVOLUTIONS,
    DECODER,
    ENCODED,
    ENCODER,
    PAPER,
    SMALLEST,
    TRANSPOSED,
    Block,
    sizes_of,
)
from dreamduck.world_model.weights_format import Parameters


def encoder(g: Graph, vae: VAE, image: str) -> Array:
    """The encoder's mean (B, Z).

    Args:
        g: the graph.
        vae: its weights.
        image: name of (B, 3, 64, 64), the bytes of a frame as float32, channel by channel.
    """
    p = vae.parameters
    paper = sizes_of(p).network == PAPER
    image, side, units = (_paper_encoder if paper else _residual_encoder)(g, p, image)
    # The library's rows are (y, x, channel), the graph's (channel, y, x).
    encoded = side * side * units
    kernel = p["enc_fc_mu/kernel"].reshape(side, side, units, -1).transpose(2, 0, 1, 3)
    flat = Array(g, g.add("Flatten", [image], axis=1), (1, encoded))
    return g.dense(flat, kernel.reshape(encoded, -1), p["enc_fc_mu/bias"])


def _paper_encoder(g: Graph, p: Parameters, image: str) -> tuple[str, int, int]:
    """The features, their side and their channels."""
    for name, size, *_ in CONVOLUTIONS:
        kernel, bias = _kernel(g, p, name), g.constant(f"{name}_bias", p[f"{name}/bias"])
        convolved = g.add("Conv", [image, kernel, bias], strides=[2, 2], kernel_shape=[size, size])
        image = g.add("Relu", [convolved])
    units = CONVOLUTIONS[-1][3]
    return image, round((ENCODED / units) ** 0.5), units


def _residual_encoder(g: Graph, p: Parameters, image: str) -> tuple[str, int, int]:
    """Likewise."""
    for block in ENCODER:
        image = g.add("Relu", [_block(g, p, block, image)])
    return image, SMALLEST, ENCODER[-1][-1].outputs


def _block(g: Graph, p: Parameters, block: Block, given: str) -> str:
    """A convolution, or a residual block, before the last relu."""
    found = given
    for i, c in enumerate(block):
        kernel, bias = _kernel(g, p, c.name), g.constant(f"{c.name}_bias", p[f"{c.name}/bias"])
        before, after = c.padding
        pads, strides = [before, before, after, after], [c.stride, c.stride]
        found = g.add("Relu", [found]) if i else found
        found = g.add("Conv", [found, kernel, bias], pads=pads, strides=strides)
    return g.add("Add", [given, found]) if len(block) > 1 else found


def _kernel(g: Graph, p: Parameters, name: str) -> str:
    """A convolution's kernel, (out, in, y, x); the first one takes bytes, as the library has it."""
    kernel = p[f"{name}/kernel"].transpose(3, 2, 0, 1)
    return g.constant(f"{name}_kernel", kernel / np.float32(255) if name == "enc_conv1" else kernel)


def decoder_graph(vae: VAE) -> bytes:
    """The decoder: `z` (1, Z) to `image` (1, 3, 64, 64) in [0, 1], channel by channel."""
    g = Graph("decoder")
    (_paper_decoder if sizes_of(vae.parameters).network == PAPER else _residual_decoder)(g, vae.parameters)
    return g.bytes({"z": [1, vae.z_size]}, {"image": [1, 3, 64, 64]})


def _paper_decoder(g: Graph, p: Parameters) -> None:
    # The dense layer has no activation, and the first transposed convolution sees an image of 1 x 1:
    # together they are one matrix, which is a sixteenth of the two.
    (first, size, channels, units), *others = TRANSPOSED
    first_kernel = (
        p[f"{first}/kernel"].transpose(3, 2, 0, 1).reshape(channels, -1)
    )  # rows: channel; out, y, x
    bias = p["dec_fc/bias"] @ first_kernel + np.repeat(p[f"{first}/bias"], size * size)
    weights = [g.constant("dense", p["dec_fc/kernel"] @ first_kernel), g.constant("dense_bias", bias)]
    g.add("Relu", [g.add("Gemm", ["z", *weights], "flat")], "flat_relu")
    shape = g.constant("first_shape", np.array([1, units, size, size], np.int64))
    features = g.add("Reshape", ["flat_relu", shape], "first")
    for name, size, _, _ in others:
        kernel = g.constant(f"{name}_kernel", p[f"{name}/kernel"].transpose(3, 2, 0, 1))
        bias_name = g.constant(f"{name}_bias", p[f"{name}/bias"])
        attributes = {"strides": [2, 2], "kernel_shape": [size, size]}
        convolved = g.add("ConvTranspose", [features, kernel, bias_name], f"{name}_out", **attributes)
        last = name == others[-1][0]
        features = g.add("Sigmoid" if last else "Relu", [convolved], "image" if last else f"{name}_relu")


def _residual_decoder(g: Graph, p: Parameters) -> None:
    channels = DECODER[0][0].inputs
    # the dense layer's units are (y, x, channel); images of a graph are (channel, y, x)
    order = np.arange(SMALLEST**2 * channels).reshape(SMALLEST**2, channels).T.ravel()
    weights = [
        g.constant("dense", p["dec_fc/kernel"][:, order]),
        g.constant("dense_bias", p["dec_fc/bias"][order]),
    ]
    shape = g.constant("first_shape", np.array([1, channels, SMALLEST, SMALLEST], np.int64))
    features = g.add("Reshape", [g.add("Gemm", ["z", *weights], "flat"), shape], "first")

    for block in DECODER:
        features = _block(g, p, block, g.add("Relu", [features]))
        if len(block) == 1:
            features = g.add("DepthToSpace", [features], blocksize=2, mode="DCR")
    g.add("Sigmoid", [features], "image")
