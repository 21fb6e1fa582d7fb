"""Searches under a real `mpiexec`, with a world that needs no model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dreamduck
from dreamduck.common.errors import ConfigError
from dreamduck.common.processes import mpi
from dreamduck.common.processes.mpi import LOCAL_SIZE_VARIABLES, SIZE_VARIABLES, Team, launched, team

ROOT = Path(__file__).parents[3]
MPIEXEC = Path(sys.executable).with_name("mpiexec")
PROGRAM = """
import os, sys, time
from pathlib import Path
from dreamduck.common.processes import mpi
from dreamduck.controllers.controller_file import RunFiles
from dreamduck.search.search import Search
from dreamduck.common.errors import WeightsError
from tests.controllers.fakes import CONFIG, FORM, Sphere

folder, mode = Path(sys.argv[1]), sys.argv[2]

class FailingSphere(Sphere):
    def __call__(self, task):
        if self.calls == 5 and crew.rank == 1 and mode not in ("plain", "late"):
            if mode == "raise":
                raise ValueError("the wheel came off")
            if mode == "refuse":
                raise WeightsError("no such weights")
            (folder / "victim").write_text(str(os.getpid()))
            time.sleep(600)
        return super().__call__(task)

class LateTeam(mpi.MPITeam):
    def release(self):
        super().release()
        time.sleep(2.5 * mpi.HEARTBEAT)

if mode == "late":
    mpi.MPITeam = LateTeam

with mpi.team(10) as crew:
    evaluator = FailingSphere()
    assert crew.agree(crew.rank) == 0
    if crew.rank:
        crew.serve(evaluator)
    else:
        Search(CONFIG, FORM, evaluator, RunFiles.of(folder, "rnnenv", 2, 6), crew).run()
        crew.release()
        assert ("mpi4py.MPI" in sys.modules) == (crew.size > 1)
"""


def clean():
    """The environment without what another launcher left in it."""
    return {k: v for k, v in os.environ.items() if k not in SIZE_VARIABLES}


def start(folder, ranks, mode="plain", **settings):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [MPIEXEC, "-n", str(ranks), sys.executable, "-c", PROGRAM, folder, mode],
        cwd=ROOT,
        env={**clean(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **settings,
    )


def files(folder):
    found = {}
    for path in sorted(folder.glob("*.json")):
        if path.name.endswith((".card.json", ".config.json")):
            continue
        value = json.loads(path.read_text())
        found[path.name] = [[row[0], *row[2:]] for row in value] if ".hist" in path.name else value
    return found


def test_the_number_of_ranks_leaves_no_trace(tmp_path):
    for ranks in (1, 2, 3):
        run = start(tmp_path / str(ranks), ranks)
        output, _ = run.communicate(timeout=180)
        assert run.returncode == 0, output
    assert len(files(tmp_path / "1")) == 5
    assert files(tmp_path / "1") == files(tmp_path / "2") == files(tmp_path / "3")


def test_the_last_heartbeat_of_a_rank_may_come_before_rank_0_leaves(tmp_path):
    run = start(tmp_path, 3, "late")
    output, _ = run.communicate(timeout=180)
    assert (run.returncode, output) == (0, "")


def test_a_rank_that_raises_ends_the_run_with_its_traceback(tmp_path):
    run = start(tmp_path, 3, "raise")
    output, _ = run.communicate(timeout=180)
    assert run.returncode != 0
    assert "rank 1 of 3 failed" in output
    assert "ValueError: the wheel came off" in output
    # One block a generation falls to rank 1, and one an evaluation: it fails in the fifth generation.
    assert len(files(tmp_path)["rnnenv.cma.2.6.hist.json"]) == 4


def test_a_rank_that_dies_ends_the_run(tmp_path):
    run = start(tmp_path, 2, "die")
    os.kill(wait_for_victim(run, tmp_path), signal.SIGKILL)
    output, _ = run.communicate(timeout=180)
    assert run.returncode != 0, output
    assert len(files(tmp_path)["rnnenv.cma.2.6.hist.json"]) >= 3


def test_an_error_of_ours_is_one_line_and_exit_code_2(tmp_path):
    run = start(tmp_path, 3, "refuse")
    output, _ = run.communicate(timeout=180)
    assert run.returncode == 2
    assert output == f"error: rank 1 on {os.uname().nodename}: no such weights\n"


def test_what_all_ranks_refuse_is_one_line(tmp_path):
    """Before the ranks know of one another."""
    script = Path(dreamduck.__file__).parent / "envs" / "train.py"
    code = (
        "import runpy, sys; from dreamduck.common import command_line; command_line.RANK_WAIT = 10.0; "
        "del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )  # three interpreters may start far apart
    command = [MPIEXEC, "-n", "3", sys.executable, "-c", code, script, "--start", tmp_path / "none.json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=180, env=clean())
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1, run.stderr
    assert "none.json: no such file" in run.stderr


def wait_for_victim(run, folder):
    """The number of rank 1's process, once it works on a task for a minute."""
    victim = folder / "victim"
    deadline = time.monotonic() + 180
    while not victim.exists() or not victim.read_text():
        assert run.poll() is None, run.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return int(victim.read_text())


@pytest.mark.parametrize("whole_group", [True, False])
def test_an_interrupt_is_one_line_and_exit_code_130(tmp_path, whole_group):
    """By Ctrl-C in a terminal, and by `kill -INT` on the launcher."""
    run = start(tmp_path, 2, "die", start_new_session=True)
    wait_for_victim(run, tmp_path)
    if whole_group:
        os.killpg(run.pid, signal.SIGINT)
    else:
        run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=180)
    assert run.returncode == 130, output
    # Hydra, the launcher, says what it does; the rest is ours.
    assert [line for line in output.splitlines() if not line.startswith("[mpiexec@")] == ["interrupted"]


def test_a_rank_that_is_silent_is_named_and_all_end(tmp_path):
    run = start(tmp_path, 3, "die")
    victim = wait_for_victim(run, tmp_path)
    os.kill(victim, signal.SIGSTOP)
    output, _ = run.communicate(timeout=180)
    assert run.returncode != 0
    assert len(output.splitlines()) == 1, output
    assert output.startswith(f"error: rank 1 on {os.uname().nodename}: lost, no heartbeat within 10 s")
    status = Path(f"/proc/{victim}/status")
    deadline = time.monotonic() + 5
    while status.exists() and "zombie" not in status.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("seconds", [9.9, 0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_is_too_short_is_refused(seconds):
    with pytest.raises(ConfigError, match="rank_timeout: expected at least 10 s"):
        team(seconds)


def test_alone_there_is_no_mpi(monkeypatch):
    for name in SIZE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert not launched()
    alone = team()
    assert type(alone) is Team
    assert alone.map(lambda task: task * 2, [1, 2, 3]) == [2, 4, 6]
    with pytest.raises(ZeroDivisionError), alone:
        alone.map(lambda task: 1 // task, [0])


def test_ranks_of_a_host_share_its_cores(monkeypatch):
    for name in LOCAL_SIZE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(mpi, "cores", lambda: 8)
    ranks = Team()
    assert ranks.cores == 8
    ranks.size = 16
    assert ranks.cores == 1
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2")  # of 16 ranks on 8 hosts
    assert ranks.cores == 4
