"""Roads drawn at random on a grid: one closed loop, then crossings and dead ends that branch off it.

Two road tiles side by side are always joined, and no four of them form a square: which tile lies in a cell
follows from its neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np

from dreamduck.simulator.maps.lanes import tile_curves

Cell = tuple[int, int]  # column, row
T = TypeVar("T")

STEPS = {"S": (0, 1), "E": (1, 0), "N": (0, -1), "W": (-1, 0)}  # the index of a side is its quarter turns
KINDS = ("straight", "curve_left", "curve_right", "3way_left", "4way")  # 3way_right's image does not fit
SIDES = (3, 8)  # cells of the grid that the loop lies in, least and most
MARGIN = 2  # cells around it that other roads may use
GROWTHS = (2, 40)  # tries to enlarge the loop
CROSSING_ROADS = (0.35, 0.25, 0.2, 0.2)  # probabilities of 0, 1, 2 and 3 roads that cut across
AT_CROSSING = 0.7  # probability that such a road begins at a crossing of three, which makes it one of four
DEAD_ENDS = (0.85, 0.1, 0.05)  # probabilities of 0, 1 and 2
DEAD_END_LENGTHS = (2, 3)  # [tiles]
TRIES = 30


class Roads(NamedTuple):
    """The roads of a map.

    Attributes:
        columns: of the grid.
        rows: likewise.
        cells: those with a road, in the order of rows.
    """

    columns: int
    rows: int
    cells: tuple[Cell, ...]


def draw_roads(rng: np.random.Generator) -> Roads:
    """Draw the roads of one map, without any border."""
    columns, rows = (SIDES[0] + int(rng.random() * (SIDES[1] - SIDES[0] + 1)) for _ in range(2))
    grid = (columns, rows)
    roads = _loop(rng, grid)
    for _ in range(draw_index(rng, CROSSING_ROADS)):
        roads |= _crossing_road(rng, grid, roads)
    for _ in range(draw_index(rng, DEAD_ENDS)):
        roads |= _dead_end(rng, grid, roads)
    left, top = (min(cell[axis] for cell in roads) for axis in range(2))
    right, bottom = (max(cell[axis] for cell in roads) for axis in range(2))
    cells = sorted(((i - left, j - top) for i, j in roads), key=lambda cell: cell[::-1])
    return Roads(right - left + 1, bottom - top + 1, tuple(cells))


def draw_index(rng: np.random.Generator, probabilities: Sequence[float]) -> int:
    """An index, drawn with these probabilities."""
    return min(
        int(np.searchsorted(np.cumsum(probabilities), rng.random(), "right")), len(probabilities) - 1
    )


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One of the items, each as likely."""
    return items[int(rng.random() * len(items))]


def open_sides(cell: Cell, roads: Iterable[Cell]) -> frozenset[str]:
    """The sides of a cell on which a road continues."""
    return frozenset(side for side, (di, dj) in STEPS.items() if (cell[0] + di, cell[1] + dj) in roads)


def draw_tile(rng: np.random.Generator, sides: frozenset[str]) -> str:
    """A road tile, for example "curve_left/W", that is open on these sides.

    Args:
        sides: of S, E, N, W; a dead end has one, and is a straight tile.
    """
    (first, *others) = sorted(sides)
    if not others:
        sides = frozenset("NS" if first in "NS" else "EW")
    return pick(rng, _tiles()[sides])


@lru_cache(maxsize=1)
def _tiles() -> dict[frozenset[str], list[str]]:
    """The road tiles by the sides that their lanes reach."""
    found: dict[frozenset[str], list[str]] = {}
    for kind in KINDS:
        for turns, direction in enumerate(STEPS):
            curves = tile_curves(kind, turns, 0, 0, 1.0) - 0.5
            ends = np.concatenate([curves[:, 0], curves[:, -1]])
            sides = frozenset(
                side for side, step in STEPS.items() if (np.abs(ends @ np.array(step) - 0.5) < 0.01).any()
            )
            found.setdefault(sides, []).append(f"{kind}/{direction}")
    return found


def _neighbours(cell: Cell) -> list[Cell]:
    return [(cell[0] + di, cell[1] + dj) for di, dj in STEPS.values()]


def _inside(cell: Cell, grid: tuple[int, int], border: int) -> bool:
    return all(border <= place < size - border for place, size in zip(cell, grid, strict=True))


def _loop(rng: np.random.Generator, grid: tuple[int, int]) -> set[Cell]:
    """A closed loop: the cells around an island that grows cell by cell as long as they form one."""
    island = {(grid[0] // 2, grid[1] // 2)}
    for _ in range(GROWTHS[0] + int(rng.random() * (GROWTHS[1] - GROWTHS[0] + 1))):
        grown = pick(rng, _neighbours(pick(rng, sorted(island))))
        if _inside(grown, grid, border=1) and _is_loop(_around(island | {grown})):
            island.add(grown)
    return _around(island)


def _around(island: set[Cell]) -> set[Cell]:
    """The cells that touch an island, also at a corner."""
    return {(i + di, j + dj) for i, j in island for di in (-1, 0, 1) for dj in (-1, 0, 1)} - island


def _is_loop(roads: set[Cell]) -> bool:
    """Whether the cells form one closed loop."""
    return connected(roads) and all(len(open_sides(cell, roads)) == 2 for cell in roads)


def connected(roads: Iterable[Cell]) -> bool:
    """Whether every cell can be reached from every other."""
    left = set(roads)
    reached = [left.pop()]
    while reached:
        found = left.intersection(_neighbours(reached.pop()))
        left -= found
        reached += found
    return not left


def _crossing_road(rng: np.random.Generator, grid: tuple[int, int], roads: set[Cell]) -> set[Cell]:
    """The cells of a road from one road tile to another; empty where no try finds one."""
    for _ in range(TRIES):
        crossings = sorted(cell for cell in roads if len(open_sides(cell, roads)) == 3)
        begin = pick(rng, crossings if crossings and rng.random() < AT_CROSSING else sorted(roads))
        path: list[Cell] = []
        while len(path) < grid[0] * grid[1]:
            ways = _ways(path[-1] if path else begin, grid, roads, path)
            if not ways:
                break
            cell, touched = pick(rng, ways)
            path.append(cell)
            if touched:
                return set(path)
    return set()


def _dead_end(rng: np.random.Generator, grid: tuple[int, int], roads: set[Cell]) -> set[Cell]:
    """The cells of a dead end; empty where no try finds one."""
    for _ in range(TRIES):
        begin, path = pick(rng, sorted(roads)), list[Cell]()
        for _ in range(pick(rng, DEAD_END_LENGTHS)):
            ways = [cell for cell, touched in _ways([begin, *path][-1], grid, roads, path) if not touched]
            if not ways:
                break
            path.append(pick(rng, ways))
        else:
            return set(path)
    return set()


def _ways(end: Cell, grid: tuple[int, int], roads: set[Cell], path: list[Cell]) -> list[tuple[Cell, bool]]:
    """The free cells in which a path can continue, and whether it meets another road there."""
    taken, found = roads.union(path), []
    for cell in _neighbours(end):
        if cell in taken or not _inside(cell, grid, border=-MARGIN):
            continue
        touched = taken.intersection(_neighbours(cell)) - {end}
        if len(touched) > 1 or touched.intersection(path):
            continue
        if not _has_square({*taken, cell}, cell):
            found.append((cell, bool(touched)))
    return found


def _has_square(roads: set[Cell], cell: Cell) -> bool:
    """Whether the cell is one of four road cells that form a square."""
    i, j = cell
    return any({(i + di, j), (i, j + dj), (i + di, j + dj)} <= roads for di in (-1, 1) for dj in (-1, 1))
