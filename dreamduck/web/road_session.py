"""The road as a world to drive in: `DreamDuck-v0`, and `DreamDuck-v1` where a mind looks on."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError
from dreamduck.simulator.base import ENDS, SIMULATORS, CarState
from dreamduck.simulator.environment import describe
from dreamduck.simulator.expert import Expert, ExpertConfig
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.road import Road, RoadConfig, car_info, lane_progress
from dreamduck.web.model_session import ModelSession, ModelState
from dreamduck.web.session import CONTROLLER, EXPERT, PERSON, Action, Frame, Outcome
from dreamduck.web.share_link import Start

WIDE = (320, 240)  # the picture for people, where nothing else is shown


class Passage(NamedTuple):
    """How to return to a moment on the road.

    Attributes:
        distance: [m] along the lane up to here.
        thought: of the mind, if there is one.
    """

    distance: float
    thought: ModelState | None


class RoadWorld:
    """One car in a simulator.

    Args:
        start: where and how the drive begins.
        config: the simulator and its settings; map and looks come from `start`.
        mind: looks through the camera and says what it expects; None: there is none.
        seen: whether people are shown what the mind sees.
        controller: whether the mind can drive.
    """

    def __init__(self, start: Start, config: RoadConfig, rnn: ModelSession | None, seen: bool) -> None:
        angle = config.start_angle if start.start_angle is None else start.start_angle
        self.start = dataclasses.replace(start, start_angle=angle)
        self.config = dataclasses.replace(
            config,
            start_angle=angle,
            map_name=start.map_name,
            domain_rand=start.domain_rand,
            camera_width=64,
            camera_height=64,
        )
        self.simulator: str = self.config.simulator
        self.environment: dict[str, Any] | None = describe(self.config)
        self._mind = rnn
        self._seen = seen
        self.drivers: tuple[str, ...] = (
            PERSON,
            *([CONTROLLER] if rnn and rnn.controller else []),
            EXPERT,
        )
        # One car is one thread's work; more would only get in the way of other tabs.
        settings: dict[str, Any] = {"threads": 1} if self.config.simulator == SIMULATORS[0] else {}
        self._road = Road(self.config, 1, **settings)
        self._expert = Expert(
            load_map(start.map_name), ExpertConfig(steering_gain=self.config.steering_gain)
        )
        self._frame: Frame = np.zeros((64, 64, 3), np.uint8)
        self._state: CarState
        self._distance = 0.0
        self._begin()
        self._steps = 0
        if rnn:
            rnn.begin(rnn.see(self._frame))

    def _begin(self) -> None:
        self._state = self._road.reset([self.start.seed])
        self._distance = 0.0
        self._frame = self._road.frames()[0].copy()

    def step(self, action: Action, temperature: float) -> Outcome:
        """Drive one step; the temperature is that of what the mind expects."""
        reward = self._drive(action)
        self._frame = self._road.frames()[0].copy()
        self._steps += 1
        if self._mind:
            # What was expected is kept beside what came: the two are shown side by side.
            expected = self._mind.foresee(action, self._steps, temperature)
            self._mind.thought = dataclasses.replace(expected, z=self._mind.see(self._frame))
        return Outcome(reward, ENDS[self._state.end[0]])

    def mark(self) -> Passage:
        """What `back` needs to return to this moment."""
        return Passage(self._distance, self._mind.thought if self._mind else None)

    def back(self, mark: Passage, actions: npt.NDArray[np.float32]) -> None:
        """Return to a moment: the simulator is deterministic, and drives there again from the start."""
        self._begin()
        for action in actions:
            self._drive(action)
        self._frame = self._road.frames()[0].copy()
        self._distance, self._steps = mark.distance, len(actions)
        if self._mind and mark.thought is not None:
            self._mind.thought = mark.thought

    def act(self, driver: str) -> Action:
        """What the controller or the expert would do now."""
        if driver == CONTROLLER and self._mind:
            return self._mind.act()
        return np.asarray(self._expert(self._state)[0], np.float32)

    def pull(self, latent: int, value: float) -> None:
        """Set one latent of what the mind sees at this moment.

        Raises:
            ConfigError: there is no mind, or no such latent.
        """
        if not self._mind:
            raise ConfigError("latent: expected a world with a world model; there are no weights")
        self._mind.pull(latent, value)

    def frame(self) -> Frame:
        """What the camera sees."""
        return self._frame

    def look(self, ahead: Action, temperature: float) -> tuple[dict[str, Frame], dict[str, Any]]:
        """The camera's picture, and beside it, in the seen world, the mind's."""
        info = car_info(self._state)
        facts = {key: _told(value) for key, value in info.items() if key != "end"}
        facts["distance"] = self._distance
        if self._seen and self._mind:
            pictures = {"camera": self._frame, "reconstruction": self._mind.picture()}
            foreseen = self._mind.thought.foreseen
            if foreseen is not None:
                pictures["foreseen"] = self._mind.picture(foreseen)
            return pictures, {**facts, **self._mind.facts()}
        return {"camera": self._road.view("camera", *WIDE)}, facts

    def close(self) -> None:
        """Free the simulator."""
        self._road.close()

    def _drive(self, action: Action) -> float:
        before = self._state.pose[:, :2]
        given = self._road.step(np.asarray(action, np.float64)[None])
        self._state = given.state
        self._distance += float(lane_progress(given.state, given.state.pose[:, :2] - before)[0])
        return float(given.reward[0])


def _told(value: Any) -> Any:
    """A value of `info` for JSON, which knows no nan."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return list(value) if isinstance(value, tuple) else value


def map_outline(name: str) -> dict[str, Any]:
    """A map seen from above, for drawing: tiles, lanes and the things that stand on it.

    Returns:
        `tile_size` [m], `width`, `height` [tiles], `tiles` (i, j, kind) of drivable ones, `lanes`
        (four points x, z [m] of each Bezier curve), `things` (kind, x, z [m]).
    """
    found = load_map(name)
    tiles = found.drivable_tiles
    return {
        "name": name,
        "tile_size": found.tile_size,
        "width": found.width,
        "height": found.height,
        "tiles": [[tile.i, tile.j, tile.kind] for tile in tiles],
        "lanes": [np.round(curve, 4).tolist() for tile in tiles for curve in tile.curves],
        "things": [[t.kind, round(float(t.pos[0]), 3), round(float(t.pos[2]), 3)] for t in found.objects],
    }
