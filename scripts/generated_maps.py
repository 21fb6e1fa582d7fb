"""Show and count generated maps: `python scripts/generated_maps.py`.

Writes `media/generated_maps.png`, the first 24 from above, and `benchmarks/results/generated_maps.json`,
which counts what the first 200 have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dreamduck.common.storage import write_json
from dreamduck.simulator.base import Frames, SimulatorConfig
from dreamduck.simulator.expert import ExpertConfig, make_routes
from dreamduck.simulator.maps.lanes import map_lanes
from dreamduck.simulator.maps.map import DUCKIE, DUCKIEBOT, STATIC, Map
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.maps.road_network import open_sides
from dreamduck.simulator.native import NativeSimulator

ROOT = Path(__file__).resolve().parent.parent
MAPS, COLUMNS, ROWS = 200, 6, 4
SIDE, GAP, COLORS = 150, 4, 96  # pixels of a map and between two; colours of the image
FOLLOWED = 100  # lanes that a route is followed for
TURN = 0.5  # [rad] from which a lane turns


def sheet() -> Frames:
    """The first maps from above."""
    image = np.full((ROWS * (SIDE + GAP), COLUMNS * (SIDE + GAP), 3), 255, np.uint8)
    for number in range(ROWS * COLUMNS):
        simulator = NativeSimulator(SimulatorConfig(map_name=f"generated:{number}"), threads=1)
        simulator.reset([0])
        y, x = (SIDE + GAP) * (number // COLUMNS), (SIDE + GAP) * (number % COLUMNS)
        image[y : y + SIDE, x : x + SIDE] = simulator.view("top_down", SIDE, SIDE)
    return image


def left_turns(road: Map) -> float:
    """The share of left turns among all turns of the way that the expert takes from the first lane."""
    routes = make_routes(map_lanes(road), ExpertConfig())
    directions = np.diff(routes.points, axis=1)
    cross = directions[:, 0, 0] * directions[:, -1, 1] - directions[:, 0, 1] * directions[:, -1, 0]
    turns = np.arctan2(-cross, (directions[:, 0] * directions[:, -1]).sum(axis=1))
    curve = 0
    found: list[float] = []
    while curve >= 0 and len(found) < FOLLOWED:
        found.append(float(turns[curve]))
        curve = int(routes.after[curve])
    turned = [turn > 0 for turn in found if abs(turn) > TURN]
    return sum(turned) / max(len(turned), 1)


def variety() -> dict[str, Any]:
    """Counts of the maps."""
    maps = [load_map(f"generated:{number}") for number in range(MAPS)]
    cells = [{(tile.i, tile.j) for tile in road.drivable_tiles} for road in maps]
    ways = [[len(open_sides(cell, roads)) for cell in roads] for roads in cells]
    things = [[thing for thing in road.objects if not thing.optional] for road in maps]

    def share(having: list[bool]) -> float:
        return round(float(np.mean(having)), 3)

    def with_objects(test: Callable[[Any], bool]) -> float:
        return share([any(test(thing) for thing in one) for one in things])

    sizes, left = [len(roads) for roads in cells], [left_turns(road) for road in maps]
    return {
        "maps": MAPS,
        "layouts": len({frozenset(roads) for roads in cells}),
        "road_tiles": [int(v) for v in (min(sizes), np.median(sizes), max(sizes))],
        "left_turns": [round(float(v), 2) for v in np.quantile(left, [0.1, 0.5, 0.9])],
        "shares": {
            "one loop without crossings": share([max(one) == 2 for one in ways]),
            "crossings of three": share([3 in one for one in ways]),
            "crossings of four": share([4 in one for one in ways]),
            "dead ends": share([1 in one for one in ways]),
            "obstacles in the lanes": with_objects(lambda thing: thing.behaviour == STATIC),
            "pedestrians": with_objects(lambda thing: thing.behaviour == DUCKIE),
            "moving duckiebots": with_objects(lambda thing: thing.behaviour == DUCKIEBOT),
            "nothing in the way": share(
                [not any(thing.behaviour in (STATIC, DUCKIE, DUCKIEBOT) for thing in one) for one in things]
            ),
        },
    }


def main() -> None:
    """Write both files."""
    image = Image.fromarray(sheet()).quantize(COLORS, Image.Quantize.FASTOCTREE)
    image.save(ROOT / "media" / "generated_maps.png", optimize=True)
    found = {"command": "scripts/generated_maps.py", "results": variety()}
    write_json(ROOT / "benchmarks" / "results" / "generated_maps.json", found)


if __name__ == "__main__":
    main()
