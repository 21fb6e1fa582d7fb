"""The policy of a Gymnasium environment: the person, a controller or the expert, by turns."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError, ControllerError, WeightsError
from dreamduck.common.storage import read_json
from dreamduck.controllers.factory import load_controller
from dreamduck.controllers.policy import Controller
from dreamduck.pretrained import CONTROLLERS, FOLDER
from dreamduck.simulator.expert import Expert, ExpertConfig
from dreamduck.simulator.maps.parser import load_map
from dreamduck.world_model import WorldModel
from dreamduck.world_model.imagination.perception import Perception

log = logging.getLogger(__name__)

Action = npt.NDArray[np.float32]  # (2,) throttle and steering, in [-1, 1]

PERSON, CONTROLLER, EXPERT = "person", "controller", "expert"
LOG = Path("log")
NO_CONTROLLER = (
    "No controller in ./log or in the package fits this world model; name one with --controller."
)


def evolved(*folders: Path) -> list[Path]:
    """The best controller of each evolution, folder by folder, the largest evolution first.

    Args:
        folders: where to look; by default ./log, then what comes with the package.
    """
    found = []
    for place, folder in enumerate(folders or (LOG, CONTROLLERS)):
        for path in folder.glob("*.cma.*.best.json"):
            _, _, episodes, population, *_ = path.name.split(".")
            if episodes.isdecimal() and population.isdecimal():
                found.append((place, -int(episodes) * int(population), path))
    return [path for _, _, path in sorted(found)]


def find_controller(name: str, folder: Path, strict: bool = False) -> Controller | None:
    """The controller in a file; without a name, the best that fits in ./log or in the package.

    Where none is named, controllers of Duckietown that never had an evaluation above 0 are skipped.

    Args:
        folder: of the world model that it drives with.
        strict: only one that was made with this very model.
    Raises:
        ControllerError: the file that was named cannot be used.
    """
    if name:
        return load_controller(name, folder, strict)
    duckietown = WorldModel.load(folder).gym_environment is None
    for must_match in (True, False)[: 1 if strict else 2]:  # one of this very model first
        for path in evolved():
            if duckietown and best_evaluation(path) <= 0:
                log.info("passed over: %s had no evaluation above 0", path)
                continue
            try:
                controller = load_controller(path, folder, must_match)
            except (ControllerError, OSError) as err:  # another world model's, or damaged
                log.info("passed over: %s", err)
                continue
            log.info("the controller is %s", path)
            return controller
    return None


def best_evaluation(path: Path) -> float:
    """The mean return of a run's best controller; inf where its file has none."""
    try:
        return float(read_json(path, ControllerError)[1])
    except (ControllerError, OSError, LookupError, TypeError, ValueError):
        return math.inf


class PolicySwitch:
    """The policy that drives in a Gymnasium environment; it can be changed at any time.

    Args:
        world: `DuckEnv`, `RealEnv` or `DreamEnv`; of any other world only the person drives.
        controller: a file; "": the best of the largest run in ./log, or one that comes with the package.
        weights: folder of the world model that the controller was made for; "": the one that ships.
        strict: refuse a controller that was made with another world model.
    Raises:
        ControllerError: what was named cannot be used.
        WeightsError: likewise.
    """

    def __init__(self, world: Any, controller: str = "", weights: str = "", strict: bool = False) -> None:
        self.policy = PERSON
        self._world = world
        self._folder = Path(weights) if weights else FOLDER
        self._perception: Perception | None = None
        self._controller, self._missing = self._find(controller, bool(weights), strict)
        self._expert: Expert | None = None
        if hasattr(world, "road"):
            settings = ExpertConfig(steering_gain=world.road.config.steering_gain)
            self._expert = Expert(load_map(world.road.config.simulation.map_name), settings)

    def _find(self, name: str, named: bool, strict: bool) -> tuple[Controller | None, str]:
        try:
            return find_controller(name, self._folder, strict), NO_CONTROLLER
        except WeightsError as err:
            if name or named:
                raise
            return None, f"There is no world model: {err}"

    def choose(self, policy: str) -> None:
        """Choose the policy, from the next action on.

        Raises:
            ConfigError: this environment does not have it.
        """
        if policy == CONTROLLER and self._controller is None:
            raise ConfigError(self._missing)
        if policy == EXPERT and self._expert is None:
            raise ConfigError("The expert needs the true pose, which a dream does not have.")
        if policy == CONTROLLER and self._perception is None and not self._has_latents:
            # It remembers from here on, and does not know what was driven before.
            model = WorldModel.load(self._folder)
            self._perception = Perception(model.vae, model.dynamics)
            self._perception.reset(self._world.frame()[None])
        self.policy = policy

    @property
    def _has_latents(self) -> bool:
        """Whether the world's own observation is [z, c, h]."""
        return len(self._world.observation_space.shape or ()) == 1

    def begin(self) -> None:
        """An episode has begun."""
        if self._perception is not None:
            self._perception.reset(self._world.frame()[None])

    def acted(self, action: Action) -> None:
        """An action was taken, by any policy."""
        if self._perception is not None:
            self._perception.step(self._world.frame()[None], action[None])

    def action(self, person: Action, observation: npt.NDArray[Any]) -> Action:
        """The policy's action.

        Args:
            person: (2,) the action of the person.
            observation: of the world.
        """
        if self.policy == CONTROLLER and self._controller is not None:
            seen = observation if self._perception is None else self._perception.observation[0]
            return self._controller(seen)
        if self.policy == EXPERT and self._expert is not None:
            return np.asarray(self._expert(self._world.state)[0], np.float32)
        return person
