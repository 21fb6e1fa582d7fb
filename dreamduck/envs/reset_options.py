"""The options of a reset, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError, StartError
from dreamduck.simulator.base import FloatArray

Indices = npt.NDArray[np.int64]


def check_options(
    options: dict[str, Any] | None, known: Sequence[str], envs: Indices | None = None, num_envs: int = 1
) -> dict[str, Any]:
    """The options of a reset, with `start` as a row for each environment that is reset.

    Args:
        options: as given.
        known: what the world takes.
        envs: of a batch: those that are reset; None for a single environment.
        num_envs: of the batch.
    Raises:
        ConfigError: an unknown key.
        StartError: a start that is not three finite numbers, or rows of them.
    """
    checked = dict(options or {})
    unknown = sorted(set(checked) - set(known))
    if unknown:
        raise ConfigError(
            f"options: expected {', '.join(known) or 'none'}, got {', '.join(map(repr, unknown))}"
        )
    if checked.get("start") is not None:
        if envs is None:
            checked["start"] = check_start(checked["start"])[np.newaxis]
        else:
            checked["start"] = check_start(checked["start"], num_envs)[envs]
    return checked


def check_start(start: Any, rows: int | None = None) -> FloatArray:
    """A start pose as (3,) float64, or as (rows, 3) where rows are allowed.

    Args:
        start: as given.
        rows: how many rows are allowed instead of one pose.
    Raises:
        StartError: another shape, or a number that is not finite.
    """
    shapes = [(3,)] if rows is None else [(3,), (rows, 3)]
    expected = "three finite numbers (x [m], z [m], heading [rad])"
    if rows is not None:
        expected += f", or {rows} rows of them"
    try:
        array = np.asarray(start, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise StartError(f"start: expected {expected}, got {start!r}") from err
    if array.shape not in shapes or not np.isfinite(array).all():
        raise StartError(f"start: expected {expected}, got {start!r}")
    return array if rows is None else np.broadcast_to(array, (rows, 3))
