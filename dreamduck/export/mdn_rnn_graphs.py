"""One step of the MDN-RNN, of any number of dreams, as an ONNX graph."""

from __future__ import annotations

import numpy as np
import onnx.helper

from dreamduck.export.onnx_graph import ROWS, Array, Graph, Shape
from dreamduck.world_model.mdn_rnn import MDNRNN, equations


def mdn_rnn_graph(rnn: MDNRNN) -> bytes:
    """One step of the MDN-RNN: z, action, h, c to the mixture, rewards, end, and the next h and c.

    Inputs: `z` (B, Z), `action` (B, A), `h` and `c` (B, H). Outputs: `logmix`, `mix_mu` and
    `mix_logstd` (B, K, Z), `reward`, `end_reward` and `end` (B, 1), `h_next` and `c_next` (B, H).
    """
    config, p = rnn.config, rnn.parameters
    z_size, hidden, mixtures = config.z_size, config.hidden_size, config.mixtures
    g = Graph("mdn_rnn")
    z, action = Array(g, "z", (1, z_size)), Array(g, "action", (1, config.action_size))
    h_next, c_next = lstm(g, rnn, z, action, Array(g, "h", (1, hidden)), Array(g, "c", (1, hidden)))
    g.name_output("h_next", h_next)
    g.name_output("c_next", c_next)
    for head in ("mixture", "reward", "end"):
        weights = [g.constant(f"{head}_{part}", p[f"head_{head}/{part}"]) for part in ("kernel", "bias")]
        g.add("Gemm", ["h_next", *weights], f"{head}_out")
    g.add("Concat", ["mixture_out", "reward_out", "end_out"], "out", axis=1)
    heads = equations.end_and_rewards(g, Array(g, "out", (1, config.mixture_size + 3)), config)
    for name, value in zip(("reward", "end_reward", "end"), heads, strict=True):
        g.name_output(name, value)
    shape = g.constant("mixture_shape", np.array([-1, 3, mixtures, z_size], np.int64))
    g.add("Reshape", ["mixture_out", shape], "mixture_parts")
    parts = ["logits", "means", "logstds"]
    g.nodes.append(onnx.helper.make_node("Split", ["mixture_parts"], parts, axis=1))
    logits, means = (g.add("Squeeze", [part, g.integers(1)]) for part in parts[:2])
    g.add("Squeeze", ["logstds", g.integers(1)], "mix_logstd")
    g.add("LogSoftmax", [logits], "logmix", axis=1)
    if config.residual:
        # A part of the latent that went in is added to each mean: (B, 1, Z) meets (B, K, Z).
        scaled = g.add("Mul", ["z", g.constant("residual_scale", rnn.residual_scale[None])])
        g.add("Add", [means, g.add("Unsqueeze", [scaled, g.integers(1)])], "mix_mu")
    else:
        g.add("Identity", [means], "mix_mu")
    mixture: Shape = (ROWS, mixtures, z_size)
    state: Shape = (ROWS, hidden)
    one: Shape = (ROWS, 1)
    return g.bytes(
        {"z": (ROWS, z_size), "action": (ROWS, config.action_size), "h": state, "c": state},
        {"logmix": mixture, "mix_mu": mixture, "mix_logstd": mixture}
        | {"reward": one, "end_reward": one, "end": one, "h_next": state, "c_next": state},
    )


def lstm(g: Graph, rnn: MDNRNN, z: Array, action: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """The LSTM's step: h and c after an action; see `MDNRNN.advance`."""
    p, halves = rnn.parameters, g.fresh_constant(equations.gate_halves(rnn.config.hidden_size)[None])
    kernel = np.concatenate([p["core/kernel"], p["core/recurrent_kernel"]])
    gates = g.dense(g.concat([z, rnn.inputs(g, action, h), h], 1), kernel, p["core/bias"]) * halves
    return equations.cell(g, g.tanh(gates), c)
