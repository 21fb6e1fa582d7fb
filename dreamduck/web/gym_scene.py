"""An environment of Gymnasium as the page shows it, seen through its world model."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import DreamDuckError
from dreamduck.controllers.policy import Controller
from dreamduck.envs.gymenv import GymRealEnv
from dreamduck.recordings.sources.gym_environment import GymEnvironment, close
from dreamduck.web.page_actions import PageActions
from dreamduck.web.scenes import Images, Moment, Outcome, Scene
from dreamduck.web.share_link import Start
from dreamduck.window.policy_switch import CONTROLLER, Action
from dreamduck.world_model import WorldModel

log = logging.getLogger(__name__)


class GymScene(Scene):
    """The environment, and beside it what the world model makes of it.

    Gymnasium has no snapshots: a moment is returned to by the actions that led there.

    Args:
        start: how the episode begins.
        model: of the environment.
        controller: acts on what the model sees; None: there is none.
    """

    env: GymRealEnv
    quick_return = False

    def __init__(self, start: Start, model: WorldModel, controller: Controller | None) -> None:
        env = GymRealEnv(model=model)
        self.keys = PageActions(model.actions)
        policies: dict[str, Callable[[], Action]] = {}
        if controller is not None:
            policies[CONTROLLER] = lambda: self.keys.pack(controller(env.observation))
        super().__init__(env, dataclasses.replace(start, z=()), policies)
        self._taken: list[Action] = []  # the actions up to here
        self._expected: npt.NDArray[np.float32] | None = None  # (1, Z), before the last of them
        self._begin()

    def get_state(self) -> tuple[Action, ...]:
        """The actions that led to this moment."""
        return tuple(self._taken)

    def set_state(self, state: tuple[Action, ...]) -> None:
        """Return to a moment, by driving on from here where that leads there."""
        at = len(self._taken)
        if any(one is not other for one, other in zip(state, self._taken, strict=False)) or len(state) < at:
            self._begin()
            at = 0
        for action in state[at:]:
            self._act(action)

    def step(self, action: Action, temperature: float) -> Outcome:
        """Take one step; nothing is drawn, so that the temperature counts nothing."""
        return self._act(action)

    def show(self, moment: Moment, ahead: Action) -> tuple[Images, dict[str, Any]]:
        """The frame, its reconstruction, and what was predicted a step ago."""
        decode, expected = self.env.model.decode, self._expected
        images: Images = {
            "camera": lambda: moment.frame,
            "reconstruction": lambda: decode(self.env.perception.z)[0],
        }
        if expected is not None:
            images["predicted"] = lambda: decode(expected)[0]
        return images, {}

    def _begin(self) -> None:
        self.env.reset(seed=self.start.seed)
        self._taken, self._expected = [], None

    def _act(self, action: Action) -> Outcome:
        self._expected = self.env.expect(self.keys.unpack(action)[None])
        _, reward, _, _, info = self.env.step(self.keys.executed(action))
        self._taken.append(action)
        return Outcome(reward, info["end"])


def absent_worlds(environment: GymEnvironment) -> dict[str, str]:
    """The worlds that there are not for another environment than Duckietown, and why.

    Args:
        environment: made once, to see that it can be.
    """
    no_road = f"There is no road in {environment.id}."
    found = {"road": no_road, "split": no_road}
    try:
        close(environment.make(), environment.id)
    except DreamDuckError as err:
        found["seen"] = f"{err}."
        log.warning("there is only the dream: %s", err)
    return found
