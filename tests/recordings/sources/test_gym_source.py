"""Episodes of Gymnasium environments."""

import dataclasses
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamduck.cli import record as record_command
from dreamduck.common.config import from_mapping
from dreamduck.common.errors import ConfigError, DreamDuckError, FrameError, SimulatorError
from dreamduck.common.seeding import derive
from dreamduck.recordings import coverage, read_episode, scan
from dreamduck.recordings.gym_source import GymRecorderConfig, GymSource
from dreamduck.recordings.plan import SIMULATION, episode_seed
from dreamduck.recordings.recorder import record_from
from dreamduck.recordings.sources import ActionSpace
from dreamduck.recordings.sources.gym_environment import GymEnvironment, inspect, of_description
from dreamduck.recordings.sources.gym_vector import GymVector
from tests.recordings.sources.worlds import MODULE

DISCRETE, BOX = f"{MODULE}:Dot-v3", f"{MODULE}:DotBox-v0"


def config(folder: Path, **settings: Any) -> GymRecorderConfig:
    return from_mapping(GymRecorderConfig, {"env": DISCRETE, "records": str(folder), **settings})


def record(settings: GymRecorderConfig, envs: int = 2, episodes: int = 5) -> dict[str, bytes]:
    """The files of some episodes."""
    for _ in record_from(GymSource(settings, envs), settings, range(episodes)):
        pass
    return {path.name: path.read_bytes() for path in sorted(Path(settings.records).glob("*.npz"))}


@pytest.mark.parametrize("env", [DISCRETE, BOX])
def test_episodes_do_not_depend_on_the_batch(tmp_path, env):
    first = record(config(tmp_path / "a", env=env, frame_skip=2), envs=1)
    assert record(config(tmp_path / "b", env=env, frame_skip=2), envs=3) == first
    for path in scan(tmp_path / "a").paths:
        episode = read_episode(path)
        assert episode.telemetry is None
        assert len(np.unique(episode.obs.reshape(len(episode), -1), axis=0)) > 1
        assert episode.meta["end"] == ("terminated" if episode.done[-1] else "truncated")
        environment = episode.meta["environment"]
        assert environment["id"] == env.split(":")[1]
        assert environment["step_time"] == 0.1  # two steps at 20 frames a second
        actions = ActionSpace.of_environment(environment)
        assert actions is not None
        assert episode.action.shape[1] == actions.size
        np.testing.assert_allclose(actions.executed(episode.action), episode.action)
    ends = {read_episode(path).meta["end"] for path in scan(tmp_path / "a").paths}
    assert "terminated" in ends


def test_what_is_recorded_is_what_the_environment_gives(tmp_path):
    settings = config(tmp_path, policies=(f"{MODULE}:own_policy",))
    record(settings, envs=1, episodes=1)
    episode = read_episode(tmp_path / "0.npz")
    np.testing.assert_array_equal(episode.action, np.tile([1.0, 0.0, 0.0], (len(episode), 1)))
    assert episode.done[-1]
    assert episode.reward[0] > episode.reward[-1]  # the dot leaves the middle
    other = config(tmp_path / "other", policies=("random",), seed=7)
    record(other, envs=2, episodes=3)
    for made, number in ((settings, 0), (other, 0), (other, 2)):
        episode = read_episode(Path(made.records) / f"{episode_seed(made, number)}.npz")
        env = made.inspected[0].make()
        frame, _ = env.reset(seed=derive(made.seed, SIMULATION, number, episode.meta["attempt"]))
        for t in range(len(episode)):
            np.testing.assert_array_equal(episode.obs[t], frame)
            frame, reward, *_ = env.step(episode.action[t])
            assert episode.reward[t] == np.float32(reward)
            assert reward == 1 - abs(env.inner_info["x"] - 40) / 40
        env.close()


def test_a_second_start_with_other_settings_is_refused(tmp_path):
    from dreamduck.recordings import plan

    record(config(tmp_path), episodes=2)
    assert plan.missing(config(tmp_path), range(3)) == [2]
    for other in ({"frame_skip": 2}, {"crop": ("1", "0", "0", "0")}, {"policies": ("random",)}):
        with pytest.raises(ConfigError, match="recorded with other settings"):
            plan.missing(config(tmp_path, **other), range(3))


def test_coverage_knows_no_roads(tmp_path):
    record(config(tmp_path))
    measured = coverage.measure(scan(tmp_path))
    assert measured.episodes == 5
    assert len(measured.warnings) == 1


@pytest.mark.parametrize("form", ["picture", "gray", "float", "first", "dictionary", "goal"])
def test_every_form_of_picture_is_read(form):
    environment, description = inspect(GymEnvironment(DISCRETE, f'{{"form": "{form}"}}'))
    vector = GymVector(environment, 1)
    vector.reset([4])
    assert vector.frames().shape == (1, 64, 64, 3)
    assert len(np.unique(vector.frames())) > 1
    assert of_description(description) == dataclasses.replace(
        environment, crop=("0",) * 4, env_args=f'{{"form": "{form}"}}'
    )
    vector.close()


def test_render_gives_pictures_where_there_are_none():
    environment, description = inspect(GymEnvironment(DISCRETE, '{"form": "numbers"}', pixels="render"))
    vector = GymVector(environment, 2)
    vector.reset([1, 2])
    assert description["pixels"] == "render"
    assert (vector.frames()[0] != vector.frames()[1]).any()
    vector.close()


def test_processes_give_the_same():
    environment, _ = inspect(GymEnvironment(BOX))
    one, many = GymVector(environment, 2), GymVector(environment, 2, processes=2)
    actions = np.random.default_rng(0).uniform(-1, 1, (80, 2, 2))
    for vector in (one, many):
        vector.reset([5, 6])
    over = np.zeros(2, bool)
    for action in actions:
        first, second = one.step(action), many.step(action)
        np.testing.assert_array_equal(one.frames(), many.frames())
        for part, other in zip(first[:3], second[:3], strict=True):
            np.testing.assert_array_equal(part, other)
        assert not (over & (first.terminated | first.truncated)).any()  # reported once
        over |= first.terminated | first.truncated
    assert over.all()
    assert first.reward.tolist() == [0, 0]
    one.close()
    many.close()


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"env": "NoSuch-v0"}, ConfigError, "NoSuch.*expected a registered id"),
        ({"env": "no_such_module:X-v0"}, ConfigError, "cannot import 'no_such_module'.*PYTHONPATH"),
        ({"env_args": '{"form": "numbers"}'}, ConfigError, "--pixels render"),
        ({"env_args": '{"form": "composite"}'}, ConfigError, r"actions: expected Discrete.*got Tuple"),
        ({"env_args": '{"colour": 1}'}, ConfigError, "cannot be made .*colour"),
        ({"env_args": "[1]"}, ConfigError, "expected a JSON object"),
        ({"crop": ("1", "2")}, ConfigError, "expected four integers"),
        ({"crop": ("40", "40", "0", "0")}, ConfigError, "crop: expected less than the image"),
        ({"policies": ("expert",)}, ConfigError, "policies: expected random, smooth, repeat"),
        ({"policies": ("no_such_module:x",)}, ConfigError, "expected a function of"),
        ({"policies": (f"{MODULE}:wrong_policy",)}, ConfigError, "action: expected 5 to 7"),
        ({"env_args": '{"chance": NaN}'}, ConfigError, "env-args: expected a JSON object, got .*NaN"),
        ({"env_args": '{"form": "mask"}'}, ConfigError, "pixels: expected observations that are an image"),
        (
            {"env_args": '{"form": "float as bytes"}'},
            FrameError,
            "expected an image of uint8, got one of float32",
        ),
        (
            {"env_args": '{"breaks": 9, "fault": "reward"}'},
            SimulatorError,
            "finite reward, got nan.*is kept",
        ),
        ({"env_args": '{"breaks": 9}'}, SimulatorError, "failed .RuntimeError: the dot fell off.*is kept"),
    ],
)
def test_bad_input_is_reported(tmp_path, settings, error, text):
    with pytest.raises(error, match=text) as found:
        record(config(tmp_path, **settings))
    assert isinstance(found.value, DreamDuckError)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_actions_stay_within_bounds_that_float32_does_not_hold(dtype, caplog):
    environment, described = inspect(GymEnvironment(f"{MODULE}:FineDot-v1", f'{{"dtype": "{dtype}"}}'))
    assert "its close failed (RuntimeError: the dot stays open)" in caplog.text
    env = environment.make()
    assert ActionSpace.of_environment(described) == env.actions
    env.reset(seed=1)
    for action in ([1.0, -1.0], [-1.0, 1.0], [0.3, -0.2]):
        _, reward, *_ = env.step(np.array(action))  # the environment asserts its bounds
        assert reward != 0


@pytest.mark.parametrize("fault", ["death", "error"])
def test_a_process_that_ends_is_reported_and_closed(fault, capfd):
    environment, _ = inspect(GymEnvironment(BOX, f'{{"breaks": 7, "fault": "{fault}"}}'))
    vector = GymVector(environment, 2, processes=2)
    vector.reset([1, 2])
    words = {"death": "its process ended: killed", "error": "the dot fell off"}
    for _ in range(6):
        vector.step(np.zeros((2, 2)))
    with pytest.raises(SimulatorError, match=words[fault]) as found:
        vector.step(np.zeros((2, 2)))
    assert "\n" not in str(found.value)
    vector.close()
    vector.close()
    assert "Traceback" not in capfd.readouterr().err


def test_environments_that_still_step_are_closed_at_once(capfd):
    environment, _ = inspect(GymEnvironment(BOX))
    vector = GymVector(environment, 2, processes=2)
    vector.reset([1, 2])
    vector.step_async(np.zeros((2, 2)))
    processes = list(vector._processes)
    vector.close()
    assert not any(process.is_alive() for process in processes)
    assert capfd.readouterr().err == ""


def test_a_recording_process_that_dies_is_reported(tmp_path, monkeypatch):
    death = '{"breaks": 9, "fault": "death"}'
    words = ["--env", DISCRETE, "--env-args", death, "--records", str(tmp_path), "--max-trials", "2"]
    with pytest.raises(
        SimulatorError, match=r"a process that recorded has ended.*what is recorded is kept"
    ):
        record_command.main([*words, "--processes", "2", "-q"])
    with pytest.raises(ConfigError, match="processes: expected at least 1, or 0 for one a core, got -3"):
        record_command.main([*words, "--processes", "-3"])


@pytest.mark.parametrize("vector", [False, True])
def test_what_an_environment_starts_holds_no_lock_of_ours(tmp_path, vector):
    environment, _ = inspect(GymEnvironment(BOX))
    with open(tmp_path / "record.lock", "w") as lock:
        os.set_inheritable(lock.fileno(), True)
        env = GymVector(environment, 2) if vector else environment.make()
        assert not os.get_inheritable(lock.fileno())
        assert os.get_inheritable(2)
        env.close()


@pytest.mark.parametrize(
    "environment",
    [GymEnvironment(DISCRETE, '{"chance": true}'), GymEnvironment(f"{MODULE}:NoisyDot-v1", frame_skip=2)],
)
def test_an_environment_that_ignores_its_seed_is_reported(environment, caplog):
    with caplog.at_level(logging.WARNING):
        inspect(environment)
    assert "two episodes of one seed differ" in caplog.text
