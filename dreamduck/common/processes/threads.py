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
        threads: how many, the calling thread among them.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool: tuple[int, ThreadPoolExecutor] | None = None  # with the process that it is of

    def run(self, call: Callable[[int, int, int], Any], count: int, slices: int) -> list[Any]:
        """Call `call(slice, first, stop)` for each of so many slices of `range(count)`, all at once.

        The calling thread takes the slices that no other has begun, so that it waits for none that is busy.

        Returns:
            What the calls gave, by slice.
        """
        if slices <= 1:
            return [call(0, 0, count)]

        def piece(k: int) -> Any:
            return call(k, count * k // slices, count * (k + 1) // slices)

        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), ThreadPoolExecutor(max(self.threads - 1, 1), "dreamduck")
        others = {k: self._pool[1].submit(piece, k) for k in range(1, slices)}
        own = {0: piece(0)}
        for k in reversed(others):
            if others[k].cancel():
                own[k] = piece(k)
        return [own[k] if k in own else others[k].result() for k in range(slices)]

    def __getstate__(self) -> dict[str, Any]:
        """Without the threads."""
        return {"threads": self.threads, "_pool": None}

    def close(self) -> None:
        """End the threads; they start again when they are needed."""
        if self._pool is not None and self._pool[0] == os.getpid():
            self._pool[1].shutdown()
        self._pool = None
