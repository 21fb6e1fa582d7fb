"""The card as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dreamduck.evaluation.model_card.sections.horizon import QUANTITIES
from dreamduck.evaluation.model_card.sections.steering import TESTS

UNITS = {"lane_dist": "m", "lane_angle": "rad", "speed": "m/s", "turn": "rad", "advance": "m"}
NONE = "–"
# figure: where it stands in the card
HEADLINES: Mapping[str, tuple[str, ...]] = {
    "R² of lane offset, frames held out": ("probe", "held_out", "frame", "lane_dist", "r2"),
    "lane offset after 1 s [m]": ("horizon", "horizons", "1", "lane_dist", "single"),
    "its floor": ("horizon", "horizons", "1", "lane_dist", "floor"),
    "lane offset after 5 s [m]": ("horizon", "horizons", "5", "lane_dist", "single"),
    "lane angle after 5 s [rad]": ("horizon", "horizons", "5", "lane_angle", "single"),
    "Spearman of steering and turn, 1 s": ("steering", "steering", "1", "dream", "spearman"),
    "the same on the road, by the same probe": ("steering", "steering", "1", "road", "spearman"),
    "left against right over noise, 1 s": ("steering", "steering", "1", "dream", "separation_over_noise"),
    "left against right, share of the road's, 1 s": ("steering", "steering", "1", "dream", "of_road"),
    "Spearman of throttle and advance, 1 s": ("steering", "throttle", "1", "dream", "spearman"),
    "image after 10 s of standing [0 to 255]": ("stillness", "dream", "10", "picture"),
    "energy distance after 10 s, times the floor": (
        *("distribution", "drivers", "imitated expert", "10", "energy"),
    ),
    "realism after 10 s [AUC]": ("distribution", "drivers", "imitated expert", "10", "realism"),
    "ranking: Spearman of returns": ("ranking", "return", "spearman"),
    "ranking: Pearson of returns": ("ranking", "return", "pearson"),
    "ranking: regret of the dream's best": ("ranking", "return", "regret"),
    "exploit gap": ("ranking", "exploit_gap", "difference"),
    "calibration error of the end, 5 s": ("calibration", "horizons", "5", "end", "calibration_error"),
    "the same of a calibrated model": (
        *("calibration", "horizons", "5", "end", "calibration_error_by_chance"),
    ),
    "AUC of the end, 5 s": ("calibration", "horizons", "5", "end", "auc"),
    "correlation of returns, 5 s": ("calibration", "horizons", "5", "return", "correlation"),
    "multiply-adds of a step": ("cost", "multiply_adds", "step"),
}


def report(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    made = card["made_with"]
    data, settings = made["data"], made["settings"]
    prints = ", ".join(f"{name} {value}" for name, value in made["fingerprints"].items())
    lines = [
        "# Evaluation card",
        "",
        f"World model {prints}; temperature {settings['temperature']:g}, seed {settings['seed']}; "
        f"{data['held_out_episodes']} held-out episodes, {data['unseen_episodes']} on maps never recorded, "
        f"{data['train_episodes']} for the probes. Intervals are 95%, over episodes (bootstrap). "
        "The documentation explains each figure, under Evaluation card.",
        "",
        *table("figure", {name: {"value": value} for name, value in headlines(card).items()}),
    ]
    for name, section in PARTS.items():
        found = card.get(name)
        if found is None:
            continue
        lines += ["", f"## {name.capitalize()}", ""]
        lines += [f"Left out: {found['left_out']}."] if "left_out" in found else section(found)
    return "\n".join(lines) + "\n"


def headlines(card: Mapping[str, Any]) -> dict[str, Any]:
    """The main figures, by name; None where the card has none."""
    return {name: _find(card, path) for name, path in HEADLINES.items()}


def _find(found: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def cell(found: Any) -> str:
    """A table cell: an estimate with its interval, a number, or text."""
    if isinstance(found, Mapping):
        if "left_out" in found:
            return NONE
        if found.get("value") is None:
            return NONE
        if found.get("low") is None:
            return shown(found["value"])
        return f"{shown(found['value'])} ({shown(found['low'])} to {shown(found['high'])})"
    if found is None:
        return NONE
    return shown(found) if isinstance(found, int | float) and not isinstance(found, bool) else str(found)


def shown(value: float) -> str:
    """Three digits; integers with a comma at the thousands."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(first: str, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The lines of a table whose columns are the keys of its rows."""
    heads = list(dict.fromkeys(key for row in rows.values() for key in row))
    lines = [f"| {' | '.join([first, *map(words, heads)])} |", f"| --- |{' ---: |' * len(heads)}"]
    for name, row in rows.items():
        lines.append(f"| {' | '.join([words(name), *(cell(row.get(key)) for key in heads)])} |")
    return lines


def words(name: str) -> str:
    """A key of the card as words."""
    return name.replace("lane_dist", "lane offset").replace("_", " ").replace("|", "/")


def _images(found: dict[str, Any]) -> list[str]:
    return table(
        "of reconstructions", {name: {} if "left_out" in part else part for name, part in found.items()}
    )


def _probe(found: dict[str, Any]) -> list[str]:
    lines = []
    for group in ("held_out", "unseen_maps"):
        part = found[group]
        if "left_out" in part:
            lines += [f"{words(group).capitalize()}: left out, {part['left_out']}.", ""]
            continue
        rows: dict[str, dict[str, Any]] = {}
        for source, quantities in part.items():
            if not isinstance(quantities, Mapping):
                continue
            for name, figures in quantities.items():
                for kind in ("r2", "error", "accuracy"):
                    if isinstance(figures, Mapping) and kind in figures:
                        unit = f" [{UNITS[name]}]" if kind == "error" else ""
                        label = f"{name}, {'R²' if kind == 'r2' else kind}{unit}"
                        rows.setdefault(label, {})[source] = figures[kind]
        lines += [f"{words(group).capitalize()}, {part['episodes']} episodes:", ""]
        lines += [*table("quantity", rows), ""]
    return lines[:-1]


def _horizon(found: dict[str, Any]) -> list[str]:
    lines = [
        f"{found['windows']} windows of {found['episodes']} episodes, {found['dreams']} dreams each; "
        "mean absolute errors.",
    ]
    for name in QUANTITIES:
        rows = {
            f"{seconds} s": {"windows": part["windows"], **part[name]}
            for seconds, part in found["horizons"].items()
        }
        lines += ["", f"{words(name).capitalize()} [{UNITS[name]}]:", "", *table("horizon", rows)]
    return lines


def _distribution(found: dict[str, Any]) -> list[str]:
    lines = []
    for policy, horizons in found["drivers"].items():
        lines += [f"{policy.capitalize()}:", ""]
        if "left_out" in horizons:
            lines += [f"left out: {horizons['left_out']}.", ""]
            continue
        lines += [*table("horizon", {f"{seconds} s": part for seconds, part in horizons.items()}), ""]
    return lines[:-1]


def _steering(found: dict[str, Any]) -> list[str]:
    lines = [
        f"{found['states']} states, {len(found['commands'])} commands, {found['dreams']} dreams of each.",
    ]
    for test in TESTS:
        unit = UNITS[test.motion]
        rows = {}
        for seconds, part in found[test.name].items():
            row = {
                f"spearman, {source}": part[source]["spearman"] for source in ("dream", "road", "road_true")
            }
            row |= {
                f"separation, {source} [{unit}]": part[source]["separation"]
                for source in ("dream", "road", "road_true")
            }
            row |= {
                f"noise [{unit}]": part["dream"]["noise"],
                "separation over noise": part["dream"]["separation_over_noise"],
                "share of the road's": part["dream"]["of_road"],
            }
            rows[f"{seconds} s"] = row
        lines += ["", f"{test.name.capitalize()} and {test.motion}:", "", *table("held for", rows)]
    return lines


def _stillness(found: dict[str, Any]) -> list[str]:
    rows = {
        f"{world}, {seconds} s": {
            f"{name} [{UNITS.get(name, '0 to 255')}]": one for name, one in part.items()
        }
        for world in ("dream", "road")
        for seconds, part in found[world].items()
    }
    other = cell(found["picture_of_another_state"])
    return [*table("standing", rows), "", f"Images of two different states differ by {other}."]


def _ranking(found: dict[str, Any]) -> list[str]:
    rows = {}
    for row in found["drivers"]:
        mark = " (trained in this dream)" if row["trained_in_this_dream"] else ""
        rows[f"{row['name']}{mark}"] = {
            f"{measure}, {world}": row[measure][world]
            for measure in ("return", "survival")
            for world in ("road", "dream")
        }
    measures: dict[str, Any] = {
        name: found[name] for name in ("return", "survival", "survival_time") if name in found
    }
    lines = [
        f"{len(found['drivers'])} policies, {found['episodes']} episodes of {found['seconds']:g} s each, "
        f"on {', '.join(found['maps'])}.",
        "",
        *table("agreement", measures),
        "",
        *table("exploit gap", {"dream less road": found["exploit_gap"]}),
        "",
        *table("policy", rows),
    ]
    if found["left_out_drivers"]:
        reasons = {one["name"]: {"left out": one["reason"]} for one in found["left_out_drivers"]}
        lines += ["", *table("policy", reasons)]
    return lines


def _calibration(found: dict[str, Any]) -> list[str]:
    rows = {
        f"{seconds} s": {
            f"{kind}: {name}": one
            for kind in ("end", "return")
            for name, one in part[kind].items()
            if name != "reliability"
        }
        for seconds, part in found["horizons"].items()
    }
    return table("horizon", rows)


def _uncertainty(found: dict[str, Any]) -> list[str]:
    limit = shown(100 * found["limit"])
    about = (
        f"{found['windows']} windows, {found['dreams']} dreams each; wrong: the lane offset is off by more "
        f"than {limit} cm."
    )
    return [about, "", *table("disagreement over", found["horizons"])]


def _survival(found: dict[str, Any]) -> list[str]:
    rows = {
        row["name"]: {"Kolmogorov distance": row["kolmogorov"], "by chance": row["by_chance"]}
        for row in found["drivers"]
    }
    return table("policy", rows)


def _cost(found: dict[str, Any]) -> list[str]:
    rows = {
        f"{group}: {name}": {
            "value": None if isinstance(one, Mapping) else one,
            **(one if isinstance(one, Mapping) else {}),
        }
        for group, part in found.items()
        for name, one in part.items()
    }
    return table("cost", rows)


def _explanation(found: dict[str, Any]) -> list[str]:
    rows = {"recordings": {"PSNR of a frame [dB]": found["psnr"], "surprise": found["surprise"]}}
    seconds = ", ".join(f"{value:.2f}" for value in found["by_second"] if value is not None)
    return [
        f"{found['episodes']} recordings without telemetry. Surprise is the squared error of the predicted "
        "next latents, as a share of that of latents that stay as they are.",
        "",
        *table("explained", rows),
        "",
        f"Surprise in each second of a recording: {seconds}.",
        *(["", *_lane_position(found["lane_position"])] if "lane_position" in found else []),
    ]


def _lane_position(found: dict[str, Any]) -> list[str]:
    if "left_out" in found:
        return [f"Lane position: left out, {found['left_out']}."]
    rows = {
        f"recording {number + 1}": {
            f"{words(name)}, {measure} [{UNITS[name]}]": value
            for name in ("lane_dist", "lane_angle")
            for measure, value in (
                ("mean", float(np.mean(found[name][number]))),
                ("greatest", float(max(found[name][number], key=abs))),
            )
        }
        for number in range(len(found["lane_dist"]))
    }
    errors = ", ".join(f"{shown(value)} {UNITS[name]}" for name, value in found["error"].items())
    return [
        "Lane position that the probe reads from the latents, in means over a second; positive to the "
        f"right of the lane's centre. Its mean error on recordings of the simulator: {errors}.",
        "",
        *table("recording", rows),
    ]


PARTS = {
    "images": _images,
    "explanation": _explanation,
    "probe": _probe,
    "horizon": _horizon,
    "distribution": _distribution,
    "steering": _steering,
    "stillness": _stillness,
    "ranking": _ranking,
    "survival": _survival,
    "calibration": _calibration,
    "uncertainty": _uncertainty,
    "cost": _cost,
}
