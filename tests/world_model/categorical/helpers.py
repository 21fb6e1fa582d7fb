"""Small categorical state-space models with random weights."""

from __future__ import annotations

import numpy as np

from dreamduck.common.seeding import generator
from dreamduck.world_model.categorical import CategoricalConfig, CategoricalDynamics
from dreamduck.world_model.categorical.layout import shapes
from dreamduck.world_model.weights_format import Parameters

SMALL = CategoricalConfig(z_size=4, action_size=2, hidden_size=6, variables=3, classes=5, units=8)


def random_parameters(config: CategoricalConfig = SMALL, seed: int = 0, spread: float = 0.6) -> Parameters:
    """Weights far from zero, so that every part of the model counts."""
    random = generator(seed)
    return {
        name: (random.standard_normal(shape) * spread).astype(np.float32)
        for name, shape in shapes(config).items()
    }


def random_dynamics(config: CategoricalConfig = SMALL, seed: int = 0) -> CategoricalDynamics:
    """A model with such weights, and a range that its latents often reach."""
    latents = {"low": [-1.5] * config.z_size, "high": [1.0] * config.z_size}
    return CategoricalDynamics(random_parameters(config, seed), config, {"latents": latents})


def random_states(config: CategoricalConfig, count: int, seed: int = 1) -> list[np.ndarray]:
    """A latent, an action, h and s for each of some cars."""
    random = generator(seed)
    s = np.eye(config.classes, dtype=np.float32)[
        random.integers(config.classes, size=(count, config.variables))
    ].reshape(count, -1)
    normal = [
        random.standard_normal((count, n)).astype(np.float32)
        for n in (config.z_size, config.action_size, config.hidden_size)
    ]
    return [*normal, s]
