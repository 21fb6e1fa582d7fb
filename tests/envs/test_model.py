"""model.py in all three worlds, with a small world model of random weights."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dreamduck
from dreamduck.cli import evaluate as model
from dreamduck.cli import evolve as train
from dreamduck.common.config import replace
from dreamduck.common.errors import ConfigError, ControllerError
from dreamduck.controllers.policy import ControllerForm
from dreamduck.simulator.environment import describe
from dreamduck.simulator.road import RoadConfig
from dreamduck.window.window import Keys

FORM = ControllerForm("zch", 0, 2, 4, 8)
SCRIPT = Path(dreamduck.__file__).parent / "envs" / "model.py"


@pytest.fixture
def controller(tmp_path):
    path = tmp_path / "rnnenv.cma.16.2.json"
    path.write_text(json.dumps([np.linspace(-1, 1, FORM.size).tolist()]))
    return str(path)


@pytest.mark.parametrize("env", ["env", "realenv", "rnnenv"])
def test_norender_evaluates_many_episodes(env, controller, weights, capsys):
    flags = ["--episodes", "3", "--max-steps", "5", "--weights", str(weights), "-q"]
    model.main([env, "norender", controller, "7", *flags])
    text = capsys.readouterr().out
    assert f"model size {FORM.size}" in text
    rewards = [float(found) for found in re.findall(r"iteration \d+ reward (\S+) timesteps \d+", text)]
    assert len(rewards) == 3
    mean, spread = re.search(r"seed 7 average_reward (\S+) stdev (\S+)", text).groups()  # type: ignore[union-attr]
    assert float(mean) == pytest.approx(np.mean(rewards), abs=2e-4)
    assert float(spread) == pytest.approx(np.std(rewards), abs=2e-4)
    model.main([env, "norender", controller, "7", *flags])
    assert capsys.readouterr().out == text


def test_without_a_file_the_parameters_are_random(weights, capsys):
    flags = ["--episodes", "2", "--max-steps", "3", "--weights", str(weights), "-q"]
    model.main(["rnnenv", "norender", *flags, "--features", "z"])
    assert "model size 10 " in capsys.readouterr().out


@pytest.mark.parametrize("env", ["env", "realenv", "rnnenv"])
def test_render_into_a_video(env, controller, weights, tmp_path, capsys):
    video = tmp_path / "drive.mp4"
    flags = ["--max-steps", "4", "--weights", str(weights), "--video", str(video), "-q"]
    model.main([env, "render", controller, "3", *flags])
    assert video.stat().st_size > 500
    assert re.search(r"terminal reward \S+ average steps taken [1-4]$", capsys.readouterr().out.strip())


@pytest.mark.parametrize("env", ["env", "realenv", "rnnenv"])
@pytest.mark.parametrize("how", ["escape", "close", "neither"])
def test_the_window_can_stop_it(env, how, controller, weights, capsys, monkeypatch):
    shown = []

    class Window:
        def __init__(self, title):
            self.open = True

        def show(self, frame, lines, fps):
            assert self.open
            shown.append(frame)
            now = len(shown) == 3
            return Keys(frozenset(), ("ESCAPE",) if now and how == "escape" else (), now and how == "close")

        def close(self):
            self.open = False

    monkeypatch.setattr("dreamduck.window.window.Window", Window)
    monkeypatch.setattr("dreamduck.window.window.check_display", lambda: None)
    model.main([env, "render", controller, "3", "--max-steps", "5", "--weights", str(weights), "-q"])
    taken = int(re.search(r"steps taken (\d+)", capsys.readouterr().out).group(1))  # type: ignore[union-attr]
    assert taken == len(shown) - 1
    assert taken > 2 if how == "neither" else taken == 2


def test_settings_that_the_weights_did_not_learn_from(controller, weights, tmp_path, capsys):
    folder = shutil.copytree(weights, tmp_path / "weights")
    card = json.loads((folder / "rnn.json").read_text())
    card["environment"] = describe(replace(RoadConfig(), frame_skip=5))
    (folder / "rnn.json").write_text(json.dumps(card))
    flags = [controller, "7", "--episodes", "2", "--max-steps", "3", "--weights", str(folder), "-q"]
    for env in ("env", "realenv", "rnnenv"):
        with pytest.raises(ConfigError, match=r"frame_skip: expected 5, got 3.*--any-weights"):
            model.main([env, "norender", *flags])
        model.main([env, "norender", *flags, "--any-weights"])
        model.main([env, "norender", *flags, "--frame-skip", "5"])
    with pytest.raises(ConfigError, match="frame_skip"):
        train.main(
            ["-n", "2", "--generations", "1", "-q", "--weights", str(folder), "--log", str(tmp_path)]
        )
    capsys.readouterr()


def test_a_controller_of_another_number_of_actions(weights, tmp_path):
    path = tmp_path / "car.json"
    path.write_text(json.dumps([[0.1] * (3 * (4 + 1))]))
    with pytest.raises(ControllerError, match=r"15 parameters are a controller of 3 actions on \[z\]"):
        model.main(["rnnenv", "norender", str(path), "1", "--weights", str(weights), "-q"])


def test_a_trained_controller_drives(weights, tmp_path, capsys):
    """The whole way: train.py writes the README's name, model.py drives it."""
    small = ["-n", "2", "--generations", "2", "--max-steps", "6", "-q", "--weights", str(weights)]
    train.main([*small, "--log", str(tmp_path)])
    path = tmp_path / "rnnenv.cma.16.2.json"
    for name in (
        path,
        path.with_name("rnnenv.cma.16.2.best.json"),
        path.with_name("rnnenv.cma.16.2.log.json"),
    ):
        flags = ["--episodes", "2", "--max-steps", "3", "-q", "--weights", str(weights)]
        model.main(["realenv", "norender", str(name), "1", *flags])
        assert "average_reward" in capsys.readouterr().out


def test_bad_input_is_one_line_and_exit_code_2(weights, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text("[[1.0, 2.0]]")
    found = subprocess.run(
        [sys.executable, SCRIPT, "rnnenv", "norender", bad, "1", "--weights", weights],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 2
    assert re.match(r"error: .*bad\.json: theta: 2 parameters fit no controller", found.stderr.strip())
    assert len(found.stderr.strip().splitlines()) == 1


def test_other_bad_input(controller, weights):
    flags = ["--weights", str(weights), "-q"]
    with pytest.raises(ConfigError, match="seed: expected 0 or more"):
        model.main(["rnnenv", "norender", controller, "-1", *flags])
    with pytest.raises(ConfigError, match="episodes"):
        model.main(["rnnenv", "norender", controller, "1", "--episodes", "0", *flags])
    with pytest.raises(ControllerError, match="no such file"):
        model.main(["rnnenv", "norender", "nowhere.json", "1", *flags])
    with pytest.raises(ConfigError, match="temperature"):
        model.main(["rnnenv", "norender", controller, "1", "--temp", "0", *flags])
