"""The probe of the lane position."""

import numpy as np
import pytest

from dreamduck.common.errors import RecordError
from dreamduck.evaluation.lane_probe import LaneProbe
from dreamduck.recordings import TELEMETRY, Episode, write_episode
from dreamduck.world_model import WorldModel


def record(folder, seed, telemetry=True):
    """An episode whose brightness shows the lane offset and whose colour the angle."""
    random = np.random.default_rng(seed)
    steps = 30
    numbers = random.uniform(-0.2, 0.2, (steps, len(TELEMETRY))).astype(np.float32)
    frames = np.zeros((steps, 64, 64, 3), np.uint8)
    frames[..., 0] = (128 + 500 * numbers[:, None, None, TELEMETRY.index("lane_dist")]).astype(np.uint8)
    frames[..., 1] = (128 + 500 * numbers[:, None, None, TELEMETRY.index("lane_angle")]).astype(np.uint8)
    path = folder / f"{seed}.npz"
    episode = Episode(
        obs=frames,
        action=random.uniform(-1, 1, (steps, 2)).astype(np.float32),
        reward=np.zeros(steps, np.float32),
        done=np.zeros(steps, np.bool_),
        telemetry=numbers if telemetry else None,
    )
    write_episode(path, episode)
    return path


def test_a_probe_of_recordings(model_folder, tmp_path):
    model = WorldModel.load(model_folder)
    paths = [record(tmp_path, seed) for seed in range(20)]
    probe = LaneProbe.from_recordings(model, paths)
    guess = 0.1  # [m, rad], the mean distance of such numbers from their middle
    assert 0 < probe.error[0] < 0.8 * guess
    assert 0 < probe.error[1] < 0.8 * guess
    assert LaneProbe.from_recordings(model, paths, 10).error != probe.error


def test_recordings_without_telemetry(model_folder, tmp_path):
    paths = [record(tmp_path, seed, telemetry=seed > 5) for seed in range(10)]
    model = WorldModel.load(model_folder)
    with pytest.raises(RecordError, match="expected 5 recordings with telemetry or more, got 4"):
        LaneProbe.from_recordings(model, paths)
