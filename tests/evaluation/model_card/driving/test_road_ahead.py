"""What lies ahead of a car."""

import math

import numpy as np

from dreamduck.evaluation.model_card.driving.road_ahead import CROSSING, LEFT, RIGHT, STRAIGHT, road_ahead
from dreamduck.recordings.plan import RecorderConfig
from dreamduck.recordings.recorder import MapRecorder
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.road import RoadConfig


def poses(map_name, kind):
    """A car in the middle of each lane of each tile of a kind, along the lane."""
    found = []
    for tile in load_map(map_name).drivable_tiles:
        if tile.kind.startswith(kind):
            for curve in tile.curves:
                direction = curve[1] - curve[0]
                found.append([*(curve[0] + 0.02 * direction), math.atan2(-direction[1], direction[0])])
    return np.array(found)


def classes(map_name, where):
    found = road_ahead(map_name, where)
    assert found is not None
    return found.tolist()


def test_a_crossing_is_seen_from_its_border():
    assert set(classes("udem1", poses("udem1", "3way"))) == {CROSSING}


def test_the_side_of_a_curve_ahead():
    assert set(classes("loop_empty", poses("loop_empty", "curve"))) == {LEFT, RIGHT}


def test_the_recorded_car_turns_where_a_turn_is_ahead():
    """The expert's turning over the next second has the side of what is ahead."""
    recorder = MapRecorder(
        RecorderConfig(road=RoadConfig(), policies=("expert",), max_frames=120, any_start=0.0),
        "loop_empty",
        4,
    )
    for _, episode in recorder.run(range(4)):
        assert episode.telemetry is not None
        ahead = np.array(classes("loop_empty", episode.telemetry[:, 3:6]))
        turned = np.angle(np.exp(1j * (episode.telemetry[15:, 5] - episode.telemetry[:-15, 5])))
        for side, sign in ((LEFT, 1), (RIGHT, -1)):
            here = ahead[:-15] == side
            if here.sum() > 10:
                assert sign * turned[here].mean() > 0.15
    recorder.close()


def test_no_lane_and_no_map():
    assert classes("loop_empty", [[-5.0, -5.0, 0.0], [math.nan] * 3]) == [-1, -1]
    assert road_ahead("no_such_map", [[0.0, 0.0, 0.0]]) is None
    assert STRAIGHT == 0
