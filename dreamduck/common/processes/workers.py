"""Helper processes for what must not share a process with TensorFlow: anything that draws with GL.

Mesa's software renderer and TensorFlow crash together.
A worker is a new process, not forked, and does not run the caller's main module again, so that it works
from notebooks and from scripts on standard input. It ends when it is closed or collected, and when the
process that made it ends in whatever way."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from dreamduck.common import errors
from dreamduck.common.errors import SimulatorError
from dreamduck.common.processes import pipe

CLOSE_TIMEOUT = 5.0  # [s] to end by itself
WATCH = 1.0  # [s] between two checks that the parent is alive
STDERR_SHOWN = 1500  # characters of what a worker last wrote
TRACEBACK_LINES = 6  # of a traceback

# The module search path comes from the parent, so that the worker finds the same dreamduck.
BOOT = """import json, sys
sys.path[:] = json.loads(sys.argv[3])
from dreamduck.common.processes.workers import boot
boot(sys.argv[1], int(sys.argv[2]))
"""
# One thread each: the workers are many, and what they compute is small.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
PARENT = "DREAMDUCK_PARENT"  # in the environment: the process that a command must not outlive
PR_SET_PDEATHSIG = 1  # of Linux's prctl

Blob = bytes | memoryview
Reply = tuple[dict[str, Any], bytearray]
Calls = Mapping[str, Callable[..., tuple[dict[str, Any], Blob]]]


class Worker:
    """One helper process.

    Args:
        module: its module, whose `calls()` gives the functions that can be asked for.
        name: what messages call it.
        remedy: what messages say to do when it has died.
    """

    def __init__(self, module: str, name: str, remedy: str) -> None:
        self.name, self.remedy = name, remedy
        self._owner = os.getpid()
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close)
        search = json.dumps([os.path.abspath(path) for path in sys.path])
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", BOOT, module, str(self._owner), search],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **ENVIRONMENT},
            cwd="/",
            bufsize=0,
        )
        if self.process.stdin is None or self.process.stdout is None:
            raise SimulatorError(f"{name}: expected a pipe to its process, got none")
        self._asked, self._limit, self._deadline = 0, 0.0, 0.0
        self._stdin, self._stdout = self.process.stdin, self.process.stdout
        self.close = weakref.finalize(
            self, _end, self.process, self._stdin, self._stdout, self._stderr, self._owner
        )

    def send(self, call: str, *arguments: Any, limit: float, blob: Blob = b"") -> None:
        """Send a request; `receive` returns its answer. One thread at a time.

        Args:
            limit: [s] from now until the answer has come; a worker that takes longer hangs, and is ended.
        Raises:
            SimulatorError: the worker is dead or hangs, or belongs to another process.
        """
        if os.getpid() != self._owner:
            raise SimulatorError(
                f"{self.name} belongs to the process that forked this one, expected one of its own; "
                f"{self.remedy}"
            )
        self._asked += 1
        self._limit, self._deadline = limit, time.monotonic() + limit
        message = {"id": self._asked, "call": call, "arguments": arguments}
        with self._ending_on_failure():
            pipe.send(self._stdin.fileno(), message, blob, limit)

    def receive(self) -> Reply:
        """The answer to the last `send`; answers to older ones, never fetched, are thrown away.

        Raises:
            SimulatorError: the worker died or hangs. Other errors as the worker had them.
        """
        with self._ending_on_failure():
            while True:
                left = max(0.0, self._deadline - time.monotonic())
                message, blob = pipe.receive(self._stdout.fileno(), left)
                if message["id"] == self._asked:
                    break
        if "error" in message:
            raise getattr(errors, message["error"])(message["text"])
        return message, blob

    @contextlib.contextmanager
    def _ending_on_failure(self) -> Iterator[None]:
        """End the worker where a message was not passed on whole: the rest of it must not be read later."""
        try:
            yield
        except (pipe.Closed, ValueError) as err:
            raise self._died() from err
        except pipe.Silent as err:
            self.process.kill()
            self.close()
            raise SimulatorError(
                f"{self.name} (process {self.process.pid}) gave no answer in {self._limit:.0f} s and was "
                f"ended; {self.remedy}"
            ) from err
        except BaseException:  # Ctrl-C
            self.process.kill()
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self.close.alive and self.process.poll() is None

    def _died(self) -> SimulatorError:
        """The cause of the process's end, as an error; its pipes are closed."""
        try:
            code = self.process.wait(CLOSE_TIMEOUT)
            how = f"by signal {_signal_name(-code)}" if code < 0 else f"with exit code {code}"
        except subprocess.TimeoutExpired:
            how = "by closing its pipe"
        text = self._stderr_tail()
        self.close()
        return SimulatorError(f"{self.name} (process {self.process.pid}) ended {how}; {self.remedy}{text}")

    def _stderr_tail(self) -> str:
        """What it last wrote to its standard error, or nothing."""
        try:
            end = self._stderr.seek(0, os.SEEK_END)
            self._stderr.seek(max(0, end - STDERR_SHOWN))
            text = self._stderr.read().decode(errors="replace").strip()
        except ValueError:  # closed
            return ""
        return f"; its last output:\n{text}" if text else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _end(
    process: subprocess.Popen[bytes], stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes], owner: int
) -> None:
    """End a worker: close its pipes, then kill it; a forked copy of its owner only closes its own pipes."""
    for file in (stdin, stdout, stderr):
        file.close()
    if os.getpid() != owner:
        return
    try:
        process.wait(CLOSE_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def boot(module: str, parent: int) -> None:
    """A worker's main function: serve the calls of its module until the parent closes the pipe or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # A pipe alone is not enough: another child of the parent may hold a copy of it.
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    incoming, outgoing = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # libraries print; the pipe must not carry it
    loaded = importlib.import_module(module)
    idle, interval = getattr(loaded, "idle", None), float(getattr(loaded, "IDLE_INTERVAL", WATCH))
    calls: Calls = loaded.calls()
    try:
        while True:
            while idle is not None and not pipe.waiting(incoming, interval):
                idle()
            message, blob = pipe.receive(incoming)
            reply, content = _answer(calls, message, blob)
            pipe.send(outgoing, {"id": message["id"], **reply}, content)
    except pipe.Closed:
        os._exit(0)  # no destructors: GL's crash when they run in the wrong order


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH)
    os._exit(0)


def _answer(calls: Calls, message: dict[str, Any], blob: bytearray) -> tuple[dict[str, Any], Blob]:
    """The reply to one message; an error becomes {"error": its class, "text": what it says}."""
    try:
        extra = (blob,) if blob else ()
        return calls[message["call"]](*message["arguments"], *extra)
    except errors.DreamDuckError as err:
        return {"error": type(err).__name__, "text": str(err)}, b""
    except Exception as err:  # any error is sent to the parent; upstream raises bare Exceptions
        traceback.print_exc()
        where = traceback.format_exception(err)[-TRACEBACK_LINES:]
        return {"error": "SimulatorError", "text": "".join(where).strip()}, b""


def child_environment() -> dict[str, str]:
    """The environment for a command of ours that must end when this process does, see `end_with_parent`."""
    return {**os.environ, PARENT: str(os.getpid())}


def end_with_parent() -> None:
    """End this process when the one that started it ends, in whatever way, if that one asked for it.

    Every command calls this first. The request is for this process alone, and not handed on."""
    parent = os.environ.pop(PARENT, "")
    if not parent.isdigit():
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if not Path(f"/proc/{parent}").exists():  # it ended before the request was made
        sys.exit(128 + signal.SIGTERM)
