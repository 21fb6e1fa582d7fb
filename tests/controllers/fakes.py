"""Small worlds to evaluate controllers in, without a simulator or a model."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from dreamduck.common import seeding
from dreamduck.controllers.evaluator import EvalBatch, Returns
from dreamduck.controllers.policy import ControllerForm
from dreamduck.search.settings import SearchConfig
from dreamduck.simulator.base import END_NONE, END_OFF_ROAD, CarState
from dreamduck.simulator.road import RoadStep

FORM = ControllerForm("z", z_size=3, hidden_size=4)  # 8 parameters
CONFIG = SearchConfig(
    num_worker=6, num_episode=2, eval_steps=3, generations=7, sigma_init=0.5, block=2, max_steps=50
)


class Sphere:
    """Returns are best at theta = 1; the seed adds noise."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, task: EvalBatch) -> Returns:
        self.calls += 1
        noise = np.stack([seeding.generator(seed, 0).standard_normal(task.episodes) for seed in task.seeds])
        reward = -((task.theta - 1.0) ** 2).sum(axis=1)[:, None] + 0.01 * noise
        return Returns(
            reward.astype(np.float32), np.full(reward.shape, 10), np.zeros(reward.shape, np.bool_)
        )


class FakeRoad:
    """Cars on a straight lane along +x; steering turns them, and they leave it at 0.3 m."""

    def __init__(self, num_cars: int, speed: float = 0.05) -> None:
        self.num_cars, self.speed = num_cars, speed
        self.config = types.SimpleNamespace(frame_skip=3, step_time=0.1)
        self.closed = False
        self.seeds: list[int] = []

    def reset(self, seeds: Sequence[int], starts: Any = None, cars: Any = None) -> CarState:
        self.seeds = list(seeds)
        offsets = [seeding.generator(seed).uniform(-0.05, 0.05) for seed in seeds]
        self.pose = np.zeros((self.num_cars, 3))
        self.pose[:, 1] = offsets
        return self._state()

    def step(self, actions: Any) -> RoadStep:
        actions = np.clip(np.asarray(actions, dtype=np.float64), -1, 1)
        assert actions.shape == (self.num_cars, 2)
        self.pose[:, 2] += 0.3 * actions[:, 1]
        ahead = self.speed * actions[:, 0]
        self.pose[:, 0] += ahead * np.cos(self.pose[:, 2])
        self.pose[:, 1] -= ahead * np.sin(self.pose[:, 2])
        state = self._state()
        return RoadStep(state, ahead.astype(np.float32), state.end != END_NONE)

    def frames(self, out: Any = None) -> Any:
        frames = np.zeros((self.num_cars, 64, 64, 3), dtype=np.uint8)
        frames[:, 0, 0, 0] = np.clip(128 + 400 * self.pose[:, 1], 0, 255)
        return frames

    def close(self) -> None:
        self.closed = True

    def _state(self) -> CarState:
        count = self.num_cars
        return CarState(
            pose=self.pose.copy(),
            speed=np.full(count, self.speed),
            lane_dist=self.pose[:, 1].copy(),
            lane_angle=self.pose[:, 2].copy(),
            lane_tangent=np.tile([1.0, 0.0], (count, 1)),
            tile=np.zeros((count, 2), dtype=np.int64),
            simulator_reward=np.zeros(count),
            proximity_penalty=np.zeros(count),
            end=np.where(np.abs(self.pose[:, 1]) > 0.3, END_OFF_ROAD, END_NONE).astype(np.int8),
        )


@dataclasses.dataclass
class FakePerception:
    """z is the offset in the first pixel; c counts the steps; h is the last action."""

    num_cars: int
    resets: int = 0

    def reset(self, frames: Any, cars: Any = None) -> Any:
        self.resets += 1
        self.seen = np.zeros((self.num_cars, 3 + 8), dtype=np.float32)
        return self._look(frames)

    def step(self, frames: Any, actions: Any, cars: Any = None) -> Any:
        self.seen[:, 3] += 1
        self.seen[:, 7:9] = actions
        return self._look(frames)

    def _look(self, frames: Any) -> Any:
        self.seen[:, 0] = (frames[:, 0, 0, 0].astype(np.float32) - 128) / 128
        return self.seen.copy()
