"""The process that gym-duckietown runs in: it answers the messages of `UpstreamSimulator`.

Flow: upstream_car -> [upstream_worker] -> upstream. TensorFlow must never be loaded here: together with
Mesa's renderer it ends in a segmentation fault. Started by `upstream.Worker`, not by people.

It ends when its standard input is closed, and when its parent has gone without closing it (another
process may hold a copy of the pipe)."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from dreamduck.errors import DreamDuckError
from dreamduck.simulator import upstream_pipe as pipe

WATCH = 1.0  # [s] between two looks at whether the parent lives
LINES_TOLD = 6  # of a traceback

Reply = tuple[dict[str, Any], bytes | memoryview]


def main(parent: int) -> None:
    """Serve until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # libraries print; the pipe must not carry it
    server = Server()
    while True:
        try:
            message, _ = pipe.receive(incoming)
            reply = server.answer(message)
            pipe.send(outgoing, *reply)
        except pipe.Closed:
            os._exit(0)  # no destructors: GL's crash when they run in the wrong order


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH)
    os._exit(0)


class Server:
    """Keeps the car, and calls what a message asks for."""

    def __init__(self) -> None:
        self.car: Any = None
        self.calls: dict[str, Callable[..., Reply]] = {
            "make": self.make,
            "reset": self.reset,
            "step": self.step,
            "place": self.place,
            "frame": self.frame,
            "view": self.view,
            "objects": lambda: ({"objects": self.car.things()}, b""),
            "looks": lambda: ({"looks": self.car.looks()}, b""),
        }

    def answer(self, message: dict[str, Any]) -> Reply:
        """The reply to one message; an error becomes {"error": its class, "text": what it says}."""
        try:
            return self.calls[message["call"]](*message.get("arguments", ()))
        except DreamDuckError as err:
            return {"error": type(err).__name__, "text": str(err)}, b""
        except Exception as err:  # told to the parent, whatever it is; upstream raises bare Exceptions
            traceback.print_exc()
            where = traceback.format_exception(err)[-LINES_TOLD:]
            return {"error": "SimulatorError", "text": "".join(where).strip()}, b""

    def make(self, map_path: str, config: dict[str, Any]) -> Reply:
        """Load gym-duckietown and the map."""
        from dreamduck.simulator import upstream_patches

        upstream_patches.prepare()
        from dreamduck.simulator.upstream_car import UpstreamCar

        self.car = UpstreamCar(map_path, config)
        return {"pid": os.getpid()}, b""

    def reset(self, seed: int, start: list[float] | None) -> Reply:
        """Begin an episode."""
        self.car.begin(seed, start)
        return {"state": self.car.car_state()}, b""

    def step(self, throttle: float, steering: float) -> Reply:
        """Drive one step of the world."""
        self.car.drive(throttle, steering)
        return {"state": self.car.car_state()}, b""

    def place(self, x: float, z: float, heading: float) -> Reply:
        """Put the car somewhere, unchecked."""
        self.car.place(x, z, heading)
        return {"state": self.car.car_state()}, b""

    def frame(self) -> Reply:
        """The camera's frame."""
        return {}, memoryview(self.car.render_obs()).cast("B")

    def view(self, mode: str, width: int, height: int) -> Reply:
        """A picture at any size."""
        return {}, memoryview(self.car.picture(mode, width, height)).cast("B")


if __name__ == "__main__":
    main(int(sys.argv[1]))
