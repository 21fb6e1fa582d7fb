"""The probe of the lane position, fitted on recordings."""

import numpy as np
import pytest

from dreamduck.cli.train_lane_probe import main
from dreamduck.common.errors import ConfigError, RecordError
from dreamduck.recordings import Episode, write_episode
from dreamduck.recordings.episode import TELEMETRY
from dreamduck.web.lane_probe import LaneProbe
from dreamduck.world_model import WorldModel
from tests.deployment.models import write_categorical

FRAMES = 60


def write(folder, number, telemetry=True):
    """An episode whose frames are the brighter the farther to the right the car is."""
    random = np.random.default_rng(number)
    told = random.uniform(-0.2, 0.2, (FRAMES, len(TELEMETRY))).astype(np.float32)
    told[:5, TELEMETRY.index("lane_dist")] = np.nan
    bright = np.nan_to_num(told[:, TELEMETRY.index("lane_dist")]) * 600 + 128
    frames = np.broadcast_to(bright[:, None, None, None], (FRAMES, 64, 64, 3)).astype(np.uint8)
    zeros = np.zeros(FRAMES, np.float32)
    made = Episode(frames, np.zeros((FRAMES, 2), np.float32), zeros, zeros > 0, told if telemetry else None)
    write_episode(folder / f"{number}.npz", made)


def test_it_reads_what_frames_show(tmp_path, capsys):
    weights = write_categorical(tmp_path / "weights")
    (tmp_path / "records").mkdir()
    for number in range(9, 15):
        write(tmp_path / "records", number, telemetry=number != 10)
    flags = ["--records", str(tmp_path / "records"), "--weights", str(weights)]
    assert main(flags) == 0
    frames = 5 * (FRAMES // 3 - 2)  # every third; those off the lane tell nothing
    assert f"{frames} frames; mean absolute error: " in capsys.readouterr().out
    model = WorldModel.load(weights)
    probe = LaneProbe.of(model)
    assert probe is not None
    shown = np.stack([np.full((64, 64, 3), level, np.uint8) for level in (68, 188)])
    left, right = probe.read(model.encode(shown))[:, 0]
    assert right - left > 0.1
    assert probe.error[0] < 0.05 < probe.error[1]
    assert main([*flags, "--episodes", "3"]) == 0


def test_it_needs_telemetry(tmp_path):
    flags = ["--records", str(tmp_path), "--weights", str(write_categorical(tmp_path / "weights"))]
    for number in range(3):
        write(tmp_path, number, telemetry=False)
    with pytest.raises(RecordError, match="two or more recorded episodes with telemetry, got 0"):
        main(flags)
    with pytest.raises(ConfigError, match="episodes: expected at least 2"):
        main([*flags, "--episodes", "0"])
