"""Work spread over MPI ranks, or done alone when there are none.

Rank 0 sends tasks to the others, computes some itself, and puts the results back in the tasks' order, so
that they do not depend on which rank computed what. Each rank sends a heartbeat every second, also while it
computes. A rank that fails or is interrupted tells rank 0, which ends the run with one exit code; a rank
that is silent for `--rank-timeout` seconds (a host off the network, a stopped process) is named in one
line, and all processes of the run are ended. No call of MPI waits: a lost link would hold it for ever.
Messages are pickled, as mpi4py does; they come from the ranks of this very run, never from a file. Without
`mpiexec` MPI is never imported."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast

from dreamduck.common.command_line import USAGE, explain
from dreamduck.common.errors import ConfigError, DependencyError, DreamDuckError
from dreamduck.common.processes.launcher import end_run
from dreamduck.common.processes.threads import cores

T = TypeVar("T")

# What the launchers of MPICH, Open MPI, MVAPICH and Slurm set in each rank's environment.
SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_SIZE")
LOCAL_RANK_VARIABLES = ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK")
LOCAL_SIZE_VARIABLES = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE")
POLL = 0.001  # [s]; a rank that waits must not take the core of one that works
HEARTBEAT = 1.0  # [s] between two
RANK_TIMEOUT, SHORTEST_TIMEOUT = 30.0, 10.0  # [s]
ABORT_DELAY = 1.0  # [s] before an end: the launcher drops output that it has not yet passed on
INTERRUPTED = 130  # exit code
TASKS, HEARTBEATS = 1, 2  # tags of messages
STOP, LAST_HEARTBEAT = None, None


class Team:
    """The ranks that share the work; alone, the process itself.

    Use it as a context: an exception inside it ends every rank.
    """

    rank = 0
    size = 1

    @property
    def cores(self) -> int:
        """This rank's share of the cores of its host."""
        ranks = next(
            (int(os.environ[name]) for name in LOCAL_SIZE_VARIABLES if name in os.environ), self.size
        )
        return max(1, cores() // ranks) if self.size > 1 else cores()

    def map(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
        """The results of all tasks, in their order; only rank 0 calls this."""
        return [function(task) for task in tasks]

    def serve(self, function: Callable[[Any], Any]) -> None:
        """Compute the tasks that rank 0 sends, until it calls `release`; only the other ranks call this."""

    def release(self) -> None:
        """End `serve` on the other ranks; only rank 0 calls this."""

    def agree(self, value: T) -> T:
        """Rank 0's value, on every rank; all call this."""
        return value

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Alone, an exception is raised as it is."""


class MPITeam(Team):
    """The ranks of an `mpiexec`.

    Args:
        mpi: the module `mpi4py.MPI`.
        timeout: silence after which a rank counts as lost [s].
    """

    def __init__(self, mpi: Any, timeout: float = RANK_TIMEOUT) -> None:
        self._mpi, self._world, self._timeout = mpi, mpi.COMM_WORLD, timeout
        self.rank, self.size = self._world.Get_rank(), self._world.Get_size()
        peers = range(1, self.size) if self.rank == 0 else (0,)
        self._heard = dict.fromkeys(peers, time.monotonic())
        self._hosts = dict.fromkeys(peers, "a host that never answered")
        self._sent: dict[int, Any] = {}  # the last heartbeat to each
        self._finished: set[int] = set()  # peers whose last heartbeat came
        self._failure: int | None = None  # exit code
        self._lock = threading.Lock()  # one thread at a time in MPI
        self._closing, self._ending = threading.Event(), threading.Lock()
        self._exchange()  # the first heartbeat goes before any work: it tells this rank's host
        self._heartbeat_thread = threading.Thread(
            target=self._send_heartbeats, name="heartbeat", daemon=True
        )
        self._heartbeat_thread.start()

    def map(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
        """Send task i to rank i modulo the number of ranks, and gather the results."""
        sent = [self._send(list(tasks[rank :: self.size]), rank) for rank in range(1, self.size)]
        results: list[Any] = [None] * len(tasks)
        results[:: self.size] = [function(task) for task in tasks[:: self.size]]
        for rank in range(1, self.size):
            results[rank :: self.size] = self._receive(rank)
        self._finish(sent)
        return results

    def serve(self, function: Callable[[Any], Any]) -> None:
        """Work on each list of tasks that rank 0 sends."""
        while (tasks := self._receive(0)) is not STOP:
            self._finish([self._send([function(task) for task in tasks], 0)])

    def release(self) -> None:
        """End `serve` on the other ranks."""
        self._finish([self._send(STOP, rank) for rank in range(1, self.size)])

    def agree(self, value: T) -> T:
        """Send rank 0's value to all."""
        if self.rank:
            return cast("T", self._receive(0))
        self._finish([self._send(value, rank) for rank in range(1, self.size)])
        return value

    def _send(self, value: Any, rank: int) -> Any:
        with self._lock:
            return self._world.isend(value, dest=rank, tag=TASKS)

    def _finish(self, requests: Iterable[Any]) -> None:
        for request in requests:
            self._result(request)

    def _receive(self, rank: int, tag: int = TASKS) -> Any:
        message = None
        while message is None:
            with self._lock:
                message = self._world.improbe(source=rank, tag=tag)
            if message is None:
                time.sleep(POLL)
        with self._lock:
            request = message.irecv()
        return self._result(request)

    def _result(self, request: Any) -> Any:
        while True:
            with self._lock:
                done, value = request.test()
            if done:
                return value
            time.sleep(POLL)

    def _send_heartbeats(self) -> None:
        """Send heartbeats and look for those of others, until the team is closed."""
        looked = time.monotonic()
        while not self._closing.wait(HEARTBEAT):
            try:
                with self._lock:
                    self._exchange()
            except self._mpi.Exception:  # the transport gave up before the time was over
                self._lost(list(self._heard))
            now = time.monotonic()
            # The time in which this process itself was stopped (suspended, in a debugger) does not count.
            stopped, looked = max(0.0, now - looked - 2 * HEARTBEAT), now
            self._heard = {peer: heard + stopped for peer, heard in self._heard.items()}
            if now - min(self._heard.values()) > self._timeout:
                self._lost([peer for peer in self._heard if now - self._heard[peer] > self._timeout / 2])

    def _exchange(self) -> None:
        sign = os.uname().nodename, self._failure
        for peer in self._heard:
            if peer not in self._sent or self._sent[peer].test()[0]:
                self._sent[peer] = self._world.isend(sign, dest=peer, tag=HEARTBEATS)
            while self._world.iprobe(source=peer, tag=HEARTBEATS):
                heartbeat = self._world.recv(source=peer, tag=HEARTBEATS)
                self._heard[peer] = time.monotonic()
                if heartbeat is LAST_HEARTBEAT:  # the peer leaves; this rank is about to
                    self._finished.add(peer)
                    continue
                self._hosts[peer], failure = heartbeat
                if failure is not None and self.rank == 0:
                    self._end_with(failure)

    def _lost(self, peers: Sequence[int]) -> None:
        """Name the ranks that are silent, and end all processes of the run on this host."""
        local = next((int(os.environ[name]) for name in LOCAL_RANK_VARIABLES if name in os.environ), 0)
        if local:
            time.sleep(5 * ABORT_DELAY)  # the first rank of a host writes the line, and ends this one
        names = ", ".join(f"rank {peer} on {self._hosts[peer]}" for peer in peers)
        _say(
            f"error: {names}: lost, no heartbeat within {self._timeout:.0f} s (--rank-timeout); "
            "the run ends; start the same command on the hosts that are left, it continues from the last "
            "saved state"
        )
        time.sleep(ABORT_DELAY)
        end_run()

    def _end_with(self, code: int) -> None:
        """Leave rank 0 first: the launcher then ends the others and returns this exit code."""
        if self._ending.acquire(blocking=False) and code == INTERRUPTED:
            _say("interrupted")
        _flush()
        time.sleep(ABORT_DELAY)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MPI prints a line of its own about an abort
        with contextlib.suppress(Exception):
            self._world.Abort(code)
        os._exit(code)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """An exception ends every rank; without one, all ranks leave together."""
        if value is None:
            self._leave()
            return
        code = 1
        if isinstance(value, self._mpi.Exception):
            self._lost(list(self._heard))
        where = f"rank {self.rank} on {os.uname().nodename}"
        if isinstance(value, KeyboardInterrupt):
            code = INTERRUPTED
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        elif isinstance(value, DreamDuckError):
            code = USAGE
            _say(f"error: {where}: {value}")
        elif isinstance(value, OSError) and value.errno is not None:
            code = USAGE
            _say(f"error: {where}: {explain(value)}")
        else:
            _say(f"rank {self.rank} of {self.size} failed:")
            traceback.print_exception(kind, value, trace)
        _flush()
        if self.rank:
            self._failure = code  # the next heartbeat tells rank 0, which ends the run
            time.sleep(self._timeout)
            end_run()
        self._end_with(code)

    def _leave(self) -> None:
        """Wait for all ranks, then close MPI; a rank that is lost meanwhile is named."""
        if self.rank:
            self._finish([self._send(STOP, 0)])
            self._receive(0)
        else:
            for rank in range(1, self.size):
                self._receive(rank)
            self.release()
        self._closing.set()
        self._heartbeat_thread.join()
        late = threading.Timer(self._timeout, self._lost, [sorted(self._heard)])
        late.daemon = True
        late.start()
        # MPI does not close over messages that nobody received: each side's last one is marked.
        sent = [self._world.isend(LAST_HEARTBEAT, dest=peer, tag=HEARTBEATS) for peer in self._heard]
        for peer in set(self._heard) - self._finished:
            while self._receive(peer, HEARTBEATS) != LAST_HEARTBEAT:
                pass
        self._finish([*self._sent.values(), *sent])
        self._mpi.Finalize()
        late.cancel()


def launched() -> bool:
    """Whether this process is one of several ranks of an `mpiexec`."""
    return any(int(os.environ.get(name) or 1) > 1 for name in SIZE_VARIABLES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flag that says when a rank counts as lost."""
    parser.add_argument(
        *("--rank-timeout", "--rank_timeout"),
        type=float,
        default=RANK_TIMEOUT,
        metavar="SECONDS",
        help="under mpiexec: a rank that is silent for so long is lost, and the run ends "
        f"(default: {RANK_TIMEOUT:g}, at least {SHORTEST_TIMEOUT:g})",
    )


def team(timeout: float = RANK_TIMEOUT) -> Team:
    """The ranks of this run; a team of one, with MPI left alone, outside `mpiexec`.

    Args:
        timeout: silence after which a rank counts as lost [s].
    Raises:
        ConfigError: the time is too short.
        DependencyError: under `mpiexec`, but mpi4py or its library is missing.
    """
    if not (timeout >= SHORTEST_TIMEOUT and math.isfinite(timeout)):
        raise ConfigError(f"rank_timeout: expected at least {SHORTEST_TIMEOUT:g} s, got {timeout:g}")
    if not launched():
        return Team()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as err:  # mpi4py raises RuntimeError without a library
        raise DependencyError(f"MPI cannot be used ({err}); try: pip install mpi4py mpich") from err
    return MPITeam(MPI, timeout)


def _say(text: str) -> None:
    """Write one line to standard error, on a line of its own beside a progress bar."""
    with contextlib.suppress(OSError):
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
