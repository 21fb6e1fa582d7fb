"""Drive by keyboard in a window."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from dreamduck.common import command_line


class World(NamedTuple):
    """One of the environments, and its command.

    Attributes:
        module: the module that defines it.
        config: the name of its configuration there.
        env: the name of its class there.
        description: of the command.
        weights: whether to add a flag for a controller's world model, as the environment itself has none.
    """

    module: str
    config: str
    env: str
    description: str
    weights: bool = False


WORLDS = {
    "v0": World(
        "dreamduck.envs.env",
        "RoadConfig",
        "DuckEnv",
        "Drive DreamDuck-v0, the simulator, by keyboard.",
        weights=True,
    ),
    "v1": World(
        "dreamduck.envs.realenv",
        "RealConfig",
        "RealEnv",
        "Drive DreamDuck-v1, the simulator seen through the model, by keyboard.",
    ),
    "v2": World(
        "dreamduck.envs.rnnenv",
        "DreamConfig",
        "DreamEnv",
        "Drive in DreamDuck-v2, the dream, by keyboard.",
    ),
}
EXAMPLES = """examples:
  dreamduck window v0                    the simulator
  dreamduck window v1 -h                 the settings of one environment
  dreamduck window v2 --temperature 0.3  the dream
"""


def main(argv: Sequence[str] | None = None) -> int | None:
    """Start the environment that the first argument names, with the other arguments."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = command_line.parser("Drive by keyboard in one of the three environments.", EXAMPLES)
    parser.add_argument(
        "env",
        choices=tuple(WORLDS),
        help="the simulator, the simulator through the model, or the dream",
    )
    name = parser.parse_args(words[:1]).env
    sys.argv = [f"dreamduck window {name}", *words[1:]]
    start(name, words[1:])
    return None


def start(name: str, argv: Sequence[str] | None) -> None:
    """Drive in one environment.

    Args:
        name: a key of `WORLDS`.
        argv: its arguments; those of the process where it is None.
    """
    from dreamduck.window.keyboard import run

    world = WORLDS[name]
    module = importlib.import_module(world.module)
    config, env = getattr(module, world.config), getattr(module, world.env)
    run(world.description, config, env, argv, world.weights)
