"""Messages between a process and its worker: a JSON object and, after it, raw bytes.

No pickle; numbers survive exactly, because JSON writes the shortest text
that reads back as the same float."""

from __future__ import annotations

import json
import os
import select
import struct
import time
from typing import Any

HEADER = struct.Struct(">II")  # lengths of the JSON text and of the bytes


class Closed(Exception):
    """The other side has gone."""


class Silent(Exception):
    """The other side has not answered in time."""


def send(
    fd: int,
    message: dict[str, Any],
    blob: bytes | memoryview = b"",
    timeout: float | None = None,
) -> None:
    """Write one message.

    Args:
        timeout: [s]; None waits for ever. With one, the pipe is set to non-blocking, permanently.
    Raises:
        Closed: nobody reads any more.
        Silent: the other side has not read it all in time; the pipe holds a part of the message then, and
            cannot be used again.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    if timeout is not None:
        os.set_blocking(fd, False)
    text = json.dumps(message).encode()
    for part in (HEADER.pack(len(text), len(blob)) + text, blob):
        view = memoryview(part)
        while view:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:
                _wait(fd, select.POLLOUT, deadline)
            except OSError as err:
                raise Closed from err


def receive(fd: int, timeout: float | None = None) -> tuple[dict[str, Any], bytearray]:
    """Read one message.

    Args:
        timeout: give up after so many seconds; None waits for ever.
    Raises:
        Closed: the other side has gone.
        Silent: the time is over.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    text_length, blob_length = HEADER.unpack(_read(fd, HEADER.size, deadline))
    text = _read(fd, text_length, deadline)
    return json.loads(text), _read(fd, blob_length, deadline)


def waiting(fd: int, seconds: float) -> bool:
    """Whether something can be read within so many seconds (an end of file counts)."""
    try:
        _wait(fd, select.POLLIN, time.monotonic() + seconds)
    except Silent:
        return False
    return True


def _wait(fd: int, event: int, deadline: float | None) -> None:
    """Wait until the pipe can be read or written, or is closed.

    Raises:
        Silent: the deadline has passed.
    """
    waiter = select.poll()
    waiter.register(fd, event)
    left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    if not waiter.poll(left):
        raise Silent


def _read(fd: int, count: int, deadline: float | None) -> bytearray:
    """Exactly `count` bytes."""
    buffer = bytearray(count)
    view = memoryview(buffer)
    while view:
        _wait(fd, select.POLLIN, deadline)
        try:
            got = os.readv(fd, [view])
        except OSError as err:
            raise Closed from err
        if not got:
            raise Closed
        view = view[got:]
    return buffer
