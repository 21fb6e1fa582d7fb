"""The window, on a virtual display: keys are pressed in it, and its pixels are looked at."""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time

import gymnasium
import numpy as np
import pytest
from PIL import Image

from dreamduck.drive.keyboard import CRUISE, FULL, FULL_TURN, TURN, drive, key_action
from dreamduck.drive.window import HEIGHT, LINE, LINES, WIDTH, Window, compose, status
from dreamduck.errors import DisplayError, SimulatorError

RED, GREEN, BLUE = (200, 10, 20), (10, 180, 30), (20, 30, 220)


def plain(color, size=(48, 64)):
    return np.full((*size, 3), color, dtype=np.uint8)


def share(screen, color):
    """The part of the screen that has this colour."""
    return np.all(screen == np.array(color), axis=-1).mean()


def eventually(condition, timeout=20.0):
    until = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
    return value


@pytest.fixture
def window(display):
    window = Window("test")
    yield window
    window.close()


def test_pictures_are_on_the_screen(display, window):
    whole = WIDTH * HEIGHT / (1024 * 768)
    for color in (RED, GREEN):
        window.show(plain(color), ["hello"])
        eventually(lambda color=color: share(display.screen(), color) == pytest.approx(whole, abs=0.001))
    assert share(display.screen(), RED) == 0


def test_picture_is_upright_and_not_mirrored(display, window):
    frame = plain(RED)
    frame[:24, :32] = BLUE
    window.show(frame)
    eventually(lambda: share(display.screen(), BLUE) > 0)
    screen = display.screen()
    rows, columns = np.nonzero(np.all(screen == BLUE, axis=-1))
    rows_red, columns_red = np.nonzero(np.all(screen == RED, axis=-1))
    assert rows.min() == rows_red.min()  # red is also at the right of it
    assert columns.min() == columns_red.min()
    assert rows.max() < rows_red.max()
    assert columns.max() < columns_red.max()


def test_keys_are_held_and_released(display, window):
    target = display.window("test")
    assert not window.show(plain(RED)).held
    display.press(target, "Up")
    display.press(target, "Shift_L")
    keys = eventually(lambda: (k := window.show(plain(RED))) and len(k.held) == 2 and k)
    assert keys.held == {"UP", "LSHIFT"}
    display.release(target, "Up")
    eventually(lambda: window.show(plain(RED)).held == {"LSHIFT"})
    display.tap(target, "BackSpace")
    assert eventually(lambda: window.show(plain(RED)).pressed) == ("BACKSPACE",)
    display.tap(target, "Escape")
    assert eventually(lambda: window.show(plain(RED)).pressed) == ("ESCAPE",)
    assert not window.closed  # it is for the caller to close it


def test_closing_twice_takes_the_window_away(display):
    window = Window("short-lived")
    display.window("short-lived")
    window.close()
    window.close()
    eventually(lambda: not any("short-lived" in title for title in display.windows()))
    assert window.show(plain(RED)).closed


def test_death_of_its_process_is_told(display):
    window = Window("doomed")
    os.kill(window._worker.process.pid, signal.SIGKILL)
    with pytest.raises(SimulatorError, match=r"the window .* by signal SIGKILL"):
        window.show(plain(RED))
    window.close()


def test_two_windows_at_once(display):
    first, second = Window("first"), Window("second")
    try:
        target = display.window("second")
        display.press(target, "Left")
        eventually(lambda: second.show(plain(GREEN)).held == {"LEFT"})
        assert not first.show(plain(RED)).held
    finally:
        first.close()
        second.close()


def test_no_display(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(DisplayError, match=r"DISPLAY is not set.*xvfb-run.*rgb_array"):
        Window("none")


def test_display_that_does_not_answer(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":9987")
    with pytest.raises(DisplayError, match=r"':9987'.*xvfb-run"):
        Window("none")


@pytest.mark.parametrize(
    ("held", "action"),
    [
        ([], [0, 0]),
        (["UP"], [CRUISE, 0]),
        (["UP", "LSHIFT", "LEFT"], [FULL, FULL_TURN]),
        (["DOWN", "RIGHT"], [-CRUISE, -TURN]),
        (["UP", "DOWN"], [0, 0]),
    ],
)
def test_keys_to_action(held, action):
    assert key_action(held) == pytest.approx(action)


def test_compose_keeps_the_shape():
    picture = compose(plain(RED, (64, 64)), ["a", "b"])
    assert picture.shape == (HEIGHT + LINE * LINES, WIDTH, 3)
    red = np.all(picture == RED, axis=-1)
    assert red.sum() == HEIGHT * HEIGHT  # square, as high as the place for it
    assert (picture[HEIGHT:] > 200).any()  # the text


def test_status_of_a_car_and_of_a_dream():
    info = {"speed": 0.25, "lane_dist": 0.021, "lane_angle": 0.0, "in_lane": True, "end": "off-road"}
    first, second = status(0.5, info, 7, 1.25)
    assert first == "step 7   reward +0.500   sum +1.25   speed 0.25 m/s"
    assert second == "lane +2.1 cm, +0 degrees   ended: off-road"
    assert status(0.5, {"lane_dist": np.nan, "lane_angle": np.nan}, 1)[1] == "no lane here"
    assert status(0.5, {}, 1)[1] == ""


class Counter(gymnasium.Env):
    """Its picture turns green while the car goes left; an episode lasts `length` steps."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012

    def __init__(self, length=10**9):
        self.length = length
        self.actions, self.seeds, self.closed = [], [], False

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        self.steps = 0
        return 0, {}

    def step(self, action):
        self.actions.append(action)
        self.steps += 1
        return 0, 1.0, self.steps >= self.length, False, {"end": "off-road"}

    def render(self):
        return plain(GREEN if self.actions and self.actions[-1][1] > 0 else RED)

    def close(self):
        self.closed = True


def drive_in_thread(world, tmp_path, **flags):
    arguments = argparse.Namespace(**{"seed": 3, "steps": 0, "pictures": tmp_path / "shots", **flags})
    thread = threading.Thread(target=drive, args=(world, arguments), daemon=True)
    thread.start()
    return thread


def test_a_session_at_the_keyboard(display, tmp_path):
    world = Counter()
    thread = drive_in_thread(world, tmp_path)
    target = display.window("Counter")
    eventually(lambda: share(display.screen(), RED) > 0.3)
    display.press(target, "Left")
    display.press(target, "Up")
    eventually(lambda: share(display.screen(), GREEN) > 0.3)
    eventually(lambda: world.actions[-1] == pytest.approx([CRUISE, TURN]))
    display.tap(target, "Return")
    shot = tmp_path / "shots" / "dreamduck-001.png"
    eventually(shot.exists)
    assert np.array_equal(np.asarray(Image.open(shot)), plain(GREEN))
    display.release(target, "Left")
    eventually(lambda: share(display.screen(), RED) > 0.3)
    display.tap(target, "BackSpace")
    eventually(lambda: world.seeds == [3, None])
    display.tap(target, "Escape")
    thread.join(20)
    assert not thread.is_alive()
    assert world.closed


def test_a_new_episode_follows_an_end(display, tmp_path):
    world = Counter(length=5)
    drive_in_thread(world, tmp_path, steps=12).join(60)
    assert world.closed
    assert len(world.actions) == 12
    assert world.seeds == [3, None, None]


def test_the_script_drives_the_simulator(display, tmp_path):
    """The command of the README, with its key presses, in a process of its own."""
    command = [sys.executable, "dreamduck/envs/env.py", "--seed=1", f"--pictures={tmp_path}"]
    process = subprocess.Popen([*command, "--simulator=gym-duckietown"], stderr=subprocess.PIPE, text=True)
    try:
        target = display.window("DuckEnv", timeout=90)
        eventually(lambda: display.screen().mean() > 20)  # the first picture is there
        display.tap(target, "Return")
        eventually((tmp_path / "dreamduck-001.png").exists)
        display.press(target, "Up")
        before = display.screen()
        eventually(lambda: np.abs(display.screen().astype(int) - before).mean() > 1)
        display.tap(target, "Escape")
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, errors
