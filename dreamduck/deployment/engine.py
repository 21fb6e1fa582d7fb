"""A mock of the AI Driving Olympics' engine, with the native simulator behind.

It speaks the protocol `aido6_embodied_sys`, and runs a submission's folder as it is, in a process of its
own, without Docker and without a network. What differs from the Duckiematrix is the transport of the
messages (see `stand_in`), and the simulator."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from dreamduck.common.config import check, option, part
from dreamduck.common.errors import SimulatorError
from dreamduck.common.readers import PathLike
from dreamduck.simulator.base import END_NONE, ENDS, SIMULATION_RATE, CarState, Frames, SimulatorConfig
from dreamduck.simulator.factory import make_simulator
from dreamduck.simulator.physics.dynamics import action_of_duties
from dreamduck.simulator.road import lane_progress

VEHICLE = "map_0/vehicle_0"
STAND_IN = Path(__file__).with_name("stand_in")
WAIT = 60.0  # [s] for the submission to answer


@dataclasses.dataclass(frozen=True)
class EngineConfig:
    """The engine: its simulator, and what it sends."""

    simulation: SimulatorConfig = part(SimulatorConfig, camera_width=640, camera_height=480)
    jpeg_quality: int = option(90, "of the frames", low=1, high=100)
    max_steps: int = option(600, "messages of an episode", low=1)

    def __post_init__(self) -> None:
        check(self)


@dataclasses.dataclass(frozen=True)
class EpisodeResult:
    """An episode that a submission drove.

    Attributes:
        seed: of the episode.
        steps: messages that were answered.
        distance: along the lane [m].
        end: "" where it drove until the step limit.
        refused: answers that were no two duties in [-1, 1] of the message's session; they count as 0.
    """

    seed: int
    steps: int
    distance: float
    end: str
    refused: int


class Engine:
    """The side of the protocol that a submission talks to.

    Args:
        config: its settings.
        tamper: changes a message before it is sent, for example to leave the frame out.
    """

    def __init__(
        self, config: EngineConfig, tamper: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    ) -> None:
        self.config = config
        self._tamper = tamper or (lambda message: message)
        self._simulator = make_simulator("native", config.simulation, 1)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(WAIT)
        self.port: int = self._server.getsockname()[1]
        self._session = 0
        self._opened: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in (*self._opened, self._server, self._simulator):
            opened.close()

    def accept(self) -> None:
        """Wait for the submission.

        Raises:
            SimulatorError: it does not come.
        """
        try:
            self._connection, _ = self._server.accept()
        except TimeoutError as err:
            raise SimulatorError(f"submission: expected a connection within {WAIT:g} s, got none") from err
        self._connection.settimeout(WAIT)
        self._answers = self._connection.makefile("rb")
        self._opened = [self._answers, self._connection]
        self._send({"vehicles": [VEHICLE]})

    def drive(self, seed: int) -> EpisodeResult:
        """One episode.

        Args:
            seed: of the start.
        Raises:
            SimulatorError: the submission ended, or does not answer.
        """
        state, distance, refused = self._simulator.reset([seed]), 0.0, 0
        period = self.config.simulation.frame_skip / SIMULATION_RATE
        for step in range(self.config.max_steps):
            self._session += 1
            self._send(self._tamper(self._message(state, step * period)))
            duty = self._duty(self._receive())
            refused += duty is None
            place = state.pose[:, :2].copy()
            state = self._simulator.step(action_of_duties(np.array([duty or (0.0, 0.0)])))
            distance += float(lane_progress(state, state.pose[:, :2] - place)[0])
            if state.end[0] != END_NONE:
                return EpisodeResult(seed, step + 1, distance, ENDS[state.end[0]], refused)
        return EpisodeResult(seed, self.config.max_steps, distance, "", refused)

    def _message(self, state: CarState, time: float) -> dict[str, Any]:
        x, z, heading = state.pose[0].tolist()
        half = heading / 2
        return {
            "session_id": self._session,
            "entities": {
                VEHICLE: {
                    "compressed_image": {
                        "header": {"timestamp": time},
                        "format": "jpeg",
                        "data": jpeg(self._simulator.frames()[0], self.config.jpeg_quality),
                    },
                    "pose": {
                        "header": {"timestamp": time},
                        "position": {"x": x, "y": -z, "z": 0.0},
                        "rotation": {"w": math.cos(half), "x": 0.0, "y": 0.0, "z": math.sin(half)},
                    },
                }
            },
        }

    def _duty(self, answer: dict[str, Any]) -> tuple[float, float] | None:
        """The duties of an answer; None where they are none."""
        try:
            wheels = answer["entities"][VEHICLE]["differential_pwm"]
            duty = float(wheels["left"]), float(wheels["right"])
        except (KeyError, TypeError, ValueError):
            return None
        fits = answer.get("session_id") == self._session and all(abs(value) <= 1.0 for value in duty)
        return duty if fits else None

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError as err:
            raise SimulatorError("submission: expected it to drive on, but it ended") from err

    def _receive(self) -> dict[str, Any]:
        try:
            line = self._answers.readline()
            answer = json.loads(line) if line else None
        except (OSError, ValueError) as err:
            raise SimulatorError(f"submission: expected an answer within {WAIT:g} s, got none") from err
        if not isinstance(answer, dict):
            raise SimulatorError("submission: expected it to drive on, but it ended")
        return answer


def jpeg(frame: Frames, quality: int) -> str:
    """A frame as JPEG in base64."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=quality)
    return base64.b64encode(buffer.getvalue()).decode()


@contextmanager
def submission(folder: PathLike, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A submission's own program, in its folder, with the stand-in for its client library.

    Args:
        folder: `submission` of what `dreamduck deploy` wrote.
        port: of the engine.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(STAND_IN),
        "DUCKIEMATRIX_ENGINE_HOSTNAME": "127.0.0.1",
        "DUCKIEMATRIX_ENGINE_PORT": str(port),
        "VEHICLE_NAME": VEHICLE,
    }
    command = [sys.executable, "-m", "solution.main"]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def drive_submission(
    folder: PathLike,
    seeds: Sequence[int],
    config: EngineConfig | None = None,
    tamper: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> list[EpisodeResult]:
    """Let a submission's folder drive.

    Args:
        folder: see `submission`.
        seeds: one of each episode.
        config: of the engine.
        tamper: see `Engine`.
    Raises:
        SimulatorError: the submission ended, or does not answer.
    """
    with Engine(config or EngineConfig(), tamper) as engine, submission(folder, engine.port):
        engine.accept()
        return [engine.drive(seed) for seed in seeds]
