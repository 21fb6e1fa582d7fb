"""Fit the probe of the lane position that the page's meter reads: `dreamduck train-lane-probe`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dreamduck.common import command_line, config
from dreamduck.common.config import check, option
from dreamduck.common.errors import RecordError
from dreamduck.recordings import read_episode
from dreamduck.recordings.episode import TELEMETRY
from dreamduck.web.lane_probe import FILE, QUANTITIES, LaneProbe
from dreamduck.world_model import WorldModel

MAX_ANGLE = np.pi / 3  # to the lane, up to which offset and angle mean something
EVERY = 3  # frames between two that are used: neighbours say the same
HELD_OUT = 5  # every fifth episode is kept for the error
EXAMPLES = "example:\n  dreamduck train-lane-probe --records records --weights weights"

FloatArray = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class LaneProbeConfig:
    """What the probe is fitted on."""

    records: str = option("records", "folder of recorded episodes")
    weights: str = option(
        "", "folder of the world model, which the probe is written to; the one that ships by default"
    )
    episodes: int = option(400, "to read", low=2)

    def __post_init__(self) -> None:
        check(self)


def main(argv: Sequence[str] | None = None) -> int:
    """Fit the probe of the lane position on recordings with telemetry.

    Reads `records/` and the VAE in `weights/`, writes `lane_probe.json` there."""
    parser = command_line.parser(inspect.cleandoc(main.__doc__ or ""), EXAMPLES)
    config.add_arguments(parser, LaneProbeConfig)
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    settings = config.from_arguments(LaneProbeConfig, arguments)
    model = WorldModel.load(settings.weights or None)
    z, true, episode = examples(model, Path(settings.records), settings.episodes)
    held_out = episode % HELD_OUT == 0
    probe = LaneProbe.fit(z[~held_out], true[~held_out], model.vae.weights)
    error = np.abs(probe.read(z[held_out]) - true[held_out]).mean(axis=0)
    probe.error = tuple(float(value) for value in error.round(4))
    probe.write(model.folder / FILE)
    print(
        f"{len(z)} frames; mean absolute error: {100 * error[0]:.1f} cm, {np.degrees(error[1]):.1f} degrees"
    )
    return 0


def examples(
    model: WorldModel, folder: Path, episodes: int
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.intp]]:
    """Latents of recorded frames, and where the car was.

    Args:
        model: whose VAE encodes the frames.
        folder: of the recordings.
        episodes: how many of them, spread evenly.
    Returns:
        (N, Z) latents; (N, 2) the true `QUANTITIES`; (N,) the number of the episode.
    Raises:
        RecordError: there are no recordings, or none with telemetry.
    """
    columns = [TELEMETRY.index(name) for name in QUANTITIES]
    files = (path for path in folder.glob("*.npz") if path.stem.isdigit())
    paths = sorted(files, key=lambda path: int(path.stem))
    latents, numbers, rows = [], [], []
    for path in paths[:: max(1, len(paths) // episodes)]:
        found = read_episode(path)
        if found.telemetry is None:
            continue
        true = found.telemetry[::EVERY, columns]
        known = np.isfinite(true).all(axis=1) & (np.abs(true[:, 1]) < MAX_ANGLE)
        if known.any():
            latents.append(model.encode(found.obs[::EVERY][known]))
            numbers.append(true[known])
            rows.append(np.full(int(known.sum()), len(rows)))
    if len(rows) < 2:
        raise RecordError(
            f"{folder}: expected two or more recorded episodes with telemetry, got {len(rows)}; record "
            "them with extract.py"
        )
    return np.concatenate(latents), np.concatenate(numbers), np.concatenate(rows)
