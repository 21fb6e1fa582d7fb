"""The client of the mock engine, with the interface of gym-duckiematrix.

The messages are the same, the transport is another: lines of JSON over a socket, with frames in base64;
those of the Duckiematrix travel by DTPS."""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any


class GymEnvironment:
    """The vehicles of an engine.

    Args:
        host: of the engine.
        port: likewise.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 7501) -> None:
        self._socket = socket.create_connection((host, port))
        self._lines = self._socket.makefile("rb")
        self.vehicle_names: list[str] = json.loads(self._lines.readline())["vehicles"]
        self._callback: Callable[[dict[str, Any]], None] | None = None
        self._session: int | None = None

    def attach(self, callback: Callable[[dict[str, Any]], None]) -> None:
        """Set what is called with each message of the engine."""
        self._callback = callback

    def start(self) -> None:
        """Begin to receive; the process ends with the engine."""
        threading.Thread(target=self._receive, daemon=True).start()

    def step(self, actions: Mapping[str, tuple[float, float]]) -> None:
        """Answer the last message with the duties (left, right) of each vehicle."""
        entities = {
            name: {"differential_pwm": {"left": left, "right": right}}
            for name, (left, right) in actions.items()
        }
        answer = {"session_id": self._session, "entities": entities}
        self._socket.sendall(json.dumps(answer).encode() + b"\n")

    def stop(self) -> None:
        """End the connection."""
        self._socket.close()

    def _receive(self) -> None:
        for line in self._lines:
            message = json.loads(line)
            self._session = message["session_id"]
            for entity in message["entities"].values():
                image = entity.get("compressed_image")
                if image:
                    image["data"] = base64.b64decode(image["data"])
            if self._callback is not None:
                self._callback(message)
        os._exit(0)
