"""Convert logs of episodes, or a data set, to recordings, for training and evaluation.

A log of a robot has frames and the wheel commands, each with its time. It may be a folder of images with a
CSV file, a video with one, an .npz file of columns, a LeRobot or a Minari data set. With `--env ID` (add
-h: its settings) a log is of any Gymnasium environment: a row is a step, with its action and its reward."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dreamduck.common import command_line, config
from dreamduck.recordings.logs.environment_ingest import EnvironmentIngestConfig, ingest_environment
from dreamduck.recordings.logs.ingest import IngestConfig, ingest

EXAMPLES = """examples:
  dreamduck ingest drives/monday --records records
  dreamduck ingest monday.mp4 --commands monday.csv --time-offset 1732650000.5
  dreamduck ingest drives/monday --columns time=stamp,left=l,right=r --split
  dreamduck ingest game.mp4 --env mygame:MyGame-v0       game.csv: action, reward, terminated
"""
ROAD = ("map_name", "simulator", "domain_rand", "dynamics_rand", "reward", "start_angle")
CAMERA = ("camera_width", "camera_height")
AnyConfig = IngestConfig | EnvironmentIngestConfig


def main(argv: Sequence[str] | None = None) -> int | None:
    """Ingest, and print what was written."""
    choice = command_line.Parser(add_help=False)
    choice.add_argument("--env")
    road = choice.parse_known_args(argv)[0].env is None
    kind: type[AnyConfig] = IngestConfig if road else EnvironmentIngestConfig
    parser = command_line.parser(__doc__ or "", EXAMPLES)
    parser.add_argument("source", metavar="LOG", nargs="+", help="a log, or several; see above")
    parser.add_argument("--fresh", action="store_true", help="overwrite the recordings of the same log")
    if road:
        parser.add_argument(
            "--env", help="id of Gymnasium, for logs of another environment than Duckietown"
        )
    config.add_arguments(parser, kind, skip=(*ROAD, *CAMERA) if road else ())
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    settings: AnyConfig = config.from_arguments(kind, arguments)
    for source in arguments.source:
        if isinstance(settings, IngestConfig):
            episodes, steps = ingest(Path(source), settings, arguments.fresh)
            time = f" ({steps * settings.road.step_time / 60:.1f} minutes)"
        else:
            episodes, steps = ingest_environment(Path(source), settings, arguments.fresh)
            time = ""
        print(f"{source}: {episodes} episodes, {steps} steps{time}; {settings.records}")
    return 0
