"""What a deployed policy refuses: other files, other frames, other worlds."""

import json

import numpy as np
import pytest

from dreamduck.cli.deploy import main
from dreamduck.common.errors import (
    ConfigError,
    ControllerError,
    DreamDuckError,
    FrameError,
    PolicyError,
    ResetNeeded,
)
from dreamduck.deployment.policy import POLICY, DeployedPolicy
from dreamduck.deployment.policy_source import read_source
from dreamduck.world_model import mdn_rnn, vae
from tests.deployment.models import deployed, rewritten, write_controller


def frames(count, height=64, width=64):
    return np.random.default_rng(count).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        ("", "got an ONNX file without its contract"),
        ("{", "not JSON"),
        ("[1]", "its contract is damaged"),
        (json.dumps({"format": "dreamduck-policy", "version": 2}), "of another version"),
        (json.dumps({"format": "dreamduck-policy", "version": 1, "rate": "fast"}), "damaged"),
    ],
)
def test_a_file_without_our_contract_is_refused(weights, tmp_path, contract, expected):
    folder = rewritten(deployed(tmp_path, weights), contract)
    with pytest.raises(PolicyError, match=expected) as caught:
        DeployedPolicy(folder)
    assert "\n" not in str(caught.value)
    assert "dreamduck deploy" in str(caught.value)


def test_what_is_no_onnx_file_is_refused(tmp_path):
    (tmp_path / POLICY).write_bytes(b"\0\1garbage" * 100)
    with pytest.raises(PolicyError, match="expected an ONNX file"):
        DeployedPolicy(tmp_path)
    with pytest.raises(PolicyError, match="no such file"):
        DeployedPolicy(tmp_path / "none.onnx")


def test_other_frames_are_refused(weights, tmp_path):
    policy = DeployedPolicy(deployed(tmp_path, weights))
    with pytest.raises(ResetNeeded):
        policy.act(frames(1))
    policy.reset(2)
    for wrong in (
        frames(1),
        frames(2)[..., :2],
        frames(2).astype(np.float32),
        frames(2)[0],
        frames(2)[:, :0],
    ):
        with pytest.raises(FrameError, match=r"expected uint8 \(2, H, W, 3\)"):
            policy.act(wrong)
    assert np.isfinite(policy.act(frames(2, 48, 100))).all()


def test_some_cars_act(weights, tmp_path):
    policy = DeployedPolicy(deployed(tmp_path, weights))
    policy.reset(3)
    policy.act(frames(3))
    seen = frames(3)[::-1]
    policy.act(seen[[2, 0]], np.array([2, 0]))
    found = policy.act(seen)
    policy.reset(3)
    policy.act(frames(3))
    whole = policy.act(seen)
    np.testing.assert_allclose(found[1], whole[1], atol=1e-6)  # which has not acted
    np.testing.assert_allclose(found[[0, 2]], policy.act(seen)[[0, 2]], atol=1e-6)
    assert np.abs(found[[0, 2]] - whole[[0, 2]]).max() > 1e-4
    with pytest.raises(FrameError, match=r"expected uint8 \(1, H, W, 3\)"):
        policy.act(seen, np.array([1]))


def test_the_contract_names_what_it_was_made_from(weights, tmp_path, capsys):
    path = write_controller(tmp_path, weights)
    main([str(path), "--out", str(tmp_path / "robot"), "--weights", str(weights), "--trim", "0.05", "-q"])
    assert "controller, 10 steps a second" in capsys.readouterr().out
    contract = DeployedPolicy(tmp_path / "robot").contract
    assert contract == json.loads((tmp_path / "robot" / "contract.json").read_text())
    assert set(contract["fingerprints"]) == {
        "test.json",
        "vae.weights.h5",
        "rnn.weights.h5",
        "initial_z.json",
    }
    assert contract["calibration"] == [1.0, 0.05]
    assert contract["camera"]["crop"].endswith("64:64")
    assert contract["inputs"]["frame"]["colour_order"] == "RGB"
    assert str(tmp_path) not in json.dumps(contract)


def test_a_controller_of_another_world_model_is_refused(weights, tmp_path):
    path = write_controller(tmp_path, weights)
    other = tmp_path / "other"
    sizes = mdn_rnn.MDNRNNConfig(z_size=4, hidden_size=8, mixtures=2)
    vae.files.save(other, vae.layout.initial_parameters(4, seed=1), {})
    mdn_rnn.files.save(other, mdn_rnn.layout.initial_parameters(sizes, seed=1), sizes, {})
    with pytest.raises(ControllerError, match="made with another world model"):
        read_source(path, str(other))


@pytest.mark.parametrize(
    ("actions", "name", "expected"),
    [(3, "DreamDuck-v0", "of actions of 3 numbers"), (2, "CarRacing-v3", "got one of CarRacing-v3")],
)
def test_a_controller_of_another_world_is_refused(tmp_path, actions, name, expected):
    sizes = mdn_rnn.MDNRNNConfig(z_size=4, hidden_size=8, mixtures=2, action_size=actions)
    vae.files.save(tmp_path, vae.layout.initial_parameters(4, seed=1), {})
    card = {"environment": {"id": name}}
    mdn_rnn.files.save(tmp_path, mdn_rnn.layout.initial_parameters(sizes, seed=1), sizes, card)
    path = write_controller(tmp_path, tmp_path)
    with pytest.raises(DreamDuckError, match=expected):
        read_source(path, str(tmp_path))


def test_a_folder_with_something_else_is_left_alone(weights, tmp_path):
    path = write_controller(tmp_path, weights)
    (tmp_path / "run.py").write_text("mine")
    words = [str(path), "--out", str(tmp_path), "--weights", str(weights)]
    with pytest.raises(ConfigError, match="expected a new or empty folder"):
        main(words)
    assert (tmp_path / "run.py").read_text() == "mine"
    for _ in range(2):
        main([*words, "--out", str(tmp_path / "robot")])


def test_a_folder_is_no_controller(tmp_path):
    with pytest.raises(PolicyError, match="got a folder"):
        read_source(tmp_path)
