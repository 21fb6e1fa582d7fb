from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dreamduck.common.errors import TrainingError
from dreamduck.pipeline.stages import Stage, run_stages

HELPER = "tests.pipeline.stage_helper"


def pipeline(folder, text="one"):
    first, second = folder / "first.txt", folder / "second.txt"
    return [
        Stage("first", (HELPER, "write", str(first), text), outputs=(first,)),
        Stage("second", (HELPER, "copy", str(first), str(second)), (first,), (second,)),
    ]


def test_stages_run_once(tmp_path, monkeypatch):
    run_stages(pipeline(tmp_path), tmp_path)
    assert (tmp_path / "second.txt").read_text() == "one"
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    seconds = run_stages(pipeline(tmp_path), tmp_path)
    assert set(seconds) == {"first", "second"}
    assert all(value > 0 for value in seconds.values())


def test_a_changed_command_makes_all_after_it_run_again(tmp_path):
    run_stages(pipeline(tmp_path), tmp_path)
    run_stages(pipeline(tmp_path, "two"), tmp_path)
    assert (tmp_path / "second.txt").read_text() == "two"


def test_a_changed_input_makes_its_stage_run_again(tmp_path):
    run_stages(pipeline(tmp_path), tmp_path)
    (tmp_path / "first.txt").write_text("edited")
    run_stages(pipeline(tmp_path), tmp_path)
    assert (tmp_path / "first.txt").read_text() == "edited"  # its own stage is done
    assert (tmp_path / "second.txt").read_text() == "edited"


def test_a_missing_output_is_made_again(tmp_path):
    run_stages(pipeline(tmp_path), tmp_path)
    (tmp_path / "second.txt").unlink()
    run_stages(pipeline(tmp_path), tmp_path)
    assert (tmp_path / "second.txt").exists()


def test_a_stage_that_fails_stops_the_pipeline_and_is_run_again(tmp_path):
    bad = Stage("bad", (HELPER, "fail"))
    first, second = pipeline(tmp_path)
    with pytest.raises(TrainingError, match=r"stage bad: .* ended with exit code 3"):
        run_stages([first, bad, second], tmp_path)
    assert (tmp_path / "first.txt").exists()
    assert not (tmp_path / "second.txt").exists()
    stamp = json.loads((tmp_path / "stamps" / "bad.json").read_text())
    assert "seconds" not in stamp
    assert stamp["seconds_before"] > 0
    run_stages([first, second], tmp_path)
    assert (tmp_path / "second.txt").exists()


def test_a_stage_that_makes_nothing_is_reported(tmp_path):
    stage = Stage("idle", (HELPER, "write", str(tmp_path / "a"), "x"), outputs=(tmp_path / "b",))
    with pytest.raises(TrainingError, match=r"expected .*b from"):
        run_stages([stage], tmp_path)


def test_a_pipeline_that_is_killed_leaves_its_time_and_its_command_keeps_the_lock(tmp_path):
    """SIGKILL hits the pipeline alone: its command runs on, so that a second start must not join in."""
    end = tmp_path / "end"
    waiting = [Stage("wait", (HELPER, "wait", str(end)))]
    stamp = tmp_path / "stamps" / "wait.json"
    code = (
        "from pathlib import Path; from dreamduck.pipeline import stages; stages.SAVE_INTERVAL = 0.05; "
        f"stages.run_stages([stages.Stage('wait', {waiting[0].command!r})], Path({str(tmp_path)!r}))"
    )

    def noted():
        return json.loads(stamp.read_text())["seconds_before"] if stamp.exists() else 0.0

    with subprocess.Popen([sys.executable, "-c", code]) as runner:
        while noted() < 0.2:
            assert runner.poll() is None
            time.sleep(0.02)
        runner.kill()
    spent = noted()
    with pytest.raises(TrainingError, match=r"stage wait: it still runs"):
        run_stages(waiting, tmp_path)
    end.touch()
    for _ in range(500):
        try:
            seconds = run_stages(waiting, tmp_path)
            break
        except TrainingError:
            time.sleep(0.02)
    assert seconds["wait"] > spent >= 0.2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_command_ends_with_its_pipeline(tmp_path, number):
    """Whatever ends the pipeline, the command of its stage does not run on."""
    started = tmp_path / "started"
    stage = Stage("wait", (HELPER, "command", str(started)))
    code = (
        "from pathlib import Path; from dreamduck.pipeline import stages; "
        f"stages.run_stages([stages.Stage('wait', {stage.command!r})], Path({str(tmp_path)!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as runner:
        while not started.exists() or not started.read_text():
            assert runner.poll() is None
            time.sleep(0.02)
        runner.send_signal(number)
    command = Path("/proc") / started.read_text()
    until = time.monotonic() + 10
    while command.exists() and "zombie" not in (command / "status").read_text():
        assert time.monotonic() < until, "the command runs on"
        time.sleep(0.02)
