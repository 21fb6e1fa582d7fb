"""Recording with the native simulator: the same files, however they are made."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dreamduck.envs
from dreamduck.common.config import from_mapping, replace
from dreamduck.common.errors import ConfigError, MapError
from dreamduck.common.seeding import derive
from dreamduck.recordings import plan, read_episode, recorder, scan, write_episode
from dreamduck.recordings.plan import RecorderConfig
from dreamduck.recordings.road_source import anywhere
from dreamduck.simulator.environment import describe, differences
from dreamduck.simulator.road import Road
from tests.recordings.helpers import episode

SCRIPTS = Path(dreamduck.envs.__file__).parent
SMALL: dict[str, Any] = {
    "maps": ("loop_empty", "udem1"),
    "max_trials": 7,
    "max_frames": 24,
    "min_frames": 8,
    "batch": 3,
}
FLAGS = [
    "--maps=loop_empty,udem1", "--max-trials=7", "--max-frames=24", "--min-frames=8", "--batch=3", "-q",
]  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.npz"))}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> RecorderConfig:
    config = RecorderConfig(records=str(tmp_path_factory.mktemp("records")), **SMALL)
    assert len(list(recorder.record(config, range(7)))) == 7
    return config


def test_episodes_are_whole_and_describe_themselves(recorded):
    found = scan(recorded.records)
    assert found.seeds == tuple(range(7))
    assert not found.skipped
    for number, path in enumerate(found.paths):
        made = read_episode(path)
        assert made.meta["map_name"] == ("loop_empty", "udem1")[number % 2]
        assert made.meta["episode"] == number
        assert made.meta["environment"] == describe(recorded.road)
        assert made.meta["end"] == ("time" if not made.done[-1] else made.meta["end"])
        assert 8 <= len(made) <= 24
        assert made.telemetry is not None
        assert np.isfinite(made.telemetry[:, 3:]).all()
        assert made.obs.std() > 10
        json.dumps(made.meta)


def test_what_is_kept_is_what_was_driven(recorded):
    """Driving the kept actions again from the kept pose gives the kept frames and rewards."""
    made = read_episode(Path(recorded.records) / "2.npz")
    assert made.telemetry is not None
    road = Road(recorded.road_on("loop_empty"), 1)
    # float32 poses are not the exact ones, so frames may differ by a hair
    road.reset([0], made.telemetry[:1, 3:6].astype(np.float64))
    for step, action in enumerate(made.action):
        assert np.abs(road.frames()[0].astype(int) - made.obs[step]).mean() < 2
        found = road.step(action[None])
        assert found.reward[0] == pytest.approx(made.reward[step], abs=1e-3)
        assert found.terminated[0] == made.done[step]
    road.close()


@pytest.mark.parametrize("batch", [1, 8])
def test_the_number_of_cars_changes_nothing(recorded, tmp_path, batch):
    config = RecorderConfig(records=str(tmp_path), **{**SMALL, "batch": batch})
    list(recorder.record(config, range(7), threads=1))
    assert contents(tmp_path) == contents(Path(recorded.records))


def test_the_order_of_recording_changes_nothing(recorded, tmp_path):
    config = RecorderConfig(records=str(tmp_path), **SMALL)
    list(recorder.record(config, [5]))
    list(recorder.record(config, plan.missing(config, range(7))))
    assert contents(tmp_path) == contents(Path(recorded.records))


def test_processes_under_mpi_leave_the_same_files(recorded, tmp_path):
    mpiexec = Path(sys.executable).with_name("mpiexec")  # pip puts it beside the interpreter
    command = [str(mpiexec), "-n", "3", sys.executable, str(SCRIPTS / "extract.py"), *FLAGS]
    records = ["--records", str(tmp_path / "r"), "--log", str(tmp_path / "log")]
    done = subprocess.run([*command, *records], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "in 7 episodes" in done.stdout
    assert contents(tmp_path / "r") == contents(Path(recorded.records))


def test_extract_bash_leaves_the_same_files(recorded, tmp_path):
    records = ["--records", str(tmp_path / "r"), "--log", str(tmp_path / "log")]
    command = ["bash", str(SCRIPTS / "extract.bash"), "2", *FLAGS, *records]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHON": sys.executable}
    )
    assert done.returncode == 0, done.stderr
    assert "in 7 episodes" in done.stdout
    assert contents(tmp_path / "r") == contents(Path(recorded.records))
    assert (tmp_path / "log" / "coverage.png").stat().st_size > 10_000


@pytest.mark.parametrize("workers", ["0", "000", "-1", "1.5", "4097", "9" * 20, "many"])
def test_extract_bash_refuses_odd_numbers(tmp_path, workers):
    command = ["bash", str(SCRIPTS / "extract.bash"), workers, "--max-trials", "1"]
    environment = {**os.environ, "PYTHON": "false"}  # should it start any
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == f"error: expected a number of workers from 1 to 4096, got {workers}\n"


@pytest.mark.parametrize(
    ("given", "workers", "trials"), [([], 64, 12800), (["03"], 3, 600), (["--seed=1"], 64, 12800)]
)
def test_how_many_workers_extract_bash_starts(tmp_path, given, workers, trials):
    noted = tmp_path / "noted"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {noted}\n')
    python.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(python)}
    subprocess.run(["bash", str(SCRIPTS / "extract.bash"), *given], env=environment, check=True, timeout=60)
    *started, report = noted.read_text().splitlines()
    assert len(started) == workers
    assert all(f"--max-trials {trials} --worker" in line for line in started)
    assert {line.split("--worker ")[1] for line in started} == {
        f"{n} --workers {workers}" for n in range(workers)
    }
    assert report.endswith("--report")


def test_a_kill_leaves_whole_files_and_a_second_start_makes_the_rest(recorded, tmp_path):
    command = [sys.executable, str(SCRIPTS / "extract.py"), *FLAGS, "--batch=1"]
    records = ["--records", str(tmp_path / "r"), "--log", str(tmp_path / "log")]
    process = subprocess.Popen([*command, *records], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with process:
        until = time.monotonic() + 120
        while not list((tmp_path / "r").glob("[0-9]*.npz")) and time.monotonic() < until:
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
    left = contents(tmp_path / "r")
    whole = contents(Path(recorded.records))
    assert left
    assert all(whole[name] == data for name, data in left.items() if not name.startswith("."))
    # damage one, and let a foreign file lie beside it
    first = next(tmp_path.glob("r/[0-9]*.npz"))
    first.write_bytes(first.read_bytes()[:1000])
    (tmp_path / "r" / "notes.txt").write_text("not a recording")
    done = subprocess.run([*command, *records], capture_output=True, text=True, timeout=300, check=True)
    assert first.name in done.stderr
    assert "notes.txt" in done.stderr
    assert "1 files skipped" in done.stdout
    assert {n: d for n, d in contents(tmp_path / "r").items() if n[0] != "."} == whole


def test_only_what_is_missing_is_made(recorded):
    assert plan.missing(recorded, range(7)) == []
    assert plan.missing(recorded, range(9)) == [7, 8]


def test_what_bars_an_episodes_place_is_left_alone(recorded, tmp_path, caplog):
    """A folder cannot be replaced by a file; an episode of another program is no error of settings."""
    config = RecorderConfig(records=str(tmp_path), **SMALL)
    (tmp_path / "0.npz").mkdir()
    write_episode(tmp_path / "1.npz", episode(4))
    write_episode(tmp_path / "2.npz", episode(4, recorder="tape"))
    (tmp_path / "3.npz").symlink_to("3.npz")
    (tmp_path / "4.npz").symlink_to(tmp_path)
    (tmp_path / "5.npz").write_bytes(b"")
    left = plan.missing(config, range(7))
    assert left == [3, 4, 5, 6]
    for words in (
        "0.npz: a folder has the name of",
        "1.npz: not recorded by",
        "2.npz: not recorded by",
        "5.npz: not a readable",
    ):
        assert words in caplog.text
    list(recorder.record(config, left))
    assert plan.missing(config, range(7)) == []
    for name in ("3.npz", "4.npz", "5.npz", "6.npz"):
        assert (tmp_path / name).read_bytes() == (Path(recorded.records) / name).read_bytes()


def test_recordings_older_than_a_setting_count(recorded, tmp_path):
    """They do not state it, and were made with today's default."""
    config = RecorderConfig(records=str(tmp_path), **SMALL)
    made = read_episode(Path(recorded.records) / "0.npz")
    older = {k: v for k, v in made.meta["recorder"].items() if k != "start_angle"}
    write_episode(tmp_path / "0.npz", dataclasses.replace(made, meta={**made.meta, "recorder": older}))
    assert plan.missing(config, [0]) == []
    with pytest.raises(ConfigError, match="recorded with other settings"):
        plan.missing(replace(config, start_angle=4.0), [0])


def test_other_settings_do_not_mix(recorded):
    other = RecorderConfig(records=recorded.records, **{**SMALL, "max_frames": 25})
    with pytest.raises(ConfigError, match="recorded with other settings"):
        plan.missing(other, range(7))
    seed = RecorderConfig(records=recorded.records, seed=1, **{**SMALL, "max_frames": 25})
    assert plan.missing(seed, range(2)) == [0, 1]
    assert plan.path_of(seed, 3).name == "1000003.npz"


def test_short_episodes_are_recorded_again(tmp_path):
    config = RecorderConfig(
        records=str(tmp_path), max_trials=6, max_frames=60, min_frames=60, policies=("walk",), batch=6
    )
    made = list(recorder.record(config, range(6)))
    assert any(one.meta["attempt"] > 0 for one in made)
    assert sum(len(one) == 60 for one in made) >= 5


def test_what_lasts_until_it_is_cut_is_long_enough(tmp_path):
    config = RecorderConfig(
        records=str(tmp_path), max_trials=4, max_frames=8, policies=("expert",), any_start=0.0
    )
    assert (config.min_frames, config.enough) == (50, 8)
    assert [(len(one), one.meta["attempt"]) for one in recorder.record(config, range(4))] == [(8, 0)] * 4


def test_the_largest_seed_makes_files_that_are_found(tmp_path):
    largest = (2**63 - 1) // plan.EPISODES_A_SEED - 1
    config = RecorderConfig(
        records=str(tmp_path), seed=largest, max_trials=1, max_frames=3, policies=("walk",)
    )
    list(recorder.record(config, [0]))
    assert scan(tmp_path).seeds == (plan.episode_seed(config, 0),)
    with pytest.raises(ConfigError, match="seed"):
        RecorderConfig(seed=largest + 1)


def test_a_callback_sees_every_step(tmp_path):
    seen: list[np.ndarray] = []
    config = RecorderConfig(records=str(tmp_path), max_frames=5, min_frames=1, policies=("expert",))
    (made,) = recorder.record(config, [0], lambda frame: seen.append(frame.copy()))
    np.testing.assert_array_equal(np.array(seen), made.obs)


def test_a_start_anywhere_is_beside_the_lane():
    random = np.random.default_rng(0)
    heading = 0.7
    tangent = np.array([np.cos(heading), -np.sin(heading)])
    right = np.array([np.sin(heading), np.cos(heading)])
    centre = np.array([2.0, 3.0])
    poses = np.array(
        [anywhere(np.array([*(centre + 0.1 * right), 9.0]), 0.1, tangent, random) for _ in range(500)]
    )
    across, along = (poses[:, :2] - centre) @ right, (poses[:, :2] - centre) @ tangent
    np.testing.assert_allclose(along, 0, atol=1e-12)
    assert -0.22 <= across.min() < -0.2
    assert 0.2 < across.max() <= 0.22
    turns = poses[:, 2] - heading
    assert turns.min() < -2
    assert turns.max() > 2
    assert np.abs(np.median(turns)) < 0.2


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ({"max_trials": 0}, "^max_trials: expected at least 1, got 0"),
        ({"policies": ("pilot",)}, "^policies: expected random, walk, expert, .* got 'pilot'"),
        ({"any_start": 2.0}, r"^any_start: expected at most 1\.0, got 2\.0"),
        ({"camera_width": 32}, "^camera_width, camera_height: recordings are 64 x 64"),
        ({"max_frames": 0}, "^max_frames: expected at least 1, got 0"),
    ],
)
def test_bad_settings_are_refused(bad, text):
    with pytest.raises(ConfigError, match=text):
        from_mapping(RecorderConfig, bad)


def test_workers_share_all_episodes():
    config = RecorderConfig(max_trials=11)
    shares = [plan.share(config, worker, 4) for worker in range(4)]
    assert [number for share in shares for number in share] == list(range(11))


SHARES: dict[str, Any] = {"domain_rand_share": 0.5, "distortion_share": 0.5, "dynamics_rand_share": 0.5}


@pytest.fixture(scope="module")
def varied(tmp_path_factory) -> RecorderConfig:
    config = from_mapping(
        RecorderConfig,
        {**SMALL, **SHARES, "maps": ("loop_pedestrians", "generated:5-6"), "max_trials": 12,
         "records": str(tmp_path_factory.mktemp("varied"))},
    )  # fmt: skip
    assert len(list(recorder.record(config, range(12)))) == 12
    return config


def test_a_share_of_the_episodes_is_varied_and_has_it_in_its_meta(varied):
    metas = [read_episode(Path(varied.records) / f"{n}.npz").meta for n in range(12)]
    for looks in (
        [meta["domain_rand"] for meta in metas],
        [meta["distortion"] for meta in metas],
        ["dynamics" in meta for meta in metas],
    ):
        assert 2 <= sum(looks) <= 10
    dynamics = [meta["dynamics"] for meta in metas if "dynamics" in meta]
    assert len({tuple(one.values()) for one in dynamics}) == len(dynamics)
    assert set(dynamics[0]) == {"gain", "trim", "delay", "wheel_distance"}
    assert {meta["map_name"] for meta in metas} == {"loop_pedestrians", "generated:5", "generated:6"}


def test_a_varied_episode_is_the_one_of_a_simulator_with_these_settings(varied):
    """The recorded actions, driven again from the recorded seed, give the recorded frames, bit for bit."""
    found = 0
    for number in range(12):
        made = read_episode(Path(varied.records) / f"{number}.npz")
        variation = plan.variation_of(varied, number)
        config = replace(varied.road_on(made.meta["map_name"]), **variation._asdict())
        road = Road(config, 1)
        road.reset([derive(0, plan.SIMULATION, number, made.meta["attempt"])])
        if not np.array_equal(road.frames()[0], made.obs[0]):
            continue  # it started elsewhere
        found += 1
        for frame, action in zip(made.obs, made.action, strict=True):
            np.testing.assert_array_equal(road.frames()[0], frame)
            road.step(action[None])
    assert found >= 3


def test_the_number_of_cars_changes_nothing_in_varied_ones(varied, tmp_path):
    list(recorder.record(replace(varied, records=str(tmp_path), batch=1), range(12), threads=1))
    assert contents(tmp_path) == contents(Path(varied.records))


def test_recordings_with_and_without_distortion_make_one_series(varied):
    description = read_episode(Path(varied.records) / "0.npz").meta["environment"]
    assert description == {k: v for k, v in describe(varied.road).items() if k != "distortion"}
    for distortion in (True, False):
        assert not differences(description, describe(replace(varied.road, distortion=distortion)))


def test_settings_that_are_off_leave_no_trace(recorded):
    assert not {*SHARES, "dynamics_rand"} & set(recorded.recorded)
    assert {*SHARES, "dynamics_rand"} <= set(
        from_mapping(RecorderConfig, {**SHARES, "dynamics_rand": True}).recorded
    )


def test_lists_of_generated_maps_are_named_in_short():
    def maps(**given):
        return from_mapping(RecorderConfig, given).recorded["maps"]

    assert maps(maps=("udem1", "generated:200")) == ["udem1", "generated:0-199"]
    assert maps(map_name="generated:200") == ["generated:200"]
    assert RecorderConfig(maps=("generated:200",)).map_names[199] == "generated:199"
    with pytest.raises(MapError, match="first 200"):
        RecorderConfig(maps=("generated:",))
