"""The paper's MDN-RNN, in Keras, with heads for the reward and for the end of the episode.

Source: Ha & Schmidhuber 2018, App. A.2; Bishop 1994 for the
likelihood. `step` runs the same model in numpy."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from dreamduck.common.backend import FLOAT, has_gpu, keras
from dreamduck.world_model.mdn_rnn import equations, graph
from dreamduck.world_model.mdn_rnn.layout import FORMAT, MDNRNNConfig
from dreamduck.world_model.trainer import Network

ops = keras.ops
Tensor = Any


class Heads(NamedTuple):
    """The outputs of the heads at every step."""

    mixture: Tensor  # (B, T, 3KZ): logits, means, logarithms of the standard deviations
    residual: Tensor  # (B, T, Z), added to the means; zeros without `residual`
    reward: Tensor  # (B, T, 2)
    end_logit: Tensor  # (B, T)


class Outputs(NamedTuple):
    """The predictions at every step."""

    logmix: Tensor  # (B, T, K, Z), normalised over K
    mix_mu: Tensor  # (B, T, K, Z)
    mix_logstd: Tensor  # (B, T, K, Z)
    reward: Tensor  # (B, T, 2): where the episode continues, where it ends
    end_logit: Tensor  # (B, T)


class ResidualScale(keras.layers.Layer):
    """Each number times a factor of its own."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the factors."""
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1],), initializer="ones")
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """(..., Z) to (..., Z)."""
        return inputs * self.kernel


class MDNRNNNetwork(Network):
    """LSTM and heads.

    Args:
        config: the sizes.
    """

    weights_format = FORMAT

    def __init__(self, config: MDNRNNConfig, **kwargs: Any) -> None:
        super().__init__(**{"dtype": FLOAT, **kwargs})
        layers = keras.layers
        self.sizes = config
        # An attribute for each layer, since Keras names them so in a weights file.
        self.core = layers.LSTM(
            config.hidden_size, return_sequences=True, return_state=True, dtype=FLOAT, name="core"
        )
        self.head_mixture = layers.Dense(config.mixture_size, dtype=FLOAT, name="head_mixture")
        self.head_reward = layers.Dense(2, dtype=FLOAT, name="head_reward")
        self.head_end = layers.Dense(1, dtype=FLOAT, name="head_end")
        self.head_share = ResidualScale(dtype=FLOAT, name="head_share")
        self.core.build((None, None, config.input_size))
        for head in (self.head_mixture, self.head_reward, self.head_end):
            head.build((None, None, config.hidden_size))
        if config.residual:
            self.head_share.build((None, None, config.z_size))
        self.built = True

    def call(self, z: Tensor, action: Tensor, h: Tensor, c: Tensor) -> tuple[Outputs, Tensor, Tensor]:
        """Run over T steps.

        Args:
            z: (B, T, Z).
            action: (B, T, A).
            h: (B, H), the state before the first step.
            c: likewise.
        Returns:
            outputs, and h and c after the last step, (B, H).
        """
        heads, h, c = self.heads(z, action, h, c)
        return outputs_of(heads, self.sizes), h, c

    def heads(self, z: Tensor, action: Tensor, h: Tensor, c: Tensor) -> tuple[Heads, Tensor, Tensor]:
        """`call`, before the mixtures are put in order."""
        inputs = ops.concatenate([z, action], axis=-1)
        if has_gpu():  # there the layer is one call of cuDNN
            hidden, h, c = self.core(inputs, initial_state=[h, c])
        else:
            hidden, h, c = graph.lstm(inputs, h, c, *self.core.weights)
        residual = self.head_share(z) if self.sizes.residual else ops.zeros_like(z)
        reward, end = self.head_reward(hidden), self.head_end(hidden)[..., 0]
        return Heads(self.head_mixture(hidden), residual, reward, end), h, c

    def merged(self) -> equations.StepWeights:
        """The weights as `MDNRNN.merged` gives them."""
        kernel, recurrent, bias = self.core.weights
        halves = equations.gate_halves(self.sizes.hidden_size)
        heads = (self.head_mixture, self.head_reward, self.head_end)
        return equations.StepWeights(
            ops.concatenate([kernel, recurrent]) * halves,
            bias * halves,
            ops.concatenate([head.kernel for head in heads], axis=1),
            ops.concatenate([head.bias for head in heads]),
        )

    def freeze(self, rewards: bool) -> None:
        """Train only a part.

        Args:
            rewards: keep the heads for reward and end; else all but these.
        """
        heads, rest = (self.head_reward, self.head_end), (self.core, self.head_mixture, self.head_share)
        for layer in heads if rewards else rest:
            layer.trainable = False


def outputs_of(heads: Heads, config: MDNRNNConfig) -> Outputs:
    """The mixtures in order, with their means whole and their weights normalised."""
    shape = (-1, ops.shape(heads.mixture)[1], 3, config.mixtures, config.z_size)
    parts = ops.reshape(heads.mixture, shape)
    logits, mix_mu, mix_logstd = (parts[:, :, i] for i in range(3))
    logmix = logits - ops.logsumexp(logits, axis=2, keepdims=True)
    return Outputs(logmix, mix_mu + heads.residual[:, :, None], mix_logstd, heads.reward, heads.end_logit)


def negative_log_likelihood(outputs: Outputs, z_next: Tensor) -> Tensor:
    """Minus log p(z_next) of each step, mean over the latents [nats].

    Args:
        z_next: (B, T, Z).
    Returns:
        (B, T).
    """
    scaled = (z_next[:, :, None] - outputs.mix_mu) * ops.exp(-outputs.mix_logstd)
    constant = np.float32(0.5 * math.log(2 * math.pi))
    parts = outputs.logmix - 0.5 * ops.square(scaled) - outputs.mix_logstd - constant
    return -ops.mean(ops.logsumexp(parts, axis=2), axis=-1)
