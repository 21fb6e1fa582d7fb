from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest

from dreamduck.cli.scoreboard import main
from dreamduck.common.errors import ConfigError, MapError
from dreamduck.controllers.evaluator import run_episodes
from dreamduck.controllers.factory import WorldConfig
from dreamduck.evaluation import report, scoreboard
from dreamduck.evaluation.entries import Entry, load_policy
from dreamduck.evaluation.episode_stats import EpisodeStatsCallback, as_measures
from dreamduck.evaluation.runner import Runner
from tests.controllers.fakes import FakeRoad
from tests.controllers.test_evaluator import Fixed

SMALL = ["--episodes", "5", "--cars", "2", "--seconds", "4", "--maps", "loop_empty", "-q"]


def constant_policy(throttle: str, num_cars: int):
    return lambda frames: np.tile([float(throttle), 0.0], (num_cars, 1))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    main([*SMALL, "--out", str(folder)])
    return folder


@pytest.fixture
def board(made, tmp_path):
    """A board of one's own."""
    return shutil.copytree(made, tmp_path / "board")


def entries(folder):
    return {
        entry["key"]["row"]: entry for entry in json.loads((folder / "scores.json").read_text())["entries"]
    }


def test_the_board_holds_every_row(board):
    found = entries(board)
    assert list(found) == ["standing still", "straight", "random", "pure pursuit"]
    for entry in found.values():
        assert len(entry["episodes"]) == entry["summary"]["episodes"] == 5
        assert len({episode["seed"] for episode in entry["episodes"]}) == 5
        assert len(entry["paths"]) == 5
    still, pursuit = found["standing still"]["summary"], found["pure pursuit"]["summary"]
    assert still["alive"][0] == 1.0
    assert still["distance"][0] == 0.0
    assert pursuit["distance"][0] > 0.8
    assert pursuit["distance"][1] <= pursuit["distance"][0] <= pursuit["distance"][2]
    text = (board / "scores.md").read_text()
    assert "| pure pursuit | 100% (100 to 100) | 100% |" in text
    assert "| standing still | 100% (100 to 100) | 0% |" in text
    straight = found["straight"]["summary"]
    share = straight["distance"][0] / pursuit["distance"][0]
    assert 0.05 < share < 0.95
    assert f"| straight | {report.percent(straight['alive'])} | {100 * share:.0f}% |" in text
    assert (board / "paths.png").stat().st_size > 2000


def test_all_rows_drive_the_same_starts(board):
    found = entries(board)
    starts = [[path[0] for path in entry["paths"]] for entry in found.values()]
    assert starts[0] == starts[1] == starts[2] == starts[3]
    seeds = [[episode["seed"] for episode in entry["episodes"]] for entry in found.values()]
    assert seeds[0] == seeds[3]


def test_what_is_measured_is_not_measured_again(board, monkeypatch):
    before = (board / "scores.json").read_bytes()

    def never(*arguments):
        raise AssertionError("drove again")

    monkeypatch.setattr(Runner, "__call__", never)
    main([*SMALL, "--out", str(board)])
    assert (board / "scores.json").read_bytes() == before
    with pytest.raises(
        ConfigError, match="'standing still' on loop_empty, native, was measured with another seed"
    ):
        main([*SMALL, "--out", str(board), "--seed", "1"])
    assert (board / "scores.json").read_bytes() == before
    with pytest.raises(AssertionError, match="drove again"):
        main([*SMALL, "--out", str(board), "--seed", "1", "--fresh"])


def test_a_setting_that_came_later_had_its_default(board, monkeypatch):
    found = json.loads((board / "scores.json").read_text())
    for entry in found["entries"]:
        entry["key"]["world"].pop("steering_gain")
    (board / "scores.json").write_text(json.dumps(found))
    monkeypatch.delattr(Runner, "__call__")
    main([*SMALL, "--out", str(board)])
    with pytest.raises(ConfigError, match="another world"):
        main([*SMALL, "--out", str(board), "--steering-gain", "2.5"])


def test_a_board_is_not_written_over_files_of_others(tmp_path):
    (tmp_path / "scores.md").write_text("mine")
    with pytest.raises(ConfigError, match=r"scores\.md.*--fresh"):
        main([*SMALL, "--out", str(tmp_path)])
    assert (tmp_path / "scores.md").read_text() == "mine"


def test_the_cars_of_a_round_do_not_change_the_figures(board, tmp_path):
    main([*SMALL, "--cars", "5", "--out", str(tmp_path / "other")])
    first, second = entries(board), entries(tmp_path / "other")
    for name in first:
        assert first[name]["episodes"] == second[name]["episodes"]


def test_a_policy_is_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(Runner, "_road", lambda self, world, cars: FakeRoad(cars))
    source = "tests.evaluation.test_scoreboard:constant_policy:0.5"
    main([*SMALL, "--rows", "", "--policy", f"slow={source}", "--out", str(tmp_path)])
    entry = entries(tmp_path)["slow"]
    assert entry["key"]["source"] == source
    assert entry["summary"]["distance"][0] == pytest.approx(40 * 0.05 * 0.5)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rows", "flying"], "expected some of standing still"),
        (["--rows", "random,random"], "different names"),
        (["--rows", ""], "one or more"),
        (["--controller", "log/x.json"], "expected NAME=SOURCE"),
        (["--simulators", "carla"], "simulators: expected some of native"),
        (["--episodes", "0"], "episodes: expected at least 1"),
    ],
)
def test_bad_flags(flags, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        main([*SMALL, "--out", str(tmp_path), *flags])


def test_an_unknown_map_is_reported_at_once(tmp_path):
    with pytest.raises(MapError):
        main([*SMALL, "--maps", "atlantis", "--out", str(tmp_path)])


@pytest.mark.parametrize("damage", ["[1]", "3", "{}", '{"entries": [1]}', '{"entries": {"a": 1}}', "{", ""])
def test_another_file_in_the_place_of_the_board(tmp_path, damage):
    (tmp_path / "scores.json").write_text(damage)
    with pytest.raises(ConfigError, match=r"scores\.json"):
        main([*SMALL, "--out", str(tmp_path)])


def places(value, path=()):
    """Where every part of a JSON value is."""
    yield path
    items = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, part in items:
        yield from places(part, (*path, key))


def test_a_damaged_board_is_reported(board):
    """Every part of an entry taken away, or replaced by something else."""
    whole = json.loads((board / "scores.json").read_text())
    whole["entries"] = whole["entries"][3:]
    random = np.random.default_rng(4)
    found = [path for path in places(whole) if path and "paths" not in path[3:]]
    refused = 0
    for _ in range(150):
        damaged = json.loads(json.dumps(whole))
        *way, last = found[random.integers(len(found))]
        part = damaged
        for step in way:
            part = part[step]
        if random.integers(2):
            del part[last]
        else:
            part[last] = [None, "x", [], {}, [{}], 1e400][random.integers(6)]
        (board / "scores.json").write_text(json.dumps(damaged))
        try:
            scoreboard.Scoreboard(board, scoreboard.ScoreConfig(), WorldConfig()).write()
        except (ConfigError, MapError):
            refused += 1
    assert refused > 50


def test_policies_are_found_by_name():
    (policy,) = load_policy("tests.evaluation.test_scoreboard:constant_policy:0.25", 3)
    assert policy(None).tolist() == [[0.25, 0.0]] * 3
    for source in ("", "nowhere:policy", "tests.evaluation.test_scoreboard:none", "json"):
        with pytest.raises(ConfigError, match="MODULE:FUNCTION"):
            load_policy(source, 1)


def test_a_row_changes_with_its_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[[1.0]]")
    row = Entry("a", "controller", str(path))
    before = row.fingerprint()
    path.write_text("[[2.0]]")
    assert row.fingerprint() != before
    assert Entry("random").fingerprint() == ""


def test_notes_of_a_drive():
    recorder = EpisodeStatsCallback(step_time=0.1)
    run_episodes(FakeRoad(2), Fixed([[1.0, 0.0], [1.0, 0.1]]), [3, 4], 40, recorder)
    straight, turned = recorder.episodes()
    assert straight["end"] == "time"
    assert straight["survival_time"] == pytest.approx(4.0)
    assert straight["distance"] == pytest.approx(2.0)
    assert turned["end"] == "off-road"
    assert turned["survival_time"] < 4.0
    long, short = recorder.paths(5)
    assert len(long) == 21
    assert len(short) < 21
    assert as_measures([straight, turned]).distance[0] == pytest.approx(2.0)


def test_shares_have_intervals():
    low, middle, high = np.array(report.share([True] * 19 + [False]))[[1, 0, 2]]
    assert (middle, high) == (0.95, 1.0)
    assert 0.8 <= low < 0.95
    assert report.share([True] * 4) == [1.0, 1.0, 1.0]


def test_nothing_heavy_is_loaded_for_the_built_in_rows(tmp_path):
    import subprocess

    code = (
        "import sys; from dreamduck.cli.scoreboard import main; main(sys.argv[1:]);"
        "assert not {'tensorflow', 'keras', 'mpi4py.MPI', 'gym_duckietown'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, *SMALL, "--rows", "straight", "--out", str(tmp_path)]
    subprocess.run(command, check=True, timeout=120, stdout=subprocess.DEVNULL)


def test_generated_maps_are_listed_in_short():
    assert scoreboard.ScoreConfig(maps=("udem1", "generated:7-8")).maps == (
        "udem1",
        "generated:7",
        "generated:8",
    )
    with pytest.raises(MapError, match="first 200"):
        scoreboard.ScoreConfig(maps=("generated:x",))
