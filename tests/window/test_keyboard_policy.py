"""A person records episodes of any environment, at a window that is made up."""

from typing import Any, ClassVar

import numpy as np
import pytest

from dreamduck.cli import run
from dreamduck.common.errors import ConfigError, DisplayError
from dreamduck.recordings import scan
from dreamduck.recordings.sources.action_space import ActionSpace
from dreamduck.window import keyboard_policy
from dreamduck.window.keyboard_policy import KeyboardPolicy, RecordingStopped, key_name
from dreamduck.window.window import Keys
from tests.recordings.sources.worlds import MODULE, Dot


class Screen:
    """A window at which keys are pressed by a script; the last stays pressed."""

    script: ClassVar[list[Keys]] = []

    def __init__(self, title):
        self.shown = []

    def show(self, frame, lines, fps):
        self.shown.append(lines)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def close(self):
        pass


def pressed(*names, held=()):
    return Keys(frozenset(held), names, False)


@pytest.fixture
def screen(monkeypatch):
    monkeypatch.setattr(keyboard_policy, "Window", Screen)
    monkeypatch.setenv("DISPLAY", ":0")
    return Screen


FRAME, EXPERT = np.zeros((64, 64, 3), np.uint8), np.zeros(2)


def test_arrow_keys_act_where_the_environment_has_no_keys(screen):
    policy = KeyboardPolicy(ActionSpace("discrete", 3), 20.0)
    screen.script = [pressed(), pressed("SPACE"), pressed(held=("RIGHT",)), pressed(), pressed("ESCAPE")]
    assert policy.act(0, FRAME, EXPERT).tolist() == [0, 0, 1]
    assert policy.act(1, FRAME, EXPERT).tolist() == [1, 0, 0]
    with pytest.raises(RecordingStopped):
        policy.act(2, FRAME, EXPERT)


def test_keys_of_the_environment(screen):
    keys = {(ord("w"),): 3, ("w", 1073741903): 4, 32: 2, (): 1}
    policy = KeyboardPolicy(ActionSpace("discrete", 5), 20.0, keys)
    screen.script = [pressed(held=("W",)), pressed(held=("W", "RIGHT")), pressed("SPACE"), pressed()]
    assert [int(policy.act(1, FRAME, EXPERT).argmax()) for _ in range(4)] == [3, 4, 2, 1]
    window: Any = policy._window
    assert "keys: RIGHT SPACE W" in window.shown[0]


def test_names_of_keys():
    assert [key_name(key) for key in ("a", ord("7"), " ", 1073741906)] == ["A", "_7", "SPACE", "UP"]
    with pytest.raises(ConfigError, match="got 'F1'"):
        key_name("F1")


def test_the_command_records_what_a_person_does(screen, tmp_path, monkeypatch):
    monkeypatch.setattr(Dot, "get_keys_to_action", lambda self: {"a": 5, "d": 7}, raising=False)
    screen.script = [pressed("D", held=("D",))]
    records = tmp_path / "records"
    words = ["record", "--env", f"{MODULE}:Dot-v3", "--records", str(records), "--max-trials", "2"]
    run([*words, "--policy", "keyboard", "--log", str(tmp_path / "log")])
    found = scan(str(records))
    assert len(found.paths) == 2
    screen.script = [pressed("ESCAPE")]
    run([*words[:-1], "9", "--policy", "keyboard", "--log", str(tmp_path / "log")])
    assert len(scan(str(records)).paths) == 2  # those that were over stay


def test_bad_input(screen, tmp_path, monkeypatch):
    words = ["record", "--env", f"{MODULE}:Dot-v3", "--records", str(tmp_path / "records")]
    with pytest.raises(ConfigError, match="expected keyboard alone, got keyboard,random"):
        run([*words, "--policies", "keyboard,random"])
    monkeypatch.delenv("DISPLAY")
    with pytest.raises(DisplayError, match="DISPLAY is not set"):
        run([*words, "--policies", "keyboard"])
