"""Helper processes: none can hold up the process that asks, whichever way it hangs."""

import os
import signal
import threading
import time

import pytest

from dreamduck.common.errors import SimulatorError
from dreamduck.common.processes import pipe
from dreamduck.common.processes.workers import Worker

BLOB = bytes(2_000_000)  # more than a pipe holds


@pytest.fixture
def worker(monkeypatch, tmp_path):
    (tmp_path / "echo_worker.py").write_text(
        "import time\n"
        "def calls():\n"
        "    return {'echo': lambda value, blob=b'': ({'value': value}, bytes(blob)),\n"
        "            'wait': lambda seconds: (time.sleep(seconds), ({}, b''))[1]}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    made = Worker("echo_worker", "the worker", "make another")
    made.send("echo", 0, limit=60.0)
    made.receive()
    yield made
    made.close()


def test_it_answers(worker):
    worker.send("echo", "a", limit=30.0, blob=BLOB)
    assert worker.receive() == ({"id": 2, "value": "a"}, bytearray(BLOB))


@pytest.mark.parametrize("blob", [b"", BLOB])
def test_one_that_hangs_is_ended_in_time(worker, blob):
    """Stopped, it neither reads what is sent nor answers."""
    os.kill(worker.process.pid, signal.SIGSTOP)
    started = time.monotonic()

    def ask():
        worker.send("echo", 1, limit=0.6, blob=blob)
        worker.receive()

    with pytest.raises(SimulatorError, match=r"the worker \(process .* no answer in 1 s .*; make another$"):
        ask()
    assert time.monotonic() - started < 20
    assert not worker.alive
    assert worker.process.poll() is not None


def test_the_limit_holds_from_the_sending_on(worker, monkeypatch):
    left = []

    def receive(descriptor, limit):
        left.append(limit)
        return original(descriptor, limit)

    original = pipe.receive
    monkeypatch.setattr(pipe, "receive", receive)
    worker.send("wait", 30, limit=0.5)
    time.sleep(0.5)
    started = time.monotonic()
    with pytest.raises(SimulatorError, match="no answer"):
        worker.receive()
    assert left == [0.0]
    assert time.monotonic() - started < 10


def test_a_killed_one_is_reported(worker):
    killer = threading.Timer(0.2, lambda: os.kill(worker.process.pid, signal.SIGKILL))
    killer.start()
    worker.send("wait", 30, limit=60.0)
    with pytest.raises(SimulatorError, match="ended by signal SIGKILL; make another"):
        worker.receive()
    killer.join()
