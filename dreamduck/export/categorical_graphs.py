"""The categorical state-space model as ONNX graphs: an action, a frame's posterior, a latent's decoder."""

from __future__ import annotations

import numpy as np

from dreamduck.export.graphs import Array, Graph
from dreamduck.world_model.categorical import CategoricalDynamics, equations


def prior_graph(dynamics: CategoricalDynamics) -> bytes:
    """An action, and what follows.

    Inputs: `action` (1, A), `h` (1, H), `c` (1, S), which is s. Outputs: `probabilities`
    (1, variables, classes) of the next s, `reward`, `end_reward` and `end` (1, 1), `h_next` (1, H).
    """
    config = dynamics.config
    g = Graph("prior")
    dense = _layers(g, dynamics)
    hidden, cell = (1, config.hidden_size), (1, config.cell_size)
    action, h, s = (Array(g, "action", (1, config.action_size)), Array(g, "h", hidden), Array(g, "c", cell))
    h_next = equations.advance(g, dense, action, h, s)
    g.name_output("h_next", h_next)
    _probabilities(g, equations.prior(g, dense, h_next), dynamics)
    heads = equations.end_and_rewards(g, dense, h_next)
    for name, value in zip(("reward", "end_reward", "end"), heads, strict=True):
        g.name_output(name, value)
    outputs = {"probabilities": [1, config.variables, config.classes], "h_next": list(hidden)}
    return g.bytes(
        {"action": list(action.shape), "h": list(hidden), "c": list(cell)},
        outputs | {"reward": [1, 1], "end_reward": [1, 1], "end": [1, 1]},
    )


def posterior_graph(dynamics: CategoricalDynamics) -> bytes:
    """What a frame says of s: `z` (1, Z) and `h` (1, H) to `probabilities` (1, variables, classes)."""
    config = dynamics.config
    g = Graph("posterior")
    hidden = (1, config.hidden_size)
    seen = g.concat([Array(g, "z", (1, config.z_size)), g.fresh_constant(np.zeros((1, 1), np.float32))], 1)
    logits = equations.posterior(g, _layers(g, dynamics), Array(g, "h", hidden), seen)
    _probabilities(g, logits, dynamics)
    return g.bytes(
        {"z": [1, config.z_size], "h": list(hidden)},
        {"probabilities": [1, config.variables, config.classes]},
    )


def latent_graph(dynamics: CategoricalDynamics) -> bytes:
    """The latent of a state: `h` (1, H) and `c` (1, S) to `z` (1, Z), within what training saw."""
    config = dynamics.config
    g = Graph("latent")
    shapes = {"h": (1, config.hidden_size), "c": (1, config.cell_size)}
    state = [Array(g, name, shape) for name, shape in shapes.items()]
    z = equations.decode(g, _layers(g, dynamics), *state)
    low, high = (g.fresh_constant(bound[None]) for bound in dynamics.bounds)
    g.add("Min", [g.add("Max", [z.name, low.name], "above"), high.name], "z")
    return g.bytes({name: list(shape) for name, shape in shapes.items()}, {"z": [1, config.z_size]})


def _layers(g: Graph, dynamics: CategoricalDynamics) -> equations.Layers:
    """The layers as the equations take them; their weights enter the graph when they are used."""
    return {name: g.dense(name, *weights) for name, weights in dynamics.layer_weights().items()}


def _probabilities(g: Graph, logits: Array, dynamics: CategoricalDynamics) -> None:
    """The output `probabilities` of logits (1, S); held to `equations.probabilities` by a test."""
    config = dynamics.config
    shape = (1, config.variables, config.classes)
    parts = g.add("Reshape", [logits.name, g.fresh_constant(np.array(shape, np.int64)).name], "parts")
    likely = Array(g, g.add("Softmax", [parts], "softmax", axis=2), shape)
    mix = equations.UNIFORM_MIX
    g.name_output("probabilities", likely * (1 - mix) + mix / config.classes)
