"""Evolve a controller by CMA-ES: `dreamduck evolve`, alone or under `mpiexec`."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from dreamduck.common import command_line, config
from dreamduck.common.errors import ConfigError
from dreamduck.common.processes import mpi
from dreamduck.controllers.factory import (
    ENVS,
    FormConfig,
    WorldConfig,
    add_strict,
    check_flags,
    load_controller,
    model_sizes,
)
from dreamduck.search.recipe import DEFAULTS, adapt_to_environment, add_max_steps, max_steps
from dreamduck.search.run import Plan, evolve
from dreamduck.search.settings import SearchConfig

log = logging.getLogger("dreamduck.train")

EPILOG = """\
examples:
  dreamduck evolve                             evolve in the dream, 64 candidates
  dreamduck evolve -n 2 --generations 10 --log mine   mine/rnnenv.cma.16.2.json
  dreamduck evolve --env realenv --map-name loop_empty
  mpiexec -n 2 dreamduck evolve                the same result, in half the time

Started again, it continues where it stopped. Files of another run are overwritten with --fresh only. The
population is -n times -t, whatever the number of processes."""


def build_parser() -> argparse.ArgumentParser:
    """The command line: the original's flags, and the settings of the world and the search."""
    parser = command_line.parser("Evolve a controller by CMA-ES, in the dream or in the simulator.", EPILOG)
    parser.add_argument("world", nargs="?", choices=ENVS, help="the same as --env")
    parser.add_argument("--env", choices=ENVS, help=f"world to evolve in (default: {ENVS[0]})")
    parser.add_argument("-o", "--optimizer", default="cma", help="cma; those of 2019 are not supported")
    parser.add_argument(
        "--antithetic", type=int, choices=(0, 1), help="1: --seeds antithetic, 0: independent"
    )
    parser.add_argument("--retrain", type=int, default=0, help="of no effect with cma, as in 2019")
    parser.add_argument(
        "--sigma-decay", "--sigma_decay", type=float, help="of no effect with cma, likewise"
    )
    parser.add_argument("--log", default="log", help="folder to write to (default: log)")
    parser.add_argument("--start", help="a controller file to start from, instead of zeros")
    add_strict(parser)
    parser.add_argument("--fresh", action="store_true", help="start over, replacing a run that is there")
    parser.add_argument(
        "--threads", type=int, default=0, help="cores for each process (default: its share)"
    )
    mpi.add_arguments(parser)
    search, controller, world = map(parser.add_argument_group, ("search", "controller", "world"))
    config.add_arguments(search, SearchConfig, skip=("max_steps",), defaults=DEFAULTS)  # type: ignore[arg-type]
    add_max_steps(search)
    config.add_arguments(controller, FormConfig, defaults=DEFAULTS)  # type: ignore[arg-type]
    config.add_arguments(world, WorldConfig, defaults=DEFAULTS)  # type: ignore[arg-type]
    return parser


def settings(arguments: argparse.Namespace) -> SearchConfig:
    """The search's settings; flags of no effect are named in a warning.

    Raises:
        ConfigError: another optimizer than cma, or a bad value.
    """
    if arguments.optimizer != "cma":
        raise ConfigError(
            f"optimizer: expected cma, got {arguments.optimizer!r}; the original's ses, pepg, openes "
            "and ga are not supported (--covariance diagonal is CMA-ES for many parameters; PPO is "
            "dreamduck train-controller)"
        )
    if arguments.antithetic is not None:
        arguments.seeds = "antithetic" if arguments.antithetic else "independent"
    if arguments.retrain:
        log.warning("--retrain: CMA-ES is never restarted, neither here nor in 2019; ignored")
    if arguments.sigma_decay is not None:
        log.warning("--sigma_decay: CMA-ES adapts its own step size, here and in the original; ignored")
    arguments.max_steps = max_steps(arguments, dream=choose_world(arguments) == ENVS[0])
    return config.from_arguments(SearchConfig, arguments)


def choose_world(arguments: argparse.Namespace) -> str:
    """The world, from the flag or the first argument.

    Raises:
        ConfigError: they name different ones.
    """
    if arguments.env and arguments.world and arguments.env != arguments.world:
        raise ConfigError(f"env: expected one world, got {arguments.world} and --env {arguments.env}")
    return arguments.env or arguments.world or ENVS[0]


def main(argv: Sequence[str] | None = None) -> None:
    """Search until the generations or the time are used up."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    said = config.given(parser, arguments, argv)
    if {"antithetic", "seeds"} <= said:
        raise ConfigError("antithetic: expected --seeds or --antithetic, got both")
    actions = adapt_to_environment(arguments, said)
    search, env = settings(arguments), choose_world(arguments)
    check_flags(env, said - {"dynamics_rand"} if env == ENVS[0] else said)
    if env != ENVS[0] and not search.components:
        config.refuse(said & {"beginning"}, "on the road without --components")
    world = config.from_arguments(WorldConfig, arguments)
    sizes = model_sizes(world.model.folder)
    form = config.from_arguments(FormConfig, arguments).form(*sizes, actions=actions)
    if arguments.start:
        wanted, form = form, load_controller(arguments.start, world.model.folder, arguments.strict).form
        if said & {"features", "hidden"} and wanted != form:
            raise ConfigError(
                f"start: expected a controller {wanted}, got one {form}; leave --features and --hidden out"
            )
    else:
        config.refuse(said & {"strict"}, "without --start")
    plan = Plan(
        *(env, world, search, form, Path(arguments.log), arguments.start or ""),
        command=shlex.join(["train.py", *(sys.argv[1:] if argv is None else argv)]),
        threads=arguments.threads,
        fresh=arguments.fresh,
        strict=arguments.strict,
    )
    with mpi.team(arguments.rank_timeout) as team:
        finished = evolve(plan, team)
    if finished is not None:
        log.info("%s: best evaluation %.2f", plan.files.path(".best.json"), finished.found.best_reward)
