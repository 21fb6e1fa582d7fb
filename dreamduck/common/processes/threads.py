"""How many cores there are, and threads that share out slices of the work."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

__all__ = ["SlicePool", "cores"]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class SlicePool:
    """Threads around code that holds no lock of Python's; copies, pickles and forks start their own.

    Args:
        threads: how many.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool: tuple[int, ThreadPoolExecutor] | None = None  # with the process that it is of

    def run(self, call: Callable[[int, int, int], None], count: int, slices: int) -> None:
        """Call `call(slice, first, stop)` for each of so many slices of `range(count)`, all at once."""
        if slices <= 1:
            call(0, 0, count)
            return
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), ThreadPoolExecutor(self.threads, "dreamduck")
        edges = [count * k // slices for k in range(slices + 1)]
        waiting = [self._pool[1].submit(call, k, *edges[k : k + 2]) for k in range(1, slices)]
        call(0, *edges[:2])
        for task in waiting:
            task.result()

    def __getstate__(self) -> dict[str, Any]:
        """Without the threads."""
        return {"threads": self.threads, "_pool": None}

    def close(self) -> None:
        """End the threads; they start again when they are needed."""
        if self._pool is not None and self._pool[0] == os.getpid():
            self._pool[1].shutdown()
        self._pool = None
