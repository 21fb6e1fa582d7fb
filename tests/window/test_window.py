"""The window, on a virtual display: keys are pressed in it, and its pixels are looked at."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import gymnasium
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from dreamduck.common.errors import (
    ConfigError,
    ControllerError,
    DisplayError,
    RecordError,
    SimulatorError,
    VideoError,
)
from dreamduck.controllers.controller_file import RunFiles
from dreamduck.controllers.policy import ControllerForm, random_theta
from dreamduck.recordings import read_episode
from dreamduck.recordings.live import VideoWriter
from dreamduck.window.keyboard import (
    CRUISE,
    FULL,
    FULL_TURN,
    TURN,
    _Drive,
    drive,
    key_action,
    person_action,
)
from dreamduck.window.policy_switch import PolicySwitch
from dreamduck.window.window import HEIGHT, LINE, LINES, WIDTH, Keys, Window, compose, status
from dreamduck.window.window_worker import Screen

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


def test_images_are_on_the_screen(display, window):
    whole = WIDTH * HEIGHT / (1024 * 768)
    for color in (RED, GREEN):
        window.show(plain(color), ["hello"])
        eventually(lambda color=color: share(display.screen(), color) == pytest.approx(whole, abs=0.001))
    assert share(display.screen(), RED) == 0


def test_image_is_upright_and_not_mirrored(display, window):
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


def test_death_of_its_process_is_reported(display):
    window = Window("doomed")
    os.kill(window._worker.process.pid, signal.SIGKILL)
    with pytest.raises(SimulatorError, match=r"the window .* by signal SIGKILL"):
        window.show(plain(RED))
    window.close()


def test_a_window_that_hangs_is_reported(display, monkeypatch):
    """Its process is stopped: the environment continues within the limit; an image fills the pipe."""
    window = Window("hung")
    monkeypatch.setattr("dreamduck.window.window.SHOW_TIMEOUT", 1.0)
    os.kill(window._worker.process.pid, signal.SIGSTOP)
    with pytest.raises(SimulatorError, match="no answer in 1 s"):
        window.show(plain(RED))
    assert not window._worker.alive
    window.close()
    assert window.show(plain(RED)).closed


def test_what_was_driven_is_kept_when_the_window_hangs(display, tmp_path, monkeypatch):
    world = Counter()
    folder, video = tmp_path / "records", tmp_path / "drive.mp4"
    failed: list[Exception] = []

    def run() -> None:
        arguments = {**FLAGS, "images": tmp_path / "shots", "record": folder, "video": video}
        try:
            drive(world, argparse.Namespace(**arguments))
        except SimulatorError as err:
            failed.append(err)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    target = display.window("Counter")
    eventually(lambda: share(display.screen(), RED) > 0.3)
    display.tap(target, "Up")
    eventually(lambda: len(world.actions) > 3)
    (worker,) = [child for child in children() if "window_worker" in child[1]]
    monkeypatch.setattr("dreamduck.window.window.SHOW_TIMEOUT", 1.0)
    os.kill(worker[0], signal.SIGSTOP)
    thread.join(30)
    assert "no answer" in str(failed[0])
    assert world.closed
    (path,) = folder.glob("*.npz")
    assert len(read_episode(path)) == len(world.actions)
    assert video.stat().st_size > 500


def children() -> list[tuple[int, str]]:
    """Number and command line of every process that this one started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid():
                number = int(stat.parent.name)
                found.append((number, stat.with_name("cmdline").read_text()))
    return found


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


def test_a_stick_drives_where_it_is_moved():
    keys = Keys(frozenset(["UP"]), (), False)
    assert person_action(keys) == pytest.approx([CRUISE, 0])
    assert person_action(keys._replace(stick=(0.5, -1.0))) == pytest.approx([-1, -0.5])


def test_a_gamepad_is_read():
    screen = Screen()
    assert screen.stick() == (0, 0)
    screen.gamepad = types.SimpleNamespace(x=0.05, y=-1.0)  # as pyglet has it: y is down
    assert screen.stick() == (0, 1)
    screen.gamepad = types.SimpleNamespace(x=-0.56, y=0.56)
    assert screen.stick() == pytest.approx((-0.5, -0.5))


def test_panels_are_named_and_scaled():
    image = compose(plain(RED, (64, 128)), [], (1280, 720), ["camera", "reconstruction"])
    assert image.shape == (720 + LINE * LINES, 1280, 3)
    named = np.all(image[:640] == (235, 235, 235), axis=-1)
    assert named[:, :200].any()
    assert named[:, 640:840].any()
    assert not named[:, 200:640].any()


def test_a_window_of_another_size_has_larger_images(display, window):
    window.show(plain(RED))
    window.size = (320, 200)  # as after its corner was moved
    assert window.show(plain(RED)).closed is False
    assert window.size == (WIDTH, HEIGHT)  # what the display says


def test_compose_keeps_the_shape():
    image = compose(plain(RED, (64, 64)), ["a", "b"])
    assert image.shape == (HEIGHT + LINE * LINES, WIDTH, 3)
    red = np.all(image == RED, axis=-1)
    assert red.sum() == HEIGHT * HEIGHT  # square, as high as the place for it
    assert (image[HEIGHT:] > 200).any()  # the text


def test_status_of_a_car_and_of_a_dream():
    info = {"speed": 0.25, "lane_dist": 0.021, "lane_angle": 0.0, "in_lane": True, "end": "off-road"}
    first, second = status(0.5, info, 7, 1.25)
    assert first == "step 7   reward +0.500   sum +1.25   speed 0.25 m/s"
    assert second == "lane +2.1 cm, +0 degrees   ended: off-road"
    assert status(0.5, {"lane_dist": np.nan, "lane_angle": np.nan}, 1)[1] == "no lane here"
    assert status(0.5, {}, 1)[1] == ""
    assert status(0.5, {"end_probability": 0.25}, 1)[1] == "probability of termination 25.0%"


class Counter(gymnasium.Env):
    """Its image turns green while the car goes left; an episode lasts `length` steps."""

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

    def frame(self):
        return plain((self.steps, 0, 0), (64, 64))

    def about(self):
        return {"world": "counter"}

    def close(self):
        self.closed = True


FLAGS = {
    "seed": 3,
    "steps": 0,
    "policy": "person",
    "controller": "",
    "strict": False,
    "record": None,
    "video": None,
}


def drive_in_thread(world, tmp_path, **flags):
    arguments = argparse.Namespace(**{**FLAGS, "images": tmp_path / "shots", **flags})
    thread = threading.Thread(target=drive, args=(world, arguments), daemon=True)
    thread.start()
    return thread


def test_a_session_at_the_keyboard(display, tmp_path):
    world = Counter()
    thread = drive_in_thread(world, tmp_path)
    target = display.window("Counter")
    eventually(lambda: share(display.screen(), RED) > 0.3)
    time.sleep(0.3)
    assert not world.actions  # it waits for the first key
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


def test_an_end_is_reported_and_waits_for_a_key(display, tmp_path):
    world = Counter(length=3)
    thread = drive_in_thread(world, tmp_path)
    target = display.window("Counter")
    eventually(lambda: share(display.screen(), RED) > 0.3)
    for episode in (1, 2):
        display.tap(target, "Up")
        eventually(lambda wanted=3 * episode: len(world.actions) == wanted)
        time.sleep(0.3)
        assert len(world.actions) == 3 * episode
    display.tap(target, "Escape")
    thread.join(20)
    assert not thread.is_alive()


def test_what_to_do_after_an_end_is_said_first(tmp_path, monkeypatch):
    shown = []

    class Watched(Window):
        def __init__(self, title):
            pass

        def show(self, image, lines=(), fps=None, names=()):
            shown.append(lines[1])
            return Keys(frozenset(), ("UP",), closed="next" in lines[1])

        def close(self):
            pass

    monkeypatch.setattr("dreamduck.window.keyboard.Window", Watched)
    drive(Counter(length=2), argparse.Namespace(**FLAGS, images=tmp_path))
    assert shown[0].startswith("a key begins")
    assert shown[-1].startswith("off the road: a key begins the next episode   ")


def test_drives_are_recorded_with_a_video(display, tmp_path):
    world = Counter(length=5)
    folder, video = tmp_path / "records", tmp_path / "drive.mp4"
    drive_in_thread(world, tmp_path, steps=7, record=folder, video=video).join(60)
    first, second = (read_episode(path) for path in sorted(folder.glob("*.npz")))
    assert (len(first), len(second)) == (5, 2)
    assert first.obs[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert first.done.tolist() == [False] * 4 + [True]
    assert not second.done.any()
    assert (first.reward == 1).all()
    assert first.meta["world"] == "counter"
    assert first.meta["policy"] == "drive"
    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(video))
    assert frames == 8  # the end of the first episode is seen, too


def test_a_full_disk_at_the_keyboard(tmp_path):
    """An image that cannot be saved is a message; an episode that cannot is an error of one line."""
    (tmp_path / "shots").write_text("no folder")
    (tmp_path / "records").write_text("no folder")
    world = Counter()
    session = _Drive(
        world,
        argparse.Namespace(**{**FLAGS, "images": tmp_path / "shots", "record": tmp_path / "records"}),
    )
    session.begin(1)
    session.press(Keys(frozenset(), ("RETURN",), False), plain(RED))
    assert "not saved" in session.note
    session.step(np.zeros(2, np.float32))
    with pytest.raises(RecordError, match="episode of 1 steps"):
        session.end()


def write_something(path):
    with VideoWriter(path, 10) as video:
        for _ in range(100):
            video.add(plain(RED))


def test_a_video_that_cannot_be_written(tmp_path):
    with pytest.raises(ConfigError, match=r"\.mp4"):
        VideoWriter(tmp_path / "video.txt", 10)
    with VideoWriter(tmp_path / "none.mp4", 10):
        pass  # nothing was shown
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("no folder")
    with pytest.raises((VideoError, OSError)):
        write_something(tmp_path / "file" / "video.mp4")


@pytest.fixture(scope="module")
def controller(tmp_path_factory):
    files = RunFiles.of(tmp_path_factory.mktemp("controller"), "rnnenv", 1, 4)
    files.write_theta(random_theta(ControllerForm("zh"), np.random.default_rng(1), 0.01))
    return str(files.path(".json"))


@pytest.mark.parametrize("name", ["DreamDuck-v0", "DreamDuck-v1", "DreamDuck-v2"])
def test_the_policy_drives(model_folder, controller, name):
    settings = {} if name == "DreamDuck-v0" else {"weights": model_folder}
    world: Any = gymnasium.make(name, **settings).unwrapped
    switch = PolicySwitch(world, controller, str(model_folder))
    observation, _ = world.reset(seed=1)
    switch.begin()
    person = np.array([0.25, 0.5], np.float32)
    assert switch.action(person, observation).tolist() == [0.25, 0.5]
    switch.choose("controller")
    moved = [switch.action(person, observation)]
    for _ in range(3):
        observation, *_ = world.step(moved[-1])
        switch.acted(moved[-1])
        moved.append(switch.action(person, observation))
    assert len({tuple(action) for action in moved}) == 4
    if name == "DreamDuck-v2":
        with pytest.raises(ConfigError, match="dream"):
            switch.choose("expert")
    else:
        switch.choose("expert")
        assert (switch.action(person, observation) != person).any()
    assert world.frame().shape == (64, 64, 3)
    assert world.about()["seed"] == 1
    world.close()


def test_a_controller_sees_the_same_in_the_simulator_as_through_the_model(model_folder, controller):
    taken = []
    for name, settings in (("DreamDuck-v0", {}), ("DreamDuck-v1", {"weights": model_folder})):
        world = gymnasium.make(name, **settings).unwrapped
        switch = PolicySwitch(world, controller, str(model_folder))
        observation, _ = world.reset(seed=4)
        switch.choose("controller")
        switch.begin()
        actions = []
        for _ in range(5):
            actions.append(switch.action(np.zeros(2, np.float32), observation))
            observation, *_ = world.step(actions[-1])
            switch.acted(actions[-1])
        taken.append(np.array(actions))
        world.close()
    assert taken[0] == pytest.approx(taken[1], abs=1e-5)


def test_missing_policies(tmp_path, monkeypatch, model_folder):
    monkeypatch.chdir(tmp_path)  # no ./log here
    monkeypatch.setattr("dreamduck.window.policy_switch.CONTROLLERS", tmp_path)
    switch = PolicySwitch(Counter(), "", str(model_folder))
    for policy in ("controller", "expert"):
        with pytest.raises(ConfigError):
            switch.choose(policy)
    assert switch.policy == "person"
    with pytest.raises(ControllerError):
        PolicySwitch(Counter(), "missing.json", str(model_folder))


def test_the_script_records_and_changes_the_policy(display, tmp_path, model_folder, controller):
    """In the dream: the controller by a key, and back; an episode and a video of it."""
    command = [sys.executable, "dreamduck/envs/rnnenv.py", "--seed=1", f"--weights={model_folder}"]
    command += [f"--controller={controller}", f"--record={tmp_path}", f"--video={tmp_path / 'dream.mp4'}"]
    log = tmp_path / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(command, stderr=file)
    try:
        target = display.window("DreamEnv", timeout=90)
        eventually(lambda: display.screen().mean() > 20)
        before = display.screen()
        display.tap(target, "2")
        # The text is far less than this part of the screen, so the image is another.
        eventually(lambda: np.any(display.screen() != before, axis=-1).mean() > 0.05)
        display.tap(target, "3")
        eventually(lambda: "needs the true pose" in log.read_text())  # refused, and said so
        display.tap(target, "Escape")
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, log.read_text()
    (path,) = tmp_path.glob("*.npz")
    episode = read_episode(path)
    assert episode.meta["world"] == "dream"
    assert np.abs(episode.action).max() > 0
    assert (tmp_path / "dream.mp4").stat().st_size > 1000


def test_the_script_drives_the_simulator(display, tmp_path):
    """The command of the README, with its key presses, in a process of its own."""
    command = [sys.executable, "dreamduck/envs/env.py", "--seed=1", f"--images={tmp_path}"]
    process = subprocess.Popen([*command, "--simulator=gym-duckietown"], stderr=subprocess.PIPE, text=True)
    try:
        target = display.window("DuckEnv", timeout=90)
        eventually(lambda: display.screen().mean() > 20)  # the first image is there
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
