"""The figures of a card, and the one that compares several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common.plot import figure
from dreamduck.evaluation.model_card.config import HORIZONS, ModelCardConfig
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.data import RealData
from dreamduck.evaluation.model_card.report import UNITS, shown, words
from dreamduck.evaluation.model_card.sections.horizon import QUANTITIES, make_windows
from dreamduck.evaluation.model_card.sections.steering import TESTS

SOURCES = ("single", "mean", "best", "last_frame", "kinematics", "other_episode", "floor")
COMPARED = ("energy", "frechet", "feature_frechet", "realism")
STRIPS = 4  # windows that are shown as images


def draw(folder: Path, card: Mapping[str, Any]) -> list[str]:
    """Draw the sections that have an image; returns the names of the files.

    Args:
        folder: of the card.
        card: its figures.
    """
    made = []
    for name, function in FIGURES.items():
        found = card.get(name)
        if found is not None and "left_out" not in found:
            function(folder / f"{name}.png", found)
            made.append(f"{name}.png")
    return made


def draw_frames(path: Path, dreams: Dreams, data: RealData, config: ModelCardConfig) -> None:
    """Real frames above two dreams of the same actions, at the horizons of the state.

    Args:
        path: of the image.
        dreams: of the world model.
        data: the real episodes.
        config: the card's settings.
    """
    step_time = data.step_time
    steps = [max(1, round(seconds / step_time)) for seconds in HORIZONS]
    windows = make_windows(data.held_out, config.warmup, max(steps), max(steps), 1)
    count = min(STRIPS, len(windows.first))
    if not count:
        return
    dreamt = dreams.open_loop(windows.z[:count], windows.action[:count], max(steps), 2, config.seed)
    rows = windows.first[:count, None] + np.array([0, *steps])
    real = np.concatenate([data.held_out.frames[row] for row in rows[:, None]]).reshape(
        count, len(steps) + 1, 64, 64, 3
    )
    seen = dreams.decode(data.held_out.z[windows.first[:count]])
    shown = dreams.decode(dreamt.z[:, :, [k - 1 for k in steps]])
    lines = []
    for number in range(count):
        lines.append(np.concatenate(list(real[number]), axis=1))
        lines += [
            np.concatenate([seen[number], *shown[number, dream]], axis=1) for dream in range(shown.shape[1])
        ]
    image = np.concatenate(lines)
    with figure(path, image.shape[1] / 50, image.shape[0] / 55) as drawn:
        plot = drawn.subplots()
        plot.imshow(image, interpolation="nearest")
        plot.set_xticks(
            32 + 64 * np.arange(len(steps) + 1), ["last frame", *(f"{seconds:g} s" for seconds in HORIZONS)]
        )
        plot.set_yticks(32 + 64 * np.arange(len(lines)), ["real", "dream", "dream"] * count)
        plot.tick_params(length=0)


def draw_comparison(path: Path, cards: Mapping[str, Mapping[str, Any]]) -> None:
    """Several models side by side: state by horizon, steering, distribution, ranking.

    Args:
        path: of the image.
        cards: by the model's name.
    """
    panels = (
        ("lane offset, single dream [m]", ("horizon", "horizons"), ("lane_dist", "single")),
        ("lane angle, single dream [rad]", ("horizon", "horizons"), ("lane_angle", "single")),
        ("Spearman of steering and turn", ("steering", "steering"), ("dream", "spearman")),
        ("Spearman of throttle and advance", ("steering", "throttle"), ("dream", "spearman")),
        ("energy distance / floor", ("distribution", "drivers", "imitated expert"), ("energy",)),
        ("realism [AUC]", ("distribution", "drivers", "imitated expert"), ("realism",)),
    )
    with figure(path, 13, 7) as drawn:
        for plot, (title, section, figure_of) in zip(drawn.subplots(2, 3).flat, panels, strict=True):
            for number, (name, card) in enumerate(cards.items()):
                _line(plot, _at(card, section), figure_of, name, f"C{number}")
            plot.set(title=title, xlabel="seconds")
        plot = drawn.axes[0]
        floor = _at(next(iter(cards.values())), ("horizon", "horizons"))
        _line(plot, floor, ("lane_dist", "floor"), "floor", "0.5")
        _legend(plot)


def _at(found: Any, path: Sequence[str]) -> Any:
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _line(plot: Any, by_time: Any, path: Sequence[str], label: str, color: str, band: bool = True) -> None:
    """An estimate over time, with its interval as a band; nothing where it is missing."""
    points = [
        (float(seconds), one["value"], one["low"], one["high"])
        for seconds, part in (by_time.items() if isinstance(by_time, Mapping) else ())
        if isinstance(one := _at(part, path), Mapping) and one.get("value") is not None
    ]
    if points:
        seconds, values, low, high = np.array(
            [[np.nan if x is None else x for x in point] for point in points], np.float64
        ).T
        plot.plot(seconds, values, "o-", markersize=3, label=label, color=color)
        if band:
            plot.fill_between(seconds, low, high, color=color, alpha=0.15, linewidth=0)


def _legend(plot: Any) -> None:
    if plot.get_legend_handles_labels()[0]:
        plot.legend(fontsize="small")


def _horizon(path: Path, found: Mapping[str, Any]) -> None:
    with figure(path, 10, 4) as drawn:
        for plot, name in zip(drawn.subplots(1, 2), QUANTITIES, strict=True):
            for number, source in enumerate(SOURCES):
                band = source in ("single", "floor")
                _line(plot, found["horizons"], (name, source), words(source), f"C{number}", band)
            plot.set(
                title=f"error of the {words(name)} [{UNITS[name]}]", xlabel="seconds dreamt", ylim=(0, None)
            )
        _legend(plot)


def _steering(path: Path, found: Mapping[str, Any]) -> None:
    with figure(path, 11, 7) as drawn:
        plots = drawn.subplots(2, 2)
        for row, test in zip(plots, TESTS, strict=True):
            for number, source in enumerate(("dream", "road", "road_true")):
                _line(row[0], found[test.name], (source, "spearman"), words(source), f"C{number}")
                _line(row[1], found[test.name], (source, "separation"), words(source), f"C{number}")
            _line(row[1], found[test.name], ("dream", "noise"), "noise of the dream", "0.5")
            row[0].set(title=f"Spearman of {test.name} and {test.motion}", ylim=(-1.05, 1.05))
            row[1].set(title=f"{test.motion} between both ends [{UNITS[test.motion]}]")
            _legend(row[0])
            _legend(row[1])
        for plot in plots[-1]:
            plot.set(xlabel="seconds held")


def _distribution(path: Path, found: Mapping[str, Any]) -> None:
    with figure(path, 14, 3.6) as drawn:
        for plot, name in zip(drawn.subplots(1, len(COMPARED)), COMPARED, strict=True):
            for number, (policy, horizons) in enumerate(found["drivers"].items()):
                _line(plot, horizons, (name,), policy, f"C{number}")
            plot.set(
                title=f"{words(name)}{' [AUC]' if name == 'realism' else ' / floor'}", xlabel="seconds"
            )
            plot.set(xscale="log")
        _legend(plot)


def _ranking(path: Path, found: Mapping[str, Any]) -> None:
    with figure(path, 10, 5) as drawn:
        for plot, measure in zip(drawn.subplots(1, 2), ("return", "survival_time"), strict=True):
            for row in found["drivers"]:
                road, dream = row[measure]["road"], row[measure]["dream"]
                if None in (road["value"], dream["value"]):
                    continue
                color = "C3" if row["trained_in_this_dream"] else "C0"
                spans = [
                    [[one["value"] - one["low"]], [one["high"] - one["value"]]] for one in (road, dream)
                ]
                plot.errorbar(
                    road["value"],
                    dream["value"],
                    spans[1],
                    spans[0],
                    "o",
                    color=color,
                    markersize=4,
                    lw=0.7,
                )
            low, high = plot.get_xlim()
            plot.plot([low, high], [low, high], color="0.7", lw=0.8, zorder=0)
            rank = shown(found[measure]["spearman"]["value"] or 0.0)
            plot.set(
                title=f"{words(measure)}, Spearman {rank}", xlabel="on the road", ylabel="in the dream"
            )
        plot.plot([], [], "o", color="C3", label="trained in this dream")
        plot.plot([], [], "o", color="C0", label="other policies")
        _legend(plot)


def _survival(path: Path, found: Mapping[str, Any]) -> None:
    rows = found["drivers"]
    columns = min(6, max(1, len(rows)))
    lines = -(-len(rows) // columns)
    with figure(path, 2.2 * columns, 1.9 * lines) as drawn:
        plots = drawn.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flat
        for plot in plots[len(rows) :]:
            plot.set_visible(False)
        for plot, row in zip(plots, rows, strict=False):
            plot.plot(found["seconds"], row["road"], label="road")
            plot.plot(found["seconds"], row["dream"], label="dream")
            plot.set_title(row["name"], fontsize="x-small")
            plot.set(ylim=(-0.05, 1.05))
        _legend(drawn.axes[0])


def _calibration(path: Path, found: Mapping[str, Any]) -> None:
    with figure(path, 4.5, 4.5) as drawn:
        plot = drawn.subplots()
        plot.plot([0, 1], [0, 1], color="0.7", lw=0.8)
        for seconds, part in found["horizons"].items():
            bins = part["end"]["reliability"]
            plot.plot(
                [one["expected"] for one in bins],
                [one["observed"] for one in bins],
                "o-",
                label=f"{seconds} s",
            )
        plot.set(title="end of the episode", xlabel="probability in the dream", ylabel="share that ended")
        _legend(plot)


def _explanation(path: Path, found: Mapping[str, Any]) -> None:
    with figure(path, 12, 3.6) as drawn:
        surprise, offset, angle = drawn.subplots(1, 3)
        surprise.plot([np.nan if value is None else value for value in found["by_second"]])
        surprise.set(title="surprise", xlabel="seconds", ylim=(0, None))
        for plot, name in ((offset, "lane_dist"), (angle, "lane_angle")):
            for values in found.get("lane_position", {}).get(name, ()):
                plot.plot(values, lw=0.8)
            plot.axhline(0.0, color="0.7", lw=0.8)
            plot.set(title=f"{words(name)}, by the probe [{UNITS[name]}]", xlabel="seconds")


FIGURES = {
    "explanation": _explanation,
    "horizon": _horizon,
    "steering": _steering,
    "distribution": _distribution,
    "ranking": _ranking,
    "survival": _survival,
    "calibration": _calibration,
}
