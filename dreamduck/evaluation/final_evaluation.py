"""Finished controllers in the dream and in the simulator, and the files that keep such results."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dreamduck.common import seeding
from dreamduck.common.config import changed, check, option
from dreamduck.common.errors import CheckpointError, ConfigError
from dreamduck.common.readers import in_words, read_json
from dreamduck.common.storage import claim, copy_file, write_json
from dreamduck.controllers.controller_file import AGENT, RunFiles, read_card, read_theta, run_of
from dreamduck.controllers.evaluator import ControllerPolicy, EvalBatch, run_episodes, summarize
from dreamduck.controllers.factory import (
    WorldConfig,
    make_evaluator,
    real_world,
    world_facts,
)
from dreamduck.controllers.policy import Controller
from dreamduck.evaluation.episode_stats import EpisodeStatsCallback
from dreamduck.evaluation.report import interval, summarize_episodes
from dreamduck.world_model import WorldModel

Table = Callable[[list[dict[str, Any]]], str]

STREAM = 3  # index of the random stream of these episodes under a seed
REMEDY = "delete it to evaluate again"


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How finished controllers are evaluated."""

    eval_episodes: int = option(
        *(100, "episodes to evaluate each controller by, in the dream and in the simulator"),
        low=1,
        flags=("--judge-episodes", "--judge_episodes"),
    )
    eval_seconds: float = option(
        *(60.0, "an episode is cut after this time"),
        unit="s",
        above=0.0,
        flags=("--judge-seconds", "--judge_seconds"),
    )
    eval_seed: int = option(1000, "seed of these episodes", low=0, flags=("--judge-seed", "--judge_seed"))

    def __post_init__(self) -> None:
        check(self)


@dataclasses.dataclass(frozen=True)
class SelectionConfig(EvaluationConfig):
    """How finished controllers are evaluated, and one selected by unreported episodes."""

    selection_seed: int = option(
        *(2000, "seed of the episodes that select a controller, as many as are reported"),
        low=0,
        flags=("--choice-seed", "--choice_seed"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.selection_seed == self.eval_seed:
            raise ConfigError(
                f"selection_seed: expected another than eval_seed, got {self.selection_seed} for both; "
                "a controller that is selected by the reported episodes looks better than it is"
            )


class FinalEvaluation(NamedTuple):
    """Results of a finished controller; the names are those in `verdict.json`."""

    dream: dict[str, float]  # mean and std of the return, mean length
    road: dict[str, Any]  # in the simulator, see `report.summarize_episodes`, or in the environment
    choice: dict[str, Any]  # "return" (mean, std), "episodes", "seed": in the simulator, for the selection


def evaluate_in_dream(
    world: WorldConfig, controller: Controller, settings: EvaluationConfig
) -> dict[str, float]:
    """Return and length of a controller's dreamed episodes."""
    evaluator = make_evaluator("rnnenv", world, controller.form)
    steps = _steps(world, settings)
    seed = seeding.derive(settings.eval_seed, STREAM)
    found = summarize(evaluator(EvalBatch(controller.theta[None], (seed,), settings.eval_episodes, steps)))
    return {"mean": round(found.mean, 4), "std": round(found.std, 4), "length": round(found.length, 1)}


def evaluate_on_road(
    world: WorldConfig, controller: Controller, settings: EvaluationConfig
) -> dict[str, Any]:
    """Return and the Olympics' measures of a controller's episodes on one map of the simulator."""
    episodes, steps = settings.eval_episodes, max(1, round(settings.eval_seconds / world.road.step_time))
    real = real_world(world)
    cars = min(episodes, real.most_cars or episodes)
    road, perception = real.make_road(cars), real.make_perception(cars)
    found: list[dict[str, Any]] = []
    try:
        for first in range(0, episodes, cars):
            seeds = [seeding.derive(settings.eval_seed, STREAM, first + car) for car in range(cars)]
            stats = EpisodeStatsCallback(world.road.step_time)
            policy = ControllerPolicy(controller.form, controller.theta, perception)
            returns = run_episodes(road, policy, seeds, steps, stats)
            for car, episode in enumerate(stats.episodes()):
                found.append({**episode, "return": float(returns.reward[car, 0])})
    finally:
        road.close()
    return summarize_episodes(found[:episodes], settings.eval_seed)


def _steps(world: WorldConfig, settings: EvaluationConfig) -> int:
    """Steps after which an episode is cut."""
    model = WorldModel.load(world.model.folder)
    environment = model.gym_environment
    if environment is None:
        return max(1, round(settings.eval_seconds / world.road.step_time))
    steps = max(1, round(settings.eval_seconds / model.environment["step_time"]))
    # a dream has no limit of its own, and would be longer than what it is compared with
    limit = environment.spec.max_episode_steps
    return steps if limit is None else min(steps, max(1, limit // environment.frame_skip))


def evaluate_in_environment(
    world: WorldConfig, controller: Controller, settings: EvaluationConfig
) -> dict[str, Any]:
    """Return and length of a controller's episodes in the environment that its model learned from."""
    if WorldModel.load(world.model.folder).gym_environment is None:
        return evaluate_on_road(world, controller, settings)
    evaluator: Any = make_evaluator("realenv", world, controller.form)
    seed = seeding.derive(settings.eval_seed, STREAM)
    batch = EvalBatch(controller.theta[None], (seed,), settings.eval_episodes, _steps(world, settings))
    try:
        found = summarize(evaluator(batch))
    finally:
        evaluator.close()
    returns = [round(found.mean, 4), round(found.std, 4)]
    return {"return": returns, "length": round(found.length, 1), "episodes": found.episodes}


def evaluate_both(world: WorldConfig, controller: Controller, settings: SelectionConfig) -> FinalEvaluation:
    """A controller in the dream and in the simulator, and in other episodes of it for the selection."""
    dream = evaluate_in_dream(world, controller, settings)
    road = evaluate_in_environment(world, controller, settings)
    others = EvaluationConfig(settings.eval_episodes, settings.eval_seconds, settings.selection_seed)
    other = evaluate_in_environment(world, controller, others)
    choice = {"return": other["return"], "episodes": other["episodes"], "seed": settings.selection_seed}
    return FinalEvaluation(dream, road, choice)


def select(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The row of the greatest mean return in the selection, of equals the warmest dream.

    Returns:
        None where rows were evaluated by the reported episodes alone, which must not select.
    """
    if not all("choice" in row for row in rows):
        return None
    return max(rows, key=lambda row: (row["choice"]["return"][0], row.get("temperature", 0.0)))


def dream_and_road(row: Mapping[str, Any]) -> str:
    """Cells in Markdown: return in the dream and in reality; of Duckietown also survival and distance."""
    dream, road = row["dream"], row["road"]
    cells = [
        f"{dream['mean']:.2f} ± {dream['std']:.2f}",
        f"{road['return'][0]:.2f} ± {road['return'][1]:.2f}",
    ]
    if "alive" in road:
        cells += [f"{100 * road['alive'][0]:.0f}%", interval(road["distance"])]
    return " | ".join(cells) + " |"


def copy_controller(path: Path, folder: Path, name: str) -> None:
    """Copy a controller, its card, and its agent where it has one, to `folder/<name>.json`."""
    copied = RunFiles(folder / name)
    if (agent := run_of(path).path(AGENT)).exists():
        copy_file(agent, copied.path(AGENT))
    copied.write_theta(read_theta(path))
    copied.write_card({**read_card(path), "copied_from": path.name})


def read_result(path: Path, table: Table) -> dict[str, Any]:
    """A row of an earlier start.

    Args:
        path: its file.
        table: the report's table, which the row must fit into.

    Raises:
        CheckpointError: the file is damaged.
    """
    row = read_json(path, CheckpointError, REMEDY)
    with in_words(path, CheckpointError, "not a row of results", REMEDY):
        table([row])
        return dict(row)


def cached(path: Path, key: Mapping[str, Any], table: Table) -> dict[str, Any] | None:
    """A row that an earlier start left; None where there is none.

    Args:
        path: its file.
        key: the settings that it must have been made with.
        table: the report's table, which the row must fit into.

    Raises:
        CheckpointError: the file is damaged, or made with other settings.
    """
    if not os.path.lexists(path):
        return None
    found = read_result(path, table)
    then, now = found.get("settings"), json.loads(json.dumps(key))
    if not isinstance(then, dict):
        raise CheckpointError(f"{path}: expected a row with its settings; {REMEDY}")
    if different := changed(then, now):
        raise CheckpointError(
            f"{path}: expected a row of these settings, but changed were {different}; "
            f"choose another --out, or {REMEDY}"
        )
    return found


@contextlib.contextmanager
def claim_report(
    name: str, folder: Path, outputs: Sequence[Path], described: Mapping[str, Any], fresh: bool = False
) -> Iterator[None]:
    """Claim the files of a report; its settings are written first, and mark the files as its own.

    Args:
        name: of the report.
        folder: where its files lie.
        outputs: its files.
        described: its settings, for `<name>.config.json`.
        fresh: overwrite what is there.

    Raises:
        ConfigError: files of another run are there, or another process writes there now.
    """
    state = folder / f"{name}.config.json"
    with claim(name, outputs, state, fresh):
        write_json(state, described)
        yield


def settings_key(env: str, world: WorldConfig, settings: EvaluationConfig, **more: Any) -> dict[str, Any]:
    """The settings that a row depends on."""
    facts = world_facts(env, world)
    kind = SelectionConfig if isinstance(settings, SelectionConfig) else EvaluationConfig
    evaluation = {f.name: getattr(settings, f.name) for f in dataclasses.fields(kind)}
    return {"world": facts["world"], "weights": facts["weights"], **evaluation, **more}
