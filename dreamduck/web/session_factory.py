"""Makes worlds: models are loaded once, each tab gets a world of its own."""

from __future__ import annotations

import dataclasses
import functools
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck import __version__
from dreamduck.common.config import check, option, part
from dreamduck.common.errors import ConfigError, MapError, WeightsError
from dreamduck.controllers.factory import STRICT
from dreamduck.controllers.policy import Controller
from dreamduck.envs.latent import step_time
from dreamduck.envs.rnnenv import warn_missing_heads
from dreamduck.evaluation.lane_probe import LaneProbe
from dreamduck.pretrained import FOLDER
from dreamduck.recordings.sources.arrow_keys import legend
from dreamduck.simulator.environment import ANY_WEIGHTS
from dreamduck.simulator.maps.assets import map_names
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.road import RoadConfig
from dreamduck.web.gym_scene import GymScene, absent_worlds
from dreamduck.web.latent_names import latent_names
from dreamduck.web.page_actions import PageActions
from dreamduck.web.protocol import MAX_PACE
from dreamduck.web.recording import Recorder
from dreamduck.web.scenes import Scene
from dreamduck.web.session import Session
from dreamduck.web.share_link import MAX_LINK, MAX_TEMPERATURE, WORLDS, Start
from dreamduck.web.split_scene import SplitScene
from dreamduck.web.warm_start import any_starts, warm_starts
from dreamduck.web.worlds import DreamScene, RoadScene, latent_order, map_outline, uncertainty_limit
from dreamduck.window.policy_switch import NO_CONTROLLER, find_controller
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import InitialZ

log = logging.getLogger(__name__)

START_ANGLE = 4.0  # [degrees], of the AI Driving Olympics: people do not expect to start across the lane


@dataclasses.dataclass(frozen=True)
class SessionFactoryConfig:
    """The road, the policies, and where episodes are saved."""

    road: RoadConfig = part(RoadConfig, start_angle=START_ANGLE)
    weights: str = option("", "folder of the world model; the one that ships by default", flags=("-w",))
    controller: str = option("", "controller file; by default the best of the largest run in ./log")
    strict: bool = option(False, STRICT)
    records: str = option("records", "folder of recordings")
    videos: str = option("videos", "folder for videos of episodes", flags=("--films",))
    temperature: float | None = option(
        None,
        "of the dream, at first; by default what suits its kind of dynamics",
        low=0.0,
        high=MAX_TEMPERATURE,
    )
    any_weights: bool = option(False, ANY_WEIGHTS)

    def __post_init__(self) -> None:
        check(self)


def _has_road(name: str) -> bool:
    """Whether there is a road on an installed map: a few have none, or are broken."""
    try:
        load_map(name)
    except MapError:
        return False
    return True


def pace_of(step_time: float) -> float:
    """Steps a second in real time, within what the page can show.

    Args:
        step_time: [s].
    """
    return min(max(round(1 / step_time), 1.0), MAX_PACE)


class SessionFactory:
    """Begins episodes.

    Args:
        config: the settings. Without weights there is only the road; without a controller, only the
            person and the expert; the page says why.

    Attributes:
        model: None where there is none; `missing` then says why.
        probe: reads the lane position from the model's latents; None where there is none for it.
        controller: None where there is none.

    Raises:
        WeightsError: a folder or file that was named cannot be used.
        ControllerError: likewise.
        ConfigError: the world model learned from other settings.
    """

    def __init__(self, config: SessionFactoryConfig) -> None:
        self.config = config
        self.model, self.missing = self._load_model()
        self.other = self.model.gym_environment if self.model else None
        self._absent = absent_worlds(self.other) if self.other else {}
        seconds = step_time(self.model.dynamics) if self.model and self.other else config.road.step_time
        self.recorder = Recorder(Path(config.records), Path(config.videos), seconds)
        self.probe = LaneProbe.of(self.model) if self.model else None
        self.controller, self._no_controller = self._load_controller()
        self._maps: tuple[str, ...] = ()
        if self.other is None:
            self._maps = self._installed_maps()

    def _installed_maps(self) -> tuple[str, ...]:
        config = self.config
        return tuple(dict.fromkeys([*filter(_has_road, map_names()), config.road.simulation.map_name]))

    def _load_model(self) -> tuple[WorldModel | None, str]:
        folder = Path(self.config.weights or FOLDER)
        try:
            model = WorldModel.load(folder)
            other, actions = model.gym_environment, model.actions
            model.start_states()
            uncertainty_limit(model)  # refuses a damaged ensemble
            _networks = model.vae, model.dynamics  # read now: where one is missing there is only the road
        except WeightsError as err:
            if self.config.weights:
                raise
            log.warning("no world model, so there is only the road: %s", err)
            return None, f"There is no world model: {err}"
        warn_missing_heads(model)
        if other is not None:
            PageActions(actions)  # refuses what the page cannot hold
            return model, ""
        model.check_environment(self.config.road, self.config.any_weights)
        return model, ""

    def _load_controller(self) -> tuple[Controller | None, str]:
        if self.model is None:
            return None, self.missing
        folder = Path(self.config.weights or FOLDER)
        controller = find_controller(self.config.controller, folder, self.config.strict)
        return controller, "" if controller else NO_CONTROLLER

    def describe(self) -> dict[str, Any]:
        """What the page has to know."""
        step_times = {world: self.recorder.step_time for world in WORLDS}
        if self.model:
            step_times["dream"] = step_time(self.model.dynamics)
        worlds = {world: "" if world == "road" else self.missing for world in WORLDS}
        return {
            "version": __version__,
            "worlds": {**worlds, **self._absent},
            "environment": self.other.id if self.other else "",
            "keys": legend(self.model.actions) if self.model and self.other else "",
            "world": "road" if self.model is None else "dream",
            "controller": self._no_controller,
            "maps": list(self._maps),
            "map_name": self.config.road.simulation.map_name,
            "temperature": self.temperature,
            "calm_temperature": self.model.temperature if self.model else 1.0,
            "domain_rand": self.config.road.simulation.domain_rand,
            "step_time": step_times,
            "pace": {world: pace_of(seconds) for world, seconds in step_times.items()},
            "max_temperature": MAX_TEMPERATURE,
            "max_pace": MAX_PACE,
            "max_link": MAX_LINK,
            "latents": self._latents,
        }

    @functools.cached_property
    def _latents(self) -> list[tuple[int, str]]:
        """The latents and what each changes, in the page's order."""
        if self.model is None:
            return []
        names = latent_names(self.model, self.probe)
        return [(latent, names[latent]) for latent in latent_order(self.model)]

    @property
    def temperature(self) -> float:
        """Of the dream, at first."""
        if self.config.temperature is not None:
            return self.config.temperature
        return self.model.temperature if self.model else 1.0

    def outline(self, name: str) -> dict[str, Any] | None:
        """A map from above; None where there are no maps."""
        return map_outline(self._known(name)) if self._maps else None

    def make(self, start: Start) -> Scene:
        """Begin an episode.

        Raises:
            ConfigError: a map that is not installed, or latents of another size.
            WeightsError: the world needs weights, and there are none.
        """
        if start.world != "road" and self.model is None:
            raise WeightsError(self.missing)
        if start.world == "dream" and self.model is not None:
            return DreamScene(start, self.model, self.controller, self.initial)
        if self.other is not None and self.model is not None:
            if self._absent.get(start.world):
                raise ConfigError(f"world: {self._absent[start.world]}")
            return GymScene(start, self.model, self.controller)
        self._known(start.map_name)
        road, any_weights = self.config.road, self.config.any_weights
        if start.world == "split" and self.model is not None:
            return SplitScene(start, road, self.model, self.controller, any_weights, self.probe)
        return RoadScene(start, road, self.model, self.controller, any_weights)

    def compile(self) -> None:
        """Take steps in every world, so that its code is compiled, and kept for processes to come.

        Raises:
            DreamDuckError: a world cannot be driven in.
        """
        for world in WORLDS:
            if not self._absent.get(world) and (world == "road" or self.model is not None):
                session = Session(self.make(Start(world, self.config.road.simulation.map_name, warm=True)))
                session.advance()
                session.show()
                session.close()

    @functools.cached_property
    def initial(self) -> InitialZ:
        """Where dreams begin that begin in motion.

        Raises:
            WeightsError: there is no world model.
        """
        if self.model is None:
            raise WeightsError(self.missing)
        return warm_starts(self.model) if self.other is None else any_starts(self.model)

    def latents(self, frame: npt.NDArray[np.uint8]) -> tuple[float, ...]:
        """What the VAE sees in a frame (64, 64, 3).

        Raises:
            WeightsError: there is no VAE.
        """
        if self.model is None:
            raise WeightsError(self.missing)
        return tuple(map(float, self.model.encode(frame[None])[0]))

    def _known(self, name: str) -> str:
        """The name of an installed map; a browser must not open files by naming them."""
        if name not in self._maps:
            raise ConfigError(f"map_name: expected one of {', '.join(self._maps)}, got {name!r:.60}")
        return name
