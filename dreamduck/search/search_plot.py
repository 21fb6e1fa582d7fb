"""A plot of a search: returns, their spread, evaluations, step size.

`dreamduck plot log/rnnenv.cma.16.64.json` draws it; a
running search redraws it by itself. Files of the original code are drawn as well."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamduck.common import command_line
from dreamduck.common.errors import ControllerError
from dreamduck.common.plot import figure
from dreamduck.common.storage import PathLike, read_json
from dreamduck.controllers.controller_file import RunFiles, run_of

COLUMNS = 9  # of a row of the history


def read_history(files: RunFiles) -> list[list[float]]:
    """The rows of a run's `.hist.json`.

    Raises:
        ControllerError: there is none, or it is not a history.
    """
    path = files.path(".hist.json")
    rows = read_json(path, ControllerError)
    if not isinstance(rows, list) or not all(_is_row(row) for row in rows):
        raise ControllerError(
            f"{path}: expected rows of {COLUMNS} numbers, as dreamduck evolve writes them"
        )
    return rows


def read_evaluations(files: RunFiles) -> list[tuple[float, float]]:
    """(generation, return) of a run's evaluations; empty where there were none yet."""
    path = files.path(".hist_best.json")
    if not os.path.lexists(path):
        return []
    rows = read_json(path, ControllerError)
    try:
        return [(float(row[0]), float(row[row.index("curr") + 1])) for row in rows]
    except (AttributeError, IndexError, TypeError, ValueError) as err:
        raise ControllerError(f"{path}: expected rows as dreamduck evolve writes them ({err})") from err


def draw_run(files: RunFiles, target: PathLike | None = None) -> Path:
    """Draw a run's plot.

    Args:
        target: where to; `<run>.png` by default.
    Raises:
        ControllerError: the run has no history.
    """
    rows, evaluations = read_history(files), read_evaluations(files)
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(COLUMNS)]
    generation, _, mean, least, greatest, spread, step_size, length, _ = columns
    path = files.path(".png") if target is None else Path(target)
    with figure(path, 9, 6) as drawn:
        top, bottom = drawn.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        top.fill_between(generation, least, greatest, alpha=0.12, color="C0", label="worst to best")
        low = [m - s for m, s in zip(mean, spread, strict=True)]
        high = [m + s for m, s in zip(mean, spread, strict=True)]
        top.fill_between(generation, low, high, alpha=0.25, color="C0", label="mean ± spread")
        top.plot(generation, mean, color="C0", label="mean")
        top.plot(generation, greatest, color="C2", linewidth=0.8, label="best candidate")
        if evaluations:
            top.plot(*zip(*evaluations, strict=True), "o-", color="C3", markersize=4, label="evaluation")
        top.set_ylabel("return")
        top.set_title(files.base.name)
        top.legend(loc="lower right", fontsize="small")
        bottom.plot(generation, step_size, color="C4")
        bottom.set(xlabel="generation", ylabel="step size")
        other = bottom.twinx()
        other.plot(generation, length, color="C5", linewidth=0.8)
        other.set_ylabel("steps")
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the plot of one run or of several."""
    parser = command_line.parser(
        "Draw the progress of searches from their .hist.json.",
        "example:\n  dreamduck plot log/rnnenv.cma.16.64.json",
    )
    parser.add_argument("files", nargs="+", help="any file of a run, for example log/rnnenv.cma.16.64.json")
    parser.add_argument("-o", "--output", help="the file to write (for one run only)")
    parser.add_argument("--watch", type=float, default=0.0, help="interval of drawing it again [s]")
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    if arguments.output and len(arguments.files) > 1:
        parser.error("--output: expected a single run")
    while True:
        for name in arguments.files:
            print(draw_run(run_of(name), arguments.output))
        if arguments.watch <= 0:
            return
        time.sleep(arguments.watch)


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, list)
        and len(row) == COLUMNS
        and all(isinstance(v, (int, float)) and math.isfinite(v) for v in row)
    )
