"""Recording episodes: many cars at once, each episode the same whoever records it.

All that chance decides in an episode follows from
(seed, episode, attempt), and a car's drive does not depend on the cars beside it; so any number of
cars, processes or ranks leaves the same files."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import dreamduck
from dreamduck.common.errors import StartError
from dreamduck.common.seeding import derive, generator
from dreamduck.recordings.behavior_policies import make_driver, parse_mix
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
POLICY, SIMULATION, START, DRIVER = range(4)


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
    watch: Callable[[Frames], None] | None = None,
    **simulator: Any,
) -> Iterator[Episode]:
    """Record episodes to files, and yield each when its file is written.

    Args:
        episodes: their numbers.
        watch: called with the first car's frame at every step.
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
                for episode, made in recorder.run(here, watch):
                    write_episode(path_of(config, episode), made)
                    yield made
            finally:
                recorder.close()


class EpisodeSlot:
    """One car's episode on its way."""

    def __init__(self, job: Job, policy: str, random: np.random.Generator, frames: int) -> None:
        self.job, self.policy = job, policy
        self.driver = make_driver(policy, random, frames)
        self.length = 0
        self.obs = np.empty((frames, 64, 64, 3), np.uint8)
        self.action = np.empty((frames, 2), np.float32)
        self.reward = np.empty(frames, np.float32)
        self.telemetry = np.empty((frames, len(TELEMETRY)), np.float32)

    def note(self, state: CarState, car: int, frame: Frames, action: FloatArray) -> None:
        """Keep what is seen and done in a step."""
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
        self.road = Road(config.road(map_name), num_cars, **simulator)
        self._expert = Expert(load_map(map_name), ExpertConfig(steering_gain=config.steering_gain))
        self._mix = parse_mix(config.policies)
        self._seats: list[EpisodeSlot | None] = [None] * num_cars

    def close(self) -> None:
        """Free the simulator."""
        self.road.close()

    def run(
        self, episodes: Sequence[int], watch: Callable[[Frames], None] | None = None
    ) -> Iterator[tuple[int, Episode]]:
        """Drive these episodes and yield each, with its number, when it is over."""
        waiting = deque(Job(episode) for episode in episodes)
        for car in range(self.num_cars):
            state = self._sit(car, waiting.popleft())
        while any(self._seats):
            frames = self.road.frames()
            if watch is not None:
                watch(frames[0])
            actions = self._act(state, frames)
            step = self.road.step(actions)
            state = step.state
            for car, seat in enumerate(self._seats):
                if seat is None:
                    if step.terminated[car]:  # something ran into it while it waited
                        state = self._park(car)
                    continue
                seat.reward[seat.length] = step.reward[car]
                seat.length += 1
                if not step.terminated[car] and seat.length < self.config.frames:
                    continue
                made = self._episode(seat, ENDS[state.end[car]])
                if len(made) < self.config.enough and seat.job.attempt + 1 < ATTEMPTS:
                    state = self._sit(car, Job(seat.job.episode, seat.job.attempt + 1, made))
                    continue
                yield seat.job.episode, made
                if waiting:
                    state = self._sit(car, waiting.popleft())
                else:
                    self._seats[car] = None
                    state = self._park(car)

    def _park(self, car: int) -> CarState:
        """Let a car stand and wait for the others."""
        return self.road.reset([0], cars=np.array([car]))

    def _act(self, state: CarState, frames: Frames) -> FloatArray:
        """Every driver's action (N, 2); cars without a driver stand still."""
        expert = self._expert(state)
        actions = np.zeros((self.num_cars, 2))
        for car, seat in enumerate(self._seats):
            if seat is not None:
                wanted = seat.driver.act(seat.length, frames[car], expert[car])
                # what is kept is what is done, to the last bit
                actions[car] = np.clip(wanted, -1, 1).astype(np.float32)
                seat.note(state, car, frames[car], actions[car])
        return actions

    def _sit(self, car: int, job: Job) -> CarState:
        """Begin an episode in a car."""
        seed, key = self.config.seed, (job.episode, job.attempt)
        # The policy is drawn before the first attempt: those whose drives end early count too.
        draw = generator(seed, POLICY, job.episode).random()
        shares = np.cumsum(list(self._mix.values()))
        policy = list(self._mix)[min(int(np.searchsorted(shares, draw, "right")), len(shares) - 1)]
        self._seats[car] = EpisodeSlot(job, policy, generator(seed, DRIVER, *key), self.config.frames)
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

    def _episode(self, seat: EpisodeSlot, end: str) -> Episode:
        """What was recorded, or the attempt before where that was longer."""
        best, length = seat.job.best, seat.length
        if best is not None and len(best) > length:
            return best
        done = np.zeros(length, np.bool_)
        done[-1] = end != ""
        config = self.config
        meta = {
            "map_name": self.map_name,
            "simulator": config.simulator,
            "domain_rand": config.domain_rand,
            "seed": config.seed,
            "episode": seat.job.episode,
            "attempt": seat.job.attempt,
            "policy": seat.policy,
            "end": end or "time",
            "recorder": settings(config),
            ENVIRONMENT: describe(config),
            "versions": {"dreamduck": dreamduck.__version__, "numpy": np.__version__},
        }
        n = length
        return Episode(seat.obs[:n], seat.action[:n], seat.reward[:n], done, seat.telemetry[:n], meta)


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
