"""The categorical state-space model in Keras; `step` runs the same model in numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dreamduck.common.backend import FLOAT, keras, tf
from dreamduck.world_model.categorical import equations, graph
from dreamduck.world_model.categorical.layout import FORMAT, WITHOUT_BIAS, CategoricalConfig, dense_sizes
from dreamduck.world_model.trainer import Network

Tensor = Any


class CategoricalNetwork(Network):
    """A GRU, and dense layers around it.

    Args:
        config: the sizes.
        precision: of products; all else is float32.
    """

    weights_format = FORMAT

    def __init__(self, config: CategoricalConfig, precision: str = FLOAT, **kwargs: Any) -> None:
        super().__init__(**{"dtype": FLOAT, **kwargs})
        self.sizes, self.precision = config, precision
        self.core = keras.layers.GRU(config.hidden_size, dtype=FLOAT, name="core")
        self.core.build((None, None, config.units))
        for name, (inputs, outputs) in dense_sizes(config).items():
            layer = keras.layers.Dense(outputs, use_bias=name != WITHOUT_BIAS, dtype=FLOAT, name=name)
            layer.build((None, inputs))
            setattr(self, name, layer)  # an attribute, since Keras names it so in a weights file
        self.built = True

    def freeze_rewards(self) -> None:
        """Keep the heads for reward and end as they are."""
        for layer in (self.head_hidden, self.head_reward, self.head_end):
            layer.trainable = False

    def dense(self) -> equations.Layers:
        """The layers as the equations take them."""
        kernel, recurrent, bias = self.core.weights
        layers = {name: getattr(self, name) for name in dense_sizes(self.sizes)}
        found = {name: self._affine(layer.kernel, layer.bias) for name, layer in layers.items()}
        return {
            **found,
            "core": self._affine(kernel, bias[0]),
            "core_state": self._affine(recurrent, bias[1]),
        }

    def _affine(self, kernel: Any, bias: Any) -> Callable[[Tensor], Tensor]:
        """A dense layer as a function of its current variables."""
        kernel = tf.cast(tf.convert_to_tensor(kernel), self.precision)
        bias = 0.0 if bias is None else tf.convert_to_tensor(bias)
        return lambda x: graph.product(x, kernel) + bias

    def follow(
        self, seen: Tensor, action: Tensor, uniform: Tensor, prior_use: Tensor, prior_uniform: Tensor
    ) -> graph.Path:
        """Follow T + 1 frames and the T actions between them, from a state of zeros.

        Args:
            seen: (T + 1, B, Z + 1), latents, and the level of the noise in them.
            action: (T, B, A).
            uniform: (T + 1, B, variables), in [0, 1), chooses s.
            prior_use: (T + 1, R) bool, where the first R rows continue with draws of the prior.
            prior_uniform: (T + 1, R, variables), chooses those.
        """
        kernel, recurrent, bias = self.core.weights
        into, cell = self.core_input, self.sizes.cell_size
        action = tf.pad(action, [[0, 1], [0, 0], [0, 0]])  # after the last frame: not used
        weights = graph.PathWeights(
            self.posterior_state.kernel,
            self.posterior.kernel,
            self.posterior.bias,
            into.kernel[:cell],
            kernel,
            recurrent,
            bias,
        )
        dense = self.dense()
        added = self._affine(into.kernel[cell:], into.bias)(action)
        constant = {name: dense[name] for name in ("prior_hidden", "prior")}
        priors = graph.PriorSteps(constant, prior_use, prior_uniform)
        latent = dense["posterior_latent"](seen)
        return graph.run(latent, added, uniform, priors, weights, self.sizes, self.precision)
