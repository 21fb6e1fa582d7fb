"""The networks of the world model as ONNX graphs, or as parts of one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx.helper

from dreamduck.export.onnx_graph import Array, Graph
from dreamduck.world_model.categorical import CategoricalDynamics
from dreamduck.world_model.categorical import equations as categorical
from dreamduck.world_model.dynamics import FloatArray
from dreamduck.world_model.mdn_rnn import MDNRNN, equations
from dreamduck.world_model.vae import VAE
from dreamduck.world_model.vae.layout import CONVOLUTIONS, ENCODED, TRANSPOSED


def mdn_rnn_graph(rnn: MDNRNN) -> bytes:
    """One step of the MDN-RNN: z, action, h, c to the mixture, rewards, end, and the next h and c.

    Inputs: `z` (1, Z), `action` (1, A), `h` and `c` (1, H). Outputs: `logmix`, `mix_mu` and
    `mix_logstd` (1, K, Z), `reward`, `end_reward` and `end` (1, 1), `h_next` and `c_next` (1, H).
    """
    config, p = rnn.config, rnn.parameters
    z_size, hidden, mixtures = config.z_size, config.hidden_size, config.mixtures
    g = Graph("mdn_rnn")
    z, action = Array(g, "z", (1, z_size)), Array(g, "action", (1, config.action_size))
    h_next, c_next = lstm(g, rnn, z, action, Array(g, "h", (1, hidden)), Array(g, "c", (1, hidden)))
    for name, value in (("h_next", h_next), ("c_next", c_next)):
        g.add("Identity", [value.name], name)
    for head in ("mixture", "reward", "end"):
        weights = [g.constant(f"{head}_{part}", p[f"head_{head}/{part}"]) for part in ("kernel", "bias")]
        g.add("Gemm", ["h_next", *weights], f"{head}_out")
    g.add("Concat", ["mixture_out", "reward_out", "end_out"], "out", axis=1)
    heads = equations.end_and_rewards(g, Array(g, "out", (1, config.mixture_size + 3)), config)
    for name, value in zip(("reward", "end_reward", "end"), heads, strict=True):
        g.add("Identity", [value.name], name)
    shape = g.constant("mixture_shape", np.array([3, mixtures, z_size], np.int64))
    g.add("Reshape", ["mixture_out", shape], "mixture_parts")
    parts = ["logits", "means", "mix_logstd"]
    g.nodes.append(onnx.helper.make_node("Split", ["mixture_parts"], parts, axis=0))
    g.add("LogSoftmax", ["logits"], "logmix", axis=1)
    if config.residual:
        # (1, Z) meets (1, K, Z): a part of the latent that went in is added to each mean.
        g.add("Mul", ["z", g.constant("residual_scale", rnn.residual_scale[None])], "residual")
        g.add("Add", ["means", "residual"], "mix_mu")
    else:
        g.add("Identity", ["means"], "mix_mu")
    mixture, state, one = [1, mixtures, z_size], [1, hidden], [1, 1]
    return g.bytes(
        {"z": [1, z_size], "action": [1, config.action_size], "h": state, "c": state},
        {"logmix": mixture, "mix_mu": mixture, "mix_logstd": mixture}
        | {"reward": one, "end_reward": one, "end": one, "h_next": state, "c_next": state},
    )


def lstm(g: Graph, rnn: MDNRNN, z: Array, action: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """The LSTM's step: h and c after an action; see `MDNRNN.advance`."""
    p, halves = rnn.parameters, g.fresh_constant(equations.gate_halves(rnn.config.hidden_size)[None])
    kernel = np.concatenate([p["core/kernel"], p["core/recurrent_kernel"]])
    gates = g.dense(g.concat([z, action, h], 1), kernel, p["core/bias"]) * halves
    return equations.cell(g, g.tanh(gates), c)


def categorical_posterior(g: Graph, dynamics: CategoricalDynamics, z: Array, h: Array) -> Array:
    """The likeliest s (B, S) of a frame's latent z; see `CategoricalDynamics.observe`."""
    config = dynamics.config
    seen = g.concat([z, z[:, :1] * 0.0], 1)
    logits = categorical.posterior(g, dynamics.layers(_layer(g)), h, seen)
    shape = g.integers(-1, config.variables, config.classes)
    classes = g.add("ArgMax", [g.add("Reshape", [logits.name, shape])], axis=2, keepdims=0)
    values = g.fresh_constant(np.array([0, 1], np.float32)).name
    vectors = g.add("OneHot", [classes, g.integers(config.classes), values])
    name = g.add("Reshape", [vectors, g.integers(-1, config.cell_size)])
    return Array(g, name, (1, config.cell_size))


def categorical_step(g: Graph, dynamics: CategoricalDynamics, action: Array, h: Array, s: Array) -> Array:
    """The state h after an action; see `CategoricalDynamics.advance`."""
    return categorical.advance(g, dynamics.layers(_layer(g)), action, h, s)


def _layer(g: Graph) -> Callable[[FloatArray, FloatArray | None], Callable[[Array], Array]]:
    """Dense layers as `CategoricalDynamics.layers` asks for them."""
    return lambda kernel, bias: lambda x: g.dense(x, kernel, bias)


def encoder(g: Graph, vae: VAE, image: str) -> Array:
    """The encoder's mean (B, Z).

    Args:
        g: the graph.
        vae: its weights.
        image: name of (B, 3, 64, 64), the bytes of a frame as float32, channel by channel.
    """
    p = vae.parameters
    units = CONVOLUTIONS[-1][3]
    for name, size, channels, _ in CONVOLUTIONS:
        kernel = p[f"{name}/kernel"].transpose(3, 2, 0, 1)
        if channels == 3:
            kernel = kernel / np.float32(255)  # as the library has it, so that both round alike
        weights = [g.constant(f"{name}_kernel", kernel), g.constant(f"{name}_bias", p[f"{name}/bias"])]
        convolved = g.add("Conv", [image, *weights], strides=[2, 2], kernel_shape=[size, size])
        image = g.add("Relu", [convolved])
    side = round((ENCODED / units) ** 0.5)
    # The library's rows are (y, x, channel), the graph's (channel, y, x).
    kernel = p["enc_fc_mu/kernel"].reshape(side, side, units, -1).transpose(2, 0, 1, 3)
    flat = Array(g, g.add("Flatten", [image], axis=1), (1, ENCODED))
    return g.dense(flat, kernel.reshape(ENCODED, -1), p["enc_fc_mu/bias"])


def decoder_graph(vae: VAE) -> bytes:
    """The decoder: `z` (1, Z) to `image` (1, 3, 64, 64) in [0, 1], channel by channel."""
    p = vae.parameters
    g = Graph("decoder")
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
    return g.bytes({"z": [1, vae.z_size]}, {"image": [1, 3, 64, 64]})
