"""The worker process of gym-duckietown: it answers the messages of `UpstreamSimulator`.

TensorFlow must never be loaded here: together with
Mesa's renderer it ends in a segmentation fault. Started by `workers.Worker`, not by people."""

from __future__ import annotations

import os
from typing import Any

from dreamduck.common.processes.workers import Blob, Calls

Answer = tuple[dict[str, Any], Blob]


def calls() -> Calls:
    """The functions that a message can call, by name."""
    return Server().calls


class Server:
    """Keeps the car, and calls what a message asks for."""

    def __init__(self) -> None:
        self.car: Any = None
        self.calls: Calls = {
            "make": self.make,
            "reset": self.reset,
            "step": self.step,
            "place": self.place,
            "frame": self.frame,
            "view": self.view,
            "objects": lambda: ({"objects": self.car.object_states()}, b""),
            "appearance": lambda: ({"appearance": self.car.appearance()}, b""),
        }

    def make(self, map_path: str, config: dict[str, Any]) -> Answer:
        """Load gym-duckietown and the map."""
        from dreamduck.simulator.gym_duckietown import patches

        patches.prepare()
        from dreamduck.simulator.gym_duckietown.car import UpstreamCar

        self.car = UpstreamCar(map_path, config)
        return {"pid": os.getpid()}, b""

    def reset(
        self,
        seed: int,
        start: list[float] | None,
        domain_rand: bool,
        distortion: bool,
        dynamics: tuple[float, float, float, float | None],
    ) -> Answer:
        """Begin an episode."""
        self.car.begin(seed, start, domain_rand, distortion, *dynamics)
        return {"state": self.car.car_state()}, b""

    def step(self, throttle: float, steering: float) -> Answer:
        """Drive one step of the world."""
        self.car.drive(throttle, steering)
        return {"state": self.car.car_state()}, b""

    def place(self, x: float, z: float, heading: float) -> Answer:
        """Put the car somewhere, unchecked."""
        self.car.place(x, z, heading)
        return {"state": self.car.car_state()}, b""

    def frame(self) -> Answer:
        """The camera's frame."""
        return {}, memoryview(self.car.render_obs()).cast("B")

    def view(self, mode: str, width: int, height: int) -> Answer:
        """An image at any size."""
        return {}, memoryview(self.car.image(mode, width, height)).cast("B")
