"""Images of a VAE's reconstructions and samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dreamduck.common.seeding import generator
from dreamduck.common.storage import PathLike, replacing, sweep
from dreamduck.world_model.vae.inference import NumpyVAE
from dreamduck.world_model.vae.layout import Frames

COLUMNS = 12
SCALE = 2


def grid(rows: list[Frames], gap: int = 2) -> Frames:
    """Rows of frames, each (n, H, W, 3), as one image with gaps between them."""
    height, width = rows[0].shape[1:3]
    columns = max(len(row) for row in rows)
    shape = (len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3)
    image = np.full(shape, 255, np.uint8)
    for i, row in enumerate(rows):
        for j, frame in enumerate(row):
            y, x = i * (height + gap), j * (width + gap)
            image[y : y + height, x : x + width] = frame
    return image


def show(path: PathLike, network: NumpyVAE, frames: Frames, seed: int = 0) -> None:
    """Write a PNG: frames above their reconstructions, twice, and below two rows of samples from N(0, 1).

    Args:
        frames: (B, 64, 64, 3) uint8; 24 of them are shown, evenly spaced.
    """
    chosen = frames[np.linspace(0, len(frames) - 1, min(len(frames), 2 * COLUMNS)).astype(int)]
    again = as_bytes(network.decode(network.encode(chosen)[0]))
    z = generator(seed, COLUMNS).normal(size=(2 * COLUMNS, network.z_size)).astype(np.float32)
    samples = as_bytes(network.decode(z))
    rows = []
    for start in range(0, len(chosen), COLUMNS):
        rows += [chosen[start : start + COLUMNS], again[start : start + COLUMNS]]
    rows += [samples[:COLUMNS], samples[COLUMNS:]]
    image = grid(rows).repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    sweep(Path(path).parent)
    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary)


def as_bytes(images: np.ndarray) -> Frames:
    """Images in [0, 1] as frames in 0..255."""
    return np.rint(images * 255).astype(np.uint8)
