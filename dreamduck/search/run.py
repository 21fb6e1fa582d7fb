"""One search from its settings: what `train.py`, the dream-gap report and the ablations share."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dreamduck.common import seeding, training_log
from dreamduck.common.config import check, option
from dreamduck.common.errors import CheckpointError, ConfigError
from dreamduck.common.mpi import Team
from dreamduck.common.readers import in_words, read_json
from dreamduck.common.storage import claim, write_json
from dreamduck.common.threads import cores
from dreamduck.controllers.controller_file import ENDINGS, RunFiles
from dreamduck.controllers.evaluator import ControllerPolicy, EvalBatch, drive, summarize
from dreamduck.controllers.factory import (
    WorldConfig,
    load_controller,
    make_dream,
    make_evaluator,
    perception_maker,
    road_maker,
    world_facts,
)
from dreamduck.controllers.policy import Controller, ControllerForm
from dreamduck.evaluation.episode_stats import EpisodeStatsCallback
from dreamduck.evaluation.report import summarize_episodes
from dreamduck.search.principal_components import find_subspace
from dreamduck.search.search import Search, SearchConfig

log = logging.getLogger(__name__)

JUDGED = ("judge_episodes", "judge_seconds", "judge_seed", "choice_seed")
JUDGING = 3  # the place of the random stream that finished controllers are judged with


class Plan(NamedTuple):
    """A search to be made.

    Attributes:
        env: the world to evolve in.
        folder: where its files go.
        start: a controller file to start from, or "".
        command: for the card.
        threads: cores of each process; 0 for its share.
        fresh: write over a run that lies there.
        strict: refuse a controller to start from that was made with another world model.
    """

    env: str
    world: WorldConfig
    search: SearchConfig
    form: ControllerForm
    folder: Path
    start: str = ""
    command: str = ""
    threads: int = 0
    fresh: bool = False
    strict: bool = False

    @property
    def files(self) -> RunFiles:
        """The files that it writes."""
        return RunFiles.of(self.folder, self.env, self.search.num_episode, self.search.population)


def evolve(plan: Plan, team: Team) -> Search | None:
    """Make a search, or go on with it; every rank of the team calls this.

    Returns:
        The finished search; None on all ranks but the first.
    """
    threads = plan.threads or max(1, cores() // team.size)
    controller = load_controller(plan.start, plan.world.folder, plan.strict) if plan.start else None
    if controller is not None and controller.form != plan.form:
        raise ConfigError(f"start: expected a controller {plan.form}, got one {controller.form}")
    evaluator = make_evaluator(plan.env, plan.world, plan.form, threads, plan.search.beginning)
    if team.rank:
        team.serve(evaluator)
        return None
    facts: dict[str, Any] = {
        "command": plan.command,
        "start": plan.start,
        **world_facts(plan.env, plan.world),
    }
    log.info("%s: %s; population %d", plan.env, plan.form, plan.search.population)
    start = None if controller is None else controller.theta
    components = plan.search.components
    files = plan.files
    outputs = [files.path(ending) for ending in (*ENDINGS, *training_log.ENDINGS)]
    with claim(files.base.name, outputs, files.path(".state.npz"), plan.fresh):
        search = Search(
            *(plan.search, plan.form, evaluator, files, team, facts, start, plan.fresh),
            make_subspace=lambda: find_subspace(
                make_dream(plan.world, plan.search.beginning, rewards=False),
                plan.form,
                components,
                plan.search.seed_start,
                start,
            ),
        )
        search.run(lambda row: log.debug("%s %s", plan.env, row))
    team.release()
    return search


class Verdict(NamedTuple):
    """What a finished controller was worth, dreamt and driven."""

    dream: dict[str, float]  # mean and std of the return, mean length
    road: dict[str, Any]  # see `report.summarize_episodes`
    choice: dict[str, Any]  # "return" (mean, std), "episodes", "seed": on the road, to choose by alone


@dataclasses.dataclass(frozen=True)
class VerdictConfig:
    """How finished controllers are judged."""

    judge_episodes: int = option(100, "to judge each controller by, in the dream and on the road", low=1)
    judge_seconds: float = option(60.0, "an episode is cut after so long", unit="s", above=0.0)
    judge_seed: int = option(1000, "of these episodes", low=0)

    def __post_init__(self) -> None:
        check(self)


@dataclasses.dataclass(frozen=True)
class ChoiceConfig(VerdictConfig):
    """How finished controllers are judged, and one of them chosen by episodes that are not reported."""

    choice_seed: int = option(
        2000, "of the episodes that a controller is chosen by, as many as are reported", low=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self)
        if self.choice_seed == self.judge_seed:
            raise ConfigError(
                f"choice_seed: expected another seed than judge_seed, got {self.choice_seed} for both; "
                "who is chosen by the episodes that are reported looks better than it is"
            )


def judge_in_dream(world: WorldConfig, controller: Controller, how: VerdictConfig) -> dict[str, float]:
    """Return and length of a controller's dreams."""
    evaluator = make_evaluator("rnnenv", world, controller.form)
    steps = max(1, round(how.judge_seconds / world.step_time))
    seed = seeding.derive(how.judge_seed, JUDGING)
    found = summarize(evaluator(EvalBatch(controller.theta[None], (seed,), how.judge_episodes, steps)))
    return {"mean": round(found.mean, 4), "std": round(found.std, 4), "length": round(found.length, 1)}


def judge_on_road(world: WorldConfig, controller: Controller, how: VerdictConfig) -> dict[str, Any]:
    """Return and the Olympics' measures of a controller's drives on one map."""
    episodes, steps = how.judge_episodes, max(1, round(how.judge_seconds / world.step_time))
    cars = episodes if world.simulator == "native" else min(episodes, cores())
    road, perception = road_maker(world)(cars), perception_maker(world)(cars)
    found: list[dict[str, Any]] = []
    try:
        for at in range(0, episodes, cars):
            seeds = [seeding.derive(how.judge_seed, JUDGING, at + car) for car in range(cars)]
            recorder = EpisodeStatsCallback(world.step_time)
            driver = ControllerPolicy(controller.form, controller.theta, perception)
            scores = drive(road, driver, seeds, steps, recorder)
            for car, episode in enumerate(recorder.episodes()):
                found.append({**episode, "return": float(scores.reward[car, 0])})
    finally:
        road.close()
    return summarize_episodes(found[:episodes], how.judge_seed)


def judge_both(world: WorldConfig, controller: Controller, how: ChoiceConfig) -> Verdict:
    """A controller in the dream and on the road, and on the road once more to choose by."""
    dream, road = judge_in_dream(world, controller, how), judge_on_road(world, controller, how)
    to_choose_by = VerdictConfig(how.judge_episodes, how.judge_seconds, how.choice_seed)
    other = judge_on_road(world, controller, to_choose_by)
    choice = {"return": other["return"], "episodes": other["episodes"], "seed": how.choice_seed}
    return Verdict(dream, road, choice)


def read_verdict(path: Path, table: Callable[[list[dict[str, Any]]], str]) -> dict[str, Any]:
    """A row that was judged before.

    Args:
        path: its file.
        table: that it must fit into.
    Raises:
        CheckpointError: the file is damaged.
    """
    remedy = "delete it to judge again"
    row = read_json(path, CheckpointError, remedy)
    with in_words(path, CheckpointError, "not a verdict", remedy):
        table([row])
        return dict(row)


def kept(
    path: Path, key: Mapping[str, Any], table: Callable[[list[dict[str, Any]]], str]
) -> dict[str, Any] | None:
    """A verdict that an earlier start left; None where there is none.

    Args:
        path: its file.
        key: the settings that it must have been made with.
        table: that it must fit into.
    Raises:
        CheckpointError: the file is damaged, or made with other settings.
    """
    if not os.path.lexists(path):
        return None
    found = read_verdict(path, table)
    then, now = found.get("settings"), json.loads(json.dumps(key))
    if not isinstance(then, dict):
        raise CheckpointError(f"{path}: expected a verdict with its settings; delete it to judge again")
    changed = [
        f"{name} (then {then.get(name)}, now {now.get(name)})"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    if changed:
        raise CheckpointError(
            f"{path}: expected a verdict of these settings, but changed were {', '.join(changed)}; "
            "choose another --out, or delete it to judge again"
        )
    return found


@contextlib.contextmanager
def claim_report(
    name: str, folder: Path, outputs: Sequence[Path], described: Mapping[str, Any], fresh: bool = False
) -> Iterator[None]:
    """Hold the files of a report; its settings are written first, and say that the files are its own.

    Args:
        name: of the report.
        described: its settings, for `<name>.config.json`.
        fresh: write over whatever is there.
    Raises:
        ConfigError: files of another run are there, or another process writes there now.
    """
    state = folder / f"{name}.config.json"
    with claim(name, outputs, state, fresh):
        write_json(state, described)
        yield


def key_of(env: str, world: WorldConfig, how: VerdictConfig, **more: Any) -> dict[str, Any]:
    """The settings that a verdict depends on."""
    facts = world_facts(env, world)
    judged = {f.name: getattr(how, f.name) for f in dataclasses.fields(how) if f.name in JUDGED}
    return {"world": facts["world"], "weights": facts["weights"], **judged, **more}
