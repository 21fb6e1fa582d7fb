"""The command that fits the probe of the lane position."""

import pytest

from dreamduck.cli.train_lane_probe import main
from dreamduck.common.errors import ConfigError, RecordError
from dreamduck.evaluation.lane_probe import LaneProbe
from dreamduck.world_model import WorldModel
from tests.deployment.models import write_categorical
from tests.recordings.helpers import folder_of_episodes


def test_it_writes_the_probe_beside_the_weights(tmp_path, capsys):
    weights = write_categorical(tmp_path / "weights")
    (tmp_path / "records").mkdir()
    flags = [
        "--records",
        str(folder_of_episodes(tmp_path / "records", [30] * 6)),
        "--weights",
        str(weights),
    ]
    assert main(flags) == 0
    probe = LaneProbe.of(WorldModel.load(weights))
    assert probe is not None
    assert f"{100 * probe.error[0]:.1f} cm" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="episodes: expected at least 5"):
        main([*flags, "--episodes", "0"])


def test_recordings_are_wanted(tmp_path):
    flags = ["--records", str(tmp_path), "--weights", str(write_categorical(tmp_path / "weights"))]
    with pytest.raises(RecordError, match="expected recorded episodes, got none"):
        main(flags)
