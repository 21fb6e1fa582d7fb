"""Time of a training step of either model on this machine: prints {"vae": seconds, "rnn": seconds}.

Called by demo.py, which plans the trainings with it; sizes are those of the demo."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dreamduck.world_model.latents import Series
from dreamduck.world_model.mdn_rnn import batches
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig as RNNTraining
from dreamduck.world_model.mdn_rnn.trainer import Trainer as RNNTrainer
from dreamduck.world_model.mdn_rnn.trainer import latent_scale, reward_scale
from dreamduck.world_model.vae.settings import TrainingConfig as VAETraining
from dreamduck.world_model.vae.trainer import Trainer as VAETrainer

WARM_UP, TIMED = 3, 12  # steps
LENGTH = 100  # of the episodes


def median_step(step: Callable[[int], Any]) -> float:
    """Seconds that a step takes, once everything is compiled."""
    seconds = []
    for number in range(WARM_UP + TIMED):
        begin = time.perf_counter()
        step(number)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[WARM_UP:])


def vae_seconds() -> float:
    """Of a step of the VAE's training."""
    config = VAETraining(batch_size=50)
    trainer = VAETrainer(config, WARM_UP + TIMED)
    frames = np.random.default_rng(0).integers(0, 256, (config.batch_size, 64, 64, 3), np.uint8)
    return median_step(lambda number: trainer.train(frames, number))


def rnn_seconds() -> float:
    """Of a step of the MDN-RNN's training with scheduled sampling, as two thirds of them are."""
    config = RNNTraining(hidden_size=256, steps=WARM_UP + TIMED)
    random, rows = np.random.default_rng(0), config.batch_size * LENGTH
    arrays = [random.standard_normal((rows, size), np.float32) for size in (64, 64, 2)]
    offsets = np.arange(0, rows + 1, LENGTH)
    done = np.arange(rows) % LENGTH == LENGTH - 1
    reward = random.standard_normal(rows, np.float32)
    seeds = np.arange(config.batch_size)
    series = Series(arrays[0], arrays[1] - 3, arrays[2], reward, done, offsets, seeds)
    scales = reward_scale(series, range(9)), latent_scale(series, range(9), True)
    trainer = RNNTrainer(config, config.sizes(), *scales)
    places = batches.plan(offsets, seeds, config.batch_size, config.sequence, 1, 0)
    batch = batches.batch(series, places, 0, config.sequence)
    late = config.steps  # a step of the last third
    return median_step(lambda _: trainer.train(batch, late))


if __name__ == "__main__":
    print(json.dumps({"vae": vae_seconds(), "rnn": rnn_seconds()}))
