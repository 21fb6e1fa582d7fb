import math

import numpy as np
import pytest

from dreamduck.simulator.maps.lanes import (
    bezier_closest,
    bezier_point,
    bezier_tangent,
    closest_curve_point,
    lane_position,
    map_lanes,
    tile_index,
)
from dreamduck.simulator.maps.parser import load_map

LOOP = map_lanes(load_map("loop_empty"))
SIZE = 0.585


def at(i, j, heading):
    """A pose in tile sizes."""
    return lane_position(LOOP, i * SIZE, j * SIZE, heading)


def test_right_is_positive():
    # Tile (3, 5) is a straight along x; the lane along +x lies at 0.7 of its height.
    found, distance, angle, along, tx, tz = at(3.5, 5.75, 0.1)
    assert found
    assert distance == pytest.approx(0.05 * SIZE)
    assert angle == pytest.approx(-0.1)
    assert along == pytest.approx(math.cos(0.1))
    assert (tx, tz) == pytest.approx((1, 0))
    assert at(3.5, 5.65, -0.1)[1:3] == pytest.approx((-0.05 * SIZE, 0.1))


def test_the_lane_follows_the_heading():
    _, there, _, _, tx, _ = at(3.5, 5.5, 0.0)
    _, back, _, _, other, _ = at(3.5, 5.5, math.pi)
    assert there == pytest.approx(-0.2 * SIZE)
    assert back == pytest.approx(-0.2 * SIZE)
    assert (tx, other) == pytest.approx((1, -1))


@pytest.mark.parametrize("place", [(0.5, 0.5), (-3.0, 1.0), (3.5, 100.0), (3.5, -0.001)])
def test_no_lane_beside_the_road(place):
    assert tile_index(LOOP, place[0] * SIZE, place[1] * SIZE) == -1
    found, *rest = at(place[0], place[1], 0.0)
    assert not found
    assert np.isnan(rest).all()
    assert not closest_curve_point(LOOP, place[0] * SIZE, place[1] * SIZE, 0.0)[0]


def test_curves_are_bezier_curves():
    for curve in range(len(LOOP.points)):
        points = LOOP.points[curve]
        assert bezier_point(LOOP.points, curve, 0.0) == pytest.approx(tuple(points[0]))
        assert bezier_point(LOOP.points, curve, 1.0) == pytest.approx(tuple(points[3]))
        before, after = (np.array(bezier_point(LOOP.points, curve, t)) for t in (0.4999, 0.5001))
        direction = (after - before) / np.linalg.norm(after - before)
        assert bezier_tangent(LOOP.points, curve, 0.5) == pytest.approx(tuple(direction), abs=1e-6)


def test_the_search_finds_points_of_the_curve():
    for curve in range(len(LOOP.points)):
        for t in (0.1, 0.37, 0.8):
            x, z = bezier_point(LOOP.points, curve, t)
            assert bezier_closest(LOOP.points, curve, x, z) == pytest.approx(t, abs=0.1)


def test_lanes_join():
    """Where a lane of a loop ends, exactly one of the next tile begins."""
    starts = LOOP.points[:, 0]
    for curve in range(len(LOOP.points)):
        gaps = np.linalg.norm(starts - LOOP.points[curve, 3], axis=1)
        assert (gaps < 1e-9).sum() == 1
