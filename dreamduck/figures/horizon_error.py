"""Error of dreams by step: of the image, and of the lane offset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common.plot import figure
from dreamduck.evaluation.lane_probe import LaneProbe
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.figures.config import FigureConfig
from dreamduck.figures.real_drive import RealDrive
from dreamduck.figures.scene import dream_after
from dreamduck.figures.source import Source
from dreamduck.simulator.base import FloatArray

SOURCES = {"dreamt": "C0", "last frame stays": "C1", "reconstructed": "C2"}
BAND = (25, 75)  # percentiles
UNITS = {"picture": "mean difference [grey levels]", "lane offset": "error of the lane offset [cm]"}
Errors = dict[str, dict[str, FloatArray]]  # quantity, source: (E, K)


def horizon_errors(source: Source, dreams: Dreams, config: FigureConfig) -> dict[str, Any]:
    """Errors by step over many drives.

    Args:
        source: of the drives.
        dreams: of the world model.
        config: of the figure.
    Returns:
        For JSON: `seconds` (K,), `episodes` (K,) that last so long, and for each quantity and source the
        median and the band, each (K,).
    """
    drives = source.drives(config.episodes, config.warmup + config.steps)
    found = [_errors(dreams, source.probe, real, config, row) for row, real in enumerate(drives)]
    lasting = [len(real.actions) - config.warmup for real in drives]
    longest = max(lasting)
    quantities: dict[str, Any] = {}
    for quantity in found[0]:
        quantities[quantity] = {}
        for name in SOURCES:
            all_of = np.full((len(found), longest), np.nan)
            for row, one in enumerate(found):
                all_of[row, : lasting[row]] = one[quantity][name]
            if np.isfinite(all_of).any():
                quantities[quantity][name] = _summary(all_of)
    return {
        "seconds": [round(step * source.step_time, 3) for step in range(1, longest + 1)],
        "episodes": [sum(length >= step for length in lasting) for step in range(1, longest + 1)],
        "errors": {name: one for name, one in quantities.items() if one},
    }


def _summary(values: FloatArray) -> dict[str, list[float | None]]:
    """Median and band over episodes, by step; None where no episode has a value."""
    known = np.isfinite(values).any(axis=0)
    rows = np.full((3, values.shape[1]), np.nan)
    rows[:, known] = np.nanpercentile(values[:, known], (50, *BAND), axis=0)
    shown = [[round(value, 3) if np.isfinite(value) else None for value in row.tolist()] for row in rows]
    return dict(zip(("median", "low", "high"), shown, strict=True))


def _errors(
    dreams: Dreams, probe: LaneProbe | None, real: RealDrive, config: FigureConfig, row: int
) -> Errors:
    """The errors of one drive, by step after the last frame that was seen."""
    seen = dreams.encode(real.frames)
    z = dream_after(dreams, seen, real.actions[:-1], config.warmup, config.seed + row)
    first = config.warmup
    guesses = {
        "dreamt": z[first:],
        "last frame stays": np.repeat(seen[first - 1 : first], len(seen) - first, axis=0),
        "reconstructed": seen[first:],
    }
    true = real.frames[first:].astype(np.float32)
    images = {name: np.abs(dreams.decode(one) - true).mean(axis=(1, 2, 3)) for name, one in guesses.items()}
    found: Errors = {"picture": images}
    if probe is not None:
        offsets = real.lane_dist[first:]
        found["lane offset"] = {
            name: 100 * np.abs(probe.read(one)[:, 0] - offsets) for name, one in guesses.items()
        }
    return found


def draw_horizon(path: Path, found: dict[str, Any]) -> None:
    """Draw the errors.

    Args:
        path: of the figure; its suffix is the format.
        found: as `horizon_errors` gives it.
    """
    quantities = found["errors"]
    with figure(path, 6 * len(quantities), 4) as drawn:
        for plot, (quantity, sources) in zip(
            drawn.subplots(1, len(quantities), squeeze=False)[0], quantities.items(), strict=True
        ):
            for name, one in sources.items():
                median, low, high = (np.array(one[key], np.float64) for key in ("median", "low", "high"))
                plot.plot(found["seconds"], median, label=name, color=SOURCES[name])
                if name == "dreamt":
                    plot.fill_between(
                        found["seconds"], low, high, color=SOURCES[name], alpha=0.2, linewidth=0
                    )
            plot.set(xlabel="seconds dreamt", ylabel=UNITS[quantity], ylim=(0, None))
        plot.legend(fontsize="small")
