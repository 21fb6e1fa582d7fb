"""Rounds of episodes for the scoreboard, which the ranks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from dreamduck.common import config
from dreamduck.controllers.controller_file import read_controller
from dreamduck.controllers.evaluator import ControllerPolicy, Policy, run_episodes
from dreamduck.controllers.factory import WorldConfig, model_sizes, perception_maker, road_maker
from dreamduck.evaluation.entries import Entry, load_policy
from dreamduck.evaluation.episode_stats import EpisodeStatsCallback
from dreamduck.evaluation.policies import (
    DriveStraight,
    FramePolicy,
    ModelPolicy,
    PurePursuit,
    Random,
    StandStill,
)
from dreamduck.registration import agents
from dreamduck.simulator.maps.parser import load_map

PATHS_KEPT = 8  # episodes of each row whose path is drawn


class Round(NamedTuple):
    """One round of cars: the task that ranks share out."""

    row: Entry
    simulator: str
    map_name: str
    seeds: tuple[int, ...]


class Runner:
    """Drives rounds of cars; keeps roads and models for the next round."""

    def __init__(self, world: WorldConfig, seconds: float, threads: int | None = None) -> None:
        self.world, self.seconds, self.threads = world, seconds, threads
        self._roads: dict[tuple[str, str, int], Any] = {}
        self._perception_maker: Any = None

    def __call__(self, task: Round) -> dict[str, Any]:
        """Drive one round; the measures of each episode, and the paths of the first."""
        world = config.replace(self.world, map_name=task.map_name, simulator=task.simulator)
        road = self._road(world, len(task.seeds))
        stats = EpisodeStatsCallback(world.road.step_time)
        steps = max(1, round(self.seconds / world.road.step_time))
        policy = self._policy(task.row, world, len(task.seeds))
        returns = run_episodes(road, policy, task.seeds, steps, stats)
        episodes = stats.episodes()
        for car, episode in enumerate(episodes):
            episode["seed"], episode["return"] = task.seeds[car], round(float(returns.reward[car, 0]), 6)
        return {"episodes": episodes, "paths": stats.paths(PATHS_KEPT)}

    def _road(self, world: WorldConfig, cars: int) -> Any:
        key = (world.road.simulator, world.road.simulation.map_name, cars)
        if key not in self._roads:
            self.close()  # one at a time: a car of gym-duckietown takes 336 MB
            self._roads[key] = road_maker(world.road, self.threads)(cars)
        return self._roads[key]

    def _policy(self, row: Entry, world: WorldConfig, cars: int) -> Policy:
        if row.kind == "controller":
            controller = read_controller(row.source, *model_sizes(world.model.folder))
            return ControllerPolicy(controller.form, controller.theta, self._perception(world, cars))
        if row.kind == "agent":
            actor = agents().AgentPolicy(row.source)
            if actor.about.sees_frames:
                return FramePolicy(actor.act, lambda seeds: actor.start())
            return ModelPolicy(actor.act, self._perception(world, cars), lambda seeds: actor.start())
        if row.kind == "policy":
            return FramePolicy(*load_policy(row.source, cars))
        plain: dict[str, Callable[[], Policy]] = {
            "standing still": StandStill,
            "straight": DriveStraight,
            "random": Random,
        }
        if row.name in plain:
            return plain[row.name]()
        return PurePursuit(load_map(world.road.simulation.map_name), world.road.steering_gain)

    def _perception(self, world: WorldConfig, cars: int) -> Any:
        if self._perception_maker is None:
            self._perception_maker = perception_maker(world)
        return self._perception_maker(cars)

    def close(self) -> None:
        """Free the simulators."""
        for road in self._roads.values():
            road.close()
        self._roads.clear()
