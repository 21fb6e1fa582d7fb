"""Training an ensemble on the states of finished dynamics; loads TensorFlow."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.backend import keras, tf
from dreamduck.common.command_line import progress
from dreamduck.common.config import to_dict
from dreamduck.common.errors import WeightsError
from dreamduck.common.seeding import generator
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import Dynamics, FloatArray
from dreamduck.world_model.ensemble.heads import LIMIT_STEPS, Ensemble, EnsembleConfig, guesses, shapes
from dreamduck.world_model.ensemble.settings import TrainingConfig
from dreamduck.world_model.latents import Series, read_series
from dreamduck.world_model.mdn_rnn.batches import split
from dreamduck.world_model.series_check import check_series
from dreamduck.world_model.trainer import cosine
from dreamduck.world_model.weights_format import Parameters, at_half_precision

log = logging.getLogger(__name__)

SIDE_BY_SIDE = 64  # episodes that the dynamics follow at once
EPISODES_KEY, FIRST_KEY, BOOTSTRAP_KEY, BATCH_KEY = range(20, 24)
HELD_OUT_EPISODES = 100
LIMIT_QUANTILE = 0.95  # of held-out episodes that stay below the limit


class States(NamedTuple):
    """Training data of the heads, for N actions."""

    h: npt.NDArray[np.float16]  # (N, H), after the action
    z: FloatArray  # (N, Z), the mean of the next latent
    episode: npt.NDArray[np.int64]  # (N,), its place in the list of episodes


def train(config: TrainingConfig) -> Ensemble:
    """Train an ensemble for the dynamics in a folder, and write it there.

    Raises:
        WeightsError: there are none, or the series is not of this world model.
        SeriesError: there is no series, or it is damaged.
    """
    folder = Path(config.weights)
    dynamics, series = WorldModel.load(folder).dynamics, read_series(config.series)
    check_series(series, config.series, folder, dynamics)
    learning, testing = split(series)
    chosen = generator(config.seed, EPISODES_KEY).permutation(learning)[: config.episodes]
    states = follow(dynamics, series, chosen)
    sizes = EnsembleConfig(series.z_size, dynamics.config.hidden_size, config.heads, config.units)
    parameters = at_half_precision(fit(states, sizes, config))
    ensemble = Ensemble(parameters, sizes, {"dynamics": dynamics.weights, "config": to_dict(config)})
    seen = follow(dynamics, series, testing[:HELD_OUT_EPISODES])
    ensemble.card["metrics"] = {"held_out": measure(ensemble, seen, latent_scale(states.z))}
    ensemble.card["limit"] = limit(ensemble, seen)
    ensemble.save(folder)
    return ensemble


def follow(dynamics: Dynamics, series: Series, episodes: npt.NDArray[np.int64]) -> States:
    """The states of the dynamics along recorded episodes, and the next latents.

    Args:
        dynamics: finished.
        series: the episodes.
        episodes: which of them.
    """
    parts: list[States] = []
    order = np.argsort(series.lengths[episodes], kind="stable")  # of about the same length side by side
    for at in range(0, len(order), SIDE_BY_SIDE):
        places = order[at : at + SIDE_BY_SIDE]
        first, lengths = series.offsets[episodes[places]], series.lengths[episodes[places]]
        z = series.mu[first]
        state = dynamics.observe(z, dynamics.start(len(places)))
        for t in range(1, int(lengths.max())):
            rows = np.minimum(t, lengths - 1) + first
            state = dynamics.advance(z, series.action[rows - 1], state)
            z, known = series.mu[rows], t < lengths
            parts.append(States(state.h[known].astype(np.float16), z[known], places[known]))
            state = dynamics.observe(z, state)
    if not parts:
        raise WeightsError("series: expected episodes of two frames or more, got none; record longer ones")
    return States(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def latent_scale(z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each latent."""
    return z.mean(axis=0), np.maximum(z.std(axis=0), 1e-3)


def fit(states: States, sizes: EnsembleConfig, config: TrainingConfig) -> Parameters:
    """The parameters of heads that learned from bootstrap samples of the episodes."""
    first = generator(config.seed, FIRST_KEY)
    limits = {"hidden": 1 / math.sqrt(sizes.hidden_size), "latent": 1 / math.sqrt(sizes.units)}
    variables = {
        name: keras.Variable(first.uniform(-1, 1, shape).astype(np.float32) * limits[name.split("/")[0]])
        for name, shape in shapes(sizes).items()
    }
    optimizer = keras.optimizers.Adam(config.learning_rate)
    optimizer.build(list(variables.values()))
    mean, scale = latent_scale(states.z)
    samples = bootstrap(states.episode, sizes.heads, config.seed)

    @tf.function
    def step(h: Any, z: Any) -> Any:
        with tf.GradientTape() as tape:
            losses = [
                tf.reduce_mean(
                    tf.square(guesses(tf, _head(variables, i), tf.cast(h[i], tf.float32))[0] - z[i])
                )
                for i in range(sizes.heads)
            ]
            loss = tf.add_n(losses)
        found = list(variables.values())
        optimizer.apply_gradients(zip(tape.gradient(loss, found), found, strict=True))
        return loss / sizes.heads

    for number in progress(range(config.steps), desc="ensemble", unit="step"):
        random = generator(config.seed, BATCH_KEY, number)
        rows = np.stack([random.choice(sample, config.batch_size) for sample in samples])
        optimizer.learning_rate.assign(config.learning_rate * cosine(number, config.steps))
        loss = step(states.h[rows], (states.z[rows] - mean) / scale)
        if number % 500 == 0:
            log.info("step %d: squared error %.4f of a latent's variance", number, float(loss))
    return {name: keras.ops.convert_to_numpy(variable) for name, variable in variables.items()}


def _head(weights: dict[str, Any], head: int) -> dict[str, Any]:
    """The weights of one head alone."""
    units = weights["latent/kernel"].shape[1]
    columns = slice(head * units, (head + 1) * units)
    return {
        "hidden/kernel": weights["hidden/kernel"][:, columns],
        "hidden/bias": weights["hidden/bias"][columns],
        "latent/kernel": weights["latent/kernel"][head : head + 1],
        "latent/bias": weights["latent/bias"][head : head + 1],
    }


def bootstrap(episode: npt.NDArray[np.int64], heads: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """For each head the rows of as many episodes as there are, drawn with replacement."""
    there = np.unique(episode)
    random, found = generator(seed, BOOTSTRAP_KEY), []
    for _ in range(heads):
        times = np.bincount(random.choice(there, len(there)), minlength=there.max() + 1)
        found.append(np.repeat(np.arange(len(episode)), times[episode]))
    return found


def measure(ensemble: Ensemble, states: States, scale: tuple[FloatArray, FloatArray]) -> dict[str, float]:
    """The error of the heads on episodes held out, in variances of a latent."""
    h, z = states.h.astype(np.float32), (states.z - scale[0]) / scale[1]
    said = np.mean(guesses(np, ensemble.parameters, h), axis=0)
    return {
        "squared_error": float(np.square(said - z).mean()),
        "uncertainty": float(ensemble.uncertainty(h).mean()),
    }


def limit(ensemble: Ensemble, states: States) -> float:
    """The mean uncertainty of `LIMIT_STEPS` steps that `LIMIT_QUANTILE` of episodes never reach.

    Args:
        ensemble: trained.
        states: of episodes held out; those shorter than `LIMIT_STEPS` count with all their steps.
    """
    uncertainty = ensemble.uncertainty(states.h.astype(np.float32)).astype(np.float64)
    greatest = []
    for episode in np.unique(states.episode):
        steps = uncertainty[states.episode == episode]
        count = min(len(steps), LIMIT_STEPS)
        greatest.append(np.convolve(steps, np.full(count, 1 / count), "valid").max())
    return float(np.quantile(greatest, LIMIT_QUANTILE))
