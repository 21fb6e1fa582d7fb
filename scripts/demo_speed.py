"""Time of a training step of either model on this machine: prints {"vae": seconds, "rnn": seconds}.

Called by demo.py, which plans the trainings with it; sizes are those of the demo."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dreamduck.world_model.categorical.settings import TrainingConfig as DynamicsTraining
from dreamduck.world_model.categorical.trainer import Trainer as DynamicsTrainer
from dreamduck.world_model.mdn_rnn.batches import Batch
from dreamduck.world_model.mdn_rnn.trainer import RewardScale
from dreamduck.world_model.vae.settings import TrainingConfig as VAETraining
from dreamduck.world_model.vae.trainer import Trainer as VAETrainer

WARM_UP, TIMED = 3, 12  # steps
Z_SIZE, ACTION_SIZE = 64, 2


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
    """Of a step of the dynamics' training."""
    config = DynamicsTraining(hidden_size=256, sequence=50)
    random, shape = np.random.default_rng(0), (config.batch_size, config.sequence)
    latents = random.standard_normal((2, shape[0], shape[1] + 1, Z_SIZE), np.float32)
    actions = random.standard_normal((*shape, ACTION_SIZE), np.float32)
    ones, ends = np.ones(shape, np.float32), (random.random(shape) < 0.01).astype(np.float32)
    batch = Batch(latents[0], latents[1] - 3, actions, actions[..., 0], ends, ones, ones, 0 * ones[:, 0])
    scale = RewardScale(np.zeros(2, np.float32), np.ones(2, np.float32))
    sizes, spread = config.sizes(Z_SIZE, ACTION_SIZE), np.ones(Z_SIZE, np.float32)
    trainer = DynamicsTrainer(config, sizes, scale, spread)
    return median_step(lambda number: trainer.train(batch, number))


if __name__ == "__main__":
    print(json.dumps({"vae": vae_seconds(), "rnn": rnn_seconds()}))
