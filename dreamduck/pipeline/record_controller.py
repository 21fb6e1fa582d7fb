"""Record the episodes of an evolved controller in the real environment.

A controller exploits what is wrong with a dream; such episodes are what the dynamics have to learn from
next. Noise on the actions shows what lies beside its path. Episodes are named by their seeds, so that a
second start makes only what is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common import command_line, config, seeding
from dreamduck.common.config import check, option
from dreamduck.common.errors import RecordError
from dreamduck.common.storage import fingerprint
from dreamduck.controllers.evaluator import (
    AsyncDrivable,
    ControllerPolicy,
    Drivable,
    blocks,
    episodes,
    interleaved,
)
from dreamduck.controllers.factory import (
    WorldConfig,
    add_strict,
    load_controller,
    model_actions,
    real_world,
    versions,
)
from dreamduck.controllers.policy import Controller
from dreamduck.recordings.episode import Episode, read_episode, write_episode
from dreamduck.recordings.sources import ActionSpace
from dreamduck.recordings.sources.gym_environment import inspect
from dreamduck.search.recipe import adapt_to_environment
from dreamduck.simulator.base import ENDS, CarState
from dreamduck.simulator.environment import ENVIRONMENT, describe
from dreamduck.world_model import WorldModel

log = logging.getLogger(__name__)

STREAM = 4  # index of these episodes' random streams
CARS = 32  # at a time, at most
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


class NoisyController(ControllerPolicy):
    """A controller with Ornstein-Uhlenbeck noise on the actions of every second environment.

    The world model's state follows the actions that are taken, noise included.

    Args:
        controller: acts in all environments.
        perception: of all environments.
        actions: their action space.
        spread: standard deviation of the noise.
        share: of the noise that is left after one step.
    """

    def __init__(
        self, controller: Controller, perception: Any, actions: ActionSpace, spread: float, share: float
    ) -> None:
        super().__init__(controller.form, controller.theta, perception)
        self._actions, self._spread, self._share = actions, spread, share

    def start(self, seeds: Sequence[int]) -> None:
        """Reset the recurrent state and the noise; even seeds have none."""
        super().start(seeds)
        self._generators = [seeding.generator(seed, STREAM) for seed in seeds]
        self._noisy = np.array([[seed % 2] for seed in seeds])
        self._noise = np.zeros((len(seeds), self._actions.size))

    def act(self, state: CarState, frames: Any) -> Any:
        """The controller's actions, with noise."""
        fresh = np.stack([generator.standard_normal(self._actions.size) for generator in self._generators])
        self._noise = self._share * self._noise + self._spread * np.sqrt(1 - self._share**2) * fresh
        wanted = super().act(state, frames) + self._noisy * self._noise
        self.last = self._actions.executed(wanted).astype(np.float32)
        return self.last


class Recorded:
    """Environments that keep what is seen, done and given in the episodes that run.

    Args:
        road: N of them, of the simulator or of Gymnasium.
    """

    def __init__(self, road: Drivable) -> None:
        self._road = road
        self._steps: list[tuple[Any, ...]] = []

    def reset(self, seeds: Sequence[int]) -> Any:
        """Begin an episode in each."""
        self._steps = []
        self._state = self._road.reset(seeds)
        return self._state

    def step(self, actions: npt.ArrayLike) -> Any:
        """Act in each, and keep the step."""
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: npt.ArrayLike) -> None:
        """Begin a step."""
        self._seen, self._taken = self.frames().copy(), np.array(actions, np.float32)
        if isinstance(self._road, AsyncDrivable):
            self._road.step_async(actions)

    def step_wait(self) -> Any:
        """What the step gave, which is kept."""
        state, telemetry = self._state, None
        if state is not None:
            lane = (state.lane_dist, state.lane_angle, state.speed)
            telemetry = np.column_stack([*lane, state.pose, state.tile]).astype(np.float32)
        step = (
            self._road.step_wait()
            if isinstance(self._road, AsyncDrivable)
            else self._road.step(self._taken)
        )
        self._state = step.state
        given = step.reward.copy(), step.terminated.copy()
        self._steps.append((self._seen, self._taken, *given, telemetry, ends(step)))
        return step

    def frames(self) -> Any:
        """What is seen now."""
        return self._road.frames()

    def close(self) -> None:
        """Free the environments."""
        self._road.close()

    def episode(self, env: int, length: int, meta: dict[str, Any]) -> Episode:
        """The episode of one environment."""
        steps = self._steps[:length]

        def column(place: int) -> Any:
            rows = [step[place] for step in steps]
            return None if rows[0] is None else np.stack([row[env] for row in rows])

        end = steps[-1][-1][env] or "time"
        return Episode(column(0), column(1), column(2), column(3), column(4), {**meta, "end": end})


def ends(step: Any) -> list[str]:
    """How each environment's episode ended in a step; "" where it goes on."""
    if step.state is not None:
        return [ENDS[end] for end in step.state.end]
    return np.select([step.terminated, step.truncated], ["terminated", "truncated"], "").tolist()


def record_episodes(
    source: Path, world: WorldConfig, settings: RecordConfig, folder: Path, strict: bool = False
) -> int:
    """Record the episodes of a controller file that are not in the folder yet.

    Args:
        source: the controller.
        world: Duckietown's settings, and the world model; of another environment its card has the settings.
        settings: of the recording.
        folder: of the episodes.
        strict: refuse a controller that was made with another world model.
    Returns:
        How many were recorded.
    Raises:
        ConfigError: the world model learned with other settings, or its environment cannot be made.
        SimulatorError: the environment failed.
    """
    controller = load_controller(source, world.model.folder, strict)
    made_by = {
        "controller": fingerprint(source),
        "noise": settings.noise,
        "max_steps": settings.max_steps,
    }
    numbers = [settings.first + i for i in range(settings.episodes)]
    missing = [number for number in numbers if not _is_recorded(folder / f"{number}.npz", made_by)]
    if not missing:
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    real = real_world(world)
    count = min(CARS, real.most_cars or CARS)
    described = environment_meta(world)
    meta = {
        "policy": "controller",
        **made_by,
        "versions": versions(),
        **described,
    }
    share = float(np.exp(-described[ENVIRONMENT]["step_time"] / settings.noise_time))
    noise = model_actions(world.model.folder), settings.noise, share
    with (
        contextlib.ExitStack() as ending,
        command_line.progress(total=len(missing), desc="episodes") as bar,
    ):
        roads = []
        for _ in range(real.roads):
            road = Recorded(real.make_road(count))
            ending.callback(road.close)
            roads.append((road, NoisyController(controller, real.make_perception(count), *noise)))
        waiting = blocks(len(missing), count)
        while together := list(itertools.islice(waiting, real.roads)):
            chosen = [[missing[place] for place in places] for places in together]
            runs = [
                episodes(road, policy, seeds, settings.max_steps)
                for (road, policy), seeds in zip(roads, chosen, strict=False)
            ]
            for (road, _), seeds, returns in zip(roads, chosen, interleaved(runs), strict=False):
                for env, number in enumerate(dict.fromkeys(seeds)):  # the last block is filled up
                    episode = road.episode(env, int(returns.length[env, 0]), {**meta, "seed": number})
                    if shutil.disk_usage(folder).free < FREE_SPACE:
                        raise RecordError(f"{folder}: expected 1 GiB of free disk; make room, start again")
                    write_episode(folder / f"{number}.npz", episode)
                    bar.update()
    return len(missing)


def _is_recorded(path: Path, made_by: Mapping[str, Any]) -> bool:
    """Whether an episode is there, whole.

    Args:
        path: of its file.
        made_by: what its `meta` should say.
    Raises:
        RecordError: it is another controller's.
    """
    if not path.exists():
        return False
    try:
        meta = read_episode(path, frames=False).meta
    except RecordError as err:
        log.warning("%s; it is recorded again", err)
        return False
    wrong = [
        f"{name} {wanted}, got {meta.get(name)}"
        for name, wanted in made_by.items()
        if meta.get(name, wanted if name == "max_steps" else None) != wanted  # older ones do not say it
    ]
    if wrong:
        raise RecordError(
            f"{path}: expected an episode of {'; '.join(wrong)}; name another folder with --out, or other "
            "episodes with --first"
        )
    return True


def environment_meta(world: WorldConfig) -> dict[str, Any]:
    """What an episode's file says of its environment."""
    environment = WorldModel.load(world.model.folder).gym_environment
    if environment is not None:
        description = inspect(environment)[1]
        return {"map_name": description["id"], "simulator": "gymnasium", ENVIRONMENT: description}
    return {
        "map_name": world.road.simulation.map_name,
        "simulator": world.road.simulator,
        "domain_rand": world.road.simulation.domain_rand,
        "world": config.to_dict(world),
        ENVIRONMENT: describe(world.road),
    }


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.parser(
        "Record a controller's episodes in the real environment, for training.",
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
    parser = build_parser()
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    adapt_to_environment(arguments, config.given(parser, arguments, argv))
    world = config.from_arguments(WorldConfig, arguments)
    settings = config.from_arguments(RecordConfig, arguments)
    made = record_episodes(
        Path(arguments.controller), world, settings, Path(arguments.out), arguments.strict
    )
    log.info("%d episodes recorded in %s, %d were there", made, arguments.out, settings.episodes - made)
