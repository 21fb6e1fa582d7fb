"""The VAE's training step: model, optimizer, noise.

Source: Ha & Schmidhuber 2018, App. A.1. What chance decides
follows from (seed, step), so that weights and the optimizer's variables are the whole state."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from dreamduck.common.backend import FLOAT, MIXED, tf
from dreamduck.common.precision import HALF
from dreamduck.world_model import trainer
from dreamduck.world_model.vae.layout import Frames, initial_parameters
from dreamduck.world_model.vae.losses import losses
from dreamduck.world_model.vae.network import VAENetwork
from dreamduck.world_model.vae.settings import TrainingConfig


class Losses(NamedTuple):
    """The losses of a step, each a mean over the frames."""

    reconstruction: float  # its loss summed over a frame
    divergence: float  # [nats], with its floor
    finite: bool  # whether they and all weights after the step are; a relu may make 0 of nan

    @property
    def metrics(self) -> dict[str, float]:
        """For the log."""
        found = {"reconstruction": self.reconstruction, "divergence": self.divergence}
        return {"loss": self.reconstruction + self.divergence, **found}


class Trainer(trainer.Trainer):
    """The model, its optimizer, and one compiled step.

    Args:
        config: the settings.
        total_steps: of the whole training.
    """

    def __init__(self, config: TrainingConfig, total_steps: int) -> None:
        self.config, self.total_steps = config, total_steps
        model = VAENetwork(config.z_size, config.network, MIXED if config.precision == HALF else FLOAT)
        model.set_parameters(initial_parameters(config.z_size, config.seed, config.network))
        super().__init__(model, config.learning_rate)
        self._step = tf.function(self._train_step)

    def learning_rate(self, step: int) -> float:
        """Of a step, by the schedule."""
        if self.config.schedule == "constant":
            return self.config.learning_rate
        return self.config.learning_rate * trainer.cosine(step, self.total_steps)

    def train(self, batch: Frames, step: int) -> Losses:
        """Learn from one batch; returns the losses before the step."""
        self.optimizer.learning_rate.assign(self.learning_rate(step))
        reconstruction, kl, size = map(float, self._step(tf.constant(batch), tf.constant(step)))
        return Losses(reconstruction, kl, math.isfinite(reconstruction + kl + size))

    def _train_step(self, frames: Any, step: Any) -> tuple[Any, Any, Any]:
        images = tf.cast(frames, tf.float32) / 255
        noise_seed = tf.stack([tf.constant(self.config.seed % 2**31), step])
        with tf.GradientTape() as tape:
            mu, logvar = self.model.encode(images)
            noise = tf.random.stateless_normal(tf.shape(mu), noise_seed)
            again = self.model.decode(mu + tf.exp(logvar / 2) * noise)
            found = losses(images, again, mu, logvar, self.config.kl_tolerance, self.config.loss)
            loss = sum(found)
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        size = tf.add_n([tf.reduce_sum(tf.abs(variable)) for variable in variables])
        return *found, size
