"""Controllers that are trained one after the other and evaluated, for the rows of one table."""

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

log = logging.getLogger(__name__)

Rows = list[dict[str, Any]]
RESULT = "verdict.json"  # of each controller, in its folder


class Case(NamedTuple):
    """A controller to be compared.

    Attributes:
        best: its file; the row is written to the same folder.
        weights: folder of its world model.
        train: makes it; every rank calls this.
        key: the settings that its results depend on; with others it is evaluated again.
        evaluate: makes its row of the finished controller.
    """

    best: Path
    weights: Path
    train: Callable[[], object]
    key: dict[str, Any]
    evaluate: Callable[[Controller], dict[str, Any]]

    @property
    def result(self) -> Path:
        """The file of its row."""
        return self.best.parent / RESULT


def train_and_evaluate(
    cases: Iterable[Case], team: mpi.Team, table: Table, write: Callable[[Rows], None], fresh: bool
) -> Rows:
    """Train and evaluate each controller; every rank calls this, rank 0 gets the rows.

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
            case.train()
        if team.rank:
            continue
        if row is None:
            row = case.evaluate(load_controller(case.best, case.weights))
            row["settings"] = case.key
            write_json(case.result, row)
        rows.append(row)
        log.info("%s: %s", case.best.parent.name, row)
        write(rows)
    return rows
