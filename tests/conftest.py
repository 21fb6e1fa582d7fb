"""Fixtures for every folder: a virtual display, and world models of random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dreamduck.world_model import mdn_rnn, vae
from dreamduck.world_model.dynamics.start_states import InitialZ, write_initial, write_midway
from dreamduck.world_model.mdn_rnn.layout import MDNRNNConfig
from tests.display import display, x_server
from tests.web.model import write_model

LOG = Path(__file__).parent.parent / "log"  # what ships, and a user's own runs


@pytest.fixture(scope="session", autouse=True)
def _log_folder_is_left_alone():
    """No test writes into the checkout's `log`, which is where commands write by default."""
    before = names(LOG)
    yield
    assert not names(LOG) - before, "a test wrote into log/; give its command a folder of tmp_path"


def names(folder: Path) -> set[str]:
    """What lies in a folder."""
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A world model of random weights and small sizes: 4 latents, 8 units."""
    folder = tmp_path_factory.mktemp("weights")
    sizes = MDNRNNConfig(z_size=4, hidden_size=8, mixtures=2)
    vae.files.save(folder, vae.layout.initial_parameters(4, seed=0), {})
    mdn_rnn.files.save(folder, mdn_rnn.layout.initial_parameters(sizes, seed=0), sizes, {})
    random = np.random.default_rng(0)
    first = random.standard_normal((2, 5, 4)).astype(np.float32)
    beginnings = InitialZ(first[0], first[1] - 3)
    write_initial(folder / "initial_z.json", beginnings)
    h, c = random.uniform(-0.5, 0.5, (2, 5, 8)).astype(np.float32)
    write_midway(folder / "midway.npz", beginnings._replace(h=h, c=c))
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    """A world model of random weights in every parameter, written once."""
    return write_model(tmp_path_factory.mktemp("model"))


__all__ = ["display", "x_server"]
