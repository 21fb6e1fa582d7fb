"""Fixtures for every folder: a virtual display, and world models of random weights."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from dreamduck.world_model import mdn_rnn, vae
from dreamduck.world_model.dynamics.start_states import InitialZ, write_initial, write_midway
from dreamduck.world_model.mdn_rnn.layout import MDNRNNConfig
from tests.display import display, x_server
from tests.web.model import write_model

ROOT = Path(__file__).parent.parent
OUTPUTS = ("log", "weights", "records", "series")  # where commands write by default


def written() -> set[Path]:
    """What lies in the folders of the checkout that commands write to by default."""
    return {path for name in OUTPUTS if (ROOT / name).is_dir() for path in (ROOT / name).iterdir()}


SEEN = written()

# A shell starts a background job with these two ignored, and so would be what a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _checkout_is_left_alone():
    """No test writes where a user's own runs lie."""
    yield
    new = written() - SEEN
    SEEN.update(new)  # the tests after this one did not write it
    assert not new, "a test wrote into the checkout; give its command folders of tmp_path"


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
