"""A controller or an agent that meets another world model than the one it was made with."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from dreamduck.cli import scoreboard
from dreamduck.cli.evaluate import main as model
from dreamduck.cli.evolve import main as train
from dreamduck.common.errors import ControllerError
from dreamduck.controllers.controller_file import RunFiles, to_card
from dreamduck.controllers.factory import (
    FormConfig,
    check_model,
    load_controller,
    model_actions,
    model_sizes,
    weights_fingerprints,
)
from dreamduck.controllers.policy import ControllerForm
from dreamduck.pipeline.iterate import main as loop
from dreamduck.pipeline.record_controller import main as drives
from dreamduck.window.policy_switch import find_controller
from dreamduck.world_model import mdn_rnn, vae
from dreamduck.world_model.mdn_rnn.layout import MDNRNNConfig
from tests.envs.test_gymenv import write_gym_model

SIZES = MDNRNNConfig(z_size=4, hidden_size=8, mixtures=2)


@pytest.fixture
def others(weights, tmp_path):
    """The same model, and models of the same sizes with another VAE, and with other dynamics."""
    folders = {name: shutil.copytree(weights, tmp_path / name) for name in ("same", "vae", "dynamics")}
    vae.files.save(folders["vae"], vae.layout.initial_parameters(4, seed=3), {})
    mdn_rnn.files.save(folders["dynamics"], mdn_rnn.layout.initial_parameters(SIZES, seed=3), SIZES, {})
    return folders


def write(weights, folder, features):
    """A controller whose card names the world model in `weights`."""
    form = ControllerForm(features, 0, 2, 4, 8)
    files = RunFiles.of(folder, "rnnenv", 3, 5)
    theta = np.linspace(-0.4, 0.3, form.size)
    files.write_theta(theta)
    files.write_evaluations([], [], theta, 1.5)
    files.write_card(to_card(form, theta, weights=weights_fingerprints(weights)))
    return files.path(".json")


@pytest.mark.parametrize(
    ("features", "name", "differs"),
    [
        ("z", "same", False),
        ("z", "vae", True),
        ("z", "dynamics", False),  # it does not read the dynamics
        ("zh", "same", False),
        ("zh", "vae", True),
        ("zch", "dynamics", True),
    ],
)
def test_a_controller_and_a_model(weights, others, tmp_path, caplog, features, name, differs):
    path = write(weights, tmp_path / "log", features)
    found = load_controller(path, others[name])
    assert found.form.features == features
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == differs
    if not differs:
        load_controller(path, others[name], strict=True)
        return
    file = {"vae": "vae", "dynamics": "rnn"}[name] + ".weights.h5"
    then, now = weights_fingerprints(weights)[file], weights_fingerprints(others[name])[file]
    assert f"another world model than the one in {others[name]}" in lines[0]
    assert f"{file}: expected {then}, got {now}" in lines[0]
    assert "--weights" in lines[0]
    with pytest.raises(ControllerError, match="made with another world model"):
        load_controller(path, others[name], strict=True)


def test_a_controller_drives_its_model_after_logs_have_adapted_it(weights, others, tmp_path, caplog):
    path, card = write(weights, tmp_path / "log", "zh"), others["dynamics"] / "rnn.json"
    for source, warnings in (("0123456789abcdef", 1), (weights_fingerprints(weights)["rnn.weights.h5"], 0)):
        caplog.clear()
        card.write_text(json.dumps({**json.loads(card.read_text()), "adapted_from": source}))
        load_controller(path, others["dynamics"])
        assert len(caplog.records) == warnings
    load_controller(path, others["dynamics"], strict=True)


@pytest.mark.parametrize("fingerprints", [None, {}, [], "abc", {"initial_z.json": "0"}, {"notes.txt": "0"}])
def test_a_card_without_fingerprints_is_no_mismatch(weights, tmp_path, caplog, fingerprints):
    check_model(tmp_path / "c.json", fingerprints, weights, strict=True)
    assert not caplog.records


def test_a_model_in_another_form_is_another_model(weights, tmp_path):
    """Made with the original's own files, or with ours: either way round."""
    with pytest.raises(ControllerError, match=r"rnn\.json: expected abc, got no such file"):
        check_model(tmp_path / "c.json", {"rnn.json": "abc"}, weights, strict=True)


SEARCH = ["-n=2", "--num_episode=1", "--generations=1", "--max-steps=4"]
SHORT = ["--episodes=1", "--seconds=0.5", "--maps=loop_empty"]
COMMANDS = {
    "model": (model, ["rnnenv", "norender", "{controller}", "3", "--episodes=2", "--max-steps=4"]),
    "train": (
        train,
        ["rnnenv", *SEARCH, "--start={controller}", "--components=2", "--log={out}"],
    ),
    "scoreboard": (
        scoreboard.main,
        ["--rows=", "--controller=it={controller}", *SHORT, "--out={out}"],
    ),
    "drives": (drives, ["{controller}", "--episodes=1", "--max-steps=3", "--out={out}"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_warn_and_refuse(weights, others, tmp_path, caplog, name):
    main, words = COMMANDS[name]
    controller, out = write(weights, tmp_path / "log", "zh"), tmp_path / "out"
    flags = [word.format(controller=controller, out=out) for word in words]
    flags += ["--weights", str(others["dynamics"]), "-q"]
    with pytest.raises(ControllerError, match="made with another world model"):
        main([*flags, "--strict"])
    assert not out.exists()
    main(flags)
    warnings = [line for line in caplog.messages if "another world model" in line]
    assert warnings, name
    assert len(set(warnings)) == 1


def test_the_loop_refuses_before_anything_is_made(weights, others, tmp_path):
    controller, out = write(weights, tmp_path / "log", "zh"), tmp_path / "out"
    flags = [str(controller), "--weights", str(others["dynamics"]), "--out", str(out), "--strict", "-q"]
    with pytest.raises(ControllerError, match="made with another world model"):
        loop(flags)
    assert not out.exists()


def test_the_wheel_prefers_a_controller_of_its_own_model(weights, others, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    path = write(weights, tmp_path / "log", "zh")
    assert find_controller("", others["same"], strict=True) is not None
    assert not caplog.messages
    assert find_controller("", others["dynamics"], strict=True) is None
    assert find_controller("", others["dynamics"]) is not None
    assert "another world model" in caplog.text
    caplog.clear()
    mine = RunFiles.of(tmp_path / "log", "rnnenv", 2, 5)  # a smaller search, in this very model
    for ending in (".best.json", ".card.json"):
        shutil.copyfile(path.with_name(path.name.removesuffix(".json") + ending), mine.path(ending))
    card = json.loads(mine.path(".card.json").read_text())
    mine.write_card({**card, "weights": weights_fingerprints(others["dynamics"])})
    assert find_controller("", others["dynamics"]) is not None
    assert not caplog.messages
    with pytest.raises(ControllerError, match="another world model"):
        find_controller(str(path), others["dynamics"], strict=True)


def test_a_controller_that_gets_nowhere_is_passed_over(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(weights, tmp_path / "log", "zh")
    assert find_controller("", weights, strict=True) is not None
    best = path.with_name(path.name.removesuffix(".json") + ".best.json")
    theta, _ = json.loads(best.read_text())
    best.write_text(json.dumps([theta, -1.5]))
    assert find_controller("", weights, strict=True) is None
    assert find_controller(str(best), weights, strict=True) is not None


def test_returns_of_other_environments_may_be_negative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = write_gym_model(tmp_path / "weights", "discrete")
    space, (z_size, hidden_size, cell_size) = model_actions(weights), model_sizes(weights)
    form = FormConfig("zh").form(z_size, hidden_size, cell_size, space)
    files, theta = RunFiles.of(tmp_path / "log", "rnnenv", 8, 32), np.linspace(-0.4, 0.3, form.size)
    files.write_theta(theta)
    files.write_evaluations([], [], theta, -120.0)
    files.write_card(to_card(form, theta, weights=weights_fingerprints(weights)))
    assert find_controller("", weights) is not None


def test_an_agent_knows_the_model_that_it_learned_through(weights, others, tmp_path, caplog):
    from dreamduck.rl.agents import acting
    from dreamduck.rl.run import main as baselines

    save = tmp_path / "agent"
    base = ["--alg=ppo2", "--network=mlp", "--seed=1"]
    learn = [*base, "--env=DreamDuck-v2", "--num_timesteps=16", "--nsteps=16", "--nminibatches=1"]
    kwargs = json.dumps({"weights": str(weights)})
    baselines([*learn, f"--env_kwargs={kwargs}", f"--save_path={save}", f"--log_path={tmp_path / 'logs'}"])
    (file,) = [path for path in tmp_path.iterdir() if path.name.startswith("agent")]
    assert acting.about(file).weights == weights_fingerprints(weights)
    words = ["--rows=", f"--agent=it={file}", "--episodes=1", "--seconds=0.5", "--maps=loop_empty", "-q"]
    words += [f"--weights={others['dynamics']}", f"--out={tmp_path / 'out'}"]
    with pytest.raises(ControllerError, match="made with another world model"):
        scoreboard.main([*words, "--strict"])
    caplog.clear()
    scoreboard.main(words)
    assert caplog.text.count("another world model") == 1
