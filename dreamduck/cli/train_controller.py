"""Train a controller by PPO: `dreamduck train-controller`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from dreamduck.common import command_line, config
from dreamduck.controllers.factory import (
    ENVS,
    ROAD_FIELDS,
    WorldConfig,
    add_strict,
    check_flags,
    model_actions,
)
from dreamduck.recordings.sources import DRIVING
from dreamduck.search.ppo import WORLDS, PPOConfig

NOT_OF_DREAMS = frozenset({"dynamics_rand"})  # the dream has it, too
EPILOG = """\
examples:
  dreamduck train-controller --weights weights                in the dream
  dreamduck train-controller realenv --weights weights --log real --start log/rnnenv.ppo.best.json

Started again, it continues where it stopped; with more --steps, from where it ended."""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.parser(
        "Train a controller by PPO, in the dream or in the real environment.", EPILOG
    )
    parser.add_argument(
        "world", nargs="?", choices=tuple(WORLDS), default=ENVS[0], help=f"default: {ENVS[0]}, the dream"
    )
    parser.add_argument("--log", default="log", help="folder to write to (default: log)")
    parser.add_argument("--start", help="a controller of this command to start from")
    add_strict(parser)
    parser.add_argument("--fresh", action="store_true", help="start over, replacing a run that is there")
    ppo, world = map(parser.add_argument_group, ("training", "world"))
    config.add_arguments(ppo, PPOConfig)  # type: ignore[arg-type]
    config.add_arguments(world, WorldConfig, NOT_OF_DREAMS)  # type: ignore[arg-type]
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Train, and say where the controller is."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    said = config.given(parser, arguments, argv)
    check_flags(arguments.world, said - NOT_OF_DREAMS)
    if arguments.world != ENVS[0]:
        config.refuse(said & {"beginning"}, "on the road")
    if model_actions(config.from_arguments(WorldConfig, arguments).model.folder) != DRIVING:
        config.refuse(said & ROAD_FIELDS, "with a model of another environment than Duckietown's")
    if not arguments.start:
        config.refuse(said & {"strict"}, "without --start")
    from dreamduck.rl.train_controller import train  # loads PyTorch, which the help needs not

    train(
        arguments.world,
        config.from_arguments(PPOConfig, arguments),
        config.from_arguments(WorldConfig, arguments),
        Path(arguments.log),
        Path(arguments.start) if arguments.start else None,
        arguments.fresh,
        arguments.strict,
    )
