"""Made-up recordings, and MDN-RNNs with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dreamduck.common.seeding import generator
from dreamduck.world_model.dynamics.start_states import INITIAL_FILE, InitialZ, write_initial
from dreamduck.world_model.latents import Series, write_series
from dreamduck.world_model.mdn_rnn import MDNRNN, MDNRNNConfig, files
from dreamduck.world_model.mdn_rnn.layout import initial_parameters, shapes
from dreamduck.world_model.weights_format import Parameters

ENVIRONMENT = {"frame_skip": 5, "step_time": 1 / 6, "reward": "toy"}  # of the toy world
SMALL = MDNRNNConfig(z_size=4, action_size=2, hidden_size=16, mixtures=3)


def random_parameters(config: MDNRNNConfig = SMALL, seed: int = 0, spread: float = 0.3) -> Parameters:
    """Weights far from zero, so that every part of the model counts."""
    random = generator(seed)
    return {
        name: (random.standard_normal(shape) * spread).astype(np.float32)
        for name, shape in shapes(config).items()
    }


def write_mdn_rnn(
    folder: Path, config: MDNRNNConfig = SMALL, parameters: Parameters | None = None, seed: int = 0
) -> MDNRNN:
    """A folder with an MDN-RNN and first latents."""
    made = initial_parameters(config, seed) if parameters is None else parameters
    files.save(folder, made, config, {})
    random = generator(seed, 1)
    mu = random.standard_normal((5, config.z_size)).astype(np.float32)
    write_initial(folder / INITIAL_FILE, InitialZ(mu, np.full_like(mu, -4.0)))
    return MDNRNN(made, config)


def toy_series(episodes: int = 60, z_size: int = 4, seed: int = 0) -> Series:
    """A point that is pushed about: an episode ends soon after its first number has passed 1.

    The reward is the first action, less 1 at an end.
    """
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("mu", "action", "reward", "done")}
    offsets = [0]
    for episode in range(episodes):
        random = generator(seed, episode)
        z, action, steps = random.normal(0, 0.3, z_size), random.uniform(-1, 1, 2), 0
        limit = int(random.integers(20, 60))
        while True:
            action = np.clip(action + random.normal(0, 0.3, 2), -1, 1)
            done = bool(z[0] > 1.0 and random.random() < 0.7)
            columns["mu"].append(z.copy())
            columns["action"].append(action)
            columns["reward"].append(action[0] - done)
            columns["done"].append(np.array(done))
            steps += 1
            z[0] += 0.2 * action[0]
            z[1] = 0.9 * z[1] + 0.3 * action[1]
            z[2:] = np.roll(z[2:], 1) * 0.95 + random.normal(0, 0.05, z_size - 2)
            if done or steps == limit:
                break
        offsets.append(offsets[-1] + steps)
    made = {name: np.stack(column).astype(np.float32) for name, column in columns.items()}
    return Series(
        made["mu"],
        np.full_like(made["mu"], -5.0),
        made["action"],
        made["reward"],
        made["done"] > 0.5,
        np.array(offsets),
        np.arange(episodes),
        {"environment": ENVIRONMENT},
    )


def write_toy(folder: Path, episodes: int = 60, z_size: int = 4, seed: int = 0) -> Path:
    """A series file of the toy world."""
    return write_series(folder, toy_series(episodes, z_size, seed))
