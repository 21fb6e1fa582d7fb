"""Saved agents: nothing in a file is executed, and what does not fit is refused."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamduck.common.errors import CheckpointError, ConfigError, DreamDuckError
from dreamduck.rl.agents import agent_file
from dreamduck.rl.agents.checkpoint import TrainingProgress
from dreamduck.rl.networks import least_size
from dreamduck.rl.run import main
from dreamduck.rl.sb3 import sb3, sb3_contrib, th
from tests.rl.test_command import DOT, QUICK


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
    save = agent_file.read(saved)
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
        agent_file.read(path)
    assert not (tmp_path / "sprung").exists()


def test_pytorchs_own_reader_refuses_them_too(saved, tmp_path, monkeypatch):
    """Should the look at the opcodes ever miss something."""
    monkeypatch.setattr("dreamduck.rl.agents.safe_reader._check_pth", lambda content: None)
    path = rewritten(saved, tmp_path / "trap", **{"policy.pth": pth({"a": Trap(tmp_path / "sprung")})})
    with pytest.raises(CheckpointError, match="something else than weights"):
        agent_file.read(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"policy.pth": None}, "expected policy.pth"),
        ({"policy.pth": b"xx"}, "something else than weights"),
        ({agent_file.CARD: b"{"}, "not JSON"),
        ({agent_file.CARD: b"[]"}, "another form"),
        ({agent_file.CARD: b'{"format": "dreamduck-baselines"}'}, "another form"),
        ({agent_file.NORMALIZE: b"xx"}, "cannot be read"),
    ],
)
def test_damaged_files_are_refused(saved, tmp_path, members, message):
    with pytest.raises(CheckpointError, match=message):
        agent_file.read(rewritten(saved, tmp_path / "damaged", **members))


def test_objects_in_the_normalisation_are_refused(saved, tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, ret_mean=np.array([Trap(tmp_path / "sprung")], dtype=object))
    with pytest.raises(CheckpointError, match="cannot be read"):
        agent_file.read(rewritten(saved, tmp_path / "damaged", **{agent_file.NORMALIZE: buffer.getvalue()}))
    assert not (tmp_path / "sprung").exists()


def test_every_cut_of_the_file_is_refused(saved, tmp_path):
    whole = saved.read_bytes()
    for length in range(0, len(whole), len(whole) // 12):
        part = tmp_path / "part"
        part.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            agent_file.read(part)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        agent_file.read(tmp_path / "none")
    with pytest.raises(CheckpointError, match="a folder"):
        agent_file.read(tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--network=lstm"], "trained with engine PPO, and this run has RecurrentPPO"),
        (["--alg=a2c"], "trained with engine PPO, and this run has A2C"),
        (["--num_hidden=32"], "network_options"),
        (["--env=CartPole-v1"], "observation_space"),
        (["--env=tests.rl.toys:DotCam-v0"], "observation_space"),
    ],
)
def test_a_file_from_another_network_or_environment_is_refused(saved, tmp_path, words, message):
    with pytest.raises(CheckpointError, match=message):
        main([*DOT, "--num_timesteps=64", f"--load_path={saved}", f"--log_path={tmp_path / 'log'}", *words])
    assert not (tmp_path / "log" / "progress.csv").exists()


def test_of_a_foreign_file_the_weights_alone_are_taken(tmp_path):
    theirs = sb3.PPO("MlpPolicy", "CartPole-v1", device="cpu", seed=3)
    theirs.save(tmp_path / "foreign")
    log, out = tmp_path / "log", tmp_path / "ours"
    words = ["--env=CartPole-v1", "--num_timesteps=0", f"--log_path={log}", f"--save_path={out}", "-q"]
    main([*words, f"--load_path={tmp_path / 'foreign'}", "--network=MlpPolicy"])
    for name, value in agent_file.read(out).weights["policy"].items():
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


def card_of(path: Path) -> dict[str, Any]:
    card = agent_file.read(path).card
    assert card is not None
    return card


def with_card(path: Path, target: Path, **changes: Any) -> Path:
    """A copy whose description says something else; "plan.x" changes the plan."""
    card = card_of(path)
    for key, value in changes.items():
        part, _, name = key.rpartition("__")
        (card[part] if part else card)[name] = value
    return rewritten(path, target, **{agent_file.CARD: json.dumps(card).encode()})


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that leaves a trace when it is imported; gives its name and the trace."""
    trace = tmp_path / "imported"
    name = f"holiday_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(f"import pathlib; pathlib.Path({str(trace)!r}).touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name, trace


def load(path: Path, *words: str) -> None:
    main(["--num_timesteps=0", f"--load_path={path}", "-q", *words])


def test_no_module_is_imported_because_a_file_names_it(saved, tmp_path, module):
    name, trace = module
    load(with_card(saved, tmp_path / "a", env=f"{name}:Dot-v0"))  # registered here: no module is needed
    with pytest.raises(ConfigError, match=r"not registered here; .*--extra_import"):
        load(with_card(saved, tmp_path / "b", env=f"{name}:Unheard-v0"))
    arguments = {"env_id": f"{name}:Dot-v0"}
    with pytest.raises(ConfigError, match="give them with --env_kwargs"):
        load(with_card(saved, tmp_path / "c", env="GymV26Environment-v0", env_kwargs=arguments))
    with pytest.raises(ConfigError, match="give them with --env_kwargs"):
        load(with_card(saved, tmp_path / "d", env_kwargs={"images": True}))
    assert not trace.exists()
    load(saved, f"--extra_import={name}")
    assert trace.exists()


def test_a_file_does_not_set_what_the_engine_learns_with(saved, tmp_path):
    options = {"n_steps": 10**13, "learning_rate": 7.0, "device": "nowhere", "num_layers": 2}
    path = with_card(saved, tmp_path / "a", plan__network_options=options)
    with pytest.raises(CheckpointError, match="network_options"):  # what is left differs from the file's
        load(path)


@pytest.mark.parametrize(
    "options",
    [
        {"num_hidden": 1 << 20},
        {"num_layers": 1 << 30, "num_hidden": 1},
        {"num_hidden": 90, "num_layers": 4},
    ],
)
def test_a_network_larger_than_its_weights_is_never_built(saved, tmp_path, options, monkeypatch):
    monkeypatch.setattr("dreamduck.rl.policies.build", lambda *_: pytest.fail("built"))
    with pytest.raises(CheckpointError, match="its weights are too few"):
        load(with_card(saved, tmp_path / "a", plan__network_options=options))


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [
        ("mlp", {"num_layers": 3, "num_hidden": 5}, (3, 55)),
        ("lstm", {"nlstm": 7}, (0, 196)),
        ("impala_cnn", {"depths": [2, 3]}, (2, 18 + 54)),
        ("conv_only", {"convs": [[4, 5, 2], [6, 3, 1]]}, (2, 100 + 216)),
        ("impala_cnn_lstm", {}, (0, 4 * 256**2)),
    ],
)
def test_least_sizes(name, options, least):
    assert least_size(name, options) == least


class Bytes:
    """Pickled, it asks for a bytearray of that many bytes."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __reduce__(self) -> Any:
        return bytearray, (self.count,)


def pth(value: Any) -> bytes:
    buffer = io.BytesIO()
    th.save(value, buffer)
    return buffer.getvalue()


def changed(content: bytes, members: dict[str, Any], method: int = zipfile.ZIP_STORED) -> bytes:
    """A `.pth` with records changed: bytes, or a function of the bytes that were there."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", method) as new:
        for name in old.namelist():
            member = members.get(name.partition("/")[2], lambda found: found)
            new.writestr(name, member(old.read(name)) if callable(member) else member)
    return buffer.getvalue()


def longer(record: bytes) -> bytes:
    """A pickle whose storage of 5 numbers says that it has 2**31 - 1."""
    assert record.count(b"cpuq\x06K\x05t") == 1
    return record.replace(b"cpuq\x06K\x05t", b"cpuq\x06J\xff\xff\xff\x7ft")


WEIGHTS = {"a": th.arange(5.0)}
BAD_PARTS: dict[str, Callable[[], bytes]] = {
    "bytearray": lambda: pth({"a": Bytes(6 << 30)}),
    "storage": lambda: changed(pth(WEIGHTS), {"data.pkl": longer}),
    "record": lambda: changed(pth(WEIGHTS), {"data/0": b"1234"}),
    "expanded": lambda: pth({"a": th.zeros(1).expand(1 << 40)}),
    "big-endian": lambda: changed(pth(WEIGHTS), {"byteorder": b"big"}),
    "script": lambda: changed(pth(WEIGHTS), {".format_version": b"1"}).replace(b"data.pkl", b"code.pkl"),
    "inflates": lambda: changed(pth(WEIGHTS), {"data/0": bytes(300 << 20)}, zipfile.ZIP_DEFLATED),
    "no zip": lambda: b"\x80\x02}q\x00.",
    "numbers": lambda: pth([1, 2]),
}


@pytest.mark.parametrize("kind", sorted(BAD_PARTS))
def test_parts_that_no_agent_has_are_refused_before_they_take_memory(saved, tmp_path, kind):
    path = rewritten(saved, tmp_path / "bad", **{"policy.pth": BAD_PARTS[kind]()})
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"something else than weights|parts with tensors"):
            agent_file.read(path)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_a_member_that_inflates_is_refused(saved, tmp_path):
    path = tmp_path / "bomb"
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        with new.open("critic.pth", "w") as member:
            for _ in range(100):
                member.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(CheckpointError, match=r"no saved agent \(members of 10.* bytes in a file of"):
        agent_file.read(path)


def test_a_small_file_may_be_compressed(saved, tmp_path):
    path = tmp_path / "small"
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert agent_file.read(path).card == card_of(saved)


@pytest.mark.parametrize("name", ["replay_buffer.pth", "policy.action_net.pth", "__class__.pth"])
def test_parts_are_not_looked_up_by_names_of_the_file(saved, tmp_path, name):
    path = rewritten(saved, tmp_path / "more", **{name: pth(WEIGHTS)})
    with pytest.raises(CheckpointError, match=r"expected the parts policy, policy\.optimizer, got"):
        load(path)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_regular_file_is_refused(tmp_path, make):
    make(tmp_path / "agent")
    with pytest.raises(CheckpointError, match="expected the file that --save_path wrote"):
        agent_file.read(tmp_path / "agent")
    with pytest.raises(ConfigError, match="save_path: expected a file, got"):
        main([*DOT, *QUICK, f"--save_path={tmp_path / 'agent'}", f"--log_path={tmp_path / 'log'}"])


def arrays(saved: Path, **changes: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{**agent_file.read(saved).normalize, **changes})
    return buffer.getvalue()


@pytest.mark.parametrize(
    "changes",
    [
        {"obs_var": np.ones(3)},
        {"obs_mean": np.array([np.nan])},
        {"obs_count": np.ones(2)},
        {"ret_mean": np.array("x")},
    ],
    ids=str,
)
def test_a_normalisation_of_another_form_is_refused(saved, tmp_path, changes):
    path = rewritten(saved, tmp_path / "bad", **{agent_file.NORMALIZE: arrays(saved, **changes)})
    with pytest.raises(CheckpointError, match="no normalization of this kind"):
        load(path)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"training": []}, "is damaged; expected another training$"),
        ({"training__step": 1e400}, "not JSON .Infinity"),
        ({"training__recent": [[10**400, 1]]}, "not JSON .an integer of 401 digits"),
        ({"training__elapsed": float("nan")}, "not JSON .NaN"),
        ({"plan": "x"}, "is damaged; expected another plan$"),
        ({"plan__network": ["mlp"]}, r"is damaged; expected another plan\.network$"),
        ({"env_kwargs": 3}, "is damaged; expected another env_kwargs$"),
        ({"plan__alg": "x" * 1000}, "^alg: expected one of ppo2, .*, got 'xxx"),
        ({"plan__value_network": {}}, "^value_network: expected shared or copy, got {}"),
        ({"plan__network_options": {"num_layers": True}}, "^num_layers: expected an integer of at least 1"),
        ({"plan__network_options": {"activation": [["tanh"]]}}, "^activation: expected one of tanh, relu"),
        ({"plan__clip_observations": "wide"}, "^clip_observations: expected a number .* got 'wide'"),
        ({"training__updates": "many"}, "bad: expected the progress of a training in it .*'many'"),
        ({"training__recent": [[1]]}, "bad: expected the progress of a training in it .*expected 2, got 1"),
        ({"training": {"step": 1, "recent": []}}, "bad: expected the progress of a training.*'updates'"),
    ],
    ids=lambda changes: str(changes)[:50],
)
def test_every_value_of_the_description_is_checked(saved, tmp_path, changes, text):
    with pytest.raises(DreamDuckError, match=text) as caught:
        load(with_card(saved, tmp_path / "bad", **changes))
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("step", None, "NoneType"),
        ("updates", "many", "'many'"),
        ("episodes", [], "list"),
        ("elapsed", {}, "dict"),
        ("elapsed", 10**400, "OverflowError"),
        ("recent", 3, "not iterable"),
        ("recent", [[1, 2, 3]], "too many values"),
        ("recent", [["a", 1]], "'a'"),
        ("engine_updates", float("inf"), "OverflowError"),
        ("total", "", "invalid literal"),
    ],
)
def test_every_value_of_the_progress_is_checked(name, value, text):
    whole = TrainingProgress(3, 2, 1, 0.5, [(1.0, 20.0)], 7, 100)
    values = dataclasses.asdict(whole)
    assert TrainingProgress.from_card({"training": values}, Path("x")) == whole
    with pytest.raises(CheckpointError, match=rf"^x: expected the progress of a training in it .*{text}"):
        TrainingProgress.from_card({"training": {**values, name: value}}, Path("x"))
    del values[name]
    with pytest.raises(CheckpointError, match=rf"KeyError\('{name}'\)"):
        TrainingProgress.from_card({"training": values}, Path("x"))
