"""A policy as one file: `python -m benchmarks.deployment`.

For each policy that ships: processor time of one step of the file in ONNX Runtime on one core, at
640 x 480 and at 64 x 64, beside the library's own step on 64 x 64, in turns; how far its actions are from
the library's over 1,000 steps; and the memory of the runner. Then the difference of two ways from
640 x 480 to 64 x 64 from the simulator's own frames: the centre, and the whole frame squeezed."""

from __future__ import annotations

import functools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.common import save
from dreamduck.common.area_average import area_average, resize
from dreamduck.controllers.policy import Controller
from dreamduck.deployment.folder import write_folder
from dreamduck.deployment.policy import DeployedPolicy
from dreamduck.deployment.policy_graph import OPSETS, WheelConfig
from dreamduck.deployment.policy_source import PolicySource, read_source
from dreamduck.pretrained import FOLDER
from dreamduck.simulator.base import Frames, SimulatorConfig
from dreamduck.simulator.factory import make_simulator
from dreamduck.simulator.road import Road, RoadConfig
from dreamduck.world_model.imagination.perception import Perception

POLICIES = {
    "CMA-ES in the dream": FOLDER / "controllers" / "rnnenv.cma.32.64.best.json",
    "PPO on frames": FOLDER / "agents" / "env.ppo2.zip",
    "PPO in the dream": FOLDER / "agents" / "rnnenv.ppo2.zip",
}
STEPS, SEED = 1000, 90_001
TURNS, CALLS = 5, 15
SIZES = ((64, 64), (120, 160), (240, 320), (480, 640), (720, 1280), (97, 61))


class LibraryPolicy:
    """The same policy in Python, for one car.

    Args:
        source: of the file.
    """

    def __init__(self, source: PolicySource) -> None:
        self._policy = source.policy
        self._perception = (
            Perception(source.model.vae, source.model.dynamics, 1) if source.model is not None else None
        )
        self._action: Any = None

    def act(self, frames: Frames) -> Any:
        """The action (1, 2) for a frame of 64 x 64."""
        seen: npt.NDArray[Any] = frames
        if self._perception is not None:
            begins = self._action is None
            seen = self._perception.reset(frames) if begins else self._perception.step(frames, self._action)
        act = self._policy if isinstance(self._policy, Controller) else self._policy.act
        self._action = act(seen)
        return self._action


def differences(source: PolicySource, folder: Path) -> dict[str, Any]:
    """How far the file's actions are from the library's, over a drive of the library's."""
    library, road = LibraryPolicy(source), Road(RoadConfig(), 1)
    road.reset([SEED])
    frames, actions = [], []
    for _ in range(STEPS):
        frames.append(road.frames())
        actions.append(library.act(frames[-1]))
        if road.step(actions[-1]).terminated[0]:
            break
    road.close()
    found: dict[str, Any] = {"steps": len(frames)}
    for opset in OPSETS:
        write_folder(source, folder, WheelConfig(), opset)
        policy = DeployedPolicy(folder)
        policy.reset(1)
        apart = []
        for frame, action in zip(frames, actions, strict=True):
            policy.act(frame)
            apart.append(float(np.abs(policy.last_action - action).max()))
        found[f"opset_{opset}"] = {
            "greatest": max(apart),
            "percentile_99": float(np.quantile(apart, 0.99)),
        }
    return found


def times(source: PolicySource, folder: Path) -> dict[str, float]:
    """Milliseconds of processor time of a step, a median of turns."""
    random = np.random.default_rng(0)
    policy, library = DeployedPolicy(folder), LibraryPolicy(source)
    policy.reset(1)
    calls: dict[str, Callable[[], Any]] = {}
    for height, width in ((480, 640), (64, 64)):
        frame = random.integers(0, 256, (1, height, width, 3), dtype=np.uint8)
        calls[f"file_{width}x{height}"] = functools.partial(policy.act, frame)
    calls["library_64x64"] = functools.partial(library.act, frame)
    turns: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(TURNS):
        for name, call in calls.items():
            call()
            begin = time.process_time()
            for _ in range(CALLS):
                call()
            turns[name].append(1000 * (time.process_time() - begin) / CALLS)
    return {name: statistics.median(found) for name, found in turns.items()}


def memory(folder: Path) -> dict[str, float]:
    """Megabytes that the two processes of the runner hold after 20 frames of 640 x 480."""
    command = [sys.executable, "-I", str(folder / "run.py"), "--source", "-", "--dry-run"]
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8).tobytes()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        for _ in range(20):
            process.stdin.write(frame)
        process.stdin.flush()
        time.sleep(0.5)
        both = psutil.Process(process.pid)
        first = both.memory_info().rss
        second = sum(child.memory_info().rss for child in both.children())
        process.stdin.close()
    return {"policy": first / 1e6, "wheels": second / 1e6, "both": (first + second) / 1e6}


def camera() -> dict[str, Any]:
    """Mean differences from frames that are rendered at 64 x 64, of 256 steps."""
    found = {}
    for distortion in (False, True):
        small = make_simulator("native", SimulatorConfig(distortion=distortion), 8)
        settings = SimulatorConfig(distortion=distortion, camera_width=640, camera_height=480)
        large = make_simulator("native", settings, 8)
        for simulator in (small, large):
            simulator.reset(range(SEED, SEED + 8))
        expected, given = small.frames().astype(float), large.frames()
        found["fish-eye" if distortion else "plain"] = {
            "centre": float(np.abs(area_average(given, 64, 64) - expected).mean()),
            "squeezed": float(np.abs(resize(given, 64, 64) - expected).mean()),
        }
        small.close()
        large.close()
    return found


def resizes(folder: Path) -> dict[str, float]:
    """The greatest difference of an action between a large frame and its area average, by size.

    The average is a frame of 64 x 64, which the file leaves as it is: 0 says that both resize bit for bit.
    """
    policy, found = DeployedPolicy(folder), {}
    for height, width in SIZES:
        frames = np.random.default_rng(height).integers(0, 256, (8, height, width, 3), dtype=np.uint8)
        duties = []
        for given in (frames, area_average(frames, 64, 64)):
            policy.reset(8)
            duties.append(policy.act(given))
        found[f"{width}x{height}"] = float(np.abs(duties[0] - duties[1]).max())
    return found


def main() -> None:
    """Measure, print, write the JSON."""
    results: dict[str, Any] = {"policies": {}, "camera": camera()}
    with tempfile.TemporaryDirectory() as name:
        for title, path in POLICIES.items():
            folder = Path(name) / path.stem
            source = read_source(path)
            apart = differences(source, folder)
            write_folder(source, folder, WheelConfig(), OPSETS[0])
            size = (folder / "policy.onnx").stat().st_size / 1e6
            milliseconds, megabytes = times(source, folder), memory(folder)
            results["policies"][title] = {
                "file_megabytes": size,
                "milliseconds": milliseconds,
                "memory_megabytes": megabytes,
                "differences": apart,
                "resize_differences": resizes(folder),
            }
            print(title, results["policies"][title])
    save("deployment", "python -m benchmarks.deployment", results)


if __name__ == "__main__":
    main()
