"""Which of some maps the native simulator has."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dreamduck.common.errors import MapError
from dreamduck.simulator.maps.parser import load_map

MOST_MAPS = 12  # that a card drives on


def maps_here(names: Iterable[str]) -> tuple[str, ...]:
    """Those maps that can be driven on, each once; installed, generated, or files."""
    return tuple(name for name in dict.fromkeys(names) if _loads(name))


def spread(names: tuple[str, ...]) -> tuple[str, ...]:
    """At most `MOST_MAPS` of them, spread over the list."""
    if len(names) <= MOST_MAPS:
        return names
    return tuple(names[i] for i in np.linspace(0, len(names) - 1, MOST_MAPS).astype(int))


def _loads(name: str) -> bool:
    try:
        load_map(name)
    except MapError:
        return False
    return True
