"""Recording episodes: many environments at once, each episode the same whichever process records it.

Every random number of an episode follows from (seed, episode, attempt), and an environment does not depend
on those beside it; so any number of environments, processes or ranks writes the same files."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import dreamduck
from dreamduck.common.seeding import generator
from dreamduck.recordings.behavior_policies import BehaviorPolicy, parse_mix
from dreamduck.recordings.episode import TELEMETRY, Episode, write_episode
from dreamduck.recordings.plan import (
    ATTEMPTS,
    POLICY_CHOICE,
    POLICY_NOISE,
    EpisodeConfig,
    RecorderConfig,
    path_of,
)
from dreamduck.recordings.road_source import RoadSource
from dreamduck.recordings.sources import Source
from dreamduck.recordings.sources.source import Frames


@dataclasses.dataclass(frozen=True)
class Job:
    """One attempt at one episode.

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
    """Record episodes of Duckietown to files, and yield each when its file is written.

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
            source = RoadSource(config, name, min(config.cars, len(here)), **simulator)
            yield from record_from(source, config, here, callback)


def record_from(
    source: Source,
    config: EpisodeConfig,
    episodes: Sequence[int],
    callback: Callable[[Frames], None] | None = None,
) -> Iterator[Episode]:
    """Record episodes of a source to files, yield each when its file is written, and close the source.

    Args:
        source: of at most as many environments as episodes.
        config: the settings.
        episodes: their numbers.
        callback: called with the first environment's frame at every step.
    Raises:
        SimulatorError: an environment failed.
    """
    recorder = Recorder(source, config)
    try:
        for episode, made in recorder.run(episodes, callback):
            write_episode(path_of(config, episode), made)
            yield made
    finally:
        recorder.close()


class EpisodeSlot:
    """The episode that one environment is recording.

    Args:
        job: which.
        policy_name: of the policy.
        policy: acts.
        frames: steps at most.
        action_size: A.
        telemetry: whether there is any.
    """

    def __init__(
        self,
        job: Job,
        policy_name: str,
        policy: BehaviorPolicy,
        frames: int,
        action_size: int,
        telemetry: bool,
    ) -> None:
        self.job, self.policy_name, self.policy = job, policy_name, policy
        self.length = 0
        self.obs = np.empty((frames, 64, 64, 3), np.uint8)
        self.action = np.empty((frames, action_size), np.float32)
        self.reward = np.empty(frames, np.float32)
        self.telemetry = np.empty((frames, len(TELEMETRY)), np.float32) if telemetry else None

    def append(self, frame: Frames, action: Any, telemetry: Any) -> None:
        """Append one step: its frame, action and telemetry."""
        t = self.length
        self.obs[t], self.action[t] = frame, action
        if self.telemetry is not None:
            self.telemetry[t] = telemetry


class Recorder:
    """Records episodes of one source.

    Args:
        source: N environments.
        config: the settings.
    """

    def __init__(self, source: Source, config: EpisodeConfig) -> None:
        self.source, self.config = source, config
        self._mix = parse_mix(config.policies, config.known_policies)
        self._slots: list[EpisodeSlot | None] = [None] * source.num_envs

    def close(self) -> None:
        """Close the source."""
        self.source.close()

    def run(
        self, episodes: Sequence[int], callback: Callable[[Frames], None] | None = None
    ) -> Iterator[tuple[int, Episode]]:
        """Record these episodes and yield each, with its number, when it is over."""
        waiting = deque(Job(episode) for episode in episodes)
        for env in range(self.source.num_envs):
            self._begin(env, waiting.popleft())
        while any(self._slots):
            frames = self.source.frames()
            if callback is not None:
                callback(frames[0])
            step = self.source.step(self._act(frames))
            over = step.terminated | step.truncated
            for env, slot in enumerate(self._slots):
                if slot is None:
                    if over[env]:  # another car hit it while it waited
                        self.source.idle(env)
                    continue
                slot.reward[slot.length] = step.reward[env]
                slot.length += 1
                if not over[env] and slot.length < self.config.frames:
                    continue
                made = self._episode(slot, env, bool(step.terminated[env]))
                if len(made) < self.config.enough and slot.job.attempt + 1 < ATTEMPTS:
                    self._begin(env, Job(slot.job.episode, slot.job.attempt + 1, made))
                    continue
                yield slot.job.episode, made
                if waiting:
                    self._begin(env, waiting.popleft())
                else:
                    self._slots[env] = None
                    self.source.idle(env)

    def _act(self, frames: Frames) -> Any:
        """The action of every policy (N, A); environments without an episode get zeros."""
        source = self.source
        expert, telemetry = source.expert(), source.telemetry()
        actions = np.zeros((source.num_envs, source.action_space.size))
        for env, slot in enumerate(self._slots):
            if slot is not None:
                wanted = slot.policy.act(slot.length, frames[env], expert[env])
                # the recorded action is exactly the one that is executed
                actions[env] = source.action_space.executed(wanted).astype(np.float32)
                slot.append(frames[env], actions[env], None if telemetry is None else telemetry[env])
        return actions

    def _begin(self, env: int, job: Job) -> None:
        """Begin an episode in an environment."""
        seed, config = self.config.seed, self.config
        # The policy is drawn before the first attempt: policies whose episodes end early count too.
        draw = generator(seed, POLICY_CHOICE, job.episode).random()
        shares = np.cumsum(list(self._mix.values()))
        name = list(self._mix)[min(int(np.searchsorted(shares, draw, "right")), len(shares) - 1)]
        random = generator(seed, POLICY_NOISE, job.episode, job.attempt)
        policy = self.source.make_policy(name, random, config.frames)
        self.source.reset(env, job.episode, job.attempt)
        sizes = config.frames, self.source.action_space.size, self.source.telemetry() is not None
        self._slots[env] = EpisodeSlot(job, name, policy, *sizes)

    def _episode(self, slot: EpisodeSlot, env: int, terminated: bool) -> Episode:
        """The recorded episode, or the longest earlier attempt if that was longer."""
        best, length = slot.job.best, slot.length
        if best is not None and len(best) > length:
            return best
        done = np.zeros(length, np.bool_)
        done[-1] = terminated
        job, n = slot.job, length
        meta = {
            "seed": self.config.seed,
            "episode": job.episode,
            "attempt": job.attempt,
            "policy": slot.policy_name,
            "end": self.source.end(env) or "time",
            "recorder": self.config.recorded,
            "versions": {"dreamduck": dreamduck.__version__, "numpy": np.__version__},
            **self.source.meta(job.episode, job.attempt),
        }
        telemetry = None if slot.telemetry is None else slot.telemetry[:n]
        return Episode(slot.obs[:n], slot.action[:n], slot.reward[:n], done, telemetry, meta)


class MapRecorder(Recorder):
    """Records on one map of Duckietown.

    Args:
        config: the settings.
        map_name: the map.
        num_cars: cars that drive at once.
        simulator: settings handed to the simulator.
    """

    def __init__(self, config: RecorderConfig, map_name: str, num_cars: int, **simulator: Any) -> None:
        super().__init__(RoadSource(config, map_name, num_cars, **simulator), config)
