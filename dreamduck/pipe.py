"""Messages between a process and its worker: a JSON object and, after it, raw bytes.

Flow: [pipe] -> workers. No pickle; numbers survive exactly, because JSON writes the shortest text
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


def send(fd: int, message: dict[str, Any], blob: bytes | memoryview = b"") -> None:
    """Write one message.

    Raises:
        Closed: nobody reads any more.
    """
    text = json.dumps(message).encode()
    for part in (HEADER.pack(len(text), len(blob)) + text, blob):
        view = memoryview(part)
        while view:
            try:
                view = view[os.write(fd, view) :]
            except (BrokenPipeError, OSError) as err:
                raise Closed from err


def receive(fd: int, timeout: float | None = None) -> tuple[dict[str, Any], bytearray]:
    """Read one message.

    Args:
        timeout: give up after so many seconds; None waits for ever.
    Raises:
        Closed: the other side has gone. Silent: the time is over.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    text_length, blob_length = HEADER.unpack(_read(fd, HEADER.size, deadline))
    text = _read(fd, text_length, deadline)
    return json.loads(text), _read(fd, blob_length, deadline)


def waiting(fd: int, seconds: float) -> bool:
    """Whether something can be read within so many seconds (an end of file counts)."""
    waiter = select.poll()
    waiter.register(fd, select.POLLIN)
    return bool(waiter.poll(seconds * 1000))


def _read(fd: int, count: int, deadline: float | None) -> bytearray:
    """Exactly `count` bytes."""
    buffer = bytearray(count)
    view = memoryview(buffer)
    waiter = select.poll()
    waiter.register(fd, select.POLLIN)
    while view:
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not waiter.poll(left):
            raise Silent
        try:
            got = os.readv(fd, [view])
        except OSError as err:
            raise Closed from err
        if not got:
            raise Closed
        view = view[got:]
    return buffer
