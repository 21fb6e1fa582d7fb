"""Duckietown as a source of episodes: N cars on one map of a simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import StartError
from dreamduck.common.seeding import derive, generator
from dreamduck.recordings.behavior_policies import BehaviorPolicy, make_policy
from dreamduck.recordings.plan import (
    SIMULATION,
    START,
    RecorderConfig,
    environment_of,
    variation_of,
)
from dreamduck.recordings.sources import DRIVING, SourceStep
from dreamduck.simulator.base import ENDS, CarState, FloatArray, Frames
from dreamduck.simulator.environment import ENVIRONMENT
from dreamduck.simulator.expert import Expert, ExpertConfig
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.physics.dynamics import draw_dynamics
from dreamduck.simulator.road import Road

START_TRIES = 10
MAX_OFFSET = 0.22  # [m] from the lane's centre at a start


class RoadSource:
    """See `Source`.

    Args:
        config: the settings.
        map_name: the map.
        num_cars: N.
        simulator: settings handed to the simulator.
    """

    action_space = DRIVING

    def __init__(self, config: RecorderConfig, map_name: str, num_cars: int, **simulator: Any) -> None:
        self.config, self.map_name, self.num_envs = config, map_name, num_cars
        self.road = Road(config.road_on(map_name), num_cars, **simulator)
        self._expert = Expert(load_map(map_name), ExpertConfig(steering_gain=config.road.steering_gain))
        self._state: CarState

    def reset(self, env: int, episode: int, attempt: int) -> None:
        """Begin an episode; in a share of them anywhere across the lane."""
        seed, key = self.config.seed, (episode, attempt)
        cars, seeds = np.array([env]), [derive(seed, SIMULATION, *key)]
        variations = [variation_of(self.config, episode)]
        self._state = state = self.road.reset(seeds, None, cars, variations)
        random = generator(seed, START, *key)
        if random.random() < self.config.any_start:
            pose = state.pose[env].copy()
            lane = (state.lane_dist[env], state.lane_tangent[env].copy())
            for _ in range(START_TRIES):
                try:
                    start = anywhere(pose, *lane, random)[None]
                    self._state = self.road.reset(seeds, start, cars, variations)
                except StartError:
                    continue
                return
            self._state = self.road.reset(seeds, None, cars, variations)

    def idle(self, env: int) -> None:
        """Let a car stand still until all others have finished."""
        self._state = self.road.reset([0], cars=np.array([env]))

    def step(self, actions: FloatArray) -> SourceStep:
        """Drive every car one step."""
        step = self.road.step(actions)
        self._state = step.state
        return SourceStep(step.reward, step.terminated, np.zeros(self.num_envs, np.bool_), step.state)

    def frames(self) -> Frames:
        """What each camera sees now."""
        return self.road.frames()

    def telemetry(self) -> npt.NDArray[np.float32]:
        """See `recordings.TELEMETRY`."""
        state = self._state
        columns = (state.lane_dist, state.lane_angle, state.speed, *state.pose.T, *state.tile.T)
        return np.stack([np.asarray(one, np.float64) for one in columns], axis=1).astype(np.float32)

    def expert(self) -> FloatArray:
        """What pure pursuit would do now."""
        return self._expert(self._state)

    def make_policy(self, name: str, random: np.random.Generator, frames: int) -> BehaviorPolicy:
        """One of `behavior_policies.POLICIES`."""
        return make_policy(name, random, frames)

    def end(self, env: int) -> str:
        """How a car's episode ended."""
        return ENDS[self._state.end[env]]

    def meta(self, episode: int, attempt: int) -> dict[str, Any]:
        """The map, the simulator, and what was random in the episode."""
        config, variation = self.config, variation_of(self.config, episode)
        found = {
            "map_name": self.map_name,
            "simulator": config.road.simulator,
            "domain_rand": variation.domain_rand,
            ENVIRONMENT: environment_of(config),
        }
        if config.variation.distortion_share:
            found["distortion"] = variation.distortion
        if variation.dynamics_rand:
            drawn = draw_dynamics(derive(config.seed, SIMULATION, episode, attempt))
            found["dynamics"] = drawn._asdict()
        return found

    def close(self) -> None:
        """Free the simulator."""
        self.road.close()


def anywhere(
    pose: FloatArray, lane_dist: float, lane_tangent: FloatArray, random: np.random.Generator
) -> FloatArray:
    """A pose beside the given one, anywhere across the lane and at any angle; x, z, heading.

    Args:
        pose: (3,) x [m], z [m], heading [rad].
        lane_dist: [m], positive to the right of the lane's centre.
        lane_tangent: (2,) the lane's direction in (x, z).
    """
    tx, tz = lane_tangent
    right = np.array([-tz, tx])
    place = pose[:2] + right * (random.uniform(-MAX_OFFSET, MAX_OFFSET) - lane_dist)
    turn = random.uniform(-np.pi, np.pi) * random.random()  # any angle, the small ones more often
    return np.array([*place, np.arctan2(-tz, tx) + turn])
