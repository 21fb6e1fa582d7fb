"""The categorical state-space model, of any number of dreams, as ONNX graphs: an action, a frame's
posterior, a latent's decoder."""

from __future__ import annotations

from functools import partial

import numpy as np

from dreamduck.export.onnx_graph import ROWS, Array, Graph, Shape
from dreamduck.world_model.categorical import CategoricalDynamics, equations


def prior_graph(dynamics: CategoricalDynamics) -> bytes:
    """An action, and what follows.

    Inputs: `action` (B, A), `h` (B, H), `c` (B, S), which is s. Outputs: `probabilities`
    (B, variables, classes) of the next s, `reward`, `end_reward` and `end` (B, 1), `h_next` (B, H).
    """
    config = dynamics.config
    g = Graph("prior")
    dense = _layers(g, dynamics)
    sizes = {"action": config.action_size, "h": config.hidden_size, "c": config.cell_size}
    action, h, s = (Array(g, name, (1, size)) for name, size in sizes.items())
    h_next = equations.advance(g, dense, action, h, s)
    g.name_output("h_next", h_next)
    _probabilities(g, equations.prior(g, dense, h_next), dynamics)
    heads = equations.end_and_rewards(g, dense, h_next)
    for name, value in zip(("reward", "end_reward", "end"), heads, strict=True):
        g.name_output(name, value)
    outputs: dict[str, Shape] = {
        "probabilities": [ROWS, config.variables, config.classes],
        "h_next": [ROWS, config.hidden_size],
    }
    return g.bytes(
        {name: [ROWS, size] for name, size in sizes.items()},
        outputs | {name: [ROWS, 1] for name in ("reward", "end_reward", "end")},
    )


def posterior_graph(dynamics: CategoricalDynamics) -> bytes:
    """What a frame says of s: `z` (B, Z) and `h` (B, H) to `probabilities` (B, variables, classes)."""
    config = dynamics.config
    g = Graph("posterior")
    z, h = Array(g, "z", (1, config.z_size)), Array(g, "h", (1, config.hidden_size))
    _probabilities(g, _posterior(g, dynamics, z, h), dynamics)
    return g.bytes(
        {"z": [ROWS, config.z_size], "h": [ROWS, config.hidden_size]},
        {"probabilities": [ROWS, config.variables, config.classes]},
    )


def latent_graph(dynamics: CategoricalDynamics) -> bytes:
    """The latent of a state: `h` (B, H) and `c` (B, S) to `z` (B, Z), within what training saw."""
    config = dynamics.config
    g = Graph("latent")
    sizes = {"h": config.hidden_size, "c": config.cell_size}
    state = [Array(g, name, (1, size)) for name, size in sizes.items()]
    g.name_output("z", decode(g, dynamics, *state))
    return g.bytes({name: [ROWS, size] for name, size in sizes.items()}, {"z": [ROWS, config.z_size]})


def observe(g: Graph, dynamics: CategoricalDynamics, z: Array, h: Array) -> Array:
    """The likeliest s (B, S) of a frame's latent z; see `CategoricalDynamics.observe`."""
    config = dynamics.config
    logits = _posterior(g, dynamics, z, h)
    shape = g.integers(-1, config.variables, config.classes)
    classes = g.add("ArgMax", [g.add("Reshape", [logits.name, shape])], axis=2, keepdims=0)
    values = g.fresh_constant(np.array([0, 1], np.float32)).name
    vectors = g.add("OneHot", [classes, g.integers(config.classes), values])
    name = g.add("Reshape", [vectors, g.integers(-1, config.cell_size)])
    return Array(g, name, (1, config.cell_size))


def decode(g: Graph, dynamics: CategoricalDynamics, h: Array, s: Array) -> Array:
    """The latents (B, Z) of states; see `CategoricalDynamics.decode`."""
    z = equations.decode(g, _layers(g, dynamics), h, s)
    low, high = (g.fresh_constant(bound[None]) for bound in dynamics.bounds)
    return Array(g, g.add("Min", [g.add("Max", [z.name, low.name]), high.name]), z.shape)


def advance(g: Graph, dynamics: CategoricalDynamics, action: Array, h: Array, s: Array) -> Array:
    """The state h after an action; see `CategoricalDynamics.advance`."""
    return equations.advance(g, _layers(g, dynamics), action, h, s)


def _posterior(g: Graph, dynamics: CategoricalDynamics, z: Array, h: Array) -> Array:
    """The logits (B, S) of s; there is no noise in the latent."""
    return equations.posterior(g, _layers(g, dynamics), h, g.concat([z, z[:, :1] * 0.0], 1))


def _layers(g: Graph, dynamics: CategoricalDynamics) -> equations.Layers:
    """The layers as the equations take them; their weights enter the graph when they are used."""
    weights = dynamics.layer_weights()
    return {name: partial(g.dense, kernel=kernel, bias=bias) for name, (kernel, bias) in weights.items()}


def _probabilities(g: Graph, logits: Array, dynamics: CategoricalDynamics) -> None:
    """The output `probabilities` of logits (B, S); held to `equations.probabilities` by a test."""
    config = dynamics.config
    shape = (1, config.variables, config.classes)
    parts = g.add("Reshape", [logits.name, g.integers(-1, *shape[1:])])
    likely = Array(g, g.add("Softmax", [parts], axis=2), shape)
    mix = equations.UNIFORM_MIX
    g.name_output("probabilities", likely * (1 - mix) + mix / config.classes)
