"""The study of the gain from logs, on a small world model."""

import json

import pytest

from dreamduck.common.errors import ConfigError
from dreamduck.common.training_log import TrainingLog
from scripts import adapt_study
from tests.deployment.models import write_controller


def test_three_distances(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingLog, "draw", lambda self: None)
    controller = write_controller(tmp_path, weights)
    flags = {"episodes": 3, "seconds": 3, "minutes": 0.1, "steps": 2, "batch-size": 2}
    given = [f"--{name}={value}" for name, value in flags.items()]
    adapt_study.main(
        [*given, f"--weights={weights}", f"--controller={controller}", f"--out={tmp_path}", "-q"]
    )
    found = json.loads((tmp_path / "study.json").read_text())
    assert 0.06 < found["minutes"] <= 0.1
    distances = {tuple(found[name]["distances"]) for name in ("clean", "perturbed", "adapted")}
    assert len(distances) == 3
    assert found["share"]["adapted"] == found["adapted"]["distance"] / found["clean"]["distance"]
    assert found["settings"]["steps"] == 2


def test_conditions_are_known_ones():
    with pytest.raises(ConfigError, match="conditions: expected a JSON object of fish_eye"):
        _ = adapt_study.StudyConfig(conditions='{"snow": 1}').other
