"""A small world model with random weights, in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dreamduck.world_model.mdn_rnn import MDNRNNConfig
from dreamduck.world_model.vae import files
from dreamduck.world_model.vae.layout import initial_parameters
from tests.world_model.mdn_rnn.helpers import random_parameters, write_mdn_rnn

SIZES = MDNRNNConfig(z_size=4, action_size=2, hidden_size=16, mixtures=3)
OBSERVATION = 4 + 2 * 16


def write_model(folder: Path, end: float = -4.0, sizes: MDNRNNConfig = SIZES, vae: bool = False) -> Path:
    """An MDN-RNN and first latents, and a VAE on request; `end` is about the logit of an end."""
    if vae:
        files.save(folder, initial_parameters(sizes.z_size, 0), {})
    parameters = random_parameters(sizes)
    parameters["head_end/bias"][:] = end
    write_mdn_rnn(folder, sizes, parameters)
    return folder


def actions(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)


def drive(env, seed, count=200):
    observation, info = env.reset(seed=seed)
    rows, rewards, infos = [observation], [], [info]
    for action in actions(count):
        observation, reward, terminated, truncated, info = env.step(action)
        rows.append(observation)
        rewards.append(reward)
        infos.append(info)
        if terminated or truncated:
            break
    return np.stack(rows), rewards, infos
