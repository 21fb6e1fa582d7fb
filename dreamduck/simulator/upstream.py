"""Gym-duckietown itself, the reference simulator, one spawned process for each car.

Flow: maps -> [upstream] -> road. Its renderer and TensorFlow crash together in one process, so it runs
in workers of its own, started anew (not forked) without running the caller's main module again. A
worker is used again over resets; if it dies, the error says how, and the next reset starts another.
It ends when the simulator is closed or collected, and when this process ends in whatever way."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from dreamduck import errors
from dreamduck.errors import ConfigError, ResetNeeded, SimulatorError, StartError
from dreamduck.simulator import upstream_pipe as pipe
from dreamduck.simulator.base import CarState, FloatArray, Frames, SimulatorConfig
from dreamduck.simulator.maps import load_map

START_TIMEOUT = 180.0  # [s] to import gym-duckietown and load a map
REPLY_TIMEOUT = 120.0  # [s] for anything else; a reset may try 5,000 start poses
CLOSE_TIMEOUT = 5.0  # [s] to end by itself
STDERR_TOLD = 1500  # characters of what the worker last wrote
VIEWS = ("camera", "top_down")

# The module search path comes from here, so that the worker finds the same dreamduck.
BOOT = """import json, sys
sys.path[:] = json.loads(sys.argv[2])
from dreamduck.simulator.upstream_worker import main
main(int(sys.argv[1]))
"""
# One thread each: the workers are many, and what they compute is small.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

Reply = tuple[dict[str, Any], bytearray]


class Worker:
    """One process with one car in it.

    Args:
        map_path: the map's file, absolute.
        config: the car's settings.
    """

    def __init__(self, map_path: str, config: SimulatorConfig) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close)
        self._owner = os.getpid()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-c",
                BOOT,
                str(self._owner),
                json.dumps([os.path.abspath(p) for p in sys.path]),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **ENVIRONMENT},
            cwd="/",
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._stdin, self._stdout = self.process.stdin, self.process.stdout
        self.close = weakref.finalize(
            self, _end, self.process, self._stdin, self._stdout, self._stderr, self._owner
        )
        self._timeout = START_TIMEOUT
        self.send("make", map_path, dataclasses.asdict(config))

    def send(self, call: str, *arguments: Any) -> None:
        """Ask for something; the answer is fetched with `receive`.

        Raises:
            SimulatorError: the worker is dead, or belongs to another process.
        """
        if os.getpid() != self._owner:
            raise SimulatorError(
                "this gym-duckietown simulator was made in another process, and a fork shares its pipe; "
                "expected one of its own, make the environment inside the new process"
            )
        try:
            pipe.send(self._stdin.fileno(), {"call": call, "arguments": arguments})
        except (pipe.Closed, ValueError) as err:
            raise self._died() from err

    def receive(self) -> Reply:
        """The answer to the last `send`.

        Raises:
            SimulatorError: the worker died or hangs. Other errors as the worker had them.
        """
        timeout, self._timeout = self._timeout, REPLY_TIMEOUT
        try:
            message, blob = pipe.receive(self._stdout.fileno(), timeout)
        except (pipe.Closed, ValueError) as err:
            raise self._died() from err
        except pipe.Silent as err:
            text = self._last_words()
            self.close()
            raise SimulatorError(
                f"gym-duckietown's worker gave no answer in {timeout:.0f} s and was ended; reset to start "
                f"another{text}"
            ) from err
        if "error" in message:
            raise getattr(errors, message["error"])(message["text"])
        return message, blob

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self.close.alive and self.process.poll() is None

    def _died(self) -> SimulatorError:
        """What happened, as an error; the remains are cleared away."""
        try:
            code = self.process.wait(CLOSE_TIMEOUT)
            how = f"by signal {_signal_name(-code)}" if code < 0 else f"with exit code {code}"
        except subprocess.TimeoutExpired:
            how = "by closing its pipe"
        text = self._last_words()
        self.close()
        return SimulatorError(
            f"gym-duckietown's worker (process {self.process.pid}) ended {how}; "
            f"reset to start another{text}"
        )

    def _last_words(self) -> str:
        """What it last wrote to its standard error, or nothing."""
        try:
            end = self._stderr.seek(0, os.SEEK_END)
            self._stderr.seek(max(0, end - STDERR_TOLD))
            text = self._stderr.read().decode(errors="replace").strip()
        except ValueError:  # closed
            return ""
        return f"; its last words:\n{text}" if text else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _end(
    process: subprocess.Popen[bytes], stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes], owner: int
) -> None:
    """End the worker, kindly first; a forked copy of us only closes its own copies of the pipe."""
    for file in (stdin, stdout, stderr):
        file.close()
    if os.getpid() != owner:
        return
    try:
        process.wait(CLOSE_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class UpstreamSimulator:
    """`num_cars` cars in gym-duckietown; see `Simulator` for the methods that all simulators have.

    Beside those it tells and does a few things that tests of other simulators need: `place`,
    `objects`, `looks`.

    Args:
        config: the settings.
        num_cars: how many cars, each in a process of its own (about 340 MB).
    Raises:
        MapError: an unknown or malformed map. DependencyError: something is not installed.
        SimulatorError: a worker could not start.
    """

    def __init__(self, config: SimulatorConfig, num_cars: int = 1) -> None:
        if num_cars < 1:
            raise ConfigError(f"num_cars: expected at least 1, got {num_cars}")
        self.config = config
        self.num_cars = num_cars
        self._map_path = str(load_map(config.map_name).path.resolve())
        self._rows: list[dict[str, Any] | None] = [None] * num_cars
        self._closed = False
        self._workers: list[Worker] = []
        try:
            self._workers = [Worker(self._map_path, config) for _ in range(num_cars)]
            self._collect(range(num_cars))
        except BaseException:
            self.close()
            raise

    def reset(
        self,
        seeds: Sequence[int],
        starts: FloatArray | None = None,
        cars: npt.NDArray[np.int64] | None = None,
    ) -> CarState:
        """Begin episodes; see `Simulator.reset`. Dead workers are replaced."""
        self._check_open()
        chosen = range(self.num_cars) if cars is None else [int(car) for car in cars]
        if len(seeds) != len(chosen):
            raise ConfigError(f"seeds: expected {len(chosen)}, one for each car, got {len(seeds)}")
        poses = _start_poses(starts, len(chosen))
        renewed = [car for car in chosen if not self._workers[car].alive]
        for car in renewed:
            self._workers[car].close()
            self._workers[car] = Worker(self._map_path, self.config)
        self._collect(renewed)
        for car in chosen:
            self._rows[car] = None
        for car, seed, pose in zip(chosen, seeds, poses, strict=True):
            self._workers[car].send("reset", int(seed), pose)
        self._update(chosen)
        return self._state()

    def step(self, actions: FloatArray) -> CarState:
        """Drive every car; see `Simulator.step`."""
        self._check_ready()
        for worker, action in zip(self._workers, np.asarray(actions, dtype=np.float64), strict=True):
            worker.send("step", *action.tolist())
        self._update(range(self.num_cars))
        return self._state()

    def frames(self, out: Frames | None = None) -> Frames:
        """What each car's camera sees now; see `Simulator.frames`."""
        self._check_ready()
        shape = (self.config.camera_height, self.config.camera_width, 3)
        if out is None:
            out = np.empty((self.num_cars, *shape), dtype=np.uint8)
        for worker in self._workers:
            worker.send("frame")
        for car, (_, blob) in enumerate(self._collect(range(self.num_cars))):
            out[car] = np.frombuffer(blob, dtype=np.uint8).reshape(shape)
        return out

    def view(self, mode: str, width: int, height: int, car: int = 0) -> Frames:
        """A picture for people; see `Simulator.view`."""
        if mode not in VIEWS:
            raise ConfigError(f"mode: expected one of {', '.join(VIEWS)}, got {mode!r}")
        if min(width, height) < 1:
            raise ConfigError(f"view: expected a size of at least 1x1 pixels, got {width}x{height}")
        _, blob = self._ask(car, "view", mode, int(width), int(height))
        return np.frombuffer(blob, dtype=np.uint8).reshape(height, width, 3)

    def place(self, pose: Sequence[float], car: int = 0) -> CarState:
        """Put a car at x [m], z [m], heading [rad], at rest; no physics, no checks."""
        x, z, heading = (float(value) for value in pose)
        message, _ = self._ask(car, "place", x, z, heading)
        self._rows[car] = message["state"]
        return self._state()

    def objects(self, car: int = 0) -> list[dict[str, Any]]:
        """The objects on a car's copy of the map as they are now.

        Returns:
            For each: kind, pos [m, 3 numbers], angle [rad] and y_rot [degrees], scale, static, visible,
            color (4), corners (4 x 2) [m], safety_radius [m], pattern (of a traffic light).
        """
        return self._ask(car, "objects")[0]["objects"]

    def looks(self, car: int = 0) -> dict[str, Any]:
        """What the last reset drew: light, colours, camera, wheels."""
        return self._ask(car, "looks")[0]["looks"]

    def close(self) -> None:
        """End the workers; calling it twice is harmless."""
        self._closed = True
        for worker in self._workers:
            worker.close()

    def _ask(self, car: int, call: str, *arguments: Any) -> Reply:
        self._check_ready()
        self._workers[car].send(call, *arguments)
        return self._collect([car])[0]

    def _collect(self, cars: Sequence[int]) -> list[Reply]:
        """One answer from each; all are fetched before the first error is raised."""
        replies: list[Reply] = []
        failure: Exception | None = None
        for car in cars:
            try:
                replies.append(self._workers[car].receive())
            except errors.DreamDuckError as err:
                self._rows[car] = None
                failure = failure or err
        if failure is not None:
            raise failure
        return replies

    def _update(self, cars: Sequence[int]) -> None:
        for car, (message, _) in zip(cars, self._collect(cars), strict=True):
            self._rows[car] = message["state"]

    def _check_open(self) -> None:
        if self._closed:
            raise SimulatorError("the simulator is closed; expected an open one, make another")

    def _check_ready(self) -> None:
        self._check_open()
        if any(row is None for row in self._rows):
            waiting = [car for car, row in enumerate(self._rows) if row is None]
            raise ResetNeeded(
                f"expected a reset first, cars {waiting} have not begun an episode; call reset"
            )

    def _state(self) -> CarState:
        """All rows together; a car that never began is nan."""
        rows = [row or _NO_ROW for row in self._rows]

        def column(name: str, kind: Any = np.float64) -> Any:
            return np.array([row[name] for row in rows], dtype=kind)

        return CarState(
            pose=column("pose"),
            speed=column("speed"),
            lane_dist=column("lane_dist"),
            lane_angle=column("lane_angle"),
            lane_tangent=column("lane_tangent"),
            tile=column("tile", np.int64),
            simulator_reward=column("simulator_reward"),
            proximity_penalty=column("proximity_penalty"),
            end=column("end", np.int8),
        )


_NAN = float("nan")
_NO_ROW: dict[str, Any] = {
    "pose": [_NAN] * 3,
    "speed": _NAN,
    "lane_dist": _NAN,
    "lane_angle": _NAN,
    "lane_tangent": [_NAN] * 2,
    "tile": [0, 0],
    "simulator_reward": 0.0,
    "proximity_penalty": 0.0,
    "end": 0,
}


def _start_poses(starts: FloatArray | None, count: int) -> list[list[float] | None]:
    """A pose or None (draw it) for each car.

    Raises:
        StartError: the array has the wrong shape, or a row is neither finite nor all nan.
    """
    if starts is None:
        return [None] * count
    array = np.asarray(starts, dtype=np.float64)
    if array.shape != (count, 3):
        raise StartError(
            f"starts: expected shape {(count, 3)} (x [m], z [m], heading [rad]), got {array.shape}"
        )
    drawn: npt.NDArray[np.bool_] = np.isnan(array).all(axis=1)
    if not np.isfinite(array[~drawn]).all():
        raise StartError(f"starts: expected finite numbers or rows of nan, got {array.tolist()}")
    return [None if draw else row.tolist() for draw, row in zip(drawn, array, strict=True)]
