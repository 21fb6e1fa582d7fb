"""What every benchmark shares: fair timing, the machine it ran on, and the JSON it writes."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dreamduck.common.extras import versions
from dreamduck.common.processes.threads import cores
from dreamduck.common.storage import write_json

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "numba", "tensorflow-cpu", "tensorflow", "keras", "torch", "duckietown-gym-daffy")


def seconds_per_call(
    peers: Mapping[str, Callable[[], Any]], rounds: int = 5, least: float = 0.3
) -> dict[str, float]:
    """Median seconds of one call of each peer.

    The peers take turns, so that a machine that is slow for a while is slow for all of them.

    Args:
        peers: what to call; each is called once before the clock starts.
        rounds: turns for each peer.
        least: shortest time of a turn [s]; quick calls are repeated until it is over.
    """
    for call in peers.values():
        call()
    turns: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, call in peers.items():
            count, begin = 0, time.perf_counter()
            while True:
                call()
                count += 1
                spent = time.perf_counter() - begin
                if spent >= least:
                    break
            turns[name].append(spent / count)
    return {name: statistics.median(times) for name, times in turns.items()}


def machine() -> dict[str, Any]:
    """The machine and the versions of a measurement."""
    model = platform.processor()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass  # not Linux: the platform's own name
    return {
        "processor": model,
        "cores": cores(),
        "packages": versions(PACKAGES),
    }


def process_memory(field: str) -> int:
    """Memory of this process [kB]: now ("VmRSS") or the most so far ("VmHWM"); Linux only."""
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field))


def save(name: str, command: str, results: Mapping[str, Any]) -> Path:
    """Write `results/<name>.json` with the command, the machine and the figures."""
    path = RESULTS / f"{name}.json"
    write_json(path, {"command": command, "machine": machine(), "results": dict(results)})
    return path
