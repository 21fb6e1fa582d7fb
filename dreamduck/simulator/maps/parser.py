"""Map files, read and checked.

Reads upstream's map format (daffy, version 1), with the places
of objects exactly as gym-duckietown computes them, and errors name the file and the place in it."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common.errors import MapError
from dreamduck.simulator.maps import assets
from dreamduck.simulator.maps.generated import generated_path
from dreamduck.simulator.maps.lanes import tile_curves
from dreamduck.simulator.maps.map import (
    CHASSIS_COLORS,
    CHECKERBOARD,
    DUCKIE,
    DUCKIEBOT,
    STATIC,
    TRAFFICLIGHT,
    Map,
    MapObject,
    Tile,
)
from dreamduck.simulator.maps.map_yaml import read_yaml
from dreamduck.simulator.maps.obj_file import mesh_extent
from dreamduck.simulator.maps.placement import FARTHEST, number_between, placement, shown

DRIVABLE = ("straight", "curve_left", "curve_right", "3way_left", "3way_right", "4way")
DIRECTIONS = ("S", "E", "N", "W")  # the index is the tile's angle in quarter turns
EMPTY = "empty"  # no tile at all
# Duckietown's own maps stay far below these; with more, a few lines of YAML could fill any memory.
MAX_TILES, MAX_OBJECTS = 10_000, 2_000
REMEDY = 'write, for example, "tiles: [[curve_left/W, curve_left/N], ...]" and "tile_size: 0.585"'
LAYERS = {"version", "main", "frames", "tile_maps", "watchtowers", "vehicles"}  # the Duckiematrix's
TILE_SIZES = (0.1, 10.0)  # [m]
OBJECT_SIZES = (0.001, 100.0)  # heights [m] and scales
MOVING_KINDS = {"duckiebot": DUCKIEBOT, "duckie": DUCKIE, "checkerboard": CHECKERBOARD}


@lru_cache(maxsize=64)
def _load(path: Path, modified: int) -> Map:
    """A map file; kept as long as it does not change on disk."""
    data = read_yaml(path)
    if not isinstance(data, dict):
        got = "an empty file" if data is None else shown(data)
        raise MapError(f"{path}: expected a mapping with tiles and tile_size, got {got}; {REMEDY}")
    if isinstance(data.get("tiles"), dict) or ("tiles" not in data and LAYERS & set(data)):
        raise MapError(
            f"{path}: expected gym-duckietown's form of a map, tiles in rows, got the Duckiematrix's, in "
            f"layers; {REMEDY}"
        )
    for key in ("tiles", "tile_size"):
        if data.get(key) is None:
            raise MapError(f"{path}: expected {key}, found none; {REMEDY}")
    tile_size = number_between(data.get("tile_size"), *TILE_SIZES, f"{path}: tile_size [m]")
    rows = _rows(path, data.get("tiles"))
    tiles = tuple(
        _tile(path, text, i, j, tile_size) for j, row in enumerate(rows) for i, text in enumerate(row)
    )
    grid = (len(rows[0]), len(rows))
    objects = _objects(path, data.get("objects"), grid, tile_size)
    start_tile, start_pose = _start(path, data, grid, tiles)
    if start_tile is None and not any(tile is not None and tile.drivable for tile in tiles):
        raise MapError(
            f"{path}: expected at least one drivable tile ({', '.join(DRIVABLE)}), found none; "
            "choose another map, or put a road on this one"
        )
    return Map(path.stem, path, tile_size, *grid, tiles, objects, start_tile, start_pose)


def load_map(name: str | os.PathLike[str]) -> Map:
    """Read a map.

    Args:
        name: an installed map's name, a path to a .yaml file (`~` is the home folder), or a generated
            map's, for example "generated:17".
    Raises:
        MapError: there is no such map, or the file is malformed; names the file, the place in it
            and what to do.
        DependencyError: Duckietown's data is not installed.
    """
    path = generated_path(os.fspath(name)) or assets.map_path(name)
    try:
        modified = path.stat().st_mtime_ns
    except OSError as err:
        raise MapError(f"{path}: cannot be read ({err.strerror}); correct the path") from err
    return _load(path, modified)


def _rows(path: Path, rows: Any) -> list[list[str]]:
    """The grid of the file, every row of the same length, every tile a string."""
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) and row for row in rows):
        raise MapError(f"{path}: tiles: expected a list of rows, each a list of tiles, got {shown(rows)}")
    if len(rows) * len(rows[0]) > MAX_TILES:
        raise MapError(
            f"{path}: tiles: expected at most {MAX_TILES} tiles, got {len(rows[0])} x {len(rows)}; "
            "make the map smaller"
        )
    for j, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise MapError(
                f"{path}: tiles, row {j}: expected {len(rows[0])} tiles as in row 0, got {len(row)}; "
                f"fill it up with '{EMPTY}' or 'floor'"
            )
        for i, text in enumerate(row):
            if not isinstance(text, str):
                raise MapError(f"{path}: tiles, row {j}, column {i}: expected a string, got {shown(text)}")
    return rows


def _tile(path: Path, text: str, i: int, j: int, tile_size: float) -> Tile | None:
    """One tile from its text, for example "curve_left/W"."""
    text = text.strip()
    if text == EMPTY:
        return None
    where = f"{path}: tiles, row {j}, column {i}"
    kind, slash, direction = (part.strip() for part in text.partition("/"))
    direction = direction if slash else "E"
    if direction not in DIRECTIONS:
        raise MapError(
            f"{where}: expected a direction of {', '.join(DIRECTIONS)} after '/', got {shown(text)}"
        )
    if not slash and "4" in kind:
        kind = "4way"
    texture = assets.tile_textures().get(kind)
    if texture is None:
        raise MapError(
            f"{where}: expected a tile of {EMPTY}, {', '.join(assets.tile_textures())}; got {shown(text)}"
        )
    angle = DIRECTIONS.index(direction)
    drivable = kind in DRIVABLE
    curves = tile_curves(kind, angle, i, j, tile_size) if drivable else np.zeros((0, 4, 2))
    return Tile(i, j, kind, angle, drivable, texture, curves)


def _objects(path: Path, listed: Any, grid: tuple[int, int], tile_size: float) -> tuple[MapObject, ...]:
    """All objects that stand on the map; floor tags are not drawn, and left out."""
    if listed is None:
        return ()
    if isinstance(listed, list):
        named = [(f"{k}", desc) for k, desc in enumerate(listed)]
    elif isinstance(listed, dict):
        named = [(str(key), desc) for key, desc in listed.items()]
    else:
        raise MapError(f"{path}: objects: expected a list or a mapping, got {type(listed).__name__}")
    if len(named) > MAX_OBJECTS:
        raise MapError(f"{path}: objects: expected at most {MAX_OBJECTS}, got {len(named)}; take some away")
    found = []
    for name, desc in named:
        where = f"{path}: objects, {name}"
        if not isinstance(desc, dict) or not isinstance(desc.get("kind"), str):
            raise MapError(f"{where}: expected a mapping with a kind, got {shown(desc)}")
        if desc["kind"] != "floor_tag":
            found.append(_object(where, name, desc, grid, tile_size))
    return tuple(found)


def _object(
    where: str, name: str, desc: dict[str, Any], grid: tuple[int, int], tile_size: float
) -> MapObject:
    """One object from its entry."""
    kind = desc["kind"]
    static, optional = _flag(where, desc, "static", True), _flag(where, desc, "optional", False)
    x, z, angle = placement(where, desc, grid, tile_size)
    mesh, texture, color = kind, None, None
    if kind.startswith("sign"):
        mesh, texture = "sign_generic", assets.resource(f"{kind}.png")
    if assets.resource(f"{mesh}.obj") is None or (kind.startswith("sign") and texture is None):
        raise MapError(f"{where}: kind: expected one of {', '.join(_kinds())}; got {shown(kind)}")
    if kind == "duckiebot":
        named = desc.get("color", "red")
        if not isinstance(named, str) or named not in CHASSIS_COLORS:
            raise MapError(
                f"{where}: color: expected one of {', '.join(CHASSIS_COLORS)}; got {shown(named)}"
            )
        color = CHASSIS_COLORS[named]
    if not static and kind not in MOVING_KINDS:
        raise MapError(
            f"{where}: static: only {', '.join(MOVING_KINDS)} can move, got {kind!r}; write static: true"
        )
    behaviour = MOVING_KINDS[kind] if not static else TRAFFICLIGHT if kind == "trafficlight" else STATIC
    low, high = mesh_extent(mesh)
    scale = _scale(where, desc, high)
    pos = np.array([x, 0.0, z])
    return MapObject(name, kind, mesh, texture, color, pos, angle, scale, optional, behaviour, low, high)


def _flag(where: str, desc: dict[str, Any], key: str, default: bool) -> bool:
    """The entry under `key`, true or false."""
    value = desc.get(key, default)
    if not isinstance(value, bool):
        raise MapError(f"{where}: {key}: expected true or false, got {shown(value)}")
    return value


def _kinds() -> list[str]:
    """Every kind of object that can be put on a map."""
    meshes = assets.data_folder() / "meshes"
    signs = {path.stem for path in meshes.rglob("sign_*.png")}
    others = {path.stem for path in meshes.rglob("*.obj") if not path.stem.startswith("sign")}
    return ["floor_tag", *sorted(others), *sorted(signs)]


def _scale(where: str, desc: dict[str, Any], high: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    """How much the mesh is enlarged; a height is divided in float32, as upstream does."""
    if "height" in desc and "scale" in desc:
        raise MapError(f"{where}: expected height or scale, got both; take one away")
    key = "height" if "height" in desc else "scale"
    value = number_between(desc.get(key, 1.0), *OBJECT_SIZES, f"{where}: {key}")
    return float(np.float32(value) / high[1]) if key == "height" else value


def _start(
    path: Path, data: dict[str, Any], grid: tuple[int, int], tiles: tuple[Tile | None, ...]
) -> tuple[tuple[int, int] | None, tuple[float, float, float] | None]:
    """The start tile and pose of the file; a tile outside the grid counts as none, as upstream."""
    tile, pose = data.get("start_tile"), data.get("start_pose")
    start_tile = None
    if tile is not None:
        if not (isinstance(tile, list) and len(tile) == 2 and all(type(v) is int for v in tile)):
            raise MapError(f"{path}: start_tile: expected [column, row], got {shown(tile)}")
        i, j = tile
        inside = 0 <= i < grid[0] and 0 <= j < grid[1] and tiles[j * grid[0] + i] is not None
        start_tile = (i, j) if inside else None
    if pose is None:
        return start_tile, None
    where = f"{path}: start_pose"
    if not (isinstance(pose, list) and len(pose) == 2 and isinstance(pose[0], list) and len(pose[0]) == 3):
        raise MapError(f"{where}: expected [[x, y, z], heading], got {shown(pose)}")
    values = (pose[0][0], pose[0][2], pose[1])
    x, z, heading = (number_between(value, -FARTHEST, FARTHEST, where) for value in values)
    return start_tile, (x, z, heading)
