"""The command from the file to the report, with helper processes and a policy of a few nodes."""

import json
from pathlib import Path

import numpy as np
import pytest

from dreamduck.common.config import replace
from dreamduck.common.errors import ConfigError, PolicyError
from dreamduck.deployment.contract import FORMAT, METADATA, VERSION
from dreamduck.deployment.gauntlet.command import main
from dreamduck.deployment.gauntlet.config import GauntletConfig
from dreamduck.deployment.gauntlet.team import Task, Team

QUICK = ["--only", "jpeg,all-full", "--episodes", "11", "--seconds", "0.5", "--maps", "loop_empty", "-q"]
CONTRACT = {
    "format": FORMAT,
    "version": VERSION,
    "rate": 10.0,
    "state_size": 1,
    "calibration": [1.0, 0.0],
    "camera": {},
    "environment": {"frame_skip": 3, "distortion": False},
    "gauntlet": None,
}


def write_policy(folder: Path) -> Path:
    """Drives straight on, the faster the brighter it is; its state counts steps."""
    import onnx

    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["frame"], ["number"], to=kinds.FLOAT),
        helper.make_node("ReduceMean", ["number"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "axis"], ["column"]),
        helper.make_node("Mul", ["column", "factor"], ["duty"]),
        helper.make_node("Identity", ["duty"], ["action"]),
        helper.make_node("Add", ["state", "one"], ["state_next"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array([1], np.int64), "axis"),
        onnx.numpy_helper.from_array(np.array([[0.003, 0.0031]], np.float32), "factor"),
        onnx.numpy_helper.from_array(np.array([[1]], np.float32), "one"),
    ]

    def value(name, kind, *shape):
        return helper.make_tensor_value_info(name, kind, ["N", *shape])

    inputs = [value("frame", kinds.UINT8, "H", "W", 3), value("state", kinds.FLOAT, 1)]
    outputs = [
        value("duty", kinds.FLOAT, 2),
        value("action", kinds.FLOAT, 2),
        value("state_next", kinds.FLOAT, 1),
    ]
    graph = helper.make_graph(nodes, "policy", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {METADATA: json.dumps(CONTRACT)})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.onnx").write_bytes(model.SerializeToString())
    (folder / "contract.json").write_text(json.dumps(CONTRACT))
    return folder


@pytest.fixture
def policy(tmp_path):
    return write_policy(tmp_path / "robot")


def run(policy, out, *flags):
    assert main([str(policy), *QUICK, "--out", str(out), *flags]) == 0
    return json.loads((out / "gauntlet.json").read_text())


def test_from_the_file_to_the_report(policy, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run(policy.relative_to(tmp_path), tmp_path / "one", "--workers", "1")
    assert [entry["key"] for entry in found["summary"]][::2] == ["clean", "jpeg", "all-full"]
    assert {len(one["episodes"]) for one in found["rounds"]} == {10, 1}
    said = capsys.readouterr().out
    assert "| clean | " in said
    assert "## all maps" in said
    assert "## loop_empty" not in said
    assert (tmp_path / "one" / "gauntlet.md").exists()
    assert (tmp_path / "one" / "gauntlet.png").exists()
    two = run(policy, tmp_path / "two", "--workers", "2")
    assert two["rounds"] == found["rounds"]  # with any policy


def test_a_second_run_drives_only_what_is_missing(policy, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = run(policy, out, "--workers", "1")
    driven = []
    whole = Team.run

    def watched(self, tasks):
        driven.extend(tasks)
        return whole(self, tasks)

    monkeypatch.setattr(Team, "run", watched)
    more = run(policy, out, "--workers", "1", "--only", "push")
    assert driven == [Task("push", "loop_empty", 0), Task("push", "loop_empty", 1)]
    assert len(more["summary"]) == len(first["summary"]) + 2
    with pytest.raises(ConfigError, match=r"measured with another settings.*--fresh"):
        run(policy, out, "--pitch", "3")
    again = run(policy, out, "--workers", "1", "--pitch", "3", "--fresh")
    assert again["key"]["settings"]["pitch"] == 3.0


def test_the_table_goes_into_the_contract_where_it_is_asked_for(policy, tmp_path):
    run(policy, tmp_path / "out", "--workers", "1")
    assert json.loads((policy / "contract.json").read_text())["gauntlet"] is None
    run(policy, tmp_path / "out", "--workers", "1", "--write-contract")
    found = json.loads((policy / "contract.json").read_text())["gauntlet"]
    assert [row["key"] for row in found["rows"]] == ["clean", "jpeg", "all-full"]
    assert found["settings"]["episodes"] == 11


def test_the_list_of_perturbations(policy, capsys):
    assert main([str(policy), "--list", "--latency", "80"]) == 0
    assert "latency-80      latency 80 ms\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only", "wind"], "only: expected some of clean"),
        (["--maps", "nowhere"], "nowhere"),
        (["--latency", "soon"], "latency: expected milliseconds"),
        (["--episodes", "-1"], "episodes: expected at least 0"),
        (
            ["--camera-width", "640"],
            "camera_width, camera_height: expected .*, or 0 for both, got 640",
        ),
        (["--camera-width", "7", "--camera-height", "9"], "expected 8 pixels or more"),
    ],
)
def test_bad_flags_are_refused_before_anything_drives(policy, tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        main([str(policy), "--out", str(tmp_path / "out"), *flags])
    assert not (tmp_path / "out").exists()


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "policy.onnx"
    path.write_bytes(b"no policy")
    with pytest.raises(PolicyError, match=r"policy\.onnx"):
        main([str(path), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_worker_that_dies_is_reported(policy):
    settings = replace(GauntletConfig(), maps=("loop_empty",), episodes=1, seconds=1.0, workers=1)
    team = Team(str(policy), settings)
    try:
        team._workers[0].process.kill()
        with pytest.raises(RuntimeError, match=r"gauntlet worker 1 .* give the same command again"):
            list(team.run([Task("clean", "loop_empty", 0)]))
    finally:
        team.close()
