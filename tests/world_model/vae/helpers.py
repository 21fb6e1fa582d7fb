"""Weights and frames made up for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dreamduck.common.storage import write_json
from dreamduck.world_model.legacy.vae_json import SCALE
from dreamduck.world_model.vae.layout import PAPER, Frames, shapes
from dreamduck.world_model.weights_format import Parameters


def parameters(z_size: int = 64, seed: int = 0, network: str = PAPER) -> Parameters:
    """Weights of a sensible size, biases included."""
    random = np.random.default_rng(seed)
    return {
        name: random.normal(0, np.prod(shape[:-1]) ** -0.5 if len(shape) > 1 else 0.1, shape).astype(
            np.float32
        )
        for name, shape in shapes(z_size, network).items()
    }


def frames(count: int, seed: int = 0) -> Frames:
    """Images with large shapes, as a camera sees: a sky, a road, a bright line somewhere."""
    random = np.random.default_rng(seed)
    made = np.full((count, 64, 64, 3), 90, np.uint8)
    made[:, :20] = (150, 190, 220)
    for image, column in zip(made, random.integers(0, 56, count), strict=True):
        image[20:, column : column + 6] = (220, 200, 40)
    return made


def write_legacy(path: Path, given: Parameters) -> None:
    """Write weights of 2019's network as `vae.json` of 2019; values are rounded to 1/10,000."""
    write_json(
        path, [np.rint(a.astype(np.float64) * SCALE).astype(int).tolist() for a in given.values()], None
    )
