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
        ("straight/W", "7", "row 0, column 1: expected a text, got 7"),
        ("curve_left/W, ", "", "row 1: expected 2 tiles as in row 0, got 3"),
        ("tile_size: 0.5", "tile_size: -1", "tile_size: expected more than 0"),
        ("tile_size: 0.5", "size: 0.5", r"tile_size \[m\]: expected a finite number, got None"),
        ("tile_size: 0.5", "tile_size: [", "expected a map in YAML .*line"),
        ("kind: duckie", "kind: dragon", r"objects, duck: kind: expected one of .*duckie.*'dragon'"),
        ("kind: duckie", "kind: sign_dragon", "objects, duck: kind: expected one of .*sign_stop"),
        ("kind: duckie", "colour: red", "objects, duck: expected a mapping with a kind"),
        ("kind: duckie", "kind: cone\n    static: false", "objects, duck: static: only duckiebot, duckie"),
        ("kind: duckie", "kind: duckiebot\n    color: pink", "objects, duck: color: expected one of green"),
        ("pos: [1.5, 1.5]", "pos: [1.5]", "objects, duck: pos: expected a list of 2 numbers"),
        ("pos: [1.5, 1.5]", "pos: [1.5, .nan]", "objects, duck: pos: expected a finite number"),
        ("pos: [1.5, 1.5]", "where: here", "objects, duck: expected one of pos, pose, place, attach"),
        ("pos: [1.5, 1.5]", "pose: [0, 0]", "objects, duck: pose: expected a mapping with ~SE2Transform"),
        ("pos: [1.5, 1.5]", "attach: {tile: [0, 0], slot: 9}", "attach, slot: expected 0 to 7"),
        ("height: 0.06", "height: 0.06\n    scale: 2", "objects, duck: expected height or scale, got both"),
        ("height: 0.06", "height: 0", "objects, duck: height: expected more than 0"),
        ("objects:", "start_tile: here\nobjects:", r"start_tile: expected \[column, row\]"),
        ("objects:", "start_pose: 3\nobjects:", r"start_pose: expected \[\[x, y, z\], heading\]"),
        (GOOD, "- just a list", "expected a mapping with tiles and tile_size, got list"),
        (GOOD, "tile_size: 1\ntiles: 3", "tiles: expected a list of rows"),
        (GOOD, "tile_size: 1\ntiles: []", "tiles: expected a list of rows"),
    ],
)
def test_bad_files_are_named(tmp_path, old, new, told):
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(MapError, match=told) as caught:
        load_map(str(path))
    assert str(caught.value).startswith(str(path))


def test_binary_files_are_refused(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(MapError, match="expected a map in YAML"):
        load_map(str(path))


@pytest.mark.parametrize("name", ["nowhere", "nowhere.yaml", "../maps/loop_empty", ""])
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
