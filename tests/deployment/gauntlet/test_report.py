import json

import numpy as np
import pytest

from dreamduck.common.config import replace
from dreamduck.common.errors import ConfigError
from dreamduck.deployment.gauntlet import report
from dreamduck.deployment.gauntlet.config import GauntletConfig
from dreamduck.deployment.gauntlet.perturbations import catalogue
from dreamduck.deployment.gauntlet.results import Results
from dreamduck.evaluation.metrics import Measures

SIZE = {"camera_width": 80, "camera_height": 64}
SETTINGS = replace(GauntletConfig(), maps=("loop_empty", "small_loop"), episodes=12, seconds=10.0, **SIZE)
ROWS = [row for row in catalogue(SETTINGS.strengths) if row.key in ("clean", "jpeg", "all-drawn")]


def episode(distance=8.0, end="time", seed=0):
    values = dict.fromkeys(Measures._fields, 0.0)
    values |= {
        "survival_time": 10.0,
        "distance": distance,
        "lateral_deviation": 0.4,
        "out_of_lane_time": 2.0,
    }
    return {**values, "end": end, "seed": seed}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "policy.onnx"
    path.write_bytes(b"a policy")
    return path


@pytest.fixture
def results(file, tmp_path):
    found = Results(tmp_path / "out" / "gauntlet.json", file, SETTINGS)
    random = np.random.default_rng(0)
    for task in found.missing(ROWS, SETTINGS):
        share = {"clean": 1.0, "jpeg": 0.5, "all-drawn": 0.25}[task.key]
        count = 10 if task.number == 0 else 2
        found.rounds[task] = [
            episode(share * random.uniform(7, 9), "off-road" if task.key == "jpeg" and k == 0 else "time")
            for k in range(count)
        ]
    return found


def test_the_summary_by_hand(results):
    summary = report.summarize(results, ROWS, SETTINGS)
    assert len(summary) == 3 * 3
    clean, jpeg, everything = (
        next(e for e in summary if e["key"] == row.key and e["map"] == report.ALL_MAPS) for row in ROWS
    )
    assert clean["distance_share"] == [1.0, 1.0, 1.0]
    assert clean["alive"] == [1.0, 1.0, 1.0]
    value, low, high = jpeg["distance_share"]
    assert low < value < high
    assert value == pytest.approx(0.5, abs=0.03)
    assert jpeg["alive"][0] == pytest.approx(1 - 4 / 24)  # one a round, two rounds on each of two maps
    assert jpeg["lateral_deviation"][0] == pytest.approx(0.4 / 8)
    assert jpeg["out_of_lane"][0] == pytest.approx(0.2)
    assert everything["distance_share"][0] == pytest.approx(0.25, abs=0.02)
    assert [report.verdict(e) for e in (clean, jpeg, everything)] == ["", "missed", "met"]


@pytest.mark.parametrize(
    ("key", "alive", "share", "expected"),
    [
        ("jpeg", 0.89, 0.95, "missed"),
        ("jpeg", 0.95, 0.79, "missed"),
        ("jpeg", 0.9, 0.8, "met"),
        ("all-full", 0.79, 0.9, "missed"),
        ("all-drawn", 0.8, 0.1, "met"),
        ("clean", 0.1, 0.1, ""),
    ],
)
def test_the_verdict_follows_the_targets(key, alive, share, expected):
    entry = {"key": key, "alive": [alive, 0.0, 1.0], "distance_share": [share, 0.0, 1.0]}
    assert report.verdict(entry) == expected


def test_the_number_of_episodes():
    assert GauntletConfig().count == 100
    assert GauntletConfig(short=True).count == 20
    assert GauntletConfig(short=True, episodes=7).count == 7


def test_a_summary_of_cars_that_stand():
    """Shares of nothing are left empty, not divided by zero."""
    still = [{**episode(0.0), "survival_time": 2.0} for _ in range(3)]
    found = report.summarize_episodes(still, still, 0)
    assert found["distance_share"] == [None, None, None]
    assert found["lateral_deviation"] == [None, None, None]
    assert found["distance"] == [0.0, 0.0, 0.0]


def test_table_and_picture(results, tmp_path):
    summary = report.summarize(results, ROWS, SETTINGS)
    text = report.write(tmp_path / "out", summary, SETTINGS, "`policy.onnx`.")
    assert (tmp_path / "out" / "gauntlet.md").read_text() == text
    assert text.count("| JPEG quality 30 |") == 3
    assert "| clean | 100% (100 to 100) |" in text
    assert "frames are drawn at 80x64" in text
    assert "12 episodes of 10 s" in text
    assert (tmp_path / "out" / "gauntlet.png").stat().st_size > 5000


def test_a_stopped_run_continues(results, file):
    results.rounds.pop(next(iter(results.rounds)))
    results.write()
    again = Results(results.path, file, SETTINGS)
    assert again.rounds == results.rounds
    assert len(again.missing(ROWS, SETTINGS)) == 1
    assert [e["seed"] for e in again.episodes("jpeg", "small_loop")] == [0] * 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found["key"].update(fingerprint="other"), "measured with another fingerprint"),
        (lambda found: found["key"]["settings"].update(pitch=1.0), "measured with another settings"),
        (lambda found: found["rounds"][0].pop("map"), "not the result of a gauntlet"),
        (lambda found: found["rounds"][0]["episodes"][0].pop("distance"), "not the result of a gauntlet"),
        (lambda found: found.clear(), "not the result of a gauntlet"),
    ],
)
def test_results_of_another_run_are_refused(results, file, change, message):
    results.write()
    found = json.loads(results.path.read_text())
    change(found)
    results.path.write_text(json.dumps(found))
    with pytest.raises(ConfigError, match=f"{message}.*--fresh"):
        Results(results.path, file, SETTINGS)
