"""The runner as it runs on a robot: without this package; the robot logs its commands."""

import argparse
import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dreamduck.deployment import runner
from tests.deployment.models import deployed, rewritten

STOP_LIMIT = 20.0  # [s] for a stop on a busy machine; an idle one needs the watchdog's 0.3 s
# A robot whose wheels write to $DUTIES, and whose camera gives the frames in $FRAMES, then nothing.
ROBOT = """
import os, time
import numpy as np

class Motors:
    calls = 0
    def start(self): self.set_pwm(0.0, 0.0)
    def set_pwm(self, left, right):
        Motors.calls += 1
        if str(Motors.calls) == os.environ.get("FAILS_AT"):
            raise OSError("network glitch")
        time.sleep(float(os.environ.get("TAKES", 0)))
        with open(os.environ["DUTIES"], "a") as file:
            file.write(f"{time.time()} {left} {right} {os.getpid()}\\n")
    def stop(self): self.set_pwm(0.0, 0.0)

class Camera:
    def start(self): self.frames = list(np.load(os.environ["FRAMES"]))
    def capture(self, block, timeout):
        if self.frames:
            return self.frames.pop(0)
        time.sleep(timeout)
        return None

class DB21J:
    def __init__(self, name, host=None):
        assert name == "duck"
        self.motors, self.camera = Motors(), Camera()
"""


class Robot:
    """A folder with a deployed policy, and a made-up robot that it can drive."""

    def __init__(self, folder: Path, policy: Path) -> None:
        self.folder, self.policy = folder, policy
        self.faults: dict[str, str] = {}
        package = folder / "sdk" / "duckietown" / "sdk" / "robots"
        package.mkdir(parents=True)
        (package / "duckiebot.py").write_text(ROBOT)
        self.log = folder / "duties.txt"
        self.frames(np.random.default_rng(0).integers(0, 256, (300, 48, 64, 3), dtype=np.uint8))

    def frames(self, frames: np.ndarray) -> None:
        np.save(self.folder / "frames.npy", frames)

    def start(self, *words: str, **options) -> subprocess.Popen[str]:
        environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(self.folder / "sdk"), "DUTIES": str(self.log),
            "FRAMES": str(self.folder / "frames.npy"), **self.faults,
        }  # fmt: skip
        command = [sys.executable, str(self.policy / "run.py"), *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        return subprocess.Popen(command, env=environment, cwd=self.folder, **pipes)

    def duties(self) -> list[list[float]]:
        text = self.log.read_text() if self.log.exists() else ""
        return [
            [float(word) for word in line.split()] for line in text.splitlines() if line.count(" ") == 3
        ]

    def wait_until(self, condition, limit: float = 20.0) -> None:
        end = time.monotonic() + limit
        while not condition(self.duties()):
            assert time.monotonic() < end, self.duties()[-5:]
            time.sleep(0.02)

    def wait_until_it_drives(self) -> None:
        self.wait_until(lambda duties: sum(any(duty[1:3]) for duty in duties) >= 3)

    def wait_until_it_stands(self) -> None:
        self.wait_until(lambda duties: not any(duties[-1][1:3]), STOP_LIMIT)
        time.sleep(0.3)
        assert not any(self.duties()[-1][1:3])


@pytest.fixture(scope="module")
def policy(weights, tmp_path_factory):
    return deployed(tmp_path_factory.mktemp("policy"), weights)


@pytest.fixture
def robot(policy, tmp_path):
    return Robot(tmp_path, policy)


def test_it_is_short():
    assert len(Path(runner.__file__).read_text().splitlines()) <= 150


def test_without_go_nothing_moves(robot):
    robot.frames(np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8))
    done = robot.start("--robot", "duck", "--source", "frames.npy", "--dry-run")
    out, errors = done.communicate(timeout=60)
    assert (done.returncode, robot.duties()) == (0, []), errors
    assert len(out.splitlines()) >= 4
    assert out.splitlines()[-1].startswith("+0.0000 [")


def test_it_needs_nothing_of_ours(policy, tmp_path):
    """Alone with numpy and ONNX Runtime: not even the site-packages of this environment are on the path."""
    for name in ("numpy", "numpy.libs", "onnxruntime", "google", "flatbuffers", "packaging"):
        found = importlib.util.find_spec(name.split(".")[0])
        assert found is not None
        place = Path(next(iter(found.submodule_search_locations or []))).parent / name
        if place.exists():
            (tmp_path / name).symlink_to(place)
    np.save(tmp_path / "frames.npy", np.zeros((2, 30, 40, 3), np.uint8))
    code = (
        f"import sys, runpy; sys.path.append({str(tmp_path)!r})\n"
        "sys.argv[1:] = ['--source', 'frames.npy']\n"
        "import importlib.util; assert importlib.util.find_spec('dreamduck') is None\n"
        f"runpy.run_path({str(policy / 'run.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_wheels_stop_when_the_frames_end(robot):
    robot.frames(np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), dtype=np.uint8))
    process = robot.start("--robot", "duck", "--source", "frames.npy", "--go")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert 1 <= sum(any(duty[1:3]) for duty in robot.duties()) <= 5
    assert not any(robot.duties()[-1][1:3])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP])
def test_the_wheels_stop_when_it_is_killed_or_hangs(robot, number):
    process = robot.start("--robot", "duck", "--go")
    try:
        robot.wait_until_it_drives()
        process.send_signal(number)
        robot.wait_until_it_stands()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGQUIT])
def test_the_wheels_stop_when_the_terminal_suspends_or_quits_it(robot, number):
    """Such a key reaches all processes of the terminal's group."""
    process = robot.start("--robot", "duck", "--go", start_new_session=True)
    try:
        robot.wait_until_it_drives()
        os.killpg(process.pid, number)
        robot.wait_until_it_stands()
    finally:
        process.kill()
        process.communicate()


def test_the_wheels_stop_when_their_driver_fails(robot):
    robot.faults["FAILS_AT"] = "6"
    process = robot.start("--robot", "duck", "--go")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "error: network glitch" in errors
    assert any(any(duty[1:3]) for duty in robot.duties())
    assert not any(robot.duties()[-1][1:3])


def test_slow_wheels_get_the_newest_duty_and_stop(robot):
    robot.faults["TAKES"] = "0.4"
    process = robot.start("--robot", "duck", "--go", "--slew", "0.01")
    try:
        robot.wait_until_it_drives()
        time.sleep(2)
        duties = np.array(robot.duties())[:, 1:3]
        assert np.abs(np.diff(duties, axis=0)).max() <= 0.01 + 1e-9
        process.kill()
        robot.wait_until_it_stands()
    finally:
        process.kill()
        process.communicate()


def test_the_wheels_stop_when_their_process_is_killed(robot):
    process = robot.start("--robot", "duck", "--go")
    robot.wait_until_it_drives()
    os.kill(int(robot.duties()[-1][3]), signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == 2
    assert not any(robot.duties()[-1][1:3])


def test_the_wheels_stop_without_frames_and_continue_with_the_next(robot):
    robot.frames(np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8))
    process = robot.start("--robot", "duck", "--go")
    try:
        robot.wait_until_it_drives()
        robot.wait_until_it_stands()
        assert process.poll() is None
    finally:
        process.terminate()
        _, errors = process.communicate()
    assert "wheels stopped: no frame for 0.3 s" in errors


def test_the_wheels_stop_at_garbage_from_the_camera(robot):
    robot.frames(np.random.default_rng(0).normal(size=(300, 48, 64, 3)))
    process = robot.start("--robot", "duck", "--go")
    try:
        robot.wait_until(lambda duties: len(duties) > 3)
    finally:
        process.terminate()
        _, errors = process.communicate()
    assert "frame skipped: expected (H, W, 3) uint8" in errors
    assert not any(any(duty[1:3]) for duty in robot.duties())


def test_the_wheels_stop_where_nobody_reads_the_messages(robot):
    """A full pipe, such as a paused terminal, blocks the messages, not the wheels."""
    frames = np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8)
    robot.frames(frames)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    process = robot.start("--robot", "duck", "--go", stderr=writing)
    try:
        robot.wait_until_it_drives()
        robot.wait_until_it_stands()
    finally:
        process.kill()
        os.close(reading)
        os.close(writing)
        process.communicate()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_the_wheels_stop_at_a_number_that_is_not_finite(policy, tmp_path, number):
    shutil.copytree(policy, tmp_path / "policy")
    robot = Robot(tmp_path, rewritten(tmp_path / "policy", duty=number))
    process = robot.start("--robot", "duck", "--go")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "error: the policy gave a number that is not finite\n" in errors
    assert not any(any(duty[1:3]) for duty in robot.duties())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--source", "none"], "none: expected frames (see --help), found none"),
        (["--source", "broken.npy"], "broken.npy: "),
        (["--source", "-", "--size", "640"], "and a --size such as 640x480"),
        (["--source", "-", "--size", "0x0"], "-: expected frames"),
        (["--go", "--source", "frames.npy"], "expected --source or --robot"),
        (["--go", "--dry-run", "--robot", "duck"], "expected --source or --robot"),
        ([], "expected --source or --robot"),
        (["--source", "frames.npy", "--limit", "-1"], "expected --limit and --slew from 0 to 1"),
        (["--source", "frames.npy", "--slew", "nan"], "expected --limit and --slew from 0 to 1"),
        (["--source", "frames.npy", "--policy", "broken.npy"], "error:"),
    ],
)
def test_bad_input_is_one_line_and_code_2(robot, words, expected):
    (robot.folder / "broken.npy").write_bytes(b"\x93NUMPY garbage" * 9)
    process = robot.start(*words, stdin=subprocess.DEVNULL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert expected in errors.splitlines()[-1]
    assert "Traceback" not in errors


def test_a_policy_without_contract_is_refused(policy, tmp_path):
    shutil.copytree(policy, tmp_path / "policy")
    robot = Robot(tmp_path, rewritten(tmp_path / "policy", contract=""))
    process = robot.start("--robot", "duck", "--go")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "got one without contract" in errors
    assert not any(any(duty[1:3]) for duty in robot.duties())


def test_images_come_in_the_order_of_their_numbers(robot):
    """Of whatever ending; a frame without pixels is skipped."""
    from PIL import Image

    frames = np.random.default_rng(0).integers(0, 256, (3, 30, 40, 3), dtype=np.uint8)
    np.save(robot.folder / "frames.npy", frames)
    (robot.folder / "images").mkdir()
    for name, frame in zip(("8.05.PNG", "8.2.bmp", "10.png"), frames, strict=True):
        Image.fromarray(frame).save(robot.folder / "images" / name)
    np.save(robot.folder / "images" / "7.npy", np.zeros((1, 0, 40, 3), np.uint8))
    printed = []
    for source in ("frames.npy", "images"):
        out, errors = robot.start("--source", source).communicate(timeout=60)
        printed.append([line for line in out.splitlines() if not line.startswith("+0.0000")])
    assert "frame skipped: expected (H, W, 3) uint8" in errors
    assert printed[0] == printed[1]
    assert len(set(printed[0])) == 3


def test_raw_frames_on_standard_input(robot):
    frames = np.random.default_rng(0).integers(0, 256, (4, 30, 40, 3), dtype=np.uint8)
    process = robot.start("--source", "-", "--size", "40x30", stdin=subprocess.PIPE, text=False)
    out, errors = process.communicate(frames.tobytes() + b"half a frame", timeout=60)
    assert process.returncode == 0, errors
    assert len([line for line in out.splitlines() if not line.startswith(b"+0.0000")]) == 4


def test_duties_have_limits_in_size_and_change(robot):
    robot.frames(np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), dtype=np.uint8))
    words = ["--limit", "0.2", "--slew", "0.07", "--calibration", "4", "0"]
    process = robot.start("--robot", "duck", "--source", "frames.npy", "--go", *words)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    duties = np.array(robot.duties())[:, 1:3]
    moving = duties[duties.any(axis=1)]
    assert np.abs(duties).max() <= 0.2
    assert np.abs(np.diff(moving, axis=0)).max() <= 0.07 + 1e-9
    assert np.abs(moving).max() > 0.1


def test_the_calibration_of_a_robot(robot):
    """The gain and the trim in the file are replaced."""
    robot.frames(np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), dtype=np.uint8))
    duties = []
    for words in ((), ("--calibration", "0.5", "0.25")):
        process = robot.start("--source", "frames.npy", "--dry-run", "--slew", "1", *words)
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        printed = re.findall(r"[+-]\d\.\d{4}", out)
        duties.append(np.array(printed, float).reshape(-1, 2)[:-1])
    own, given = duties
    assert np.abs(own).max() < 1
    assert (np.abs(own) > 0.05).any(axis=0).all()
    np.testing.assert_allclose(given, own * (0.25, 0.75), atol=2e-4)


@pytest.mark.parametrize(
    "line", [b"", b"nan 1", b"0.1", b"1 2 3", b"\xff\xfe", b"inf inf", b"0.1 0.2 0.3", b"-0.25 0."]
)
def test_only_two_finite_numbers_are_duties(line):
    options, duty = argparse.Namespace(slew=0.4, limit=0.8), np.array([0.6, 0.1])
    assert runner.limited(line, duty, options).tolist() == [0, 0]
    assert runner.limited(b"1.000000 -0.150000", duty, options).tolist() == [0.8, -0.15]


def test_its_contract_is_the_library_s(policy):
    from dreamduck.deployment.contract import METADATA

    assert f'"{METADATA}"' in Path(runner.__file__).read_text()
    assert json.loads((policy / "contract.json").read_text())["rate"] == 10
