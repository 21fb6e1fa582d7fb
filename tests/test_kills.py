"""Stages that were killed at any moment, with all their processes, and started again."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dreamduck
from dreamduck.common.training_log import read_training_log
from dreamduck.world_model.dynamics.start_states import INITIAL_FILE, MIDWAY_FILE
from dreamduck.world_model.mdn_rnn import files
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig
from dreamduck.world_model.train_rnn import CHECKPOINT, train
from tests.world_model.mdn_rnn.helpers import write_toy

SCRIPTS = Path(dreamduck.__file__).parent / "envs"
MPIEXEC = str(Path(sys.executable).with_name("mpiexec"))  # pip puts it beside the interpreter
EXTRACT = [
    *["--max-trials=10", "--max-frames=30", "--min-frames=5", "--maps=loop_empty,small_loop"],
    "--batch=1",
]
COMMANDS = {
    "mpiexec": [MPIEXEC, "-n", "2", sys.executable, str(SCRIPTS / "extract.py"), *EXTRACT],
    "extract.bash": ["bash", str(SCRIPTS / "extract.bash"), "2", *EXTRACT],
}
ENVIRONMENT = {**os.environ, "PYTHON": sys.executable}


def kill_when(command, ready):
    """Start a command, and kill its whole group as soon as `ready` is true."""
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=ENVIRONMENT,
    ) as process:
        until = time.monotonic() + 120
        while not ready() and time.monotonic() < until:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def run(command):
    """Run a command to its end; returns what it says."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def episodes(folder):
    """The bytes of every episode that lies in a folder."""
    return {path.name: path.read_bytes() for path in folder.glob("[0-9]*.npz")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Episodes of a recording that was not interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    run([sys.executable, str(SCRIPTS / "extract.py"), *EXTRACT, f"--records={folder}", f"--log={folder}"])
    found = episodes(folder)
    assert len(found) == 10
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_recording_in_several_processes(whole, tmp_path, name):
    command = [*COMMANDS[name], f"--records={tmp_path}", f"--log={tmp_path / 'log'}"]
    for count in (1, 4):
        kill_when(command, lambda count=count: len(episodes(tmp_path)) >= count)
        left = episodes(tmp_path)
        assert all(whole[file] == data for file, data in left.items())
    assert "in 10 episodes" in run(command)
    assert episodes(tmp_path) == whole


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_extract_bash(tmp_path, number):
    """The script alone is killed; its workers must not record on."""
    flags = ["--max-trials=2000", "--max-frames=300", "--batch=1", "-q", f"--records={tmp_path}"]
    command = ["bash", str(SCRIPTS / "extract.bash"), "2", *flags, f"--log={tmp_path / 'log'}"]

    def workers():
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().decode(errors="replace").split("\0")
                if f"--records={tmp_path}" in words and "--worker" in words:
                    found.append(words)
        return found

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as script:
        until = time.monotonic() + 60
        while len(episodes(tmp_path)) < 3 or len(workers()) < 2:
            assert script.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        script.send_signal(number)
        until = time.monotonic() + 10
        while workers():
            assert time.monotonic() < until, "they record on"
            time.sleep(0.02)
        assert script.stderr is not None
        said = script.stderr.read()
    if number == signal.SIGKILL:
        assert script.returncode == -number
    else:
        assert (script.returncode, said) == (128 + number, "interrupted\n")


def left_by(folder, log):
    """What a training writes, without times."""
    with np.load(folder / CHECKPOINT) as archive:
        arrays = {name: archive[name].tobytes() for name in archive.files if name != "position/seconds"}
    card = json.loads((folder / files.CARD).read_text())
    card = {name: value for name, value in card.items() if name not in ("seconds", "config", "command")}
    rows = [
        {name: value for name, value in row.items() if name != "time"}
        for row in read_training_log(log / "rnn.jsonl")
    ]
    others = {name: (folder / name).read_bytes() for name in (files.WEIGHTS, INITIAL_FILE, MIDWAY_FILE)}
    return arrays, card, rows, others


def test_training_the_dynamics(tmp_path):
    write_toy(tmp_path)
    settings: dict[str, Any] = {"steps": 60, "batch_size": 8, "sequence": 12, "hidden_size": 24}
    settings |= {"evaluate_every": 15, "checkpoint_every": 5, "series": str(tmp_path)}
    whole, parts = (
        TrainingConfig(weights=str(tmp_path / name), log=str(tmp_path / name / "log"), **settings)
        for name in ("whole", "parts")
    )
    train(whole)
    checkpoint = tmp_path / "parts" / CHECKPOINT
    seen = set()

    def saved_thrice():
        if checkpoint.exists():
            seen.add(checkpoint.stat().st_mtime_ns)
        return len(seen) == 3

    names = [*settings, "weights", "log"]
    flags = [f"--{name.replace('_', '-')}={getattr(parts, name)}" for name in names]
    flags.append("--dynamics=mdn-rnn")
    kill_when([sys.executable, str(SCRIPTS / "rnn_train.py"), "-q", *flags], saved_thrice)
    train(parts)
    one, two = (left_by(tmp_path / name, tmp_path / name / "log") for name in ("whole", "parts"))
    assert one == two
    assert [row["step"] for row in one[2] if "nll" in row] == list(range(0, 60, 10))
