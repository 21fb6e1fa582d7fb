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
    """

    weights_format = FORMAT

    def __init__(self, config: CategoricalConfig, **kwargs: Any) -> None:
        super().__init__(**{"dtype": FLOAT, **kwargs})
        self.sizes = config
        self.core = keras.layers.GRU(config.hidden_size, dtype=FLOAT, name="core")
        self.core.build((None, None, config.units))
        for name, (inputs, outputs) in dense_sizes(config).items():
            layer = keras.layers.Dense(outputs, use_bias=name != WITHOUT_BIAS, dtype=FLOAT, name=name)
            layer.build((None, inputs))
            setattr(self, name, layer)  # an attribute, since Keras names it so in a weights file
        self.built = True

    def dense(self) -> equations.Layers:
        """The layers as the equations take them."""
        kernel, recurrent, bias = self.core.weights
        found: dict[str, Any] = {name: getattr(self, name) for name in dense_sizes(self.sizes)}
        found["core"] = lambda x: tf.matmul(x, kernel) + bias[0]
        found["core_state"] = lambda x: tf.matmul(x, recurrent) + bias[1]
        return found

    def follow(
        self, seen: Tensor, action: Tensor, uniform: Tensor, prior_use: Tensor, prior_uniform: Tensor
    ) -> graph.Path:
        """Follow T + 1 frames and the T actions between them, from a state of zeros.

        Args:
            seen: (T + 1, B, Z + 1), latents, and the level of the noise in them.
            action: (T, B, A).
            uniform: (T + 1, B, variables), in [0, 1), chooses s.
            prior_use: (T + 1, R) bool, where the first R rows go on with draws of the prior.
            prior_uniform: (T + 1, R, variables), chooses those.
        """
        kernel, recurrent, bias = self.core.weights
        into, cell = self.core_input, self.sizes.cell_size
        action = tf.pad(action, [[0, 1], [0, 0], [0, 0]])  # after the last frame: nothing is made of it
        weights = graph.PathWeights(
            self.posterior_state.kernel,
            self.posterior.kernel,
            self.posterior.bias,
            into.kernel[:cell],
            kernel,
            recurrent,
            bias,
        )
        added = tf.matmul(action, into.kernel[cell:]) + into.bias
        constant = {layer.name: _constant(layer) for layer in (self.prior_hidden, self.prior)}
        priors = graph.PriorSteps(constant, prior_use, prior_uniform)
        return graph.run(self.posterior_latent(seen), added, uniform, priors, weights, self.sizes)


def _constant(layer: Any) -> Callable[[Tensor], Tensor]:
    """A dense layer as a function of what its variables hold now."""
    kernel, bias = tf.convert_to_tensor(layer.kernel), tf.convert_to_tensor(layer.bias)
    return lambda x: tf.matmul(x, kernel) + bias
