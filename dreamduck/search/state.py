"""The state of a search on disk, from which a killed run continues."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.config import changed
from dreamduck.common.errors import CheckpointError
from dreamduck.common.readers import in_words, parse_json
from dreamduck.common.storage import read_npz, write_npz

STATE_FORMAT = 1
REMEDY, NO_STATE = "start over with --fresh", "not the state of a search"
Arrays = dict[str, npt.NDArray[Any]]


@dataclasses.dataclass
class Found:
    """The results of a search so far.

    Attributes:
        history: a row a generation, see `RunFiles.write_history`.
        eval_log: rows of generation, mean return, theta, one an evaluation of the mean.
        best_history: rows for `RunFiles.write_evaluations`.
        best_reward: the greatest return of an evaluation.
        best_theta: its theta.
        seconds: that the search took, over all starts.
        steps: of the environment, over all starts.
    """

    history: list[list[float]] = dataclasses.field(default_factory=list)
    eval_log: list[list[Any]] = dataclasses.field(default_factory=list)
    best_history: list[list[Any]] = dataclasses.field(default_factory=list)
    best_reward: float = 0.0
    best_theta: list[float] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    steps: int = 0


def write_state(path: Path, found: Found, settings: Mapping[str, Any], arrays: Arrays) -> None:
    """Write a state.

    Args:
        path: of the file.
        found: so far.
        settings: that must be the same when the run resumes.
        arrays: of the strategy and its space.
    """
    meta = {**dataclasses.asdict(found), "format": STATE_FORMAT, "settings": dict(settings)}
    meta["eval_log"] = [[generation, reward] for generation, reward, _ in found.eval_log]
    meta.pop("best_theta")
    own = {
        "eval_thetas": np.asarray([row[2] for row in found.eval_log], dtype=np.float64),
        "best_theta": np.asarray(found.best_theta, dtype=np.float64),
        "meta": np.asarray(json.dumps(meta)),
    }
    write_npz(path, {**arrays, **own}, compress=False)


def read_state(path: Path, settings: Mapping[str, Any]) -> tuple[Found, Arrays]:
    """Read a state.

    Args:
        path: of the file.
        settings: of the run that resumes.
    Returns:
        What was found, and the arrays of the strategy and its space.
    Raises:
        CheckpointError: it is damaged, or of other settings.
    """
    arrays = read_npz(path, CheckpointError, REMEDY)
    with in_words(path, CheckpointError, NO_STATE, REMEDY):
        meta = parse_json(str(arrays.pop("meta")), path, CheckpointError, REMEDY)
        thetas, best = arrays.pop("eval_thetas"), arrays.pop("best_theta")
        then = dict(meta["settings"])
        found = Found(
            history=list(meta["history"]),
            eval_log=[[*row, theta.tolist()] for row, theta in zip(meta["eval_log"], thetas, strict=True)],
            best_history=list(meta["best_history"]),
            best_reward=float(meta["best_reward"]),
            best_theta=best.tolist(),
            seconds=float(meta["seconds"]),
            steps=int(meta["steps"]),
        )
    if different := changed(then, settings):
        raise CheckpointError(
            f"{path}: expected the settings this run was started with, but changed were {different}; "
            "give the old ones to resume, or --fresh to start again"
        )
    return found, arrays
