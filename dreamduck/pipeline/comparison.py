"""Controllers that are evolved one after the other and evaluated, for the rows of one table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from dreamduck.common.processes import mpi
from dreamduck.common.storage import write_json
from dreamduck.controllers.factory import load_controller
from dreamduck.controllers.policy import Controller
from dreamduck.evaluation.final_evaluation import Table, cached
from dreamduck.search.run import Plan, evolve

log = logging.getLogger(__name__)

Rows = list[dict[str, Any]]
RESULT = "verdict.json"  # of each controller, in the folder of its search


class Case(NamedTuple):
    """A controller to be compared.

    Attributes:
        plan: its search.
        key: the settings that its results depend on; with others it is evaluated again.
        evaluate: makes its row of the finished controller.
    """

    plan: Plan
    key: dict[str, Any]
    evaluate: Callable[[Controller], dict[str, Any]]

    @property
    def result(self) -> Path:
        """The file of its row."""
        return self.plan.folder / RESULT


def evolve_and_evaluate(
    cases: Iterable[Case], team: mpi.Team, table: Table, write: Callable[[Rows], None], fresh: bool
) -> Rows:
    """Evolve and evaluate each controller; every rank calls this, rank 0 gets the rows.

    Args:
        cases: the controllers.
        team: the ranks that share the work.
        table: makes the report's table of rows.
        write: writes the report; called after each controller.
        fresh: do all again, instead of reusing results of an earlier start.
    """
    rows: Rows = []
    for case in cases:
        row = None if team.rank or fresh else cached(case.result, case.key, table)
        if team.agree(row is None):
            evolve(case.plan, team)
        if team.rank:
            continue
        if row is None:
            best = case.plan.files.path(".best.json")
            row = case.evaluate(load_controller(best, case.plan.world.model.folder))
            row["settings"] = case.key
            write_json(case.result, row)
        rows.append(row)
        log.info("%s: %s", case.plan.folder.name, row)
        write(rows)
    return rows
