"""Recording episodes: many cars at once, each episode the same whichever process records it.

Every random number of an episode follows from (seed, episode, attempt), and a car does not depend on the
cars beside it; so any number of cars, processes or ranks writes the same files."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import dreamduck
from dreamduck.common.errors import StartError
from dreamduck.common.seeding import derive, generator
from dreamduck.recordings.behavior_policies import make_policy, parse_mix
from dreamduck.recordings.episode import TELEMETRY, Episode, write_episode
from dreamduck.recordings.plan import ATTEMPTS, RecorderConfig, path_of, settings
from dreamduck.simulator.base import ENDS, CarState, FloatArray, Frames
from dreamduck.simulator.environment import ENVIRONMENT, describe
from dreamduck.simulator.expert import Expert, ExpertConfig
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.road import Road

START_TRIES = 10
MAX_OFFSET = 0.22  # [m] from the lane's centre at a start
# streams of an episode's random numbers
POLICY_CHOICE, SIMULATION, START, POLICY_NOISE = range(4)


@dataclasses.dataclass(frozen=True)
class Job:
    """One try at one episode.

    Attributes:
        episode: its number, from 0.
        attempt: from 0.
        best: the longest of the attempts before, if there were any.
    """

    episode: int
    attempt: int = 0
    best: Episode | None = None


def record(
    config: RecorderConfig,
    episodes: Sequence[int],
    callback: Callable[[Frames], None] | None = None,
    **simulator: Any,
) -> Iterator[Episode]:
    """Record episodes to files, and yield each when its file is written.

    Args:
        episodes: their numbers.
        callback: called with the first car's frame at every step.
        simulator: settings handed to the simulator, for example `threads`.
    Raises:
        ConfigError: a setting is wrong.
        MapError: likewise.
        SimulatorError: the simulator failed.
    """
    names = config.map_names
    for number, name in enumerate(names):
        here = [episode for episode in episodes if episode % len(names) == number]
        if here:
            recorder = MapRecorder(config, name, min(config.cars, len(here)), **simulator)
            try:
                for episode, made in recorder.run(here, callback):
                    write_episode(path_of(config, episode), made)
                    yield made
            finally:
                recorder.close()


class EpisodeSlot:
    """The episode that one car is recording."""

    def __init__(self, job: Job, policy: str, random: np.random.Generator, frames: int) -> None:
        self.job, self.policy_name = job, policy
        self.policy = make_policy(policy, random, frames)
        self.length = 0
        self.obs = np.empty((frames, 64, 64, 3), np.uint8)
        self.action = np.empty((frames, 2), np.float32)
        self.reward = np.empty(frames, np.float32)
        self.telemetry = np.empty((frames, len(TELEMETRY)), np.float32)

    def append(self, state: CarState, car: int, frame: Frames, action: FloatArray) -> None:
        """Append one step: its frame, action and telemetry."""
        t = self.length
        self.obs[t], self.action[t] = frame, action
        lane = (state.lane_dist[car], state.lane_angle[car], state.speed[car])
        self.telemetry[t] = (*lane, *state.pose[car], *state.tile[car])


class MapRecorder:
    """Records on one map.

    Args:
        config: the settings.
        map_name: the map.
        num_cars: cars that drive at once.
        simulator: settings handed to the simulator.
    """

    def __init__(self, config: RecorderConfig, map_name: str, num_cars: int, **simulator: Any) -> None:
        self.config, self.map_name, self.num_cars = config, map_name, num_cars
        self.road = Road(config.road_on(map_name), num_cars, **simulator)
        self._expert = Expert(load_map(map_name), ExpertConfig(steering_gain=config.road.steering_gain))
        self._mix = parse_mix(config.policies)
        self._slots: list[EpisodeSlot | None] = [None] * num_cars

    def close(self) -> None:
        """Free the simulator."""
        self.road.close()

    def run(
        self, episodes: Sequence[int], callback: Callable[[Frames], None] | None = None
    ) -> Iterator[tuple[int, Episode]]:
        """Record these episodes and yield each, with its number, when it is over."""
        waiting = deque(Job(episode) for episode in episodes)
        for car in range(self.num_cars):
            state = self._begin(car, waiting.popleft())
        while any(self._slots):
            frames = self.road.frames()
            if callback is not None:
                callback(frames[0])
            actions = self._act(state, frames)
            step = self.road.step(actions)
            state = step.state
            for car, slot in enumerate(self._slots):
                if slot is None:
                    if step.terminated[car]:  # something ran into it while it waited
                        state = self._idle(car)
                    continue
                slot.reward[slot.length] = step.reward[car]
                slot.length += 1
                if not step.terminated[car] and slot.length < self.config.frames:
                    continue
                made = self._episode(slot, ENDS[state.end[car]])
                if len(made) < self.config.enough and slot.job.attempt + 1 < ATTEMPTS:
                    state = self._begin(car, Job(slot.job.episode, slot.job.attempt + 1, made))
                    continue
                yield slot.job.episode, made
                if waiting:
                    state = self._begin(car, waiting.popleft())
                else:
                    self._slots[car] = None
                    state = self._idle(car)

    def _idle(self, car: int) -> CarState:
        """Let a car stand still until all others have finished."""
        return self.road.reset([0], cars=np.array([car]))

    def _act(self, state: CarState, frames: Frames) -> FloatArray:
        """The action of every policy (N, 2); cars without an episode stand still."""
        expert = self._expert(state)
        actions = np.zeros((self.num_cars, 2))
        for car, slot in enumerate(self._slots):
            if slot is not None:
                wanted = slot.policy.act(slot.length, frames[car], expert[car])
                # the recorded action is exactly the one that is executed
                actions[car] = np.clip(wanted, -1, 1).astype(np.float32)
                slot.append(state, car, frames[car], actions[car])
        return actions

    def _begin(self, car: int, job: Job) -> CarState:
        """Begin an episode in a car."""
        seed, key = self.config.seed, (job.episode, job.attempt)
        # The policy is drawn before the first attempt: policies whose episodes end early count too.
        draw = generator(seed, POLICY_CHOICE, job.episode).random()
        shares = np.cumsum(list(self._mix.values()))
        policy = list(self._mix)[min(int(np.searchsorted(shares, draw, "right")), len(shares) - 1)]
        self._slots[car] = EpisodeSlot(job, policy, generator(seed, POLICY_NOISE, *key), self.config.frames)
        cars, seeds = np.array([car]), [derive(seed, SIMULATION, *key)]
        state = self.road.reset(seeds, cars=cars)
        random = generator(seed, START, *key)
        if random.random() < self.config.any_start:
            pose = state.pose[car].copy()
            lane = (state.lane_dist[car], state.lane_tangent[car].copy())
            for _ in range(START_TRIES):
                try:
                    return self.road.reset(seeds, anywhere(pose, *lane, random)[None], cars)
                except StartError:
                    continue
            state = self.road.reset(seeds, cars=cars)
        return state

    def _episode(self, slot: EpisodeSlot, end: str) -> Episode:
        """What was recorded, or the attempt before where that was longer."""
        best, length = slot.job.best, slot.length
        if best is not None and len(best) > length:
            return best
        done = np.zeros(length, np.bool_)
        done[-1] = end != ""
        config = self.config
        meta = {
            "map_name": self.map_name,
            "simulator": config.road.simulator,
            "domain_rand": config.road.simulation.domain_rand,
            "seed": config.seed,
            "episode": slot.job.episode,
            "attempt": slot.job.attempt,
            "policy": slot.policy_name,
            "end": end or "time",
            "recorder": settings(config),
            ENVIRONMENT: describe(config.road),
            "versions": {"dreamduck": dreamduck.__version__, "numpy": np.__version__},
        }
        n = length
        return Episode(slot.obs[:n], slot.action[:n], slot.reward[:n], done, slot.telemetry[:n], meta)


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
