import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest

from dreamduck.common.errors import DependencyError, MapError
from dreamduck.simulator.base import SimulatorConfig
from dreamduck.simulator.maps import assets, obj_file
from dreamduck.simulator.maps.map import DUCKIE, DUCKIEBOT, TRAFFICLIGHT
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.render.models import meshes
from dreamduck.simulator.render.models.textures import load_image

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
    assert [load_map("loop_pedestrians").objects[k].behaviour for k in (6, 7)] == [DUCKIE, DUCKIE]
    assert load_map("4way").objects[0].behaviour == TRAFFICLIGHT
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
    ("old", "new", "message"),
    [
        ("straight/W", "motorway/W", "row 0, column 1: expected a tile of empty, .*straight.*'motorway/W'"),
        ("straight/W", "straight/X", "row 0, column 1: expected a direction of S, E, N, W"),
        ("straight/W", 300 * "a", r"row 0, column 1: expected a tile of .*; got 'aaa.*\.\.\..*aaa'$"),
        ("straight/W", "7", "row 0, column 1: expected a string, got 7"),
        ("curve_left/W, ", "", "row 1: expected 2 tiles as in row 0, got 3"),
        ("tile_size: 0.5", "tile_size: -1", r"tile_size \[m\]: expected 0.1 to 10, got -1"),
        ("tile_size: 0.5", "tile_size: 1.0e-300", r"tile_size \[m\]: expected 0.1 to 10"),
        (
            "tile_size: 0.5",
            f"tile_size: 1{5000 * '0'}",
            "line 2: expected a number of at most 100 characters",
        ),
        ("tile_size: 0.5", "tile_size: 2020-99-99", "expected a map in YAML .*month"),
        ("tile_size: 0.5", "tile_size: 2020-01-01", "expected a finite number, got datetime.date"),
        ("tile_size: 0.5", "size: 0.5", "expected tile_size, found none; write, .*tile_size: 0.585"),
        ("tile_size: 0.5", "tile_size:", "expected tile_size, found none; write, .*tile_size: 0.585"),
        ("tile_size: 0.5", "tile_size: !!int ''", "expected a map in YAML"),
        ("tile_size: 0.5", "tile_size: !!bool perhaps", "expected a map in YAML"),
        ("tile_size: 0.5", "tile_size: !!python/name:os.system ''", "constructor for the tag .*line 2"),
        ("tile_size: 0.5", "tile_size: !yards {a: 1}", "constructor for the tag '!yards'.*line 2"),
        ("tile_size: 0.5", "tile_size: *size", "undefined alias.*line 2"),
        ("tile_size: 0.5", "? [1]\n: 2", "unhashable key.*line 2"),
        ("tile_size: 0.5", "<<: 3", "expected a mapping or list of mappings for merging.*line 2"),
        ("tile_size: 0.5", "tile_size: 1:30", r"tile_size \[m\]: expected 0.1 to 10, got 90"),
        ("objects:", "---\nobjects:", "expected a single document.*line 7"),
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
        (GOOD, "tile_size: 1\ntiles: &a [*a]", r"line 2: expected a value, got \*a, which holds itself"),
        (
            GOOD,
            "version: '1.0'\ntiles: {map_0/tile_0_0: {i: 0, j: 0}}",
            "got the Duckiematrix's, in layers",
        ),
        (GOOD, "main: {frames: frames.yaml}", "got the Duckiematrix's, in layers; write, for example"),
        (GOOD, "tile_size: 1", "expected tiles, found none; write, for example"),
        (GOOD, "tile_size: 1\ntiles: 3", "tiles: expected a list of rows"),
        (GOOD, "tile_size: 1\ntiles: []", "tiles: expected a list of rows"),
    ],
)
def test_bad_files_are_named(tmp_path, old, new, message):
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(MapError, match=message) as caught:
        load_map(str(path))
    assert str(caught.value).startswith(str(path))


LISTS = "\n".join(f"l{k}: &l{k} [{', '.join(9 * [f'*l{k - 1}'])}]" for k in range(1, 12))
WIDE = ", ".join(f"k{k}: 0" for k in range(1000))
MERGES = f"m0: &m0 {{{WIDE}}}\n" + "\n".join(
    f"m{k}: &m{k} {{<<: [{', '.join(30 * [f'*m{k - 1}'])}], own{k}: 0}}" for k in range(1, 12)
)
ROW = "- &row [" + ", ".join(101 * ["floor"]) + "]\n"
THING = "- &thing {kind: duckie, pos: [1, 1], height: 0.1}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "tiles: " + 100_000 * "[" + 100_000 * "]",
            "line 1: expected at most 20 levels of lists and mappings",
        ),
        (100_000 * "{a: ", "line 1: expected at most 20 levels of lists and mappings"),
        (f"l0: &l0 x\n{LISTS}\n{GOOD}", "line 7: expected at most 100000 elements, got more"),
        (
            f"tile_size: 1\ntiles:\n{ROW}" + 100 * "- *row\n",
            "expected at most 10000 tiles, got 101 x 101",
        ),
        (
            GOOD.partition("  duck")[0] + THING + 2000 * "- *thing\n",
            "objects: expected at most 2000, got 2001",
        ),
        ("#" + 1_000_000 * "x", "expected at most 1000000 bytes, got 1000001"),
        (f"a: [{', '.join(100_001 * 'x')}]", "line 1: expected at most 100000 elements, got more"),
        (
            f"{MERGES}\ntiles: []\ntile_size: 0.585",
            "line [0-9]+: expected at most 100000 elements, got more",
        ),
        (f"tile_size: {':'.join(90_000 * ['59'])}", "line 1: expected a number of at most 100 characters"),
        (f"tile_size: 0x{900_000 * 'f'}", "line 1: expected a number of at most 100 characters"),
    ],
)
def test_a_few_bytes_cannot_fill_the_memory(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(MapError, match=message) as caught:
        load_map(str(path))
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 2000


def test_binary_files_are_refused(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(MapError, match="not a text file"):
        load_map(str(path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *((name, "a path to a .yaml file or one of") for name in ("nowhere", "../maps/loop_empty", "")),
        (5000 * "a", "a path to a .yaml file or one of"),
        *((name, "a map file, found none at") for name in ("nowhere.yaml", "~/nowhere.yaml", "a\0.yaml")),
        (f"{5000 * 'a'}.yml", "a map file, found none at"),
    ],
)
def test_unknown_maps(name, message):
    with pytest.raises(MapError, match=f"map_name: expected {message} .*loop_empty"):
        load_map(name)


def test_the_home_folder_and_paths(tmp_path, monkeypatch):
    path = write(tmp_path, GOOD)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_map("~/own.yaml").path == path
    assert load_map(path).path == path
    assert SimulatorConfig(map_name=path).map_name == str(path)
    assert SimulatorConfig(map_name=path) == SimulatorConfig(map_name=str(path))


def test_a_folder_named_like_an_installed_map_is_not_it(tmp_path, monkeypatch):
    (tmp_path / "udem1").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_map("udem1").name == "udem1"


@pytest.mark.parametrize(
    ("kind", "message"), [("pipe", "a pipe"), ("folder", "a folder"), ("/dev/zero", "a device")]
)
@pytest.mark.parametrize(
    "reader",
    [
        load_map,
        load_image,
        lambda path: meshes.load_mesh(path.stem),
        lambda path: obj_file.mesh_extent(path.stem),
    ],
)
def test_what_is_no_file_is_refused(tmp_path, monkeypatch, kind, message, reader):
    path = tmp_path / f"{kind.strip('/').replace('/', '-')}.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(kind)
    monkeypatch.setattr(assets, "_resources", lambda: {f"{path.stem}.obj": path})
    with pytest.raises(MapError, match=rf"{path.name}: .*expected a file, got {message}"):
        reader(path)


def refusal(path):
    """What a map file is refused with, or None."""
    try:
        load_map(path)
    except MapError as err:
        return str(err)
    return None


def test_the_largest_map_loads(tmp_path):
    row = ", ".join(100 * ["straight/E"])
    thing = "- {kind: duckie, pos: [1.5, 1.5], rotate: 30, height: 0.06, optional: true, static: false}\n"
    text = "tile_size: 0.5\ntiles:\n" + 100 * f"- [{row}]\n" + "objects:\n" + 2000 * thing
    found = load_map(write(tmp_path, text))
    assert (len(found.tiles), len(found.objects)) == (10_000, 2_000)


def test_damaged_maps_are_refused_in_words(tmp_path):
    """Whatever happens to a map file, it loads or is refused by `MapError`, naming the file."""
    random = np.random.default_rng(0)
    texts = [assets.map_path(name).read_bytes() for name in ("4way", "loop_pedestrians", "udem1")]
    pieces = [
        b"!!int ''",
        b"&a",
        b"*a",
        b"<<",
        b"[",
        b"{",
        b"- ",
        b": ",
        b"\0",
        b"\xff",
        b"\n---\n",
        b"!!x",
    ]
    refused = 0
    for k in range(600):
        text = bytearray(texts[k % len(texts)])
        for _ in range(int(random.integers(1, 4))):
            at = int(random.integers(len(text)))
            piece = pieces[int(random.integers(len(pieces)))]
            text[at : at + int(random.integers(0, 30))] = piece * int(random.integers(0, 3))
        path = tmp_path / f"{k}.yaml"
        path.write_bytes(text)
        message = refusal(path)
        refused += message is not None
        assert message is None or (str(path) in message and "\n" not in message)
    assert 100 < refused < 600


def test_objects_in_a_list(tmp_path):
    text = GOOD.replace("  duck:\n    kind", "  - kind").replace("    pos", "    pos")
    assert [thing.name for thing in load_map(str(write(tmp_path, text))).objects] == ["0"]


def test_damaged_data_is_reported(monkeypatch, tmp_path):
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
        "import sys; from dreamduck.simulator.maps.parser import load_map; load_map('robotarium1');"
        "bad = {'duckietown_world', 'gym_duckietown', 'geometry', 'pyglet'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_maps_are_not_to_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_map("loop_empty").__setattr__("tile_size", 1.0)
