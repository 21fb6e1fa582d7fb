"""Work spread over MPI ranks, or done alone when there are none.

Flow: search, evaluate -> [mpi]. Rank 0 leads: it hands out tasks, works as well, and puts the
results back in the tasks' order, so that who computed what leaves no trace. A rank that raises
prints its traceback and aborts all; one that dies is noticed by `mpiexec`, which ends the others.
Without `mpiexec` MPI is never imported."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast

from dreamduck.cli import USAGE, explain
from dreamduck.errors import DependencyError, DreamDuckError

T = TypeVar("T")

# What the launchers of MPICH, Open MPI, MVAPICH and Slurm set in each rank's environment.
SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_SIZE")
POLL = 0.001  # [s]; a rank that waits must not take the core of one that works
STOP = None

LINGER = 1.0  # [s] before an abort: the launcher drops what it has not yet passed on


class Team:
    """The ranks that share the work; alone, the process itself.

    Use it as a context: an exception inside it ends every rank.
    """

    rank = 0
    size = 1

    def map(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
        """The results of all tasks, in their order; only rank 0 calls this."""
        return [function(task) for task in tasks]

    def serve(self, function: Callable[[Any], Any]) -> None:
        """Work on what rank 0 hands out until it lets go; only the other ranks call this."""

    def release(self) -> None:
        """Let the other ranks come back from `serve`; only rank 0 calls this."""

    def agree(self, value: T) -> T:
        """Rank 0's value, on every rank; all call this."""
        return value

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Alone, an exception goes its way."""


class MPITeam(Team):
    """The ranks of an `mpiexec`."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self.rank, self.size = world.Get_rank(), world.Get_size()

    def map(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
        """Hand task i to rank i modulo the number of ranks, and gather."""
        sent = [
            self._world.isend(list(tasks[rank :: self.size]), dest=rank) for rank in range(1, self.size)
        ]
        results: list[Any] = [None] * len(tasks)
        results[:: self.size] = [function(task) for task in tasks[:: self.size]]
        for rank in range(1, self.size):
            results[rank :: self.size] = self._receive(rank)
        for request in sent:
            request.wait()
        return results

    def serve(self, function: Callable[[Any], Any]) -> None:
        """Work on each list of tasks that rank 0 sends."""
        while (tasks := self._receive(0)) is not STOP:
            self._world.send([function(task) for task in tasks], dest=0)

    def release(self) -> None:
        """Tell the other ranks that there is nothing left to do for now."""
        for rank in range(1, self.size):
            self._world.send(STOP, dest=rank)

    def agree(self, value: T) -> T:
        """Send rank 0's value to all."""
        if self.rank:
            return cast("T", self._receive(0))
        for rank in range(1, self.size):
            self._world.send(value, dest=rank)
        return value

    def _receive(self, source: int) -> Any:
        while not self._world.iprobe(source=source):
            time.sleep(POLL)
        return self._world.recv(source=source)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """An exception ends every rank."""
        if value is None:
            return
        if isinstance(value, DreamDuckError):
            print(f"rank {self.rank}: error: {value}", file=sys.stderr)
        elif isinstance(value, OSError) and value.errno is not None:
            print(f"rank {self.rank}: error: {explain(value)}", file=sys.stderr)
        else:
            print(f"rank {self.rank} of {self.size} failed:", file=sys.stderr)
            traceback.print_exception(kind, value, trace)
        sys.stdout.flush()
        sys.stderr.flush()
        time.sleep(LINGER)
        self._world.Abort(USAGE if isinstance(value, (DreamDuckError, OSError)) else 1)


def launched() -> bool:
    """Whether this process is one of several ranks of an `mpiexec`."""
    return any(int(os.environ.get(name) or 1) > 1 for name in SIZE_VARIABLES)


def team() -> Team:
    """The ranks of this run; a team of one, with MPI left alone, outside `mpiexec`.

    Raises:
        DependencyError: under `mpiexec`, but mpi4py or its library is missing.
    """
    if not launched():
        return Team()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as err:  # mpi4py raises RuntimeError without a library
        raise DependencyError(f"MPI cannot be used ({err}); try: pip install mpi4py mpich") from err
    return MPITeam(MPI.COMM_WORLD)
