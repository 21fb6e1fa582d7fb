"""The road and the dream beside each other: the same actions, from the same moment on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

import numpy as np

from dreamduck.controllers.policy import Controller
from dreamduck.envs.realenv import RealEnv
from dreamduck.evaluation.lane_probe import LaneProbe
from dreamduck.simulator.road import RoadConfig, car_info
from dreamduck.web.scenes import Frame, Images, Moment, Outcome
from dreamduck.web.share_link import Start
from dreamduck.web.worlds import RoadScene, for_json
from dreamduck.window.policy_switch import Action
from dreamduck.world_model import WorldModel
from dreamduck.world_model.imagination.stepper import Dreams

WRONG = 0.1  # [m] across the lane: farther from the road a dream is not true any more


class SplitScene(RoadScene):
    """The road, and a dream that began at one of its moments and takes the same actions.

    The episode is the road's: its reward, its end, its recording. A dream that ends stands still until it
    is put beside the road again.

    Args:
        start: where and how the episode begins.
        config: the simulator and its settings; map and appearance come from `start`.
        model: the world model.
        controller: acts on what the model sees on the road; None: there is none.
        any_weights: take a model that learned from other settings.
        probe: reads the lane position from latents; None: images are compared instead.
    """

    env: RealEnv

    def __init__(
        self,
        start: Start,
        config: RoadConfig,
        model: WorldModel,
        controller: Controller | None,
        any_weights: bool = False,
        probe: LaneProbe | None = None,
    ) -> None:
        super().__init__(start, config, model, controller, any_weights)
        self._probe = probe
        self._dreamt = np.empty((0, 0), np.float32), np.empty(0, np.uint8)  # latents, and their frame
        self._dreams = Dreams(model.dynamics, model.start_states())
        self._dreams.reset([start.seed])
        self.sync()

    @property
    def error_limit(self) -> float | None:
        """See `Scene`; the error is the distance from the road, across the lane [m]."""
        return WRONG if self._probe else None

    @property
    def latents(self) -> Any:
        """(0,) there is no one moment whose latents could be set."""
        return np.zeros(0, np.float32)

    def sync(self) -> None:
        """Begin the dream again at this moment of the road."""
        perception = self.env.perception
        self._dreams.z, self._dreams.state = perception.z.copy(), perception.state.copy()
        self._ended = False

    def get_state(self) -> Any:
        """A snapshot of both."""
        return self.env.get_state(), self._dreams.get_state(), self._ended

    def set_state(self, state: Any) -> None:
        """Return to the moment of a snapshot."""
        road, dreams, self._ended = state
        self.env.set_state(road)
        self._dreams.set_state(dreams)

    def step(self, action: Action, temperature: float) -> Outcome:
        """Take one step in both."""
        outcome = super().step(action, temperature)
        if not self._ended:
            self._dreams.temperature = temperature
            self._ended = bool(self._dreams.step(action[None]).ended[0])
        if self._probe is None:
            return outcome
        dreamt, seen = self._lane_distances(self._probe)
        alone = self._ended and not outcome.end
        return outcome._replace(error=inf if alone else abs(dreamt - seen))

    def show(self, moment: Moment, ahead: Action) -> tuple[Images, dict[str, Any]]:
        """The camera's image, the dream, the frame's reconstruction, and how far they are apart."""

        @functools.cache
        def reconstruction() -> Frame:
            return self.decode(self.env.perception.z)[0]

        images: Images = {
            "camera": lambda: self.video_frame(moment, square=True),
            "dream": self._dream,
            "reconstruction": reconstruction,
        }
        facts = {**car_info(self.env.state), "distance": moment.distance, "dream_ended": self._ended}
        facts = {key: for_json(value) for key, value in facts.items() if key != "end"}
        return images, {**facts, **self._apart(reconstruction)}

    def _dream(self) -> Frame:
        """The dream's frame; one that stands still is not decoded again."""
        if not np.array_equal(self._dreamt[0], self._dreams.z):
            self._dreamt = self._dreams.z.copy(), self.decode(self._dreams.z)[0]
        return self._dreamt[1]

    def _apart(self, reconstruction: Callable[[], Frame]) -> Mapping[str, float]:
        """How far the dream is from the road: across the lane [m], or in grey levels without a probe."""
        if self._probe is None:
            difference = reconstruction().astype(np.float32) - self._dream()
            return {"apart_image": float(np.abs(difference).mean())}
        dreamt, seen = self._lane_distances(self._probe)
        return {"dream_lane_dist": dreamt, "apart": dreamt - seen}

    def _lane_distances(self, probe: LaneProbe) -> tuple[float, float]:
        """Where the car is across its lane [m]: in the dream, and on the road as the model sees it."""
        dreamt, seen = probe.read(np.concatenate([self._dreams.z, self.env.perception.z]))[:, 0]
        return float(dreamt), float(seen)
