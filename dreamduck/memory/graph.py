"""The memory's step and its draw, in TensorFlow's operations.

Flow: series -> [memory] -> dream. Dreams and the training run the same arithmetic as `step` and `mixture`
do in numpy; tests hold them together."""

from __future__ import annotations

from typing import Any, NamedTuple

from dreamduck.backend import tf
from dreamduck.memory.layout import MemoryConfig
from dreamduck.memory.mixture import Z_LIMIT

Tensor = Any


class Merged(NamedTuple):
    """The weights as one step uses them, as `Memory.merged` describes them."""

    gates: Tensor  # (Z + A + H, 4H), halved but for the candidate's
    gates_bias: Tensor  # (4H,)
    heads: Tensor  # (H, 3KZ + 3)
    heads_bias: Tensor  # (3KZ + 3,)


def advance(
    weights: Merged, z: Tensor, action: Tensor, c: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """`Memory.advance`, and what all heads give.

    Args:
        z: (B, Z). action: (B, A). c, h: (B, H).
    Returns:
        c, h, out: (B, H) twice and (B, 3KZ + 3).
    """
    inputs = tf.concat([z, action, h], 1)
    gates = tf.tanh(tf.matmul(inputs, weights.gates) + weights.gates_bias)
    write, keep, new, show = tf.split(gates, 4, axis=1)
    c = (keep * 0.5 + 0.5) * c + (write * 0.5 + 0.5) * new
    h = (show * 0.5 + 0.5) * tf.tanh(c)
    return c, h, tf.matmul(h, weights.heads) + weights.heads_bias


def sample(
    config: MemoryConfig,
    out: Tensor,
    z: Tensor,
    share: Tensor,
    uniform: Tensor,
    normal: Tensor,
    temperature: Tensor,
) -> Tensor:
    """`mixture.sample`, straight from the heads' columns.

    Args:
        out: (B, 3KZ + 3), what the heads gave. z: (B, Z), the latent before.
        share: (Z,), of that latent which is added to the means; unused without `residual`.
        uniform: (B, Z) or more columns. normal: (B, Z).
    Returns:
        (B, Z).
    """
    size, count = config.z_size, config.mixtures
    columns = [out[:, i * size : (i + 1) * size] for i in range(3 * count)]
    logits, means, logstds = columns[:count], columns[count : 2 * count], columns[2 * count :]
    most = logits[0]
    for other in logits[1:]:
        most = tf.maximum(most, other)
    steps: list[Tensor] = []
    for one in logits:
        weight = tf.exp((one - most) / temperature)
        steps.append(weight + steps[-1] if steps else weight)
    point = uniform[:, :size] * steps[-1]
    mean, logstd = means[0], logstds[0]
    for k in range(1, count):
        beyond = point > steps[k - 1]
        mean, logstd = tf.where(beyond, means[k], mean), tf.where(beyond, logstds[k], logstd)
    if config.residual:
        mean = mean + share * z
    drawn = mean + tf.exp(logstd) * normal * tf.sqrt(temperature)
    return tf.clip_by_value(drawn, -Z_LIMIT, Z_LIMIT)
