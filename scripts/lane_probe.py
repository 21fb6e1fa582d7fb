"""Make the probe of the lane position that the page's meter reads (dreamduck.web.lane_probe).

    python scripts/lane_probe.py --records records [--weights FOLDER] [--episodes 400]

Reads recordings with telemetry, and writes `lane_probe.json` beside the world model's weights."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from dreamduck.recordings import read_episode
from dreamduck.recordings.episode import TELEMETRY
from dreamduck.web.lane_probe import FILE, QUANTITIES, LaneProbe
from dreamduck.world_model import WorldModel

MAX_ANGLE = np.pi / 3  # to the lane, up to which offset and angle mean something
EVERY = 3  # frames between two that are used: neighbours say the same
HELD_OUT = 5  # every fifth episode is kept for the error


def main() -> None:
    """Make the probe."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, required=True, help="folder of recordings")
    parser.add_argument(
        "--weights", type=Path, default=None, help="world model; default: the one that ships"
    )
    parser.add_argument(
        "--episodes", type=int, default=400, help="how many episodes to read (default: 400)"
    )
    arguments = parser.parse_args()
    model = WorldModel.load(arguments.weights)
    paths = sorted(arguments.records.glob("*.npz"), key=lambda path: int(path.stem))
    if not paths:
        parser.error(f"--records: expected a folder of recordings, got {arguments.records}")
    columns = [TELEMETRY.index(name) for name in QUANTITIES]
    latents, numbers, episode = [], [], []
    for number, path in enumerate(paths[:: max(1, len(paths) // arguments.episodes)]):
        found = read_episode(path)
        if found.telemetry is None:
            continue
        true = found.telemetry[::EVERY, columns]
        known = np.isfinite(true).all(axis=1) & (np.abs(true[:, 1]) < MAX_ANGLE)
        if known.any():
            latents.append(model.encode(found.obs[::EVERY][known]))
            numbers.append(true[known])
            episode.append(np.full(int(known.sum()), number))
    if not latents:
        parser.error("--records: expected recordings with telemetry; record them again")
    z, true, row = np.concatenate(latents), np.concatenate(numbers), np.concatenate(episode)
    held_out = row % HELD_OUT == 0
    probe = LaneProbe.fit(z[~held_out], true[~held_out], model.vae.weights)
    error = np.abs(probe.read(z[held_out]) - true[held_out]).mean(axis=0)
    probe.error = tuple(float(value) for value in error.round(4))
    probe.write(model.folder / FILE)
    print(
        f"{len(z)} frames; mean absolute error: {100 * error[0]:.1f} cm, {np.degrees(error[1]):.1f} degrees"
    )


if __name__ == "__main__":
    main()
