import numpy as np
import pytest

from dreamduck.common.errors import ConfigError
from dreamduck.evaluation.policies import DriveStraight, PurePursuit
from dreamduck.figures.real_drive import Commanded, drive, enlarge, recorded_drives
from dreamduck.recordings import Episode, write_episode
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.road import RoadConfig

CONFIG = RoadConfig()


def test_a_drive_has_one_picture_a_frame_and_ends_with_its_episode():
    still, straight = drive(DriveStraight(), CONFIG, [0, 1], 60, side=64, above=True)
    assert len(straight.actions) < 60  # off the road
    for real in (still, straight):
        count = len(real.actions)
        assert real.frames.shape == (count, 64, 64, 3)
        assert real.actions.shape == (count, 2)
        assert real.lane_dist.shape == (count,)
    assert len(still.images) == len(still.above) == len(still.actions)
    assert (still.images[0] != still.above[0]).any()
    assert (still.frames[0] != straight.frames[0]).any()


def test_a_command_takes_over_at_its_step():
    expert = PurePursuit(load_map("loop_empty"), CONFIG.steering_gain)
    free = drive(expert, CONFIG, [3], 6)[0]
    commanded = drive(Commanded(expert, (-0.5, 0.25), 4), CONFIG, [3], 6)[0]
    assert (commanded.actions[:4] == free.actions[:4]).all()
    assert (commanded.actions[4:] == (-0.5, 0.25)).all()


def episode(length: int, grey: int) -> Episode:
    random = np.random.default_rng(grey)
    return Episode(
        obs=np.full((length, 64, 64, 3), grey, np.uint8),
        action=random.uniform(-1, 1, (length, 2)).astype(np.float32),
        reward=np.zeros(length, np.float32),
        done=np.zeros(length, np.bool_),
        meta={},
    )


def test_recordings_are_taken_from_the_seed_on_if_they_are_long_enough(tmp_path):
    for number, length in enumerate((9, 3, 12)):
        write_episode(tmp_path / f"{number}.npz", episode(length, 10 + number))
    first, second = recorded_drives(str(tmp_path), 1, 5, 5, 10, side=96)
    assert (first.frames[0, 0, 0, 0], len(first.frames)) == (12, 10)
    assert (second.frames[0, 0, 0, 0], len(second.frames)) == (10, 9)
    assert first.images[0].shape == (96, 96, 3)
    assert np.isnan(first.lane_dist).all()
    with pytest.raises(ConfigError, match="an episode of 20 steps or more"):
        recorded_drives(str(tmp_path), 0, 1, 20, 30)


def test_enlarging_keeps_the_colours():
    assert (enlarge(np.full((64, 64, 3), (10, 20, 200), np.uint8), 288) == (10, 20, 200)).all()
