"""The demo's picture: frames of the road, what the VAE makes of them, and a dream.

Called by demo.py with its folder: reads `records/` and `weights/`, writes `demo.png`."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np

from dreamduck import memory, vision
from dreamduck.dream.stepper import Dreams
from dreamduck.recordings.files import read_episode
from dreamduck.simulator.base import Frames

COLUMNS = 8
EVERY = 5  # steps of the dream between two pictures


def dream(weights: Path, action: tuple[float, float], seed: int = 0) -> Frames:
    """(COLUMNS, 64, 64, 3): a dream under one and the same action."""
    mind = memory.load(weights)
    dreams = Dreams(mind, memory.load_initial(weights, mind.config))
    dreams.reset([seed])
    latents = []
    for step in range(COLUMNS * EVERY):
        if step % EVERY == 0:
            latents.append(dreams.z[0].copy())
        dreams.step([action])
    return vision.load(weights).decode(np.array(latents))


def main(folder: Path) -> None:
    """Draw `demo.png`."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    first = min((folder / "records").glob("*.npz"))
    frames = read_episode(first).obs
    frames = frames[np.linspace(0, len(frames) - 1, COLUMNS).astype(int)]
    eyes = vision.load(folder / "weights")
    rows = {
        "the road": frames,
        "through the VAE": eyes.decode(eyes.encode(frames)[0]),
        "a dream": dream(folder / "weights", (0.4, 0.0)),
    }
    figure, axes = pyplot.subplots(len(rows), COLUMNS, figsize=(1.5 * COLUMNS, 1.6 * len(rows)))
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        for axis, picture in zip(line, pictures, strict=True):
            axis.imshow(picture)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    figure.tight_layout()
    figure.savefig(folder / "demo.png", dpi=100)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
