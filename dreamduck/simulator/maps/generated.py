"""Maps made by number: `generated:17` is a map like any other, and always the same.

Both simulators load it: it is a file in the form of Duckietown's own, in the user's cache folder."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import yaml

from dreamduck.common.errors import MapError
from dreamduck.common.storage import write_bytes
from dreamduck.simulator.maps.download import cached_folder
from dreamduck.simulator.maps.map_objects import TILE_SIZE, draw_objects
from dreamduck.simulator.maps.road_network import draw_index, draw_roads, draw_tile, open_sides, pick

PREFIX = "generated:"
MAX_NUMBER, MAX_MAPS = 2**31 - 1, 100_000
SURROUNDINGS = (("grass",), ("floor",), ("asphalt",), ("grass", "floor", "asphalt"))
SURROUNDING_SHARES = (0.4, 0.2, 0.2, 0.2)
BORDERS = (0.15, 0.7, 0.15)  # probabilities of 0, 1 and 2 tiles around the roads


def generated_path(name: str) -> Path | None:
    """The file of a generated map, written if it is not there; None for other names.

    Args:
        name: for example "generated:17".
    Raises:
        MapError: what follows "generated:" is no number, or the file cannot be written.
    """
    if not name.startswith(PREFIX):
        return None
    number = name.removeprefix(PREFIX)
    if not re.fullmatch("[0-9]{1,10}", number) or int(number) > MAX_NUMBER:
        raise MapError(
            f"map_name: expected {PREFIX}N with a number from 0 to {MAX_NUMBER}, got {name!r:.60}"
        )
    text = map_text(int(number)).encode()
    folders = (cached_folder().parent, Path(tempfile.gettempdir()) / f"dreamduck-{os.getuid()}")
    for folder in folders:
        path = folder / "maps" / f"generated-{int(number)}.yaml"
        with contextlib.suppress(OSError):
            if not path.is_file() or path.read_bytes() != text:
                write_bytes(path, text)
            return path
    raise MapError(
        f"{name}: expected to write its file to {folders[0]} or {folders[1]}, could not; set "
        "XDG_CACHE_HOME to a folder that can be written"
    )


def expand_map_names(names: Sequence[str]) -> tuple[str, ...]:
    """The maps that a list of names stands for.

    Args:
        names: of maps; "generated:200" stands for the maps 0 to 199, "generated:50-59" for 50 to 59.
    Raises:
        MapError: a range is empty, too long or no range.
    """
    found: list[str] = []
    for name in names:
        found += [f"{PREFIX}{n}" for n in _numbers(name)] if name.startswith(PREFIX) else [name]
    return tuple(found)


def canonical_map_names(names: Sequence[str]) -> tuple[str, ...]:
    """The same list; names of generated maps have a first and a last number."""
    return tuple(
        f"{PREFIX}{_numbers(name)[0]}-{_numbers(name)[-1]}" if name.startswith(PREFIX) else name
        for name in names
    )


def _numbers(name: str) -> range:
    """The numbers of the maps that a name in a list stands for."""
    match = re.fullmatch("(?:([0-9]{1,10})-)?([0-9]{1,10})", name.removeprefix(PREFIX))
    first, end = (int(match[1] or 0), int(match[2]) + (match[1] is not None)) if match else (0, 0)
    if not 0 < end - first <= MAX_MAPS or end > MAX_NUMBER + 1:
        raise MapError(
            f"maps: expected {PREFIX}200 (the first 200) or {PREFIX}50-59, {MAX_MAPS} maps at most, "
            f"got {name!r:.60}"
        )
    return range(first, end)


@lru_cache(maxsize=256)
def map_text(number: int) -> str:
    """The file of a generated map.

    Args:
        number: 0 or more; it decides everything.
    """
    rng = np.random.default_rng(number)
    roads = draw_roads(rng)
    border = draw_index(rng, BORDERS)
    surroundings = SURROUNDINGS[draw_index(rng, SURROUNDING_SHARES)]
    tiles = [
        [pick(rng, surroundings) for _ in range(roads.columns + 2 * border)]
        for _ in range(roads.rows + 2 * border)
    ]
    for i, j in roads.cells:
        tiles[j + border][i + border] = draw_tile(rng, open_sides((i, j), roads.cells))
    objects = draw_objects(rng, roads, tiles, border)
    content = {"tiles": tiles, "objects": objects, "tile_size": TILE_SIZE}
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=1000)
