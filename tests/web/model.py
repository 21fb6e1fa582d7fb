"""A world model made up for tests: right in form, and it knows nothing."""

from pathlib import Path

import numpy as np

from dreamduck.evaluation.lane_probe import FILE, LaneProbe
from dreamduck.world_model import WorldModel
from dreamduck.world_model.categorical import CategoricalConfig
from dreamduck.world_model.categorical import files as categorical_files
from dreamduck.world_model.dynamics.start_states import INITIAL_FILE, InitialZ, write_initial
from dreamduck.world_model.ensemble import Ensemble, EnsembleConfig
from dreamduck.world_model.ensemble.heads import shapes
from dreamduck.world_model.mdn_rnn import MDNRNNConfig, files
from dreamduck.world_model.mdn_rnn.layout import initial_parameters
from dreamduck.world_model.vae.files import save
from tests.world_model.categorical.helpers import random_parameters
from tests.world_model.vae.helpers import parameters


def write_model(folder: Path, seed: int = 0) -> Path:
    """Write weights of every kind into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save(folder, parameters(seed=seed), {})
    assert WorldModel.load(folder).vae.z_size == 64
    config = MDNRNNConfig(residual=True)
    random = np.random.default_rng(seed)
    made = initial_parameters(config, seed)
    for name, array in made.items():  # nothing keeps the value that it begins with
        made[name] = (array + random.normal(0, 0.01, array.shape)).astype(np.float32)
    made["head_share/kernel"] = random.uniform(0.05, 0.6, config.z_size).astype(np.float32)
    made["head_end/bias"][:] = -6.0  # dreams that last
    # Heads at full strength, so that actions and the past matter to what is foreseen.
    made["head_mixture/kernel"] *= 10
    files.save(folder, files.rounded(made), config, {})
    mu = random.standard_normal((10, 64)).astype(np.float32)
    write_initial(folder / INITIAL_FILE, InitialZ(mu, np.full_like(mu, -4.0)))
    return folder


def write_categorical(folder: Path, seed: int = 0) -> Path:
    """Write a small categorical model with random weights, and a VAE, into a folder."""
    write_model(folder, seed)
    sizes = CategoricalConfig(hidden_size=24, variables=6, classes=5, units=16)
    made = random_parameters(sizes, seed, spread=0.3)
    made["head_end/bias"][:] = -6.0  # dreams that last
    categorical_files.save(folder, made, sizes, {})
    return folder


def write_probe(folder: Path, slope: float = 0.3) -> None:
    """Add a probe to a folder, which takes latent 3 times `slope` for the lane offset."""
    z = (
        np.random.default_rng(0)
        .standard_normal((400, WorldModel.load(folder).vae.z_size))
        .astype(np.float32)
    )
    probe = LaneProbe.fit(z, slope * z[:, [3, 3]], WorldModel.load(folder).vae.weights)
    probe.error = (0.02, 0.1)
    probe.write(folder / FILE)


def write_ensemble(folder: Path, limit: float | None, seed: int = 0) -> None:
    """Add an ensemble of random weights to a folder."""
    model, random = WorldModel.load(folder), np.random.default_rng(seed)
    sizes = EnsembleConfig(model.sizes.z_size, model.sizes.hidden_size, heads=2, units=8)
    parameters = {
        name: random.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes(sizes).items()
    }
    card = {"dynamics": model.dynamics.weights, **({} if limit is None else {"limit": limit})}
    Ensemble(parameters, sizes, card).save(folder)
