"""One search from its settings: what `train.py`, the dream-gap report and the ablations share.

Flow: worlds, search -> [runs] -> gap, ablations, reproduce."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from dreamduck import logbook, seeding
from dreamduck.config import check, option
from dreamduck.control.controllers import Controller, ControllerForm
from dreamduck.control.evaluate import ControllerDriver, Task, drive, summarize
from dreamduck.control.files import ENDINGS, RunFiles, read_controller
from dreamduck.control.mpi import Team
from dreamduck.control.report import summarize_episodes
from dreamduck.control.search import Search, SearchConfig
from dreamduck.control.subspace import find_subspace
from dreamduck.control.trace import Recorder
from dreamduck.control.worlds import (
    WorldConfig,
    make_dream,
    make_judge,
    model_sizes,
    perception_maker,
    road_maker,
    world_facts,
)
from dreamduck.errors import ConfigError
from dreamduck.readers import in_words, read_json
from dreamduck.storage import claim
from dreamduck.threads import cores

log = logging.getLogger(__name__)

JUDGING = 3  # the place of the random stream that finished controllers are judged with


class Plan(NamedTuple):
    """A search to be made.

    Attributes:
        env: the world to evolve in.
        folder: where its files go.
        start: a controller file to start from, or "".
        command: for the card.
        threads: cores of each process; 0 for its share.
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
    controller = read_controller(plan.start, *model_sizes(plan.world.folder)) if plan.start else None
    if controller is not None and controller.form != plan.form:
        raise ConfigError(f"start: expected a controller {plan.form}, got one {controller.form}")
    judge = make_judge(plan.env, plan.world, plan.form, threads, plan.search.beginning)
    if team.rank:
        team.serve(judge)
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
    outputs = [files.path(ending) for ending in (*ENDINGS, *logbook.ENDINGS)]
    with claim(files.base.name, outputs, files.path(".state.npz"), plan.fresh):
        search = Search(
            *(plan.search, plan.form, judge, files, team, facts, start, plan.fresh),
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


@dataclasses.dataclass(frozen=True)
class VerdictConfig:
    """How finished controllers are judged."""

    judge_episodes: int = option(100, "to judge each controller by, in the dream and on the road", low=1)
    judge_seconds: float = option(60.0, "an episode is cut after so long", unit="s", above=0.0)
    judge_seed: int = option(1000, "of these episodes", low=0)

    def __post_init__(self) -> None:
        check(self)


def read_verdict(path: Path, table: Callable[[list[dict[str, Any]]], str]) -> dict[str, Any]:
    """A row that was judged before.

    Args:
        path: of its file.
        table: that it must fit into.
    Raises:
        ConfigError: the file is damaged.
    """
    remedy = "delete it to judge again"
    row = read_json(path, ConfigError, remedy)
    with in_words(path, ConfigError, "not a verdict", remedy):
        table([row])
        return dict(row)


def judge_in_dream(world: WorldConfig, controller: Controller, how: VerdictConfig) -> dict[str, float]:
    """Return and length of a controller's dreams."""
    judge = make_judge("rnnenv", world, controller.form)
    steps = max(1, round(how.judge_seconds / world.step_time))
    seed = seeding.derive(how.judge_seed, JUDGING)
    found = summarize(judge(Task(controller.theta[None], (seed,), how.judge_episodes, steps)))
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
            recorder = Recorder(world.step_time)
            driver = ControllerDriver(controller.form, controller.theta, perception)
            scores = drive(road, driver, seeds, steps, recorder)
            for car, episode in enumerate(recorder.episodes()):
                found.append({**episode, "return": float(scores.reward[car, 0])})
    finally:
        road.close()
    return summarize_episodes(found[:episodes], how.judge_seed)


def judge_both(world: WorldConfig, controller: Controller, how: VerdictConfig) -> Verdict:
    """A controller in the dream and on the road."""
    return Verdict(judge_in_dream(world, controller, how), judge_on_road(world, controller, how))
