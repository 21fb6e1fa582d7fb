"""One search from its settings, as `dreamduck evolve`, the temperature sweep and the ablations make it."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any, NamedTuple

from dreamduck.common import training_log
from dreamduck.common.errors import ConfigError
from dreamduck.common.processes.mpi import Team
from dreamduck.common.storage import claim, fingerprint
from dreamduck.controllers.controller_file import ENDINGS, RunFiles
from dreamduck.controllers.factory import (
    ENVS,
    WorldConfig,
    load_controller,
    make_dream,
    make_evaluator,
    world_facts,
)
from dreamduck.controllers.policy import ControllerForm
from dreamduck.search.principal_components import find_subspace
from dreamduck.search.search import Search
from dreamduck.search.settings import NEWER, SearchConfig
from dreamduck.world_model.imagination.randomization import RandomizationConfig

log = logging.getLogger(__name__)


class Plan(NamedTuple):
    """A search to be made.

    Attributes:
        env: the world to evolve in.
        folder: where its files go.
        start: a controller file to start from, or "".
        command: for the card.
        threads: cores of each process; 0 for its share.
        fresh: overwrite a run that is there.
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
    """Run a search, or resume it; every rank of the team calls this.

    Returns:
        The finished search; None on all ranks but the first.
    """
    if plan.env == ENVS[0]:
        model = plan.world.model.with_temperature(search=True)
        plan = plan._replace(world=dataclasses.replace(plan.world, model=model))
    threads = plan.threads or team.cores
    controller = load_controller(plan.start, plan.world.model.folder, plan.strict) if plan.start else None
    if controller is not None and controller.form != plan.form:
        raise ConfigError(f"start: expected a controller {plan.form}, got one {controller.form}")
    settings, simulation = plan.search, plan.world.road.simulation
    evaluator = make_evaluator(
        *(plan.env, plan.world, plan.form, threads, settings.beginning, settings.pessimism),
        RandomizationConfig(simulation.dynamics_rand, **{name: getattr(settings, name) for name in NEWER}),
    )
    if team.rank:
        team.serve(evaluator)
        return None
    facts: dict[str, Any] = {
        "command": plan.command,
        "start": plan.start,
        **({"start_fingerprint": fingerprint(plan.start)} if plan.start else {}),
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
