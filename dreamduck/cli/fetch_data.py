"""Fetch Duckietown's maps, textures and meshes ahead of their first use."""

from __future__ import annotations

from collections.abc import Sequence

from dreamduck.common import command_line
from dreamduck.simulator.maps import assets

EXAMPLES = """example:
  dreamduck fetch-data                   into ~/.cache, or the folder that XDG_CACHE_HOME names
"""


def main(argv: Sequence[str] | None = None) -> int | None:
    """Fetch what is missing, and print the folder."""
    parser = command_line.parser(
        "Fetch Duckietown's maps, textures and meshes (56 MB) by pip, so that everything works offline.",
        EXAMPLES,
    )
    command_line.start_logging(parser.parse_args(argv))
    folder = assets.data_folder()
    print(f"{len(assets.map_names())} maps in {folder}")
    return 0
