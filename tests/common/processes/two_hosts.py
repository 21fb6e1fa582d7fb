"""Two hosts on one machine: network namespaces joined by a cable that can be cut.

Each host has its own name, network, shared memory and mounts, so that MPI must talk over TCP. The second
one has process numbers of its own as well: processes on the first cannot see or end those on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

MPIEXEC = Path(sys.executable).with_name("mpiexec")
ROOT = Path(__file__).parents[3]
LIMIT = 10  # [s] to set up the hosts
SETUP = (
    "hostname {name} && mount -t tmpfs tmpfs /dev/shm && mount -t sysfs sysfs /sys && "
    "mount --bind {names} /etc/hosts && ip link set lo up && exec sleep 3600"
)
# What stands in for ssh: flags, a host, and a command.
LAUNCHER = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
shift
exec nsenter -t %d -n -u -i -m -p /bin/sh -c "exec $*"
"""


class Unavailable(Exception):
    """Namespaces cannot be made here."""


class Hosts:
    """The hosts "h1", where commands are started, and "h2".

    Args:
        folder: for the launcher and the table of names.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._holders: list[subprocess.Popen[bytes]] = []
        names = folder / "names"
        names.write_text("127.0.0.1 localhost\n10.77.0.1 h1\n10.77.0.2 h2\n")
        for name, extra in (("h1", ()), ("h2", ("-p", "-f", "--mount-proc", "--kill-child"))):
            setup = SETUP.format(name=name, names=names)
            self._holders.append(
                subprocess.Popen(["unshare", "-n", "-u", "-i", "-m", *extra, "sh", "-c", setup])
            )
        self.first = self._holders[0].pid
        self.second = self._wait_for_child(self._holders[1].pid)
        for pid in (self.first, self.second):
            self._wait_for_setup(pid)
        cable = ["ip", "link", "add", "v1", "netns", str(self.first), "type", "veth"]
        self._call(*cable, "peer", "name", "v2", "netns", str(self.second))
        for number, pid in ((1, self.first), (2, self.second)):
            self._inside(pid, "ip", "addr", "add", f"10.77.0.{number}/24", "dev", f"v{number}")
            self._inside(pid, "ip", "link", "set", f"v{number}", "up")
        self.launcher = folder / "launcher"
        self.launcher.write_text(LAUNCHER % self.second)
        self.launcher.chmod(0o755)
        self._wait_for_cable()

    def start(self, command: Sequence[str], hosts: str = "h1,h2") -> subprocess.Popen[str]:
        """Start two ranks of a Python command on these hosts."""
        launcher = ["-launcher", "ssh", "-launcher-exec", str(self.launcher), "-localhost", "h1"]
        inside = ["nsenter", "-t", str(self.first), "-n", "-u", "-i", "-m", f"--wd={ROOT}"]
        return subprocess.Popen(
            [*inside, str(MPIEXEC), *launcher, "-hosts", hosts, "-n", "2", sys.executable, *command],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def cut(self) -> None:
        """Cut the cable."""
        self._inside(self.second, "ip", "link", "set", "v2", "down")

    def mend(self) -> None:
        """Join it again."""
        self._inside(self.second, "ip", "link", "set", "v2", "up")
        self._wait_for_cable()

    def running(self) -> list[str]:
        """The commands that run on either host."""
        networks = {os.readlink(f"/proc/{pid}/ns/net") for pid in (self.first, self.second)}
        ours = {holder.pid for holder in self._holders}
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            if int(path.name) in ours:
                continue
            with contextlib.suppress(OSError):
                if os.readlink(path / "ns/net") in networks:
                    words = (path / "cmdline").read_bytes().split(b"\0")
                    if words[0] and words[0] != b"sleep":
                        found.append(b" ".join(words).decode())
        return found

    def close(self) -> None:
        """Take the hosts down, with all that runs on them."""
        for pid in (getattr(self, "second", 0), getattr(self, "first", 0)):
            if pid:
                with contextlib.suppress(OSError):
                    os.kill(pid, 9)
        for holder in self._holders:
            holder.kill()
            holder.wait()

    def _wait_for_child(self, pid: int) -> int:
        for _ in self._until("no process in a new namespace"):
            with contextlib.suppress(OSError):
                if words := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                    return int(words[0])
            if done := self._call("pgrep", "-P", str(pid), check=False):
                return int(done.split()[0])
        raise AssertionError

    def _wait_for_setup(self, pid: int) -> None:
        for _ in self._until("the namespaces were refused"):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == "sleep":
                    return

    def _wait_for_cable(self) -> None:
        for _ in self._until("no link between the namespaces"):
            states = [
                self._inside(pid, "cat", f"/sys/class/net/v{number}/operstate").strip()
                for number, pid in ((1, self.first), (2, self.second))
            ]
            if states == ["up", "up"]:
                time.sleep(0.5)
                return

    def _until(self, reason: str) -> Iterator[None]:
        end = time.monotonic() + LIMIT
        while time.monotonic() < end and all(holder.poll() is None for holder in self._holders):
            yield
            time.sleep(0.05)
        raise Unavailable(reason)

    def _inside(self, pid: int, *command: str) -> str:
        return self._call("nsenter", "-t", str(pid), "-n", "-m", *command)

    def _call(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(command, capture_output=True, text=True)
        if check and done.returncode:
            raise Unavailable(f"{command[0]}: {done.stderr.strip()}")
        return done.stdout


def make(folder: Path) -> Hosts:
    """Two hosts.

    Raises:
        Unavailable: says what is missing.
    """
    missing = [name for name in ("unshare", "nsenter", "ip") if not shutil.which(name)]
    if missing or not MPIEXEC.exists():
        raise Unavailable(f"expected {', '.join(missing) or MPIEXEC}")
    made = Hosts.__new__(Hosts)
    try:
        made.__init__(folder)  # type: ignore[misc]
    except BaseException:
        made.close()
        raise
    return made
