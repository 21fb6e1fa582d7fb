"""Record the episodes of an evolved controller in the simulator.

A controller exploits what is wrong with a dream; such episodes are what the dynamics have to learn from
next. Noise on the actions shows what lies beside its path. Episodes are named by their seeds, so that a
second start makes only what is missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common import command_line, config, seeding
from dreamduck.common.config import check, option
from dreamduck.common.errors import RecordError
from dreamduck.common.storage import fingerprint
from dreamduck.controllers.evaluator import ControllerPolicy, Policy, blocks, run_episodes
from dreamduck.controllers.factory import (
    WorldConfig,
    add_strict,
    load_controller,
    perception_maker,
    road_maker,
    versions,
)
from dreamduck.recordings.episode import Episode, write_episode
from dreamduck.simulator.base import ENDS, CarState
from dreamduck.simulator.environment import ENVIRONMENT, describe
from dreamduck.simulator.road import RoadStep
from dreamduck.world_model import WorldModel

log = logging.getLogger(__name__)

STREAM = 4  # index of these episodes' random streams
CARS = 32  # at a time
FREE_SPACE = 1 << 30  # [bytes] to leave on the disk


@dataclasses.dataclass(frozen=True)
class RecordConfig:
    """What is recorded."""

    episodes: int = option(200, "episodes to record", low=1)
    first: int = option(900_000_000, "the first episode's seed, which is its file's name", low=0)
    max_steps: int = option(300, "greatest length of an episode [steps]", low=1, high=10_000)
    noise: float = option(
        0.3, "spread of the noise on the actions; half of the episodes have none", low=0.0
    )
    noise_time: float = option(0.5, "correlation time of the noise", unit="s", above=0.0)

    def __post_init__(self) -> None:
        check(self)


class NoisyPolicy:
    """A policy with Ornstein-Uhlenbeck noise on the actions of every second car.

    Args:
        policy: of all cars.
        seeds: one a car.
        spread: standard deviation of the noise.
        share: of the noise that is left after one step.
    """

    needs_frames = True

    def __init__(self, policy: Policy, seeds: Sequence[int], spread: float, share: float) -> None:
        self._policy, self._spread, self._share = policy, spread, share
        self._generators = [seeding.generator(seed, STREAM) for seed in seeds]
        self._without = np.array([seed % 2 == 0 for seed in seeds])
        self._noise = np.zeros((len(seeds), 2))

    def start(self, seeds: Sequence[int]) -> None:
        """An episode begins for every car."""
        self._policy.start(seeds)
        self._noise[:] = 0.0

    def act(self, state: CarState, frames: Any) -> Any:
        """The policy's actions, with noise for the cars of odd seeds."""
        fresh = np.stack([generator.standard_normal(2) for generator in self._generators])
        self._noise = self._share * self._noise + self._spread * np.sqrt(1 - self._share**2) * fresh
        self._noise[self._without] = 0.0
        actions = np.asarray(self._policy.act(state, frames), dtype=np.float64) + self._noise
        return np.clip(actions, -1.0, 1.0).astype(np.float32)


class FrameRecorder:
    """Records frames, actions and rewards of N cars: a policy around theirs, and a callback."""

    needs_frames = True

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._obs: list[Any] = []
        self._actions: list[Any] = []
        self._rewards: list[Any] = []
        self._done: list[Any] = []
        self._ends: list[Any] = []
        self._telemetry: list[Any] = []

    def act(self, state: CarState, frames: Any) -> Any:
        """Record what is seen, then act."""
        lane = (state.lane_dist, state.lane_angle, state.speed)
        self._telemetry.append(np.column_stack([*lane, state.pose, state.tile]).astype(np.float32))
        actions = self._policy.act(state, frames)
        self._obs.append(frames.copy())
        self._actions.append(np.asarray(actions, dtype=np.float32))
        return actions

    def start(self, beginning: Any) -> None:
        """Called as a policy with the seeds, and as a callback with the first state."""
        if not isinstance(beginning, CarState):
            self._policy.start(beginning)

    def update(self, step: RoadStep) -> None:
        """Record what a step gave."""
        self._rewards.append(step.reward.copy())
        self._done.append(step.terminated.copy())
        self._ends.append(step.state.end.copy())

    def episode(self, car: int, length: int, meta: dict[str, Any]) -> Episode:
        """One car's episode."""

        def column(rows: list[Any]) -> Any:
            return np.stack([row[car] for row in rows[:length]])

        shown = column(self._obs), column(self._actions), column(self._rewards), column(self._done)
        meta = {**meta, "end": ENDS[self._ends[length - 1][car]] or "time"}
        return Episode(*shown, telemetry=column(self._telemetry), meta=meta)


def record_episodes(
    source: Path, world: WorldConfig, settings: RecordConfig, folder: Path, strict: bool = False
) -> int:
    """Record the episodes of a controller file that are not in the folder yet.

    Args:
        strict: refuse a controller that was made with another world model.
    Returns:
        How many were recorded.
    Raises:
        ConfigError: the world model is of another environment, or learned with other settings.
    """
    WorldModel.load(world.model.folder).check_environment(world.road, world.any_weights)
    controller = load_controller(source, world.model.folder, strict)
    numbers = [settings.first + i for i in range(settings.episodes)]
    missing = [number for number in numbers if not (folder / f"{number}.npz").exists()]
    if not missing:
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    road, perception = road_maker(world.road)(CARS), perception_maker(world)(CARS)
    meta = {
        "policy": "controller",
        "controller": fingerprint(source),
        "map_name": world.road.simulation.map_name,
        "simulator": world.road.simulator,
        "domain_rand": world.road.simulation.domain_rand,
        "world": config.to_dict(world),
        ENVIRONMENT: describe(world.road),
        "noise": settings.noise,
        "versions": versions(),
    }
    share = float(np.exp(-world.road.step_time / settings.noise_time))
    try:
        for places in command_line.progress(list(blocks(len(missing), CARS)), desc="episodes"):
            chosen = [missing[place] for place in places]
            policy = ControllerPolicy(controller.form, controller.theta, perception)
            recorder = FrameRecorder(NoisyPolicy(policy, chosen, settings.noise, share))
            returns = run_episodes(road, recorder, chosen, settings.max_steps, recorder)
            for car, number in enumerate(chosen[: len(missing) - places[0]]):
                episode = recorder.episode(car, int(returns.length[car, 0]), {**meta, "seed": number})
                if shutil.disk_usage(folder).free < FREE_SPACE:
                    raise RecordError(f"{folder}: expected 1 GiB of free disk; make room, start again")
                write_episode(folder / f"{number}.npz", episode)
    finally:
        road.close()
    return len(missing)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.parser(
        "Record a controller's episodes in the simulator, for training.",
        "example:\n  dreamduck record-controller log/rnnenv.cma.16.64.best.json --episodes 50",
    )
    parser.add_argument("controller", help="a controller file")
    parser.add_argument("--out", default="records", help="folder of episodes (default: records)")
    add_strict(parser)
    config.add_arguments(parser, RecordConfig)
    config.add_arguments(parser.add_argument_group("world"), WorldConfig)  # type: ignore[arg-type]
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Record a controller's episodes."""
    arguments = build_parser().parse_args(argv)
    command_line.start_logging(arguments)
    world = config.from_arguments(WorldConfig, arguments)
    settings = config.from_arguments(RecordConfig, arguments)
    made = record_episodes(
        Path(arguments.controller), world, settings, Path(arguments.out), arguments.strict
    )
    log.info("%d episodes recorded in %s, %d were there", made, arguments.out, settings.episodes - made)
