"""The scoreboard's report: summaries with confidence intervals, a table, a figure of the paths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dreamduck.common import seeding
from dreamduck.common.plot import figure
from dreamduck.common.storage import PathLike
from dreamduck.evaluation.episode_stats import as_measures
from dreamduck.evaluation.metrics import PERCENTILES, RESAMPLES, summarize
from dreamduck.simulator.maps.parser import load_map

MEASURES = {  # heading of the column, by the measure's name
    "survival_time": "survival [s]",
    "distance": "distance along the lane [m]",
    "lateral_deviation": "lateral deviation [m s]",
    "heading_deviation": "heading deviation [rad s]",
    "out_of_lane_time": "out of lane [s]",
}
COSTS = ("steps in the simulator", "steps in the dream", "minutes")
REFERENCE = "pure pursuit"


def summarize_episodes(episodes: list[dict[str, Any]], seed: int = 0) -> dict[str, Any]:
    """Medians with 95% confidence intervals, and the shares of episodes by how they ended.

    Args:
        episodes: as `EpisodeStatsCallback.episodes` gives them.
        seed: of the resampling.
    """
    estimates = summarize(as_measures(episodes), seed)
    found: dict[str, Any] = {
        name: [round(float(value), 4) for value in estimates[name]] for name in MEASURES
    }
    found["alive"] = share([episode["end"] == "time" for episode in episodes], seed)
    found["collisions"] = share([episode["end"] == "collision" for episode in episodes], seed)
    returns = np.array([episode["return"] for episode in episodes])
    found["return"] = [round(float(returns.mean()), 4), round(float(returns.std()), 4)]
    found["episodes"] = len(episodes)
    return found


def share(values: Iterable[bool], seed: int = 0) -> list[float]:
    """The share of true values with its 95% bootstrap interval: [share, low, high]."""
    array = np.array(list(values), dtype=np.float64)
    chosen = seeding.generator(seed, 1).integers(0, len(array), size=(RESAMPLES, len(array)))
    low, high = np.percentile(array[chosen].mean(axis=1), PERCENTILES)
    return [round(float(array.mean()), 4), round(float(low), 4), round(float(high), 4)]


def one_line(summary: dict[str, Any]) -> str:
    """A summary in one line."""
    return (
        f"survival rate {100 * summary['alive'][0]:.0f}%, {summary['distance'][0]:.2f} m along the lane, "
        f"{summary['out_of_lane_time'][0]:.1f} s out of it"
    )


def table(entries: Sequence[dict[str, Any]]) -> str:
    """The board as Markdown, a section for each simulator and map."""
    lines = [
        "# Scoreboard",
        "",
        "Medians over the episodes with 95% confidence intervals (bootstrap). The lateral deviation "
        'counts nothing while out of the lane: read it beside the survival rate. "% of pure pursuit" is '
        "the distance along the lane as a share of pure pursuit's, which knows the true pose.",
    ]
    with_costs = any("cost" in entry for entry in entries)
    if with_costs:
        lines[-1] += (
            " Steps and minutes are those of training; for policies that see through the world model, the "
            "steps recorded for it and the minutes of its trainings are in them."
        )
    for simulator, map_name in _places(entries):
        here = [entry for entry in entries if _place(entry) == (simulator, map_name)]
        key = here[0]["key"]
        lines += ["", f"## {map_name}, {simulator}", ""]
        lines.append(
            f"{here[0]['summary']['episodes']} episodes of {key['seconds']:g} s, seed {key['seed']}."
        )
        heads = ["policy", "survival rate", "% of pure pursuit", "collisions", *MEASURES.values()]
        heads += COSTS if with_costs else ()
        lines += ["", f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
        reference = next((e["summary"]["distance"][0] for e in here if e["key"]["row"] == REFERENCE), 0.0)
        for entry in here:
            cells = [*_cells(entry, reference), *(_costs(entry) if with_costs else ())]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw_paths(path: PathLike, entries: Sequence[dict[str, Any]]) -> None:
    """Draw the paths driven, seen from above: a row for each map, a column for each policy."""
    if not entries:
        return
    places = _places(entries)
    policies = list(dict.fromkeys(entry["key"]["row"] for entry in entries))
    with figure(path, 2.6 * len(policies), 2.6 * len(places)) as drawn:
        axes = drawn.subplots(len(places), len(policies), squeeze=False)
        for row, place in enumerate(places):
            for column, policy in enumerate(policies):
                plot = axes[row, column]
                plot.set_title(policy if row == 0 else "", fontsize="small")
                plot.set_ylabel("\n".join(reversed(place)) if column == 0 else "", fontsize="small")
                here = (e["paths"] for e in entries if _place(e) == place and e["key"]["row"] == policy)
                paths = next(here, None)
                if paths is None:  # it never drove here
                    plot.set(xticks=[], yticks=[], frame_on=False)
                    continue
                draw_map(plot, place[1])
                for index, points in enumerate(paths):
                    line = np.asarray(points).reshape(-1, 2)
                    plot.plot(line[:, 0], line[:, 1], color=f"C{index}", linewidth=0.8)
                    plot.plot(*line[-1], "o", color=f"C{index}", markersize=2)


def draw_map(plot: Any, map_name: str) -> None:
    """The drivable tiles of a map and their lanes, z downwards as in the top-down view."""
    road = load_map(map_name)
    size = road.tile_size
    steps = np.linspace(0.0, 1.0, 12)[:, None]
    weights = np.hstack(
        [(1 - steps) ** 3, 3 * steps * (1 - steps) ** 2, 3 * steps**2 * (1 - steps), steps**3]
    )
    for tile in road.drivable_tiles:
        x, z = tile.i * size, tile.j * size
        plot.fill([x, x + size, x + size, x], [z, z, z + size, z + size], color="0.9", linewidth=0)
        for curve in tile.curves:
            plot.plot(*(weights @ curve).T, color="0.75", linewidth=0.5)
    plot.set(xlim=(0, road.width * size), ylim=(road.height * size, 0), aspect="equal")
    plot.set(xticks=[], yticks=[])


def _cells(entry: dict[str, Any], reference: float) -> list[str]:
    summary = entry["summary"]
    distance = summary["distance"][0]
    return [
        entry["key"]["row"],
        percent(summary["alive"]),
        f"{100 * distance / reference:.0f}%" if reference > 0 else "",
        percent(summary["collisions"]),
        *(interval(summary[name]) for name in MEASURES),
    ]


def _costs(entry: dict[str, Any]) -> list[str]:
    cost = entry.get("cost")
    if cost is None:
        return ["" for _ in COSTS]
    model = cost.get("model", {"simulator_steps": 0, "minutes": 0.0})
    steps = cost["simulator_steps"] + model["simulator_steps"]
    return [f"{steps:,}", f"{cost['dream_steps']:,}", f"{cost['minutes'] + model['minutes']:.0f}"]


def percent(values: Sequence[float]) -> str:
    """A share with its interval, [share, low, high], in percent."""
    middle, low, high = (100 * value for value in values)
    return f"{middle:.0f}% ({low:.0f} to {high:.0f})"


def interval(values: Sequence[float]) -> str:
    """A figure with its interval, [figure, low, high]."""
    return f"{values[0]:.2f} ({values[1]:.2f} to {values[2]:.2f})"


def _place(entry: dict[str, Any]) -> tuple[str, str]:
    return entry["key"]["world"]["simulator"], entry["key"]["world"]["map_name"]


def _places(entries: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(_place(entry) for entry in entries))
