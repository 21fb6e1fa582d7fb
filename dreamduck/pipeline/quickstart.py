"""All stages, small, for any Gymnasium environment: record, train, dream, evolve, evaluate."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from dreamduck.common import command_line, config
from dreamduck.pipeline import environment_pipeline
from dreamduck.pipeline.environment_pipeline import EnvironmentConfig, stages
from dreamduck.pipeline.training_stages import show
from dreamduck.search.recipe import check_optimizer


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.parser(
        "The whole way, small, for any Gymnasium environment: record, train, dream, evolve, evaluate.",
        "examples:\n  dreamduck quickstart --env CarRacing-v3\n"
        "  dreamduck quickstart --env mygame:MyGame-v0 --pixels render --frame-skip 4",
    )
    parser.add_argument("--folder", default="quickstart", help="folder for all files (default: quickstart)")
    parser.add_argument("--show", action="store_true", help="print the commands, run nothing")
    config.add_arguments(parser, EnvironmentConfig)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run all stages that are not done, and say how good the model is."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    check_optimizer(arguments.optimizer, config.given(parser, arguments, argv))
    settings, folder = config.from_arguments(EnvironmentConfig, arguments), Path(arguments.folder)
    if arguments.show:
        show(stages(folder, settings))
    else:
        environment_pipeline.run("quickstart", folder, settings)
