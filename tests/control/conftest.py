from __future__ import annotations

import numpy as np
import pytest

from dreamduck import memory, vision
from dreamduck.memory.initial import InitialZ, write_initial, write_midway
from dreamduck.memory.layout import MemoryConfig


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A world model of random weights and small sizes: 4 latents, 8 units."""
    folder = tmp_path_factory.mktemp("weights")
    sizes = MemoryConfig(z_size=4, hidden_size=8, mixtures=2)
    vision.files.save(folder, vision.layout.initial_parameters(4, seed=0), {})
    memory.files.save(folder, memory.layout.initial_parameters(sizes, seed=0), sizes, {})
    random = np.random.default_rng(0)
    first = random.standard_normal((2, 5, 4)).astype(np.float32)
    beginnings = InitialZ(first[0], first[1] - 3)
    write_initial(folder / "initial_z.json", beginnings)
    h, c = random.uniform(-0.5, 0.5, (2, 5, 8)).astype(np.float32)
    write_midway(folder / "midway.npz", beginnings._replace(h=h, c=c))
    return folder
