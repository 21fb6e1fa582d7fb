"""The native simulator against gym-duckietown, in one run: frames a second, first frame, memory, resets.

`python -m benchmarks.simulator` prints tables and writes results/simulator.json. Gym-duckietown runs twice:
"stock", in a process with only the patch without which it does not step at all, and "mended", as
`simulator="gym-duckietown"` uses it. All single-core figures are with every process on one core."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from benchmarks.common import process_memory, save, seconds_per_call
from dreamduck.common.processes.threads import cores
from dreamduck.simulator.base import SimulatorConfig
from dreamduck.simulator.gym_duckietown.client import UpstreamSimulator
from dreamduck.simulator.native import NativeSimulator

MAPS = ("loop_empty", "loop_dyn_duckiebots", "robotarium2")
SIZES = ((64, 64), (160, 120), (640, 480))
BATCH = 64
STEPS = 10  # of a peer in a turn
RESETS = 10_000
ACTION = np.array([[0.1, 0.3]])

STOCK = """
import contextlib, json, logging, sys, time
logging.disable(logging.WARNING)
name, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
begin = time.perf_counter()
with contextlib.redirect_stdout(sys.stderr):
    import duckietown_world, geometry, numpy as np
    made = geometry.se2_from_linear_angular
    def plain(v): return float(np.asarray(v).reshape(-1)[0])
    geometry.se2_from_linear_angular = lambda l, a: made([plain(v) for v in l], plain(a))
    from gym_duckietown.envs import DuckietownEnv
    env = DuckietownEnv(map_name=name, camera_width=width, camera_height=height, domain_rand=False,
                        max_steps=10**9, seed=0)
    env.reset()
first = time.perf_counter() - begin
def memory():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
print(json.dumps({"first": first, "kilobytes": memory()}), flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        env.step(np.array([0.1, 0.3]))
    print("{}", flush=True)
"""

FIRST_FRAME = """
import sys
from dreamduck.simulator.base import SimulatorConfig
from dreamduck.simulator.factory import make_simulator
sim = make_simulator("native", SimulatorConfig(map_name=sys.argv[1]), threads=1)
sim.reset([0])
sim.frames()
"""


class Stock:
    """Gym-duckietown as installed, in a process of its own.

    Args:
        map_name, width, height: what it draws.
    """

    def __init__(self, map_name: str, width: int, height: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", STOCK, map_name, str(width), str(height)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        begin = time.perf_counter()
        self.info = self._answer()
        self.first_frame = time.perf_counter() - begin

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"gym-duckietown ended with exit code {self.process.wait()}")
        return dict(json.loads(line))

    def step(self, count: int) -> None:
        """Step `count` times, each with a frame."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{count}\n")
        self._answer()

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, and those it starts, on one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def config(map_name: str, width: int = 64, height: int = 64) -> SimulatorConfig:
    """One step of physics a frame."""
    return SimulatorConfig(map_name=map_name, frame_skip=1, camera_width=width, camera_height=height)


def native_steps(simulator: NativeSimulator) -> Callable[[], None]:
    """A turn of the native simulator: STEPS steps with a frame each, for all its cars."""
    n, size = simulator.num_cars, simulator.config
    out = np.empty((n, size.camera_height, size.camera_width, 3), dtype=np.uint8)
    actions = np.tile(ACTION, (n, 1))
    simulator.reset(list(range(n)))

    def turn() -> None:
        for _ in range(STEPS):
            simulator.step(actions)
            simulator.frames(out)
        if np.abs(simulator.step(actions).pose[:, :2]).max() > 50:
            simulator.reset(list(range(n)))

    return turn


def frame_rates(map_name: str, width: int, height: int, rounds: int) -> dict[str, float]:
    """Frames a second of each peer, one car on one core; the batch too, a frame of each of its cars."""
    size = (width, height)
    stock = Stock(map_name, *size)
    mended = UpstreamSimulator(config(map_name, *size))
    single = NativeSimulator(config(map_name, *size), 1, threads=1)
    batch = NativeSimulator(config(map_name, *size), BATCH, threads=1)
    try:
        mended.reset([0])

        def mended_turn() -> None:
            for _ in range(STEPS):
                mended.step(ACTION)
                mended.frames()

        peers = {
            "stock": lambda: stock.step(STEPS),
            "mended": mended_turn,
            "native": native_steps(single),
            f"native, {BATCH} cars": native_steps(batch),
        }
        times = seconds_per_call(peers, rounds)
    finally:
        stock.close()
        mended.close()
    rates = {name: STEPS / spent for name, spent in times.items()}
    rates[f"native, {BATCH} cars"] *= BATCH
    return rates


def all_cores(map_name: str, rounds: int) -> dict[str, float]:
    """Frames a second of a batch on one thread and on all cores."""
    most = cores()
    peers = {
        str(threads): native_steps(NativeSimulator(config(map_name), BATCH, threads=threads))
        for threads in {1, most}
    }
    times = seconds_per_call(peers, rounds)
    return {name: STEPS * BATCH / spent for name, spent in times.items()}


@njit(cache=True)
def fetch(
    texels: npt.NDArray[np.uint32], places: npt.NDArray[np.int32], out: npt.NDArray[np.uint32]
) -> None:
    """Four texels for each pixel and nothing else: a lower limit of textured ground."""
    for k in range(len(out)):
        at = places[k]
        out[k] = texels[at] ^ texels[at + 1] ^ texels[at + 512] ^ texels[at + 513]


@njit(cache=True, fastmath=True)
def blend(
    colors: npt.NDArray[np.uint32], weights: npt.NDArray[np.float32], out: npt.NDArray[np.uint32]
) -> None:
    """Blend four packed colours for each pixel and nothing else: the arithmetic that has to be done."""
    full, half = np.uint32(255), np.float32(0.5)
    for k in range(len(out)):
        p, q, r, s = colors[0, k], colors[1, k], colors[2, k], colors[3, k]
        u, w = weights[0, k], weights[1, k]
        d = u * w
        b, c = u - d, w - d
        a = np.float32(1) - u - c
        red = a * np.float32(p & full) + b * np.float32(q & full)
        red += c * np.float32(r & full) + d * np.float32(s & full) + half
        green = a * np.float32(p >> 8 & full) + b * np.float32(q >> 8 & full)
        green += c * np.float32(r >> 8 & full) + d * np.float32(s >> 8 & full) + half
        blue = a * np.float32(p >> 16) + b * np.float32(q >> 16)
        blue += c * np.float32(r >> 16) + d * np.float32(s >> 16) + half
        out[k] = np.uint32(np.int32(red) | np.int32(green) << 8 | np.int32(blue) << 16)


def bounds(map_name: str, rounds: int, width: int = 64, height: int = 64) -> dict[str, float]:
    """The parts of a frame beside their lower limits; microseconds for one car."""
    batch = NativeSimulator(config(map_name, width, height), BATCH, threads=1)
    batch.reset(list(range(BATCH)))
    actions = np.tile(ACTION, (BATCH, 1))
    pixels = width * height
    rng = np.random.default_rng(0)
    texels = rng.integers(0, 2**24, size=512 * 512 * 6, dtype=np.uint32)
    # Rows of a slanted image: neighbours in a row are neighbours in the texture, rows are not.
    rows = rng.integers(0, 512 * 512 * 5, size=height)[:, None]
    places = (rows + (np.arange(width) * 3 % 512)[None]).astype(np.int32).ravel()
    fetched, blended = np.empty(pixels, dtype=np.uint32), np.empty(pixels, dtype=np.uint32)
    colors = rng.integers(0, 2**24, size=(4, pixels), dtype=np.uint32)
    weights = rng.random((2, pixels), dtype=np.float32)
    frames = np.empty((BATCH, height, width, 3), dtype=np.uint8)
    copy = frames.copy()
    peers: dict[str, Callable[[], Any]] = {
        "physics": lambda: batch.step(actions),
        "frame": lambda: batch.frames(frames),
        "fetches": lambda: fetch(texels, places, fetched),
        "blending": lambda: blend(colors, weights, blended),
        "memory": lambda: np.copyto(copy, frames),
    }
    times = seconds_per_call(peers, rounds, least=0.1)
    for name in ("physics", "frame", "memory"):
        times[name] /= BATCH
    return {name: 1e6 * spent for name, spent in times.items()}


def first_frames(map_name: str, rounds: int) -> dict[str, float]:
    """Seconds from starting a process to its first frame, medians; caches are warm."""
    native = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", FIRST_FRAME, map_name], check=True)
        native.append(time.perf_counter() - begin)
    stock = []
    for _ in range(max(1, rounds // 2)):
        peer = Stock(map_name, 64, 64)
        stock.append(peer.first_frame)
        peer.close()
    return {"native": float(np.median(native[1:])), "stock": float(np.median(stock))}


def memory(map_name: str, count: int = 20) -> dict[str, float]:
    """Megabytes for each further environment, and those that RESETS resets add."""
    kept = [NativeSimulator(config(map_name), 1, threads=1) for _ in range(2)]
    for simulator in kept:
        simulator.reset([0])
        simulator.frames()
    before = process_memory("VmRSS")
    for _ in range(count):
        kept.append(NativeSimulator(config(map_name), 1, threads=1))
        kept[-1].reset([0])
        kept[-1].frames()
    each = (process_memory("VmRSS") - before) / count / 1024
    before = process_memory("VmRSS")
    for seed in range(RESETS):
        kept[0].reset([seed])
    grown = (process_memory("VmRSS") - before) / 1024
    stock = Stock(map_name, 64, 64)
    stock.close()
    return {"native, each": each, "native, resets": grown, "stock, process": stock.info["kilobytes"] / 1024}


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulator", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each peer (default: 5)")
    parser.add_argument("--quick", action="store_true", help="64x64 only, one round, nothing written")
    given = parser.parse_args(arguments)
    rounds, sizes = (1, SIZES[:1]) if given.quick else (given.rounds, SIZES)
    results: dict[str, Any] = {"frames a second, one core": {}, "all cores": {}, "microseconds": {}}
    print(f"{'one core, frames/s':34s}{'stock':>9s}{'mended':>9s}{'native':>9s}{'times':>8s}{'batch':>9s}")
    with one_core():
        for map_name in MAPS:
            for size in sizes:
                rates = frame_rates(map_name, *size, rounds)
                name = f"{map_name} {size[0]}x{size[1]}"
                results["frames a second, one core"][name] = rates
                stock, mended, native, batch = rates.values()
                print(
                    f"{name:34s}{stock:9.0f}{mended:9.0f}{native:9.0f}{native / stock:8.1f}{batch:9.0f}",
                    flush=True,
                )
            results["microseconds"][map_name] = bounds(map_name, rounds)
    for map_name, parts in results["microseconds"].items():
        text = ", ".join(f"{name} {spent:.1f}" for name, spent in parts.items())
        print(f"{map_name}, 64x64, microseconds a car: {text}", flush=True)
    for map_name in MAPS:
        rates = results["all cores"][map_name] = all_cores(map_name, rounds)
        text = ", ".join(f"{name} threads {rate:.0f}" for name, rate in sorted(rates.items()))
        print(f"{map_name}, batch of {BATCH}, frames/s: {text}", flush=True)
    results["first frame, seconds"] = {name: first_frames(name, rounds) for name in MAPS[:2]}
    results["megabytes"] = memory(MAPS[1])
    for key in ("first frame, seconds", "megabytes"):
        print(f"{key}: {json.dumps(results[key])}")
    if not given.quick:
        print(save("simulator", "python -m benchmarks.simulator", results))


if __name__ == "__main__":
    main()
