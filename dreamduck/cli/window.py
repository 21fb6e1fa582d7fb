"""Drive by keyboard in a window."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from dreamduck.common import command_line

WORLDS = {
    "v0": "dreamduck.envs.env",
    "v1": "dreamduck.envs.realenv",
    "v2": "dreamduck.envs.rnnenv",
}
EXAMPLES = """examples:
  dreamduck window v0                    the simulator
  dreamduck window v1 -h                 the settings of one environment
  dreamduck window v2 --temperature 0.3  the dream
"""


def main(argv: Sequence[str] | None = None) -> int | None:
    """Start the environment that the first argument names; it takes the other arguments."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = command_line.parser("Drive by keyboard in one of the three environments.", EXAMPLES)
    parser.add_argument("env", choices=tuple(WORLDS), help="the simulator, the same as latents, or the dream")
    name = parser.parse_args(words[:1]).env
    sys.argv = [f"dreamduck window {name}", *words[1:]]
    started: int | None = importlib.import_module(WORLDS[name]).main(words[1:])
    return started
