"""The submission's own folder, driven by the mock engine: whole episodes, and an engine that misbehaves."""

import importlib.util
import json
import re
import sys
import types

import numpy as np
import onnx
import pytest

from dreamduck.cli import deploy
from dreamduck.common.config import from_mapping
from dreamduck.common.errors import SimulatorError
from dreamduck.deployment import engine
from dreamduck.deployment.engine import VEHICLE, EngineConfig, drive_submission
from dreamduck.deployment.folder import write_folder
from dreamduck.deployment.policy_graph import WheelConfig
from dreamduck.deployment.policy_source import read_source
from dreamduck.pretrained import FOLDER

SHORT = EngineConfig(max_steps=15)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("robot")
    source = read_source(FOLDER / "controllers" / "rnnenv.cma.32.64.best.json")
    write_folder(source, made, WheelConfig(), 13)
    return made / "submission"


def test_the_folder_drives_episodes(folder):
    results = drive_submission(folder, [90_001, 90_002], EngineConfig(max_steps=60))
    assert [(result.steps, result.end, result.refused) for result in results] == [(60, "", 0)] * 2
    assert min(result.distance for result in results) > 1.0
    assert results[0] != results[1]


def test_the_command_writes_the_folder_and_drives_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(deploy, "EngineConfig", lambda max_steps: EngineConfig(max_steps=max_steps // 10))
    controller = str(FOLDER / "controllers" / "rnnenv.cma.32.64.best.json")
    words = ["--out", str(tmp_path / "robot"), "--opset", "18", "--trim", "0.03", "--check", "-q"]
    assert deploy.main([controller, *words]) is None
    said = capsys.readouterr().out
    assert re.search(r"^drove [1-9]\.\d m in 30 steps$", said, re.MULTILINE), said
    made = onnx.load(tmp_path / "robot" / "policy.onnx")
    assert [one.version for one in made.opset_import if not one.domain] == [18]


def test_it_holds_its_rate_when_messages_come_faster(folder):
    """At 30 messages a second it acts at every third, so that it drives as far in the same time."""
    fast = from_mapping(EngineConfig, {"frame_skip": 1, "max_steps": 90})
    (result,) = drive_submission(folder, [90_001], fast)
    (usual,) = drive_submission(folder, [90_001], EngineConfig(max_steps=30))
    assert result.distance == pytest.approx(usual.distance, rel=0.05)


@pytest.mark.parametrize("image", [None, {}, {"data": ""}, {"data": "bm8gSlBFRw=="}])
def test_without_a_frame_the_wheels_stand(folder, image):
    def tamper(message):
        message["entities"][VEHICLE]["compressed_image"] = image
        return message

    (result,) = drive_submission(folder, [90_001], SHORT, tamper)
    assert (result.distance, result.refused, result.steps) == (0.0, 0, 15)


@pytest.mark.parametrize("entity", [{"pose": 5}, {"pose": {"header": [0.0]}}])
def test_any_message_is_answered(folder, entity):
    def tamper(message):
        return {**message, "entities": {VEHICLE: entity}}

    (result,) = drive_submission(folder, [90_001], EngineConfig(max_steps=3), tamper)
    assert (result.distance, result.refused, result.steps) == (0.0, 0, 3)


@pytest.mark.parametrize("time", [None, 0.0])
def test_without_a_clock_every_message_counts(folder, time):
    """The clock of the messages is left out, or stands still."""

    def tamper(message):
        for part in message["entities"][VEHICLE].values():
            part["header"] = {} if time is None else {"timestamp": time}
        return message

    (result,) = drive_submission(folder, [90_001], EngineConfig(max_steps=30), tamper)
    (usual,) = drive_submission(folder, [90_001], EngineConfig(max_steps=30))
    assert result == usual


@pytest.mark.parametrize("begins", [0.0, 7.0])
def test_an_episode_begins_without_the_state_of_the_one_before(folder, monkeypatch, begins):
    """Also where all episodes begin at the same time."""
    solution = load_solution(folder, monkeypatch)
    frames = np.random.default_rng(4).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8)
    monkeypatch.setattr(solution, "decoded", lambda image: frames[image])
    policy = solution.Policy(solution.POLICY)
    first = policy(0, 0.0)
    for step in range(1, 6):
        policy(step, begins + 0.1 * step)
    assert policy(0, 0.0) == first


def load_solution(folder, monkeypatch):
    """The submission's module, with a made-up engine."""
    stand_in = types.ModuleType("gym_duckiematrix.gym_environment")
    stand_in.GymEnvironment = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gym_duckiematrix", types.ModuleType("gym_duckiematrix"))
    monkeypatch.setitem(sys.modules, "gym_duckiematrix.gym_environment", stand_in)
    spec = importlib.util.spec_from_file_location("solution_main", folder / "solution" / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_its_vehicle_the_wheels_stand(folder):
    (result,) = drive_submission(folder, [90_001], SHORT, lambda message: {**message, "entities": {}})
    assert (result.distance, result.refused) == (0.0, 0)


def test_a_submission_that_ends_is_reported(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "WAIT", 2.0)
    (tmp_path / "solution").mkdir()
    (tmp_path / "solution" / "main.py").write_text("raise SystemExit")
    with pytest.raises(SimulatorError, match="expected a connection"):
        drive_submission(tmp_path, [1], SHORT)


def test_answers_that_are_no_duties_count_as_zero(tmp_path):
    (tmp_path / "solution").mkdir()
    (tmp_path / "solution" / "main.py").write_text(
        "from gym_duckiematrix.gym_environment import GymEnvironment\n"
        "import threading, os\n"
        "env = GymEnvironment('127.0.0.1', int(os.environ['DUCKIEMATRIX_ENGINE_PORT']))\n"
        "env.attach(lambda message: env.step({env.vehicle_names[0]: (float('nan'), 7.0)}))\n"
        "env.start(); threading.Event().wait()\n"
    )
    (result,) = drive_submission(tmp_path, [1], SHORT)
    assert (result.refused, result.distance) == (15, 0.0)


def test_the_submission_names_the_protocol(folder):
    import yaml

    about = yaml.safe_load((folder / "submission.yaml").read_text())
    assert about["protocol"] == "aido6_embodied_sys"
    assert (folder / "Dockerfile").read_text().count("COPY") == 3
    policy = (folder / "models" / "policy.onnx").read_bytes()
    assert policy == (folder.parent / "policy.onnx").read_bytes()
    assert np.frombuffer(policy, np.uint8).size < 10e6
    assert json.loads((folder.parent / "contract.json").read_text())["gauntlet"] is None
