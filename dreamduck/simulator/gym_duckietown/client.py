"""Gym-duckietown itself, the reference simulator, one spawned process for each car.

Its renderer and TensorFlow crash together in one process, so it runs
in workers of its own. A worker is used again over resets; if it dies, the error says how, and the next
reset starts another."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt

from dreamduck.common import errors
from dreamduck.common.config import integer
from dreamduck.common.errors import ConfigError, ResetNeeded, SimulatorError
from dreamduck.common.processes.workers import Reply, Worker
from dreamduck.simulator.base import (
    CarState,
    FloatArray,
    Frames,
    SimulatorConfig,
    Variation,
    check_reset,
)
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.physics.dynamics import NOMINAL, draw_dynamics

# What a call may take on a slow and busy machine [s]; a worker that takes GRACE longer hangs.
GRACE = 10.0
MAY_TAKE = {
    "make": 170.0,  # imports gym-duckietown and loads a map; 4 s on a machine with nothing else to do
    "reset": 20.0,  # loads objects, and may try START_TILES times START_TRIES poses
    "step": 0.0,  # and PHYSICS_TIME for each step of physics
    "frame": 5.0,
    "view": 5.0,
}
PHYSICS_TIME = 0.02
VIEWS = ("camera", "top_down")
KINDS: dict[str, Any] = {"tile": np.int64, "end": np.int8}  # of the arrays of `CarState`; the rest float64
MODULE = "dreamduck.simulator.gym_duckietown.worker"


F = TypeVar("F", bound=Callable[..., Any])


def _one_at_a_time(method: F) -> F:
    """A method of `UpstreamSimulator` that waits until no other thread is in one."""

    @functools.wraps(method)
    def locked(self: UpstreamSimulator, *arguments: Any, **options: Any) -> Any:
        with self._lock:
            return method(self, *arguments, **options)

    return cast(F, locked)


class CarWorker(Worker):
    """A process with one car in it.

    Args:
        map_path: the map's file, absolute.
        config: the car's settings.
    """

    def __init__(self, map_path: str, config: SimulatorConfig) -> None:
        super().__init__(MODULE, "gym-duckietown's worker", "reset to start another")
        self._frame_skip = config.frame_skip
        self.ask("make", map_path, dataclasses.asdict(config))

    def ask(self, call: str, *arguments: Any) -> None:
        """Send a request, with the time limit for this kind of call; see `Worker.send`."""
        physics = PHYSICS_TIME * self._frame_skip if call == "step" else 0.0
        self.send(call, *arguments, limit=GRACE + MAY_TAKE.get(call, 1.0) + physics)


class UpstreamSimulator:
    """`num_cars` cars in gym-duckietown; see `Simulator` for the methods that all simulators have.

    Beside those it has a few methods that tests of other simulators need: `place`,
    `objects`, `appearance`. Threads may share it: one call is answered before the next is asked.

    Args:
        config: the settings.
        num_cars: how many cars, each in a process of its own (about 340 MB).
    Raises:
        MapError: an unknown or malformed map.
        DependencyError: something is not installed.
        SimulatorError: a worker could not start.
    """

    def __init__(self, config: SimulatorConfig, num_cars: int = 1) -> None:
        self.config = config
        self.num_cars = num_cars = integer("num_cars", num_cars, 1)
        self._map_path = str(load_map(config.map_name).path.resolve())
        self._rows: list[dict[str, Any] | None] = [None] * num_cars
        self._episodes: list[_Episode | None] = [None] * num_cars  # to be driven again by `set_state`
        self._closed = False
        self._lock = threading.RLock()
        self._workers: list[CarWorker] = []
        try:
            self._workers = [CarWorker(self._map_path, config) for _ in range(num_cars)]
            self._collect(range(num_cars))
        except BaseException:
            self.close()
            raise

    @_one_at_a_time
    def reset(
        self,
        seeds: Sequence[int],
        starts: FloatArray | None = None,
        cars: npt.NDArray[np.int64] | None = None,
        variations: Sequence[Variation] | None = None,
    ) -> CarState:
        """Begin episodes; see `Simulator.reset`. Dead workers are replaced."""
        self._check_open()
        indices, poses, variations = check_reset(
            self.config, self.num_cars, seeds, starts, cars, variations
        )
        chosen = indices.tolist()
        renewed = [car for car in chosen if not self._workers[car].alive]
        for car in renewed:
            self._workers[car].close()
            self._workers[car] = CarWorker(self._map_path, self.config)
        self._collect(renewed)
        begun = [
            _Episode(int(seed), None if np.isnan(pose).all() else pose.tolist(), variation, [], 0)
            for seed, pose, variation in zip(seeds, poses, variations, strict=True)
        ]
        for car, episode in zip(chosen, begun, strict=True):
            self._rows[car], self._episodes[car] = None, episode
        self._ask_cars(chosen, "reset", [episode.request() for episode in begun])
        return self._state()

    @_one_at_a_time
    def step(self, actions: FloatArray) -> CarState:
        """Drive every car; see `Simulator.step`."""
        self._check_ready()
        given = np.asarray(actions, dtype=np.float64).tolist()
        for car, action in enumerate(given):
            episode = self._episodes[car]
            if episode is not None:
                episode.actions.append(action)
                self._episodes[car] = episode._replace(steps=episode.steps + 1)
        self._ask_cars(range(self.num_cars), "step", given)
        return self._state()

    @_one_at_a_time
    def get_state(self) -> Any:
        """The history of all cars since their resets, since gym-duckietown cannot save its state.

        Raises:
            ResetNeeded: a car has not begun an episode.
            SimulatorError: a car was put somewhere by `place`.
        """
        self._check_ready()
        if any(episode is None for episode in self._episodes):
            raise SimulatorError("gym-duckietown: expected cars that were driven, not placed; reset them")
        return tuple(self._episodes)

    @_one_at_a_time
    def set_state(self, state: Any) -> CarState:
        """Begin the episodes of a snapshot again and drive them up to its moment, which takes as long."""
        self.reset(
            [episode.seed for episode in state],
            np.array([[np.nan] * 3 if e.start is None else e.start for e in state], np.float64),
            variations=[episode.variation for episode in state],
        )
        for car, episode in enumerate(state):
            taken = episode.actions[: episode.steps]
            for action in taken:
                self._ask_cars([car], "step", [action])
            self._episodes[car] = episode._replace(actions=taken)
        return self._state()

    @_one_at_a_time
    def frames(self, out: Frames | None = None, cars: npt.NDArray[np.int64] | None = None) -> Frames:
        """The frame of each car's camera; see `Simulator.frames`."""
        self._check_ready()
        shape = self.config.frame_shape
        chosen = range(self.num_cars) if cars is None else cars.tolist()
        if out is None:
            out = np.empty((len(chosen), *shape), dtype=np.uint8)
        replies = self._ask_cars(chosen, "frame", [()] * len(chosen))
        for row, (_, blob) in enumerate(replies):
            out[row] = np.frombuffer(blob, dtype=np.uint8).reshape(shape)
        return out

    @_one_at_a_time
    def view(self, mode: str, width: int, height: int, car: int = 0) -> Frames:
        """An image for people; see `Simulator.view`."""
        if mode not in VIEWS:
            raise ConfigError(f"mode: expected one of {', '.join(VIEWS)}, got {mode!r}")
        if min(width, height) < 1:
            raise ConfigError(f"view: expected a size of at least 1x1 pixels, got {width}x{height}")
        _, blob = self._ask(car, "view", mode, int(width), int(height))
        return np.frombuffer(blob, dtype=np.uint8).reshape(height, width, 3)

    @_one_at_a_time
    def place(self, pose: Sequence[float], car: int = 0) -> CarState:
        """Put a car at x [m], z [m], heading [rad], at rest; no physics, no checks."""
        x, z, heading = (float(value) for value in pose)
        message, _ = self._ask(car, "place", x, z, heading)
        self._rows[car], self._episodes[car] = message["state"], None
        return self._state()

    @_one_at_a_time
    def objects(self, car: int = 0) -> list[dict[str, Any]]:
        """The objects on a car's copy of the map as they are now.

        Returns:
            For each: kind, pos [m, 3 numbers], angle [rad] and y_rot [degrees], scale, static, visible,
            color (4), corners (4 x 2) [m], safety_radius [m], pattern (of a traffic light).
        """
        return self._ask(car, "objects")[0]["objects"]

    @_one_at_a_time
    def appearance(self, car: int = 0) -> dict[str, Any]:
        """What the last reset drew: light, colours, camera, wheels."""
        return self._ask(car, "appearance")[0]["appearance"]

    def __getstate__(self) -> dict[str, Any]:
        """Refuse copies and pickles."""
        raise TypeError(
            "gym-duckietown runs in processes of its own, which cannot be copied or pickled; use "
            "simulator='native', or make another simulator and reset it with the same seeds"
        )

    def close(self) -> None:
        """End the workers; calling it twice is harmless."""
        self._closed = True
        for worker in self._workers:
            worker.close()

    def _ask(self, car: int, call: str, *arguments: Any) -> Reply:
        self._check_ready()
        return self._ask_cars([car], call, [arguments])[0]

    def _ask_cars(self, cars: Sequence[int], call: str, arguments: Sequence[Sequence[Any]]) -> list[Reply]:
        """Ask several workers at once; all answer before the first error is raised."""
        asked, failures = [], []
        for car, given in zip(cars, arguments, strict=True):
            try:
                self._workers[car].ask(call, *given)
                asked.append(car)
            except errors.DreamDuckError as err:
                self._rows[car] = None
                failures.append(err)
        return self._collect(asked, failures)

    def _collect(self, cars: Sequence[int], failures: Sequence[Exception] = ()) -> list[Reply]:
        """An answer from each; a car whose worker had an error needs a reset."""
        replies, failures = [], list(failures)
        for car in cars:
            try:
                replies.append(self._workers[car].receive())
                self._rows[car] = replies[-1][0].get("state", self._rows[car])
            except errors.DreamDuckError as err:
                self._rows[car] = None
                failures.append(err)
        if failures:
            raise failures[0]
        return replies

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

        return CarState(
            **{name: np.array([row[name] for row in rows], KINDS.get(name, np.float64)) for name in _NO_ROW}
        )


class _Episode(NamedTuple):
    """The history of a car since its reset."""

    seed: int
    start: list[float] | None
    variation: Variation
    actions: list[list[float]]  # only ever added to: the snapshots of one episode share it
    steps: int  # so many of them were taken

    def request(self) -> tuple[Any, ...]:
        """What the worker's `reset` takes."""
        v = self.variation
        dynamics = draw_dynamics(self.seed) if v.dynamics_rand else NOMINAL
        # Without random dynamics the wheels' distance is what upstream draws.
        distance = dynamics.wheel_distance if v.dynamics_rand else None
        return self.seed, self.start, v.domain_rand, v.distortion, [*dynamics[:3], distance]


_NO_ROW: dict[str, Any] = dict(
    **dict.fromkeys(("speed", "lane_dist", "lane_angle"), np.nan),
    **dict.fromkeys(("simulator_reward", "proximity_penalty", "end"), 0),
    **dict(pose=[np.nan] * 3, lane_tangent=[np.nan] * 2, tile=[0, 0]),
)
