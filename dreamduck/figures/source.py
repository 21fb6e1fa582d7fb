"""Sources of a figure's episodes: the simulator with a policy, or recordings."""

from __future__ import annotations

import functools

from dreamduck.common.errors import ConfigError
from dreamduck.common.seeding import derive
from dreamduck.controllers.evaluator import ControllerPolicy, Policy
from dreamduck.controllers.policy import Controller
from dreamduck.evaluation.lane_probe import LaneProbe
from dreamduck.evaluation.policies import PurePursuit
from dreamduck.figures.config import CONTROLLER, FigureConfig
from dreamduck.figures.real_drive import RealDrive, drive, recorded_drives
from dreamduck.recordings.sources import DRIVING
from dreamduck.simulator.maps.parser import load_map
from dreamduck.window.policy_switch import NO_CONTROLLER, find_controller
from dreamduck.world_model import WorldModel
from dreamduck.world_model.imagination.perception import Perception


class Source:
    """The drives.

    Args:
        config: of the figure.
        model: the world model.
        road: whether the figure needs real drives of Duckietown.
    Raises:
        ConfigError: the model is of another environment and there are no recordings, or it learned from
            other settings.
    """

    def __init__(self, config: FigureConfig, model: WorldModel, road: bool) -> None:
        self.config, self.model = config, model
        if road:
            if model.gym_environment is not None or model.actions != DRIVING:
                raise ConfigError(
                    f"weights: {model.folder}: not of Duckietown, and this command drives nothing "
                    "else; give --records, a folder of its episodes"
                )
            model.check_environment(config.road, config.any_weights)
        learned = model.environment.get("step_time", config.road.step_time)
        self.step_time = config.road.step_time if road and not config.records else float(learned)

    @functools.cached_property
    def probe(self) -> LaneProbe | None:
        """Reads the lane offset from latents; None where there is none for this VAE."""
        return LaneProbe.of(self.model)

    def controller(self) -> Controller:
        """The controller that was named, or the best that there is.

        Raises:
            ConfigError: there is none.
            ControllerError: the file that was named cannot be used.
        """
        found = find_controller(self.config.controller, self.model.folder)
        if found is None:
            raise ConfigError(f"controller: {NO_CONTROLLER}")
        return found

    def policy(self, cars: int = 1) -> Policy:
        """The policy for this many cars on the road."""
        road = self.config.road
        if self.config.policy != CONTROLLER:
            return PurePursuit(load_map(road.simulation.map_name), road.steering_gain)
        controller = self.controller()
        perception = Perception(self.model.vae, self.model.dynamics, cars)
        return ControllerPolicy(controller.form, controller.theta, perception)

    def drive(self, above: bool = False) -> RealDrive:
        """One drive, with images.

        Args:
            above: whether the map from above is wanted.
        Raises:
            ConfigError: there is no map of recordings.
        """
        config = self.config
        steps = config.warmup + config.steps
        if config.records and above:
            raise ConfigError("panels: of no effect with --records: map, which only the simulator has")
        if config.records:
            return recorded_drives(config.records, config.seed, 1, config.warmup + 1, steps, config.side)[0]
        return drive(self.policy(), config.road, [config.seed], steps, config.side, above)[0]

    def drives(self, count: int, steps: int) -> list[RealDrive]:
        """Many drives, without images, of those long enough for one dreamt step.

        Raises:
            ConfigError: fewer than two are long enough.
        """
        config, shortest = self.config, self.config.warmup + 1
        if config.records:
            found = recorded_drives(config.records, config.seed, count, shortest, steps)
        else:
            seeds = [derive(config.seed, episode) for episode in range(count)]
            found = drive(self.policy(count), config.road, seeds, steps)
        long = [one for one in found if len(one.actions) >= shortest]
        if len(long) < 2:
            raise ConfigError(f"episodes: expected two drives of {shortest} steps or more, got {len(long)}")
        return long
