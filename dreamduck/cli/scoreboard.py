"""`dreamduck scoreboard`: measure policies in the same episodes."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from dreamduck.common import command_line, config
from dreamduck.common.errors import ConfigError
from dreamduck.common.processes import mpi
from dreamduck.common.readers import read_text
from dreamduck.common.storage import claim
from dreamduck.controllers.factory import WorldConfig, add_strict, load_controller
from dreamduck.evaluation.entries import BUILT_IN, Entry, check_agent
from dreamduck.evaluation.runner import Runner
from dreamduck.evaluation.scoreboard import Scoreboard, ScoreConfig, fill

log = logging.getLogger(__name__)


def parse_rows(arguments: argparse.Namespace) -> list[Entry]:
    """The rows that the command line asks for; the names must differ.

    Raises:
        ConfigError: a name twice, an unknown built-in row, or no NAME=SOURCE.
    """
    rows = []
    for name in arguments.rows.split(",") if arguments.rows else []:
        if name not in BUILT_IN:
            raise ConfigError(f"rows: expected some of {', '.join(BUILT_IN)}, got {name!r}")
        rows.append(Entry(name))
    for kind in ("controller", "agent", "policy"):
        for text in getattr(arguments, kind):
            name, found, source = text.partition("=")
            if not (name and found and source):
                raise ConfigError(f"{kind}: expected NAME=SOURCE, got {text!r}")
            rows.append(Entry(name, kind, source))
    names = [row.name for row in rows]
    if len(set(names)) < len(names) or not names:
        raise ConfigError(
            f"rows: expected one or more with different names, got {', '.join(names) or 'none'}"
        )
    return rows


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.parser(
        "Measure policies as the AI Driving Olympics do: survival, distance along the lane, deviations.",
        "example:\n  dreamduck scoreboard --simulators native,gym-duckietown \\\n"
        "      --controller 'evolved in the dream=log/dream.json' --out scores",
    )
    parser.add_argument("--out", default="scores", help="folder to write to (default: scores)")
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="overwrite a board that was measured with other settings",
    )
    parser.add_argument(
        "--rows", default=",".join(BUILT_IN), help=f"built-in rows (default: {','.join(BUILT_IN)})"
    )
    parser.add_argument(
        "--controller", action="append", default=[], metavar="NAME=FILE", help="a controller's row; repeat"
    )
    parser.add_argument(
        "--agent",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="the row of an agent that python -m baselines.run saved; repeat",
    )
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="NAME=MODULE:FUNCTION[:ARGUMENT]",
        help="a policy on frames; repeat",
    )
    parser.add_argument(
        "--threads", type=int, default=0, help="cores for each process (default: its share)"
    )
    mpi.add_arguments(parser)
    add_strict(parser)
    config.add_arguments(parser, ScoreConfig)
    skip = ("map_name", "simulator", "temperature")
    config.add_arguments(parser.add_argument_group("world"), WorldConfig, skip)  # type: ignore[arg-type]
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Fill the board and print the table."""
    arguments = build_parser().parse_args(argv)
    command_line.start_logging(arguments)
    settings = config.from_arguments(ScoreConfig, arguments)
    world = config.from_arguments(WorldConfig, arguments)
    rows = parse_rows(arguments)
    for row in rows:
        if row.kind == "controller":
            load_controller(row.source, world.model.folder, arguments.strict)  # fails early
        if row.kind == "agent":
            check_agent(row.source, world, arguments.strict)
    with mpi.team(arguments.rank_timeout) as team:
        runner = Runner(world, settings.seconds, arguments.threads or team.cores)
        try:
            if team.rank:
                team.serve(runner)
                return
            folder = Path(arguments.out)
            state, outputs = folder / "scores.json", [folder / name for name in ("scores.md", "paths.png")]
            with claim("scores", outputs, state, arguments.fresh and not state.exists()):
                board = Scoreboard(folder, settings, world)
                if not arguments.fresh:
                    board.check_settings(rows)
                fill(board, rows, team, runner)
                board.write()
            team.release()
        finally:
            runner.close()
    print(read_text(Path(arguments.out) / "scores.md"))
    log.info("%s", json.dumps({"scores": str(board.path)}))
