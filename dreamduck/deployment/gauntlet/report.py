"""The gauntlet's report: a summary with intervals, a table, an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common.plot import figure
from dreamduck.common.storage import write_text
from dreamduck.deployment.gauntlet.config import GauntletConfig
from dreamduck.deployment.gauntlet.perturbations import CLEAN, Perturbation
from dreamduck.deployment.gauntlet.results import Results
from dreamduck.evaluation.episode_stats import as_measures
from dreamduck.evaluation.model_card.bootstrap import IntArray, bootstrap

ALL_MAPS = "all maps"
ROUNDS = 1000  # of resampling
TARGETS = {"alive": 0.9, "distance_share": 0.8}  # under each single perturbation
TARGETS_ALL = {"alive": 0.8}  # under all at once
ALL = "all-"  # keys of rows with all perturbations begin with this


def summarize(
    results: Results, rows: Sequence[Perturbation], settings: GauntletConfig
) -> list[dict[str, Any]]:
    """A summary of each perturbation, on all maps and on each.

    Args:
        results: of all these rows.
        rows: the clean drive is one.
        settings: of the gauntlet.
    Returns:
        Of each perturbation and map "alive" (share), "distance" [m], "distance_share" (of the clean
        drive's), "lateral_deviation" [m] (mean distance from the lane's centre while in the lane) and
        "out_of_lane" (share of time), each [value, low, high] with the 95% interval of a bootstrap over
        episodes.
    """
    found = []
    for row in rows:
        for name in (ALL_MAPS, *settings.maps):
            maps = settings.maps if name == ALL_MAPS else (name,)
            here = [episode for place in maps for episode in results.episodes(row.key, place)]
            clean = [episode for place in maps for episode in results.episodes(CLEAN, place)]
            measures = summarize_episodes(here, clean, settings.seed)
            found.append({"key": row.key, "label": row.label, "map": name, **measures})
    return found


def summarize_episodes(
    episodes: Sequence[dict[str, Any]], clean: Sequence[dict[str, Any]], seed: int
) -> dict[str, Any]:
    """See `summarize`; episodes are those of the clean drive one by one, and resampled together."""
    measures, usual = as_measures(list(episodes)), as_measures(list(clean)).distance
    alive = np.array([episode["end"] == "time" for episode in episodes], np.float64)
    inside = measures.survival_time - measures.out_of_lane_time

    def ratio(above: Any, below: Any) -> Callable[[IntArray], float]:
        def of(chosen: IntArray) -> float:
            total = float(below[chosen].sum())
            return float(above[chosen].sum()) / total if total > 0 else float("nan")

        return of

    one = np.ones(len(alive))
    statistics = {
        "alive": ratio(alive, one),
        "distance": ratio(measures.distance, one),
        "distance_share": ratio(measures.distance, usual),
        "lateral_deviation": ratio(measures.lateral_deviation, inside),
        "out_of_lane": ratio(measures.out_of_lane_time, measures.survival_time),
    }
    estimates = {name: bootstrap(of, len(alive), seed, ROUNDS) for name, of in statistics.items()}
    return {name: list(made[:3]) for name, made in estimates.items()} | {"episodes": len(episodes)}


def verdict(entry: dict[str, Any]) -> str:
    """Whether a row of the summary meets its targets: "met" or "missed"; "" for the clean drive."""
    if entry["key"] == CLEAN:
        return ""
    targets = TARGETS_ALL if entry["key"].startswith(ALL) else TARGETS
    met = all(entry[name][0] is not None and entry[name][0] >= least for name, least in targets.items())
    return "met" if met else "missed"


def table(summary: Sequence[dict[str, Any]], settings: GauntletConfig, about: str) -> str:
    """The summary as Markdown.

    Args:
        summary: see `summarize`.
        settings: of the gauntlet.
        about: a line on what drove.
    """
    size = f"{settings.camera_width}x{settings.camera_height}"
    lines = [
        "# Gauntlet",
        "",
        f"{about} {settings.count} episodes of {settings.seconds:g} s for each perturbation and map, seed "
        f"{settings.seed}; frames are drawn at {size}. Values with 95% confidence intervals (bootstrap "
        "over episodes). Distance is along the lane. Lateral deviation is the mean distance from the "
        "lane's centre while in the lane. "
        f"Targets: a survival rate of {100 * TARGETS['alive']:.0f}% and "
        f"{100 * TARGETS['distance_share']:.0f}% of the clean distance under each perturbation, a survival "
        f"rate of {100 * TARGETS_ALL['alive']:.0f}% under all.",
    ]
    for name in dict.fromkeys(entry["map"] for entry in summary):
        lines += ["", f"## {name}", "", rows([entry for entry in summary if entry["map"] == name])]
    return "\n".join(lines) + "\n"


def rows(summary: Sequence[dict[str, Any]]) -> str:
    """Entries of a summary as the rows of a Markdown table, with its head."""
    heads = (
        "perturbation",
        "survival rate",
        "distance [m]",
        "% of clean",
        "lateral deviation [cm]",
        "target",
    )
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 2)} --- |"]
    for entry in summary:
        cells = (
            entry["label"],
            _interval(entry["alive"], 100, 0, "%"),
            _interval(entry["distance"], 1, 2),
            _interval(entry["distance_share"], 100, 0, "%"),
            _interval(entry["lateral_deviation"], 100, 1),
            verdict(entry),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(path: Path, summary: Sequence[dict[str, Any]]) -> None:
    """Draw survival and distance of each perturbation, on all maps, with their intervals and targets."""
    rows = [entry for entry in summary if entry["map"] == ALL_MAPS]
    with figure(path, 10, 1.2 + 0.25 * len(rows)) as drawn:
        plots = drawn.subplots(1, 2, sharey=True)
        for plot, name, title in zip(
            plots, TARGETS, ("survival rate [%]", "distance [% of the clean drive]"), strict=True
        ):
            for place, entry in enumerate(rows):
                value, low, high = (100 * (part or 0.0) for part in entry[name])
                color = "C1" if verdict(entry) == "missed" else "C0"
                error = [[max(value - low, 0.0)], [max(high - value, 0.0)]]
                plot.barh(place, value, color=color, xerr=error, error_kw={"linewidth": 0.8})
            plot.axvline(100 * TARGETS[name], color="0.4", linewidth=0.8, linestyle="--")
            plot.set_xlabel(title)
            plot.set_xlim(left=0)
        plots[0].set_yticks(range(len(rows)), [entry["label"] for entry in rows], fontsize="small")
        plots[0].invert_yaxis()


def write(folder: Path, summary: Sequence[dict[str, Any]], settings: GauntletConfig, about: str) -> str:
    """Write table and image; returns the table."""
    text = table(summary, settings, about)
    write_text(folder / "gauntlet.md", text)
    draw(folder / "gauntlet.png", summary)
    return text


def _interval(values: Sequence[Any], factor: float, digits: int, unit: str = "") -> str:
    if any(value is None for value in values):
        return ""
    middle, low, high = (factor * value for value in values)
    return f"{middle:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"
