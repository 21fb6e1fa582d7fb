"""Saved agents: nothing in a file is executed, and what does not fit is refused."""

from __future__ import annotations

import base64
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamduck.baselines import saves
from dreamduck.baselines.command import main
from dreamduck.baselines.engine import sb3, sb3_contrib, th
from dreamduck.errors import CheckpointError
from tests.baselines.test_command import DOT, QUICK


class Trap:
    """Pickled, it touches a file when it is opened."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


def rewritten(path: Path, target: Path, **members: bytes | None) -> Path:
    """A copy of a zip with members changed, or left out where None."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if members.get(name, b"") is not None and name not in members:
                new.writestr(name, old.read(name))
        for name, content in members.items():
            if content is not None:
                new.writestr(name, content)
    return target


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    path = folder / "agent"
    main(
        [
            *DOT,
            *QUICK,
            f"--save_path={path}",
            f"--log_path={folder / 'log'}",
            "--normalize_observations=True",
        ]
    )
    return path


def test_plain_stable_baselines_loads_it(saved):
    model = sb3.PPO.load(str(saved), device="cpu")
    action, _ = model.predict(np.zeros((1,), np.float32), deterministic=True)
    save = saves.read(saved)
    assert th.equal(
        model.policy.state_dict()["action_net.weight"], save.weights["policy"]["action_net.weight"]
    )
    assert action.shape == (1,)


def test_a_pickle_in_the_file_is_never_opened(saved, tmp_path):
    import cloudpickle  # type: ignore[import-untyped]

    data = {
        "policy_class": {
            ":type:": "x",
            ":serialized:": base64.b64encode(cloudpickle.dumps(Trap(tmp_path / "sprung"))).decode(),
        }
    }
    path = rewritten(saved, tmp_path / "trap", data=json.dumps(data).encode())
    main([*DOT, "--num_timesteps=0", f"--load_path={path}", f"--log_path={tmp_path / 'log'}", "-q"])
    assert not (tmp_path / "sprung").exists()


def test_weights_that_are_something_else_are_refused(saved, tmp_path):
    buffer = io.BytesIO()
    th.save({"a": Trap(tmp_path / "sprung")}, buffer)
    path = rewritten(saved, tmp_path / "trap", **{"policy.pth": buffer.getvalue()})
    with pytest.raises(CheckpointError, match="something else than weights"):
        saves.read(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"policy.pth": None}, "expected policy.pth"),
        ({"policy.pth": b"xx"}, "something else than weights"),
        ({saves.CARD: b"{"}, "not JSON"),
        ({saves.CARD: b"[]"}, "another form"),
        ({saves.CARD: b'{"format": "dreamduck-baselines"}'}, "another form"),
        ({saves.NORMALIZE: b"xx"}, "cannot be read"),
    ],
)
def test_damage_is_told(saved, tmp_path, members, message):
    with pytest.raises(CheckpointError, match=message):
        saves.read(rewritten(saved, tmp_path / "damaged", **members))


def test_objects_in_the_normalisation_are_refused(saved, tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, ret_mean=np.array([Trap(tmp_path / "sprung")], dtype=object))
    with pytest.raises(CheckpointError, match="cannot be read"):
        saves.read(rewritten(saved, tmp_path / "damaged", **{saves.NORMALIZE: buffer.getvalue()}))
    assert not (tmp_path / "sprung").exists()


def test_every_cut_of_the_file_is_refused(saved, tmp_path):
    whole = saved.read_bytes()
    for length in range(0, len(whole), len(whole) // 12):
        part = tmp_path / "part"
        part.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            saves.read(part)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        saves.read(tmp_path / "none")
    with pytest.raises(CheckpointError, match="a folder"):
        saves.read(tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--network=lstm"], "trained with engine PPO, and this run has RecurrentPPO"),
        (["--alg=a2c"], "trained with engine PPO, and this run has A2C"),
        (["--num_hidden=32"], "network_options"),
        (["--env=CartPole-v1"], "observation_space"),
        (["--env=tests.baselines.toys:DotCam-v0"], "observation_space"),
    ],
)
def test_a_save_from_another_network_or_world_is_refused(saved, tmp_path, words, message):
    with pytest.raises(CheckpointError, match=message):
        main([*DOT, "--num_timesteps=64", f"--load_path={saved}", f"--log_path={tmp_path / 'log'}", *words])
    assert not (tmp_path / "log" / "progress.csv").exists()


def test_of_a_foreign_file_the_weights_alone_are_taken(tmp_path):
    theirs = sb3.PPO("MlpPolicy", "CartPole-v1", device="cpu", seed=3)
    theirs.save(tmp_path / "foreign")
    log, out = tmp_path / "log", tmp_path / "ours"
    words = ["--env=CartPole-v1", "--num_timesteps=0", f"--log_path={log}", f"--save_path={out}", "-q"]
    main([*words, f"--load_path={tmp_path / 'foreign'}", "--network=MlpPolicy"])
    for name, value in saves.read(out).weights["policy"].items():
        assert th.equal(value, theirs.policy.state_dict()[name]), name
    with pytest.raises(CheckpointError, match="from another network"):
        main([*words, f"--load_path={tmp_path / 'foreign'}", "--fresh"])


def test_recurrent_saves_load_in_sb3_contrib(tmp_path):
    path = tmp_path / "agent"
    words = [
        "--network=lstm",
        "--nlstm=8",
        "--layer_norm=True",
        "--num_env=2",
        "--nsteps=32",
        "--num_timesteps=64",
    ]
    main([*DOT, *words, f"--save_path={path}", f"--log_path={tmp_path / 'log'}", "-q", "--no-progress"])
    model = sb3_contrib.RecurrentPPO.load(str(path), device="cpu")
    _, state = model.predict(np.zeros((1,), np.float32))
    assert state[0].shape == (1, 1, 8)
    assert type(model.policy.lstm_actor).__name__ == "LayerNormLSTM"
