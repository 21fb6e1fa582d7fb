"""The MDN-RNN's training step: network, optimizer, losses.

Source: Ha & Schmidhuber 2018, App. A.2, and its Doom agent for the
end of the episode. Random numbers follow from (seed, step), so that weights, the optimizer's
variables and the streams' LSTM states are the whole state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dreamduck.common.backend import has_gpu, tf
from dreamduck.world_model import trainer
from dreamduck.world_model.dynamics import Z_LIMIT, FloatArray
from dreamduck.world_model.latents import Series
from dreamduck.world_model.mdn_rnn import equations
from dreamduck.world_model.mdn_rnn.batches import Batch
from dreamduck.world_model.mdn_rnn.layout import ALIVE, ENDED, MDNRNNConfig, initial_parameters
from dreamduck.world_model.mdn_rnn.network import (
    Heads,
    MDNRNNNetwork,
    Outputs,
    negative_log_likelihood,
    outputs_of,
)
from dreamduck.world_model.mdn_rnn.prediction_metrics import SMALLEST_SPREAD
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig
from dreamduck.world_model.weights_format import Parameters

WARM_UP = 50  # steps until the learning rate is whole
SAMPLES_FROM = 1 / 3  # of the training; earlier draws are too inaccurate to learn from
SAMPLING_KEYS = range(4)  # random streams of scheduled sampling
SPREADS = 3.0  # of a latent about its mean that belong to its range
MEASURED = 16_384  # rows of a series that are measured at once


class RewardScale(NamedTuple):
    """Mean and spread of rewards, (2,): where the episode continues, where it ends."""

    mean: FloatArray
    spread: FloatArray

    def unscaled(self, parameters: Parameters, end_weight: float) -> Parameters:
        """The weights to be used, of those in training: rewards in their own unit, ends at their true rate.

        Counting an end `end_weight` times adds the logarithm of that to its logit; here it is subtracted
        again, so that the logit is that of the probability.
        """
        made = {name: array.copy() for name, array in parameters.items()}
        made["head_reward/kernel"] *= self.spread
        made["head_reward/bias"] = made["head_reward/bias"] * self.spread + self.mean
        made["head_end/bias"] -= np.float32(math.log(end_weight))
        return made

    def scaled(self, parameters: Parameters, end_weight: float) -> Parameters:
        """The weights to train on from those that are used: the inverse of `unscaled`."""
        made = {name: array.copy() for name, array in parameters.items()}
        made["head_reward/kernel"] /= self.spread
        made["head_reward/bias"] = (made["head_reward/bias"] - self.mean) / self.spread
        made["head_end/bias"] += np.float32(math.log(end_weight))
        return made


class LatentScale(NamedTuple):
    """A linear prediction of each latent from itself, (Z,): next = mean + scale * now + rest.

    Training starts from it: most latents change little from step to step, and those that the VAE does not
    use are noise, which predicts nothing.
    """

    mean: FloatArray
    residual_scale: FloatArray  # the least-squares factor; 0 for an MDN-RNN without `residual`
    spread: FloatArray  # standard deviation of the rest
    bounds: FloatArray  # (2, Z), the range of what is drawn


class Losses(NamedTuple):
    """The losses of a step, each a mean."""

    nll: float  # [nats a latent]
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
    """The model, its optimizer, the streams' states, and one compiled step.

    Args:
        config: the settings.
        sizes: of the MDN-RNN.
        scale: of the rewards to learn from.
        latents: likewise.
        start: weights that the training begins with, instead of new ones. Those that the settings do
            not train are kept as they are.
    """

    def __init__(
        self,
        config: TrainingConfig,
        sizes: MDNRNNConfig,
        scale: RewardScale,
        latents: LatentScale,
        start: Parameters | None = None,
    ) -> None:
        self.config, self.sizes, self.scale, self.latents = config, sizes, scale, latents
        model = MDNRNNNetwork(sizes)
        begin = {**first_parameters(sizes, config.seed, latents), **(start or {})}
        model.set_parameters(scale.scaled(begin, config.end_weight) if config.start else begin)
        if config.adapt or config.heads_only:
            model.freeze(rewards=config.adapt is not None)
        super().__init__(model, config.learning_rate)
        shape = (config.batch_size, sizes.hidden_size)
        self._states = [tf.Variable(np.zeros(shape, np.float32), trainable=False) for _ in "hc"]
        self._sampled_rows = round(config.scheduled_sampling * config.batch_size)
        self._step = tf.function(self._train_step)
        self._compiled_losses = tf.function(self._losses_and_gradients, jit_compile=not has_gpu())

    def learning_rate(self, step: int) -> float:
        """Of a step, by the schedule."""
        rise = min(1.0, (step + 1) / WARM_UP)
        return self.config.learning_rate * rise * trainer.cosine(step, self.config.steps)

    def train(self, batch: Batch, step: int) -> Losses:
        """Learn from one batch; returns the losses before the step."""
        self.optimizer.learning_rate.assign(self.learning_rate(step))
        samples = step >= SAMPLES_FROM * self.config.steps and self._sampled_rows > 0
        found = self._step(*(tf.constant(part) for part in batch), tf.constant(step), samples=samples)
        return Losses(*(float(value) for value in found.numpy()))

    def _train_step(self, *given: Any, samples: bool) -> Any:
        batch, step = Batch(*given[:-1]), given[-1]
        seed = tf.stack([tf.constant(self.config.seed % 2**31), step])
        noise = tf.random.stateless_normal(tf.shape(batch.mu), seed)
        z = batch.mu + tf.exp(batch.logvar / 2) * noise
        h, c = (state * batch.carry_state[:, None] for state in self._states)
        seen = z[:, :-1]
        if samples:
            seen = self.sample_inputs(seen, batch.action, h, c, seed)
        with tf.GradientTape() as tape:
            heads, h, c = self.model.heads(seen, batch.action, h, c)
        parts, gradients = self._compiled_losses(heads, z[:, 1:], batch)
        variables = self.model.trainable_variables
        gradients = tape.gradient(heads, variables, output_gradients=gradients)
        gradients, norm = tf.clip_by_global_norm(gradients, self.config.grad_clip)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        for state, value in zip(self._states, (h, c), strict=True):
            state.assign(value)
        return tf.stack([*parts, norm])

    def sample_inputs(self, z: Any, action: Any, h: Any, c: Any, seed: Any) -> Any:
        """The inputs: in some rows, from some step on, draws of the model's own predictions.

        Source: Bengio et al. 2015, scheduled sampling. In a dream it has no other inputs, so it must learn
        to predict from its own latents, with their errors, and when an episode ends after them. The
        gradient does not pass through what was drawn.

        Args:
            z: (B, T, Z), the real latents.
            action: (B, T, A).
            h: (B, H).
            c: likewise.
            seed: (2,).
        Returns:
            (B, T, Z).
        """
        chance = [tf.random.experimental.stateless_fold_in(seed, key) for key in SAMPLING_KEYS]
        count, steps = tf.shape(z)[0], tf.shape(z)[1]
        row = tf.argsort(tf.random.stateless_uniform((count,), chance[0]))[: self._sampled_rows]
        known, done, h, c = (tf.gather(part, row) for part in (z, action, h, c))
        last = tf.maximum(steps - 1, 1)
        begin = tf.random.stateless_uniform((self._sampled_rows,), chance[1], 0, last, tf.int32)
        uniform = tf.random.stateless_uniform(tf.shape(known), chance[2])
        normal = tf.random.stateless_normal(tf.shape(known), chance[3])
        weights = self.model.merged()
        residual_scale = self.model.head_share.kernel if self.sizes.residual else 0.0
        bounds = tf.constant(self.latents.bounds)
        rows = tf.TensorArray(tf.float32, steps)

        def body(t: Any, now: Any, h: Any, c: Any, rows: Any) -> tuple[Any, ...]:
            now = tf.where((t <= begin)[:, None], known[:, t], now)
            h, c, out = equations.advance(tf, weights, now, done[:, t], h, c)
            after = equations.draw_from_heads(
                tf, self.sizes, out, now, residual_scale, uniform[:, t], normal[:, t], 1.0, bounds
            )
            return t + 1, after, h, c, rows.write(t, now)

        start = (tf.constant(0), known[:, 0], h, c, rows)
        *_, rows = tf.while_loop(lambda t, *_: t < steps, body, start)
        return tf.tensor_scatter_nd_update(z, row[:, None], tf.transpose(rows.stack(), (1, 0, 2)))

    def _losses_and_gradients(self, heads: Heads, z_next: Any, batch: Batch) -> tuple[Any, Heads]:
        """The three losses, and the gradient of their sum by the outputs of the heads.

        Compiled by XLA on processors: operation by operation, each would read and write all mixtures.
        """
        with tf.GradientTape() as tape:
            tape.watch(heads)
            parts = self._losses(outputs_of(heads, self.sizes), z_next, batch)
            loss = parts[0]
            if self.config.adapt is None:
                loss = loss + self.config.reward_weight * parts[1] + parts[2]
        unused = tf.UnconnectedGradients.ZERO  # of rewards and ends, where they do not count
        return parts, tape.gradient(loss, heads, unconnected_gradients=unused)

    def _losses(self, outputs: Outputs, z_next: Any, batch: Batch) -> tuple[Any, Any, Any]:
        """The three losses, each a mean over the steps that count for it."""
        nll = negative_log_likelihood(outputs, z_next) * batch.has_next
        lives = batch.step * (1 - batch.done)
        squared = [
            ((batch.reward - self.scale.mean[i]) / self.scale.spread[i] - outputs.reward[..., i]) ** 2
            for i in (ALIVE, ENDED)
        ]
        weight = self.config.end_weight
        rewards = squared[ALIVE] * lives + weight * squared[ENDED] * batch.done
        crossed = (
            tf.nn.weighted_cross_entropy_with_logits(batch.done, outputs.end_logit, weight) * batch.step
        )
        steps = tf.maximum(tf.reduce_sum(batch.step), 1.0)
        return (
            tf.reduce_sum(nll) / tf.maximum(tf.reduce_sum(batch.has_next), 1.0),
            tf.reduce_sum(rewards) / steps,
            tf.reduce_sum(crossed) / steps,
        )

    def parameters(self) -> Parameters:
        """The weights to be used."""
        return self.scale.unscaled(self.model.parameters(), self.config.end_weight)

    def carried(self) -> dict[str, Any]:
        """The optimizer's variables and the LSTM states of the batch's streams."""
        return super().carried() | {f"lanes/{i}": variable for i, variable in enumerate(self._states)}


def first_parameters(sizes: MDNRNNConfig, seed: int, latents: LatentScale) -> Parameters:
    """`initial_parameters`, with the mixtures at the latents' linear prediction."""
    made = initial_parameters(sizes, seed)
    bias = made["head_mixture/bias"].reshape(3, sizes.mixtures, sizes.z_size)
    bias[1] = bias[1] * latents.spread + latents.mean
    bias[2] = np.log(latents.spread)
    if sizes.residual:
        made["head_share/kernel"] = latents.residual_scale.copy()
    return made


def latent_scale(series: Series, episodes: Any, residual: bool) -> LatentScale:
    """Measured on some episodes."""
    pairs = [np.arange(series.offsets[e], series.offsets[e + 1] - 1) for e in episodes]
    rows = np.concatenate(pairs)
    if not len(rows):  # no episode has a second step
        rows = series.offsets[:-1]
    # a part at a time: all rows at once would take several times the RAM of the series itself
    parts = np.array_split(rows, -(-len(rows) // MEASURED))

    def mean_of(values: Callable[[Any], Any]) -> Any:
        return sum(values(part).sum(axis=0, dtype=np.float64) for part in parts) / len(rows)

    mean = mean_of(lambda part: series.mu[part])
    noise = mean_of(lambda part: np.exp(series.logvar[part]))
    variance = mean_of(lambda part: (series.mu[part] - mean) ** 2) + noise
    last = len(series.mu) - 1
    common = mean_of(lambda part: (series.mu[part] - mean) * (series.mu[np.minimum(part + 1, last)] - mean))
    residual_scale = common / variance if residual else np.zeros_like(mean)
    rest = np.maximum(variance - residual_scale * common, SMALLEST_SPREAD**2)
    found = ((1 - residual_scale) * mean, residual_scale, np.sqrt(rest))
    mean, residual_scale, spread = (part.astype(np.float32) for part in found)
    return LatentScale(mean, residual_scale, spread, latent_range(series, episodes))


def latent_range(series: Series, episodes: Any) -> FloatArray:
    """The range of each latent in some episodes: the means of all frames, `SPREADS` deviations about them.

    Returns:
        (2, Z), the least and the greatest; a dream stays within.
    """
    low, high = np.full((2, series.mu.shape[1]), np.inf, np.float32) * [[1], [-1]]
    for episode in episodes:
        rows = slice(*series.offsets[[episode, episode + 1]])
        about = SPREADS * np.exp(0.5 * series.logvar[rows])
        low = np.minimum(low, (series.mu[rows] - about).min(axis=0))
        high = np.maximum(high, (series.mu[rows] + about).max(axis=0))
    return np.clip(np.stack([low, high]), -Z_LIMIT, Z_LIMIT).astype(np.float32)


def reward_scale(series: Series, episodes: Any) -> RewardScale:
    """Mean and spread of the rewards of some episodes; without ends, those of the other steps stand in."""
    rows = np.concatenate([np.arange(*series.offsets[[e, e + 1]]) for e in episodes])
    reward, done = series.reward[rows].astype(np.float64), series.done[rows]
    groups = [reward[~done] if (~done).any() else reward, reward[done] if done.any() else reward]
    return RewardScale(
        np.array([group.mean() for group in groups], np.float32),
        np.array([max(group.std(), SMALLEST_SPREAD) for group in groups], np.float32),
    )
