"""The categorical state-space model's training step: network, optimizer, losses.

Source: Hafner et al. 2021, 2023; Valevski et al. 2024 for the noise on what is seen, with its level.
Random numbers follow from (seed, step), so that weights and the optimizer's variables are the whole
state."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from dreamduck.common.backend import tf
from dreamduck.world_model import trainer
from dreamduck.world_model.categorical import equations
from dreamduck.world_model.categorical.graph import Path
from dreamduck.world_model.categorical.layout import CategoricalConfig, initial_parameters
from dreamduck.world_model.categorical.network import CategoricalNetwork
from dreamduck.world_model.categorical.settings import TrainingConfig
from dreamduck.world_model.dynamics import FloatArray
from dreamduck.world_model.latents import Series
from dreamduck.world_model.mdn_rnn.batches import Batch
from dreamduck.world_model.mdn_rnn.layout import ALIVE, ENDED
from dreamduck.world_model.mdn_rnn.trainer import RewardScale
from dreamduck.world_model.weights_format import Parameters

WARM_UP = 100  # steps until the learning rate is whole
LEARNING_RATE_END = 0.01  # of the learning rate
PRIOR_STEPS = 10  # with draws of the prior, before frames are seen again; where a car moves
WITHOUT_NOISE = 0.3  # share of the rows
PRIOR_WEIGHT, POSTERIOR_WEIGHT = 0.8, 0.2  # of the divergence, as each of the two learns from it
FREE_NATS = 1.0  # of divergence that cost nothing
CHANCE = ("vae", "level", "noise", "posterior", "prior", "begin")  # the random streams of a step


class Losses(NamedTuple):
    """The losses of a step, each a mean."""

    reconstruction: float  # half the squared error of the latents, summed over them
    kl: float  # of posterior and prior [nats]
    reward: float  # squared error over its variance
    end: float  # weighted cross-entropy [nats]
    norm: float  # of the gradient before clipping

    @property
    def finite(self) -> bool:
        """Whether all are numbers."""
        return all(math.isfinite(value) for value in self)

    @property
    def metrics(self) -> dict[str, float]:
        """For the log."""
        return self._asdict()


class Trainer(trainer.Trainer):
    """The model, its optimizer, and one compiled step.

    Args:
        config: the settings.
        sizes: of the model.
        scale: of the rewards to learn from.
        spread: (Z,), standard deviation of each latent.
        start: weights that the training begins with, instead of new ones; the heads for reward and end of
            a model that is adapted are kept as they are.
    """

    def __init__(
        self,
        config: TrainingConfig,
        sizes: CategoricalConfig,
        scale: RewardScale,
        spread: FloatArray,
        start: Parameters | None = None,
    ) -> None:
        self.config, self.sizes, self.scale, self.spread = config, sizes, scale, spread
        model = CategoricalNetwork(sizes, config.precision)
        begin = initial_parameters(sizes, config.seed) if start is None else start
        model.set_parameters(scale.scaled(begin, config.end_weight) if config.start else begin)
        if config.adapt:
            model.freeze_rewards()
        super().__init__(model, config.learning_rate)
        moving = round(config.prior_rows * config.batch_size)
        self._prior_rows = min(config.batch_size, config.standing + moving)
        self._step = tf.function(self._train_step)

    def learning_rate(self, step: int) -> float:
        """Of a step, by the schedule."""
        rise = min(1.0, (step + 1) / WARM_UP)
        falls = trainer.cosine(step, self.config.steps, LEARNING_RATE_END)
        return self.config.learning_rate * rise * falls

    def train(self, batch: Batch, step: int) -> Losses:
        """Learn from one batch; returns the losses before the step."""
        self.optimizer.learning_rate.assign(self.learning_rate(step))
        found = self._step(*(tf.constant(part) for part in batch), tf.constant(step))
        return Losses(*(float(value) for value in found.numpy()))

    def _train_step(self, *given: Any) -> Any:
        batch, step = Batch(*given[:-1]), given[-1]
        seed = tf.stack([tf.constant(self.config.seed % 2**31), step])
        with tf.GradientTape() as tape:
            path = self._follow(batch, seed)
            reconstruction, kl, posterior_kl, reward, end = self._losses(path, batch)
            divergence = PRIOR_WEIGHT * tf.maximum(kl, FREE_NATS)
            divergence += POSTERIOR_WEIGHT * tf.maximum(posterior_kl, FREE_NATS)
            loss = reconstruction + divergence
            if self.config.adapt is None:
                loss = loss + self.config.reward_weight * reward + end
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, variables)
        gradients, norm = tf.clip_by_global_norm(gradients, self.config.grad_clip)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return tf.stack([reconstruction, kl, reward, end, norm])

    def _follow(self, batch: Batch, seed: Any) -> Path:
        """The model over the batch, with all random draws."""
        chance = dict(
            zip(CHANCE, tf.unstack(tf.random.experimental.stateless_split(seed, len(CHANCE))), strict=True)
        )
        shape = tf.shape(batch.mu)
        count, frames = shape[0], shape[1]
        uniform = tf.random.stateless_uniform
        z = batch.mu + tf.exp(batch.logvar / 2) * tf.random.stateless_normal(shape, chance["vae"])
        some, level = tf.unstack(uniform((2, count, 1, 1), chance["level"]))
        level = tf.where(some < WITHOUT_NOISE, 0.0, level * self.config.noise_level)
        z += level * self.spread * tf.random.stateless_normal(shape, chance["noise"])
        seen = tf.concat([z, tf.broadcast_to(level, (count, frames, 1))], 2)
        rows, variables = self._prior_rows, self.sizes.variables
        begin = uniform((rows,), chance["begin"]) * tf.cast(tf.maximum(frames - 2, 1), tf.float32)
        behind = tf.cast(tf.range(frames), tf.float32)[:, None] - 1 - begin
        stands = tf.range(rows) < self.config.standing
        return self.model.follow(
            tf.transpose(seen, (1, 0, 2)),
            tf.transpose(batch.action, (1, 0, 2)),
            uniform((frames, count, variables), chance["posterior"]),
            tf.logical_and(behind > 0, tf.logical_or(stands, behind <= PRIOR_STEPS)),
            uniform((frames, rows, variables), chance["prior"]),
        )

    def _losses(self, path: Path, batch: Batch) -> tuple[Any, ...]:
        """Reconstruction; divergence, as the prior and as the posterior learns from it; reward; end."""
        dense, sizes = self.model.dense(), self.sizes
        known = tf.transpose(tf.concat([batch.step[:, :1], batch.has_next], 1))  # (T + 1, B)
        error = equations.decode(tf, dense, path.h, path.s) - tf.transpose(batch.mu, (1, 0, 2))
        squared = tf.reduce_sum(tf.square(error), 2)
        flat = tf.reshape(path.h, (-1, sizes.hidden_size))
        prior = equations.probabilities(tf, equations.prior(tf, dense, flat), sizes)
        posterior = equations.probabilities(tf, path.logits, sizes)
        later = tf.reshape(tf.concat([tf.zeros_like(known[:1]), known[1:]], 0), (-1,))
        many = tf.maximum(tf.reduce_sum(later), 1.0)

        def divergence(one: Any, other: Any) -> Any:
            each = tf.reduce_sum(one * (tf.math.log(one) - tf.math.log(other)), (1, 2))
            return tf.reduce_sum(each * later) / many

        return (
            0.5 * tf.reduce_sum(squared * known) / tf.maximum(tf.reduce_sum(known), 1.0),
            divergence(tf.stop_gradient(posterior), prior),
            divergence(posterior, tf.stop_gradient(prior)),
            *self._reward_and_end(path, batch),
        )

    def _reward_and_end(self, path: Path, batch: Batch) -> tuple[Any, Any]:
        """The losses of reward and end, each a mean over the steps."""
        reward, end_logit = equations.rewards_and_end_logit(tf, self.model.dense(), path.h[1:])
        step, done, real = (tf.transpose(part) for part in (batch.step, batch.done, batch.reward))
        squared = [
            ((real - self.scale.mean[i]) / self.scale.spread[i] - reward[..., i]) ** 2
            for i in (ALIVE, ENDED)
        ]
        weight = self.config.end_weight
        rewards = squared[ALIVE] * step * (1 - done) + weight * squared[ENDED] * done
        crossed = tf.nn.weighted_cross_entropy_with_logits(done, end_logit, weight) * step
        steps = tf.maximum(tf.reduce_sum(step), 1.0)
        return tf.reduce_sum(rewards) / steps, tf.reduce_sum(crossed) / steps

    def parameters(self) -> Parameters:
        """The weights to be used."""
        return self.scale.unscaled(self.model.parameters(), self.config.end_weight)


def latent_spread(series: Series, episodes: Any) -> FloatArray:
    """The standard deviation (Z,) of each latent's mean in some episodes."""
    sums = np.zeros((2, series.mu.shape[1]))
    for episode in episodes:
        mu = series.mu[series.offsets[episode] : series.offsets[episode + 1]].astype(np.float64)
        sums += [mu.sum(axis=0), (mu * mu).sum(axis=0)]
    mean, square = sums / max(1, int(series.lengths[list(episodes)].sum()))
    return np.sqrt(np.maximum(square - mean * mean, 0.0)).astype(np.float32)
