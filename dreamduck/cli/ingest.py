"""Convert logs of a robot's episodes, or a data set, to recordings, for training and evaluation.

A log has frames and the wheel commands, each with its time. It may be a folder
of images with a CSV file, a video with one, an .npz file of columns, a LeRobot or a Minari data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dreamduck.common import command_line, config
from dreamduck.recordings.logs.ingest import IngestConfig, ingest

EXAMPLES = """examples:
  dreamduck ingest drives/monday --records records
  dreamduck ingest monday.mp4 --commands monday.csv --time-offset 1732650000.5
  dreamduck ingest drives/monday --columns time=stamp,left=l,right=r --split
"""
ROAD = ("map_name", "simulator", "domain_rand", "dynamics_rand", "reward", "start_angle")
CAMERA = ("camera_width", "camera_height")


def main(argv: Sequence[str] | None = None) -> int | None:
    """Ingest, and print what was written."""
    parser = command_line.parser(__doc__ or "", EXAMPLES)
    parser.add_argument("source", metavar="LOG", nargs="+", help="a log, or several; see above")
    parser.add_argument("--fresh", action="store_true", help="overwrite the recordings of the same log")
    config.add_arguments(parser, IngestConfig, skip=(*ROAD, *CAMERA))
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    settings = config.from_arguments(IngestConfig, arguments)
    for source in arguments.source:
        episodes, steps = ingest(Path(source), settings, arguments.fresh)
        minutes = steps * settings.road.step_time / 60
        print(f"{source}: {episodes} episodes, {steps} steps ({minutes:.1f} minutes); {settings.records}")
    return 0
