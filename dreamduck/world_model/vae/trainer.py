"""The VAE's training step: model, optimizer, noise.

Source: Ha & Schmidhuber 2018, App. A.1. What chance decides
follows from (seed, step), so that weights and the optimizer's variables are the whole state."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dreamduck.common.backend import keras, tf
from dreamduck.world_model.vae.layout import Frames, initial_parameters
from dreamduck.world_model.vae.network import VAENetwork, losses
from dreamduck.world_model.vae.settings import TrainingConfig

COSINE_END = 0.02  # of the learning rate
PREFIX = "weight/"


class Trainer:
    """The model, its optimizer, and one compiled step.

    Args:
        config: the settings.
        total_steps: of the whole training.
    """

    def __init__(self, config: TrainingConfig, total_steps: int) -> None:
        self.config, self.total_steps = config, total_steps
        self.model = VAENetwork(config.z_size)
        self.model.set_parameters(initial_parameters(config.z_size, config.seed))
        self.optimizer = keras.optimizers.Adam(config.learning_rate)
        self.optimizer.build(self.model.trainable_variables)
        self._step = tf.function(self._train_step)

    def learning_rate(self, step: int) -> float:
        """Of a step, by the schedule."""
        if self.config.schedule == "constant":
            return self.config.learning_rate
        part = 0.5 * (1 + math.cos(math.pi * step / self.total_steps))
        return self.config.learning_rate * (COSINE_END + (1 - COSINE_END) * part)

    def train(self, frames: Frames, step: int) -> tuple[float, float, bool]:
        """Learn from one batch.

        Returns:
            The two losses before the step, and whether they and all weights after it are finite.
            (A relu may make 0 of nan, so that the losses alone would not tell.)
        """
        self.optimizer.learning_rate.assign(self.learning_rate(step))
        squared, divergence, size = map(float, self._step(tf.constant(frames), tf.constant(step)))
        return squared, divergence, math.isfinite(squared + divergence + size)

    def _train_step(self, frames: Any, step: Any) -> tuple[Any, Any, Any]:
        pictures = tf.cast(frames, tf.float32) / 255
        noise_seed = tf.stack([tf.constant(self.config.seed % 2**31), step])
        with tf.GradientTape() as tape:
            mu, logvar = self.model.encode(pictures)
            noise = tf.random.stateless_normal(tf.shape(mu), noise_seed)
            again = self.model.decode(mu + tf.exp(logvar / 2) * noise)
            squared, divergence = losses(pictures, again, mu, logvar, self.config.kl_tolerance)
            loss = squared + divergence
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        size = tf.add_n([tf.reduce_sum(tf.abs(variable)) for variable in variables])
        return squared, divergence, size

    def state(self) -> dict[str, np.ndarray]:
        """Weights and the optimizer's variables, as arrays."""
        arrays: dict[str, np.ndarray] = {PREFIX + n: a for n, a in self.model.parameters().items()}
        for i, variable in enumerate(self.optimizer.variables):
            arrays[f"optimizer/{i}"] = keras.ops.convert_to_numpy(variable)
        return arrays

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what `state` gave.

        Raises:
            WeightsError, KeyError, ValueError: it does not fit.
        """
        weights = {n.removeprefix(PREFIX): a for n, a in arrays.items() if n.startswith(PREFIX)}
        self.model.set_parameters(weights)
        for i, variable in enumerate(self.optimizer.variables):
            variable.assign(arrays[f"optimizer/{i}"])
