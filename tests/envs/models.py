"""A small world model with random weights, in a folder."""

from __future__ import annotations

from pathlib import Path

from dreamduck.memory import MemoryConfig
from dreamduck.vision import files
from dreamduck.vision.layout import initial_parameters
from tests.memory.helpers import random_parameters, write_memory

SIZES = MemoryConfig(z_size=4, action_size=2, hidden_size=16, mixtures=3)
OBSERVATION = 4 + 2 * 16


def write_model(folder: Path, end: float = -4.0, sizes: MemoryConfig = SIZES, eye: bool = False) -> Path:
    """A memory and first latents, and a VAE if asked for; `end` is the logit of an end, about."""
    if eye:
        files.save(folder, initial_parameters(sizes.z_size, 0), {})
    parameters = random_parameters(sizes)
    parameters["head_end/bias"][:] = end
    write_memory(folder, sizes, parameters)
    return folder
