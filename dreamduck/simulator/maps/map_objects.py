"""Objects of a generated map: beside the road, obstacles on it, pedestrians, duckiebots.

Each is an entry of a map file. Heights are those of Duckietown's own maps [m]."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from dreamduck.simulator.maps.lanes import tile_curves
from dreamduck.simulator.maps.map import CHASSIS_COLORS
from dreamduck.simulator.maps.obj_file import mesh_extent
from dreamduck.simulator.maps.road_network import STEPS, Cell, Roads, draw_index, open_sides, pick

Entry = dict[str, Any]

TILE_SIZE = 0.585  # [m]
BESIDE = {  # kind: least and largest height [m], how often compared with the others
    "tree": (0.2, 0.4, 4),
    "house": (0.2, 0.35, 2),
    "building": (0.3, 0.6, 2),
    "bus": (0.1, 0.15, 1),
    "truck": (0.12, 0.25, 1),
    "cone": (0.06, 0.1, 2),
    "barrier": (0.06, 0.1, 1),
    "duckie": (0.06, 0.12, 2),
    "sign_stop": (0.18, 0.18, 1),
    "sign_duck_crossing": (0.18, 0.18, 1),
    "sign_T_intersect": (0.18, 0.18, 1),
    "sign_4_way_intersect": (0.18, 0.18, 1),
}
FARTHEST_BESIDE = 0.25  # [m] from the middle of its tile to its own farthest corner
DENSITY = (0.0, 0.6)  # least and largest share of the free tiles that have something on them
OBSTACLES = {
    "duckie": (0.06, 0.08),
    "cone": (0.06, 0.08),
    "barrier": (0.06, 0.08),
    "duckiebot": (0.12, 0.12),
}
OBSTACLE_OFFSET = 0.25  # [m] at most from the middle of the road
SHARES = {"obstacles": 0.25, "pedestrians": 0.15, "duckiebots": 0.15}  # of the maps that have them
LIGHTS_SHARE = 0.3  # of the maps with a crossing of four, that have a traffic light there
OBSTACLE_COUNTS, PEDESTRIAN_COUNTS, BOT_COUNTS = (
    (0.4, 0.3, 0.2, 0.1),
    (0.6, 0.4),
    (0.7, 0.3),
)  # of 1, 2, ...


def draw_objects(
    rng: np.random.Generator, roads: Roads, tiles: list[list[str]], border: int
) -> dict[str, Entry]:
    """Draw the objects of a map.

    Args:
        rng: the map's random stream.
        roads: without the border.
        tiles: the rows of the map file, with the border.
        border: tiles around the roads.
    Returns:
        The entries of the map file by name; static ones first.
    """
    cells = tuple((i + border, j + border) for i, j in roads.cells)
    straight = [cell for cell in cells if tiles[cell[1]][cell[0]].startswith("straight")]
    through = [cell for cell in straight if len(open_sides(cell, cells)) == 2]
    free = _shuffled(rng, through)
    entries = [*_beside(rng, tiles), *_lights(rng, cells, tiles)]
    drawn = {name: rng.random() < share for name, share in SHARES.items()}
    if drawn["obstacles"]:
        count = 1 + draw_index(rng, OBSTACLE_COUNTS)
        entries += [_obstacle(rng, cell, tiles) for cell in _take(free, count)]
    if drawn["pedestrians"]:
        count = 1 + draw_index(rng, PEDESTRIAN_COUNTS)
        entries += [_pedestrian(rng, cell, tiles) for cell in _take(free, count)]
    # A duckiebot stops where the road ends, and would block it.
    if drawn["duckiebots"] and all(len(open_sides(cell, cells)) > 1 for cell in cells):
        count = 1 + draw_index(rng, BOT_COUNTS)
        entries += [_duckiebot(rng, cell, tiles) for cell in _take(free, count)]
    height = len(tiles) * TILE_SIZE
    return {f"{entry['kind']}{k}": _placed(entry, height) for k, entry in enumerate(entries)}


def _shuffled(rng: np.random.Generator, cells: Iterable[Cell]) -> list[Cell]:
    return sorted(cells, key=lambda cell: rng.random())


def _take(free: list[Cell], count: int) -> Iterator[Cell]:
    """Up to `count` of the free cells, none of them beside another that was taken before."""
    for _ in range(count):
        if not free:
            return
        i, j = taken = free.pop()
        free[:] = [cell for cell in free if abs(cell[0] - i) + abs(cell[1] - j) > 1]
        yield taken


def _placed(entry: Entry, map_height: float) -> Entry:
    """The entry with its place (x, z, angle) in the words of map files, where y grows upwards."""
    x, z, angle = entry.pop("at")
    place = {"p": [round(x, 4), round(map_height - z, 4)], "theta": round(angle, 4)}
    return {**entry, "pose": {"~SE2Transform": place}}


def _beside(rng: np.random.Generator, tiles: list[list[str]]) -> Iterator[Entry]:
    """Things on tiles without a road, so far from their edges that no car can touch them."""
    density = DENSITY[0] + rng.random() * (DENSITY[1] - DENSITY[0])
    weights = np.array([often for _, _, often in BESIDE.values()])
    for j, row in enumerate(tiles):
        for i, tile in enumerate(row):
            if "/" in tile or rng.random() >= density:
                continue
            kind = list(BESIDE)[draw_index(rng, weights / weights.sum())]
            low, high, _ = BESIDE[kind]
            widest = _width(kind)
            height = round(min(low + rng.random() * (high - low), FARTHEST_BESIDE / widest), 3)
            spare = FARTHEST_BESIDE - height * widest
            x, z = ((place + 0.5) * TILE_SIZE + (2 * rng.random() - 1) * spare / 2 for place in (i, j))
            yield {"kind": kind, "height": height, "optional": True, "at": (x, z, math.tau * rng.random())}


def _width(kind: str) -> float:
    """How far an object of height 1 reaches from its middle."""
    low, high = mesh_extent("sign_generic" if kind.startswith("sign") else kind)
    reach = np.maximum(np.abs(low), np.abs(high))
    return float(np.hypot(reach[0], reach[2]) / high[1])


def _lights(rng: np.random.Generator, cells: tuple[Cell, ...], tiles: list[list[str]]) -> Iterator[Entry]:
    """A traffic light in a corner of the first crossing of four, on some maps; no car touches it."""
    crossings = [cell for cell in cells if tiles[cell[1]][cell[0]].startswith("4way")]
    if crossings and rng.random() < LIGHTS_SHARE:
        i, j = crossings[0]
        at = ((i + 1.05) * TILE_SIZE, (j + 1.05) * TILE_SIZE, -math.pi / 4)
        yield {"kind": "trafficlight", "height": 0.4, "at": at}


def _across(cell: Cell, tiles: list[list[str]], offset: float) -> tuple[float, float, float]:
    """A place `offset` [m] from the middle of a straight road, and the angle of the way across it."""
    along = STEPS[tiles[cell[1]][cell[0]].partition("/")[2]]
    x, z = ((place + 0.5) * TILE_SIZE for place in cell)
    across = (along[1], along[0])
    return x + offset * across[0], z + offset * across[1], math.atan2(-across[1], across[0])


def _obstacle(rng: np.random.Generator, cell: Cell, tiles: list[list[str]]) -> Entry:
    """Something in one of the lanes."""
    kind = pick(rng, list(OBSTACLES))
    low, high = OBSTACLES[kind]
    x, z, _ = _across(cell, tiles, (2 * rng.random() - 1) * OBSTACLE_OFFSET)
    height = round(low + rng.random() * (high - low), 3)
    return {"kind": kind, "height": height, "at": (x, z, math.tau * rng.random())}


def _pedestrian(rng: np.random.Generator, cell: Cell, tiles: list[list[str]]) -> Entry:
    """A duckie at the edge of a road, that walks across it and back."""
    side = pick(rng, (-1, 1))
    x, z, angle = _across(cell, tiles, -side * TILE_SIZE / 2)
    return {
        "kind": "duckie",
        "height": 0.08,
        "static": False,
        "at": (x, z, angle if side > 0 else angle + math.pi),
    }


def _duckiebot(rng: np.random.Generator, cell: Cell, tiles: list[list[str]]) -> Entry:
    """A duckiebot in the middle of one of the lanes, that drives along it."""
    kind, _, direction = tiles[cell[1]][cell[0]].partition("/")
    begin, *_, end = pick(rng, list(tile_curves(kind, list(STEPS).index(direction), *cell, TILE_SIZE)))
    x, z = (begin + end) / 2
    dx, dz = end - begin
    return {
        "kind": "duckiebot",
        "height": 0.12,
        "static": False,
        "color": pick(rng, list(CHASSIS_COLORS)),
        "at": (float(x), float(z), math.atan2(-dz, dx)),
    }
