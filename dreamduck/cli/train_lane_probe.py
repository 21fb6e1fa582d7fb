"""Fit the probe of the lane position: `dreamduck train-lane-probe`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence

import numpy as np

from dreamduck.common import command_line, config
from dreamduck.common.config import check, option
from dreamduck.evaluation.lane_probe import FILE, LaneProbe
from dreamduck.recordings import find_recordings
from dreamduck.world_model import WorldModel

EXAMPLES = "example:\n  dreamduck train-lane-probe --records records --weights weights"


@dataclasses.dataclass(frozen=True)
class LaneProbeConfig:
    """What the probe is fitted to."""

    records: str = option("records", "folder of recordings")
    weights: str | None = option(
        None, "folder of the world model, where the probe is written; by default the one that ships"
    )
    episodes: int = option(400, "to read at most", low=5)

    def __post_init__(self) -> None:
        check(self)


def main(argv: Sequence[str] | None = None) -> int:
    """Fit the probe of the lane position that the page's meter and the evaluation card read.

    Reads recordings with telemetry, and writes `lane_probe.json` beside the weights of the VAE."""
    parser = command_line.parser(inspect.cleandoc(main.__doc__ or ""), EXAMPLES)
    config.add_arguments(parser, LaneProbeConfig)
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    settings = config.from_arguments(LaneProbeConfig, arguments)
    model = WorldModel.load(settings.weights)
    paths = find_recordings(settings.records).paths
    probe = LaneProbe.from_recordings(model, paths, settings.episodes)
    probe.write(model.folder / FILE)
    offset, angle = probe.error
    print(f"mean absolute error: {100 * offset:.1f} cm, {np.degrees(angle):.1f} degrees")
    return 0
