"""The place of an object on a map.

Map files have four forms of it (pos, pose, place, attach), in a
right-handed frame with y up the page; here they become x, z and heading of the simulator."""

from __future__ import annotations

import math
import reprlib
from typing import Any

import numpy as np

from dreamduck.common.errors import MapError
from dreamduck.simulator.base import wrapped

# Offsets of the eight slots around a tile's corner where signs are put, in tiles.
_LONG, _SHORT = 0.09, 0.035
SLOTS = (
    (_LONG, _SHORT),
    (_SHORT, _LONG),
    (-_SHORT, _LONG),
    (-_LONG, _SHORT),
    (-_LONG, -_SHORT),
    (-_SHORT, -_LONG),
    (_SHORT, -_LONG),
    (_LONG, -_SHORT),
)
FARTHEST = 10_000.0  # [m] from the map's corner; nothing may stand beyond

_SHORT_FORM = reprlib.Repr()
_SHORT_FORM.maxlevel, _SHORT_FORM.maxstring, _SHORT_FORM.maxother = 2, 60, 60


def shown(value: Any) -> str:
    """A value of a map file for a message, shortened, since a few bytes of YAML can expand to gigabytes."""
    return _SHORT_FORM.repr(value)


def number(value: Any, where: str) -> float:
    """The value as a finite float.

    Raises:
        MapError: it is none; the message begins with `where`.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf:
        try:
            return float(value)
        except OverflowError:  # an integer beyond all floats
            pass
    raise MapError(f"{where}: expected a finite number, got {shown(value)}")


def number_between(value: Any, low: float, high: float, where: str) -> float:
    """The value as a float from `low` to `high`.

    Raises:
        MapError: it is none; the message begins with `where`.
    """
    found = number(value, where)
    if not low <= found <= high:
        raise MapError(f"{where}: expected {low:g} to {high:g}, got {found:g}")
    return found


def placement(
    where: str, desc: dict[str, Any], grid: tuple[int, int], tile_size: float
) -> tuple[float, float, float]:
    """The place of an object.

    Args:
        where: file and object, for messages.
        desc: the object's entry in the map file.
        grid: columns and rows of the map.
    Returns:
        x [m], z [m], angle [rad, above -pi inclusive, below pi].
    Raises:
        MapError: no place is given, or it is malformed.
    """
    turn = np.deg2rad(number(desc.get("rotate", 0), f"{where}: rotate"))
    if "pos" in desc:
        pos = _numbers(desc["pos"], (2, 3), f"{where}: pos")
        # Upstream inverts y with the number of columns instead of rows; so do we.
        x, y, theta = pos[0] * tile_size, (grid[0] - 1 - pos[1]) * tile_size, -turn
    elif "pose" in desc:
        x, y, theta = _transform(desc["pose"], f"{where}: pose")
    elif "place" in desc:
        i, j = _numbers(_entry(desc["place"], "tile", f"{where}: place"), (2,), f"{where}: place, tile")
        relative = _entry(desc["place"], "relative", f"{where}: place")
        dx, dy, theta = _transform(relative, f"{where}: place, relative")
        x, y = (i + 0.5) * tile_size + dx, (j + 0.5) * tile_size + dy
    elif "attach" in desc:
        i, j = _numbers(_entry(desc["attach"], "tile", f"{where}: attach"), (2,), f"{where}: attach, tile")
        slot = number(_entry(desc["attach"], "slot", f"{where}: attach"), f"{where}: attach, slot")
        if slot not in range(len(SLOTS)):
            raise MapError(f"{where}: attach, slot: expected 0 to {len(SLOTS) - 1}, got {slot}")
        dx, dy = SLOTS[int(slot)]
        x, y, theta = (dx + i) * tile_size, (dy + j) * tile_size, turn
    else:
        raise MapError(f"{where}: expected one of pos, pose, place, attach; got {shown(desc)}")
    if not max(abs(x), abs(y)) <= FARTHEST:
        raise MapError(f"{where}: expected a place within {FARTHEST:g} m, got x {x:g} m, y {y:g} m")
    # Through sine and cosine, as upstream reads it back out of a rotation matrix.
    return x, grid[1] * tile_size - y, wrapped(float(np.arctan2(np.sin(theta), np.cos(theta))))


def _numbers(values: Any, sizes: tuple[int, ...], where: str) -> list[float]:
    if not isinstance(values, list) or len(values) not in sizes:
        raise MapError(f"{where}: expected a list of {sizes[0]} numbers, got {shown(values)}")
    return [number(value, where) for value in values]


def _entry(desc: Any, key: str, where: str) -> Any:
    if not isinstance(desc, dict) or key not in desc:
        raise MapError(f"{where}: expected a mapping with {key}, got {shown(desc)}")
    return desc[key]


def _transform(desc: Any, where: str) -> tuple[float, float, float]:
    """The x [m], y [m] and theta [rad] of upstream's `~SE2Transform`."""
    inner = _entry(desc, "~SE2Transform", where)
    inner = {} if inner is None else inner
    if not isinstance(inner, dict):
        raise MapError(f"{where}: expected a mapping with p and theta or theta_deg, got {shown(inner)}")
    x, y = _numbers(inner.get("p", [0.0, 0.0]), (2,), f"{where}, p")
    if "theta" in inner:
        return x, y, number(inner["theta"], f"{where}, theta")
    return x, y, float(np.deg2rad(number(inner.get("theta_deg", 0.0), f"{where}, theta_deg")))
