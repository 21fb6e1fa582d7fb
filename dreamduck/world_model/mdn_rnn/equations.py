"""The MDN-RNN's equations, once for every array library: the LSTM's cell, its heads, the draw of a latent.

`xp` is `numpy`, `tensorflow`, or what builds ONNX graphs (`dreamduck.export.onnx_graph`): a module or an
object with `concat`, `matmul`, `tanh`, `exp`, `sqrt`, `where`, `maximum`, `minimum`, and arrays with
operators and slices.

Source: Hochreiter & Schmidhuber 1997 with Gers et al.'s forget gate; Ha & Schmidhuber 2018, App. A.2."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dreamduck.world_model.dynamics import FloatArray
from dreamduck.world_model.mdn_rnn.layout import ALIVE, ENDED, MDNRNNConfig

Array = Any


class StepWeights(NamedTuple):
    """The weights as one step uses them."""

    gates: Array  # (Z + A + H, 4H), halved but for the candidate's
    gates_bias: Array  # (4H,)
    heads: Array  # (H, 3KZ + 3), side by side
    heads_bias: Array  # (3KZ + 3,)


def gate_halves(hidden_size: int) -> FloatArray:
    """(4H,): sigmoid(x) = tanh(x / 2) / 2 + 1/2, so with halved gates one tanh serves all four."""
    halves = np.full(4 * hidden_size, 0.5, np.float32)
    halves[2 * hidden_size : 3 * hidden_size] = 1.0  # the candidate's is a tanh
    return halves


def sigmoid(tanh_of_half: Array) -> Array:
    """The logistic function of x.

    Args:
        tanh_of_half: tanh(x / 2).
    """
    return tanh_of_half * 0.5 + 0.5


def opened(gates: Array) -> tuple[Array, Array, Array, Array]:
    """The gates of an LSTM.

    Args:
        gates: (B, 4H), tanh of the halved gates, in Keras's order.
    Returns:
        Input gate, forget gate, candidate, output gate, each (B, H).
    """
    size = gates.shape[1] // 4  # slices, as numpy's split takes longer than the cell
    parts = [gates[:, i * size : (i + 1) * size] for i in range(4)]
    return sigmoid(parts[0]), sigmoid(parts[1]), parts[2], sigmoid(parts[3])


def cell(xp: Any, gates: Array, c: Array) -> tuple[Array, Array]:
    """The LSTM's cell.

    Args:
        xp: the array library.
        gates: (B, 4H), tanh of the halved gates, in Keras's order.
        c: (B, H), before.
    Returns:
        h and c, each (B, H).
    """
    input_gate, forget_gate, candidate, output_gate = opened(gates)
    c = forget_gate * c + input_gate * candidate
    return output_gate * xp.tanh(c), c


def advance(
    xp: Any, weights: StepWeights, z: Array, action: Array, h: Array, c: Array
) -> tuple[Array, Array, Array]:
    """The LSTM's step, and what all heads give.

    Args:
        xp: the array library.
        weights: its arrays.
        z: (B, Z).
        action: (B, A).
        h: (B, H).
        c: likewise.
    Returns:
        h, c, out: (B, H) twice and (B, 3KZ + 3).
    """
    gates = xp.tanh(xp.matmul(xp.concat([z, action, h], 1), weights.gates) + weights.gates_bias)
    h, c = cell(xp, gates, c)
    return h, c, xp.matmul(h, weights.heads) + weights.heads_bias


def mixture_columns(out: Array, config: MDNRNNConfig) -> tuple[list[Array], list[Array], list[Array]]:
    """The mixture of each latent.

    Args:
        out: (B, 3KZ + 3), the columns of all heads.
        config: the sizes.
    Returns:
        Log weights (not normalized), means without the residual, log standard deviations: K of (B, Z) each.
    """
    size, count = config.z_size, config.mixtures
    columns = [out[:, i * size : (i + 1) * size] for i in range(3 * count)]
    return columns[:count], columns[count : 2 * count], columns[2 * count :]


def end_and_rewards(xp: Any, out: Array, config: MDNRNNConfig) -> tuple[Array, Array, Array]:
    """The reward if an episode continues, the reward if it ends, and the probability of its end.

    Args:
        xp: the array library.
        out: (B, 3KZ + 3), the columns of all heads.
        config: the sizes.
    Returns:
        Three of (B,).
    """
    width = config.mixture_size
    return out[:, width + ALIVE], out[:, width + ENDED], sigmoid(xp.tanh(0.5 * out[:, width + 2]))


def relative_weights(xp: Any, logits: Array, most: Array, temperature: Any) -> Array:
    """The weights of Gaussians, as parts of the heaviest's; the temperature divides their logarithms.

    Args:
        xp: the array library.
        logits: log weights, normalized or not.
        most: the greatest of each latent's.
        temperature: more than 0.
    """
    return xp.exp((logits - most) / temperature)


def choose(
    xp: Any, weights: Sequence[Array], means: Sequence[Array], logstds: Sequence[Array], uniform: Array
) -> tuple[Array, Array]:
    """Choose a Gaussian for each latent.

    Args:
        xp: the array library.
        weights: K of (B, Z), see `relative_weights`.
        means: K of (B, Z).
        logstds: K of (B, Z).
        uniform: (B, Z) in [0, 1).
    Returns:
        Its mean and log standard deviation, each (B, Z).
    """
    steps = list(itertools.accumulate(weights))
    point = uniform * steps[-1]
    mean, logstd = means[0], logstds[0]
    for k in range(1, len(steps)):
        beyond = point > steps[k - 1]
        mean, logstd = xp.where(beyond, means[k], mean), xp.where(beyond, logstds[k], logstd)
    return mean, logstd


def draw(
    xp: Any, mean: Array, logstd: Array, normal: Array, temperature: Any, bounds: Sequence[Array]
) -> Array:
    """Draw the next latent from one Gaussian; the temperature multiplies its variance.

    Args:
        xp: the array library.
        mean: (B, Z).
        logstd: (B, Z).
        normal: (B, Z), standard normal.
        temperature: more than 0.
        bounds: the least and the greatest value of each latent, two of (Z,) or numbers.
    Returns:
        (B, Z).
    """
    drawn = mean + xp.exp(logstd) * normal * xp.sqrt(temperature)
    return xp.minimum(xp.maximum(drawn, bounds[0]), bounds[1])


def draw_from_heads(
    xp: Any,
    config: MDNRNNConfig,
    out: Array,
    z: Array,
    residual_scale: Array,
    uniform: Array,
    normal: Array,
    temperature: Any,
    bounds: Sequence[Array],
) -> Array:
    """Choose and draw, straight from the heads' columns.

    Args:
        xp: the array library.
        config: the sizes.
        out: (B, 3KZ + 3), what the heads gave.
        z: (B, Z), the latent before.
        residual_scale: (Z,), of that latent which is added to the means; unused without `residual`.
        uniform: (B, Z) in [0, 1), chooses the Gaussian.
        normal: see `draw`, as all that follows.
    Returns:
        (B, Z).
    """
    logits, means, logstds = mixture_columns(out, config)
    most = functools.reduce(xp.maximum, logits)
    weights = [relative_weights(xp, one, most, temperature) for one in logits]
    mean, logstd = choose(xp, weights, means, logstds, uniform)
    if config.residual:
        mean = mean + residual_scale * z
    return draw(xp, mean, logstd, normal, temperature, bounds)
