"""Cores and threads.

numpy's OpenBLAS wakes all cores for matrices that one core multiplies in microseconds, and its threads wait
for one another by spinning: on a machine that does other work too, a product then takes a hundred times
longer. Code that multiplies small matrices stands inside `one_thread`, and spreads over cores by threads of
its own, where there is enough to do."""

from __future__ import annotations

import contextlib
import functools
import os

from threadpoolctl import ThreadpoolController

__all__ = ["cores", "one_thread"]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread() -> contextlib.AbstractContextManager[object]:
    """A context in which numpy's matrix products use the calling thread alone; takes 10 microseconds."""
    return _controller().limit(limits=1, user_api="blas")


@functools.cache
def _controller() -> ThreadpoolController:
    """The libraries that are loaded; finding them takes milliseconds."""
    return ThreadpoolController()
