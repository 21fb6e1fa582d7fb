"""Generated maps: legal and varied, for every number."""

import hashlib
from collections import Counter

import gymnasium
import numpy as np
import pytest

from dreamduck.common.errors import MapError
from dreamduck.simulator.base import SimulatorConfig
from dreamduck.simulator.maps.generated import MAX_NUMBER, expand_map_names, map_text
from dreamduck.simulator.maps.map import DUCKIE, DUCKIEBOT, STATIC
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.maps.road_network import connected
from dreamduck.simulator.native import NativeSimulator
from dreamduck.simulator.physics.collisions import object_corners
from tests.simulator.test_expert import drive

NUMBERS = range(200)
SIDES = {"S": (0, 1), "E": (1, 0), "N": (0, -1), "W": (-1, 0)}
# Of the maps 0 to 199. Recordings and reports name maps by number: a change needs a line in CHANGELOG.md.
DIGEST = "4d13a5de8a608060e163cbb47823c60e820dc66122618093188c96861f4fda62"


@pytest.fixture(scope="module")
def maps():
    return [load_map(f"generated:{number}") for number in NUMBERS]


def ends(tile, which):
    return {tuple(np.round(curve[which], 6)) for curve in tile.curves}


def neighbours(road, tile):
    found = {side: road.tile(tile.i + di, tile.j + dj) for side, (di, dj) in SIDES.items()}
    return {side: other for side, other in found.items() if other is not None and other.drivable}


def beside_road(thing):
    return thing.optional or thing.kind == "trafficlight"


def is_clean(road):
    """Whether nothing is in the way of a car."""
    return all(beside_road(thing) for thing in road.objects)


def test_every_road_is_one(maps):
    for road in maps:
        assert connected({(tile.i, tile.j) for tile in road.drivable_tiles}), road.path


def test_every_lane_continues_in_the_next_tile_or_is_a_dead_end(maps):
    for road in maps:
        for tile in road.drivable_tiles:
            around = list(neighbours(road, tile).values())
            into, out = (
                set().union(*(ends(t, 0) for t in around)),
                set().union(*(ends(t, -1) for t in around)),
            )
            joined = len(ends(tile, -1) & into), len(ends(tile, 0) & out)
            sides = len(ends(tile, 0))
            assert len(around) == joined[0] == joined[1], (road.path, tile.i, tile.j)
            assert len(around) == sides or (tile.kind == "straight" and len(around) == 1)


def test_things_beside_the_road_are_beside_it(maps):
    for road in maps:
        for thing in road.objects:
            if beside_road(thing) and thing.kind != "trafficlight":
                for x, z in object_corners(thing) / road.tile_size:
                    assert not road.tile(int(np.floor(x)), int(np.floor(z))).drivable, (
                        road.path,
                        thing.name,
                    )


def test_what_moves_can_move_on_the_road(maps):
    for road in maps:
        for thing in road.objects:
            if thing.behaviour == DUCKIEBOT:
                i, j = (int(place // road.tile_size) for place in thing.pos[[0, 2]])
                assert road.tile(i, j).kind == "straight"
            if thing.behaviour == DUCKIE:
                middle = thing.pos[[0, 2]] + road.tile_size / 2 * np.array(
                    [np.cos(thing.angle), -np.sin(thing.angle)]
                )
                tile = road.tile(*(int(place // road.tile_size) for place in middle))
                assert tile.kind == "straight", (road.path, thing.name)
                assert np.allclose(middle, (np.array([tile.i, tile.j]) + 0.5) * road.tile_size, atol=1e-3)


def test_a_car_can_start_everywhere(maps):
    for number in NUMBERS[::16]:
        simulator = NativeSimulator(SimulatorConfig(map_name=f"generated:{number}"), 20, threads=1)
        state = simulator.reset(range(20))
        assert not np.isnan(state.lane_dist).any(), number


def survivors(number, cars):
    return drive(f"generated:{number}", cars).survival_time > 59.9


def test_the_expert_stays_on_clean_ones_for_a_minute(maps):
    clean = [number for number in NUMBERS if is_clean(maps[number])]
    assert all(survivors(number, 8).all() for number in clean[::12])


@pytest.mark.slow
def test_the_expert_stays_on_all_clean_ones(maps):
    clean = [number for number in NUMBERS if is_clean(maps[number])]
    found = {number: survivors(number, 25).mean() for number in clean}
    assert np.mean(list(found.values())) > 0.995
    assert min(found.values()) > 0.9, found


def test_they_differ_in_everything(maps):
    kinds = Counter(tile.kind for road in maps for tile in road.drivable_tiles)
    assert min(kinds[kind] for kind in ("straight", "curve_left", "curve_right", "3way_left", "4way")) > 20
    assert len({map_text(number) for number in NUMBERS}) == len(NUMBERS)
    layouts = {tuple((t.i, t.j) for t in road.drivable_tiles) for road in maps}
    assert len(layouts) > 0.7 * len(maps)

    def share(test):
        return np.mean([test(road) for road in maps])

    def has(road, kind):
        return any(tile.kind.startswith(kind) for tile in road.drivable_tiles)

    dead_ends = share(lambda m: any(len(neighbours(m, t)) == 1 for t in m.drivable_tiles))
    assert 0.2 < share(lambda m: has(m, "3way")) < 0.8
    assert 0.1 < share(lambda m: has(m, "4way")) < 0.6
    assert 0.03 < dead_ends < 0.3
    assert 0.4 < share(is_clean) < 0.8
    for behaviour in (DUCKIE, DUCKIEBOT):
        assert 0.05 < share(lambda m, b=behaviour: any(o.behaviour == b for o in m.objects)) < 0.3
    assert share(lambda m: any(o.behaviour == STATIC and not o.optional for o in m.objects)) > 0.1
    sizes = [len(road.drivable_tiles) for road in maps]
    assert min(sizes) <= 10
    assert max(sizes) >= 30


def test_a_number_keeps_its_map():
    text = "".join(map_text(number) for number in NUMBERS)
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST


def test_a_damaged_file_is_written_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = load_map("generated:3").path
    assert path.is_relative_to(tmp_path)
    path.write_text("tiles: []")
    assert load_map("generated:3").path.read_text() == map_text(3)


def test_where_the_cache_cannot_be_written_it_lies_among_temporary_files(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert load_map("generated:3").path.is_relative_to(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(MapError, match="set XDG_CACHE_HOME"):
        load_map("generated:3")


def test_lists_of_them_are_short():
    last = f"generated:{MAX_NUMBER}"
    assert expand_map_names([f"generated:{MAX_NUMBER}-{MAX_NUMBER}"]) == (last,)
    assert expand_map_names(["loop_empty", "generated:2"]) == ("loop_empty", "generated:0", "generated:1")
    assert expand_map_names(["generated:7-9"]) == ("generated:7", "generated:8", "generated:9")
    assert expand_map_names(["generated:7-7"]) == ("generated:7",)


@pytest.mark.parametrize(
    "name", ["generated:", "generated:0", "generated:9-7", "generated:x", "generated:0-999999"]
)
def test_bad_lists_are_refused(name):
    with pytest.raises(MapError, match="first 200"):
        expand_map_names([name])


@pytest.mark.parametrize(
    "name", ["generated:", "generated:-1", "generated:1.5", "generated:2147483648", "generated:1-2"]
)
def test_bad_numbers_are_refused(name):
    with pytest.raises(MapError, match="with a number from 0"):
        load_map(name)


def test_it_is_a_map_as_any_other():
    env = gymnasium.make("DreamDuck-v0", map_name="generated:17")
    observation, _ = env.reset(seed=0)
    assert observation.shape == (64, 64, 3)
    env.close()
