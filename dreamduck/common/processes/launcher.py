"""The launcher of an MPI run, and the processes that it started, as /proc lists them."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

LAUNCHERS = ("hydra", "mpiexec", "mpirun", "orted", "orterun", "prted", "prterun")  # names begin so


def end_run() -> None:
    """End the launcher above this rank, all processes that it started on this host, and this one.

    The launcher cannot be asked: it waits for the host that is lost."""
    known = parents()
    top, above = 0, known.get(os.getpid(), 0)
    while _name(above).startswith(LAUNCHERS):
        top, above = above, known.get(above, 0)
    ended = [top] if top else []
    for pid in ended:
        ended += [child for child, parent in known.items() if parent == pid]
    for pid in ended:
        if pid != os.getpid():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    os._exit(1)


def parents() -> dict[int, int]:
    """The parent of every process, by its number."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name stands in brackets and may hold anything; the parent comes two words behind it.
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
