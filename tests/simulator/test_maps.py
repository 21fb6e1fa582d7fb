import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from dreamduck.errors import DependencyError, MapError
from dreamduck.simulator import assets
from dreamduck.simulator.maps import DUCKIE, DUCKIEBOT, TRAFFICLIGHT, load_map

GOOD = """
tile_size: 0.5
tiles:
- [curve_left/W, straight/W, curve_left/N]
- [straight/S, empty, straight/N]
- [curve_left/S, straight/E, curve_left/E]
objects:
  duck:
    kind: duckie
    pos: [1.5, 1.5]
    rotate: 30
    height: 0.06
"""


def write(folder, text, name="own.yaml"):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", [n for n in assets.map_names() if n != "field1"])
def test_every_map_loads(name):
    found = load_map(name)
    assert found.name == name
    assert found.drivable_tiles or found.start_pose
    assert len(found.tiles) == found.width * found.height
    for tile in found.drivable_tiles:
        ends = tile.curves[:, [0, -1]] / found.tile_size - (tile.i + 0.5, tile.j + 0.5)
        # A lane begins and ends on the edge of its tile, right of its middle.
        np.testing.assert_allclose(np.abs(ends).max(axis=2), 0.5, atol=1e-9)
        np.testing.assert_allclose(np.abs(ends).min(axis=2), 0.2, atol=1e-9)


def test_a_map_without_a_road_is_refused():
    with pytest.raises(MapError, match=r"field1\.yaml: expected at least one drivable tile"):
        load_map("field1")


def test_what_is_on_the_maps():
    dyn = load_map("loop_dyn_duckiebots")
    assert [thing.behaviour for thing in dyn.objects].count(DUCKIEBOT) == 1
    assert dyn.moving_objects == [7]
    assert [load_map("loop_pedestrians").objects[k].behaviour for k in (6, 7)] == [DUCKIE, DUCKIE]
    assert load_map("4way").objects[0].behaviour == TRAFFICLIGHT
    assert load_map("4way").traffic_lights == [0]
    robotarium = load_map("robotarium1")
    assert all(thing.kind != "floor_tag" for thing in robotarium.objects)
    assert all(thing.texture is not None for thing in robotarium.objects if thing.kind.startswith("sign"))
    assert load_map("MOOC_modcon").start_tile == (2, 2)
    assert load_map("straight_road_down").start_tile is None, "it lies outside the grid"


def test_a_path_will_do(tmp_path):
    path = write(tmp_path, GOOD)
    found = load_map(str(path))
    assert (found.name, found.path, found.tile_size) == ("own", path, 0.5)
    assert found.tile(1, 1) is None
    assert found.tile(3, 0) is None
    side = found.tile(0, 1)
    assert side is not None
    assert side.kind == "straight"
    duck = found.objects[0]
    assert duck.scale * duck.high[1] == pytest.approx(0.06)
    # As upstream: `pos` is counted from the bottom, by the number of columns.
    np.testing.assert_allclose(duck.pos, (0.75, 0, 1.25))
    assert duck.angle == pytest.approx(-np.pi / 6)


def test_a_changed_file_is_read_again(tmp_path):
    import os

    path = write(tmp_path, GOOD)
    assert load_map(str(path)).tile_size == 0.5
    write(tmp_path, GOOD.replace("0.5", "0.6", 1))
    os.utime(path, ns=(1, 1))
    assert load_map(str(path)).tile_size == 0.6


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("straight/W", "motorway/W", "row 0, column 1: expected a tile of empty, .*straight.*'motorway/W'"),
        ("straight/W", "straight/X", "row 0, column 1: expected a direction of S, E, N, W"),
        ("straight/W", 300 * "a", r"row 0, column 1: expected a tile of .*; got 'aaa.*\.\.\..*aaa'$"),
        ("straight/W", "7", "row 0, column 1: expected a text, got 7"),
        ("curve_left/W, ", "", "row 1: expected 2 tiles as in row 0, got 3"),
        ("tile_size: 0.5", "tile_size: -1", r"tile_size \[m\]: expected 0.1 to 10, got -1"),
        ("tile_size: 0.5", "tile_size: 1.0e-300", r"tile_size \[m\]: expected 0.1 to 10"),
        (
            "tile_size: 0.5",
            "tile_size: 1" + 400 * "0",
            r"tile_size \[m\]: expected a finite number, got 1000",
        ),
        ("tile_size: 0.5", "tile_size: 1" + 5000 * "0", "expected a map in YAML .*4300 digits"),
        ("tile_size: 0.5", "tile_size: 2020-99-99", "expected a map in YAML .*month"),
        ("tile_size: 0.5", "tile_size: 2020-01-01", "expected a finite number, got datetime"),
        ("tile_size: 0.5", "size: 0.5", r"tile_size \[m\]: expected a finite number, got None"),
        ("tile_size: 0.5", "tile_size: [", "expected a map in YAML .*line"),
        ("kind: duckie", "kind: dragon", r"objects, duck: kind: expected one of .*duckie.*'dragon'"),
        ("kind: duckie", "kind: sign_dragon", "objects, duck: kind: expected one of .*sign_stop"),
        ("kind: duckie", "colour: red", "objects, duck: expected a mapping with a kind"),
        ("kind: duckie", f"kind: {5000 * 'd'}", "objects, duck: kind: expected one of .*; got 'ddd"),
        (
            "kind: duckie",
            "kind: duckie\n    static: 'false'",
            "objects, duck: static: expected true or false",
        ),
        (
            "kind: duckie",
            "kind: duckie\n    optional: 1",
            "objects, duck: optional: expected true or false",
        ),
        ("kind: duckie", "kind: cone\n    static: false", "objects, duck: static: only duckiebot, duckie"),
        ("kind: duckie", "kind: duckiebot\n    color: pink", "objects, duck: color: expected one of green"),
        (
            "kind: duckie",
            "kind: duckiebot\n    color: [1, 2]",
            "objects, duck: color: expected one of green",
        ),
        ("pos: [1.5, 1.5]", "5: 3", "objects, duck: expected one of pos, pose, place, attach"),
        (
            "pos: [1.5, 1.5]",
            "pos: [1.0e+30, 0]",
            "objects, duck: expected a place within 10000 m, got x 5e.29 m",
        ),
        ("pos: [1.5, 1.5]", "pos: [1.5]", "objects, duck: pos: expected a list of 2 numbers"),
        ("pos: [1.5, 1.5]", "pos: [1.5, .nan]", "objects, duck: pos: expected a finite number"),
        ("pos: [1.5, 1.5]", "where: here", "objects, duck: expected one of pos, pose, place, attach"),
        ("pos: [1.5, 1.5]", "pose: [0, 0]", "objects, duck: pose: expected a mapping with ~SE2Transform"),
        ("pos: [1.5, 1.5]", "attach: {tile: [0, 0], slot: 9}", "attach, slot: expected 0 to 7"),
        ("height: 0.06", "height: 0.06\n    scale: 2", "objects, duck: expected height or scale, got both"),
        ("height: 0.06", "height: 0", "objects, duck: height: expected 0.001 to 100, got 0"),
        ("height: 0.06", "scale: 1.0e+39", "objects, duck: scale: expected 0.001 to 100"),
        ("objects:", "start_tile: here\nobjects:", r"start_tile: expected \[column, row\]"),
        ("objects:", "start_tile: [yes, no]\nobjects:", r"start_tile: expected \[column, row\]"),
        ("objects:", "start_pose: [[1.0e+300, 0, 0], 0]\nobjects:", "start_pose: expected -10000 to 10000"),
        ("objects:", "start_pose: 3\nobjects:", r"start_pose: expected \[\[x, y, z\], heading\]"),
        (GOOD, "- just a list", "expected a mapping with tiles and tile_size, got \\['just a list'\\]"),
        (GOOD, "", "expected a mapping with tiles and tile_size, got an empty file"),
        (GOOD, "tile_size: 1\ntiles: [[empty, floor]]", "expected at least one drivable tile"),
        (GOOD, "tile_size: 1\ntiles: &a [*a]", "row 0, column 0: expected a text"),
        (GOOD, "tile_size: 1\ntiles: 3", "tiles: expected a list of rows"),
        (GOOD, "tile_size: 1\ntiles: []", "tiles: expected a list of rows"),
    ],
)
def test_bad_files_are_named(tmp_path, old, new, told):
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(MapError, match=told) as caught:
        load_map(str(path))
    assert str(caught.value).startswith(str(path))


LISTS = "\n".join(f"l{k}: &l{k} [{', '.join(9 * [f'*l{k - 1}'])}]" for k in range(1, 12))
ROW = "- &row [" + ", ".join(101 * ["floor"]) + "]\n"
THING = "- &thing {kind: duckie, pos: [1, 1], height: 0.1}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "tiles: " + 100_000 * "[" + 100_000 * "]",
            "at most 50 lists and mappings .*line 1, column",
        ),
        (100_000 * "{a: ", "at most 50 lists and mappings .*line 1, column"),
        (f"l0: &l0 x\n{LISTS}\ntile_size: 1\ntiles: [[*l11]]", "row 0, column 0: expected a text"),
        (f"l0: &l0 x\n{LISTS}\ntile_size: *l11", r"tile_size \[m\]: expected a finite number"),
        (
            f"l0: &l0 x\n{LISTS}\n{GOOD.replace('kind: duckie', 'like: *l11')}",
            "duck: expected a mapping with a kind",
        ),
        (
            f"tile_size: 1\ntiles:\n{ROW}" + 10_000 * "- *row\n",
            "expected at most 10000 tiles, got 101 x 10001",
        ),
        (
            GOOD.partition("  duck")[0] + THING + 2000 * "- *thing\n",
            "objects: expected at most 2000, got 2001",
        ),
        ("#" + 4_000_000 * "x", "expected a map of at most 4000000 bytes"),
    ],
)
def test_a_few_bytes_cannot_fill_the_memory(tmp_path, text, told):
    path = write(tmp_path, text)
    with pytest.raises(MapError, match=told) as caught:
        load_map(str(path))
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 2000


def test_binary_files_are_refused(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(MapError, match="expected a map in YAML"):
        load_map(str(path))


@pytest.mark.parametrize(
    "name",
    ["nowhere", "nowhere.yaml", "../maps/loop_empty", "", 5000 * "a", f"{5000 * 'a'}.yaml", "a\0.yaml"],
)
def test_unknown_maps(name):
    with pytest.raises(MapError, match=r"expected a path to a \.yaml file or one of .*loop_empty"):
        load_map(name)


def test_objects_in_a_list(tmp_path):
    text = GOOD.replace("  duck:\n    kind", "  - kind").replace("    pos", "    pos")
    assert [thing.name for thing in load_map(str(write(tmp_path, text))).objects] == ["0"]


def test_missing_data_is_told(monkeypatch):
    monkeypatch.setattr(assets, "PACKAGE", "no_such_duckietown_world")
    assets.data_folder.cache_clear()
    try:
        with pytest.raises(DependencyError, match="pip install duckietown-world-daffy"):
            assets.data_folder()
    finally:
        assets.data_folder.cache_clear()


def test_damaged_data_is_told(monkeypatch, tmp_path):
    for part in ("maps", "meshes", "textures"):
        (tmp_path / "broken_duckietown_world" / "data" / "gd1" / part).mkdir(parents=True)
    (tmp_path / "broken_duckietown_world" / "__init__.py").write_text(
        "raise SystemExit('not to be imported')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(assets, "PACKAGE", "broken_duckietown_world")
    assets.data_folder.cache_clear()
    try:
        with pytest.raises(DependencyError, match=r"tiles-processed/photos missing; .*--force-reinstall"):
            load_map("loop_empty")
    finally:
        assets.data_folder.cache_clear()


def test_upstream_is_not_imported():
    code = (
        "import sys; from dreamduck.simulator.maps import load_map; load_map('robotarium1');"
        "bad = {'duckietown_world', 'gym_duckietown', 'geometry', 'pyglet'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_maps_are_not_to_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_map("loop_empty").__setattr__("tile_size", 1.0)
