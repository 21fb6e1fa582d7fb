"""Messages between processes: whole, or refused in time."""

import os
import threading
import time

import numpy as np
import pytest

from dreamduck.common.processes import pipe

BLOB = np.random.default_rng(0).bytes(3_000_000)  # more than a pipe holds


@pytest.fixture
def ends():
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        try:
            os.close(end)
        except OSError:
            continue


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_message_comes_whole(ends, timeout):
    reading, writing = ends
    got = []
    thread = threading.Thread(target=lambda: got.append(pipe.receive(reading, timeout)))
    thread.start()
    pipe.send(writing, {"x": 0.1, "text": "é"}, BLOB, timeout)
    thread.join()
    assert got == [({"x": 0.1, "text": "é"}, bytearray(BLOB))]


def test_one_that_does_not_read_is_reported_in_time(ends):
    started = time.monotonic()
    with pytest.raises(pipe.Silent):
        pipe.send(ends[1], {}, BLOB, timeout=0.2)
    assert 0.2 <= time.monotonic() - started < 30


def test_one_that_reads_slowly_is_reported_in_time(ends):
    """The limit is for the whole message, not for each part of it."""
    reading, writing = ends
    stop = threading.Event()

    def sip():
        while not stop.wait(0.05):
            os.read(reading, 1000)

    thread = threading.Thread(target=sip)
    thread.start()
    try:
        with pytest.raises(pipe.Silent):
            pipe.send(writing, {}, BLOB, timeout=0.4)
    finally:
        stop.set()
        thread.join()


def test_one_that_does_not_write_is_reported_in_time(ends):
    os.write(ends[1], b"\0\0\0")
    with pytest.raises(pipe.Silent):
        pipe.receive(ends[0], 0.1)
    assert not pipe.waiting(ends[0], 0.0)


@pytest.mark.parametrize("timeout", [None, 5.0])
def test_one_that_has_gone_is_reported(ends, timeout):
    os.close(ends[0])
    with pytest.raises(pipe.Closed):
        pipe.send(ends[1], {}, BLOB, timeout)


def test_an_end_of_file_counts_as_something_to_read(ends):
    os.close(ends[1])
    assert pipe.waiting(ends[0], 5.0)
    with pytest.raises(pipe.Closed):
        pipe.receive(ends[0], 5.0)
