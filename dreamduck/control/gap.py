"""The dream-gap report: evolve at several temperatures, dream and drive with what comes out.

Flow: runs -> [gap] -> gap.json, gap.md, gap.png, and the temperature to ship. A dream without
uncertainty is easy to cheat, one with too much of it teaches nothing; the road decides.
Source: Ha & Schmidhuber 2018, table 2."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamduck import cli, config
from dreamduck.config import check, option
from dreamduck.control import mpi
from dreamduck.control.files import RunFiles, read_card, read_controller, read_theta
from dreamduck.control.recipe import DEFAULTS, DREAM_STEPS
from dreamduck.control.runs import Plan, VerdictConfig, evolve, judge_both, read_verdict
from dreamduck.control.search import SearchConfig
from dreamduck.control.worlds import FormConfig, WorldConfig, model_sizes
from dreamduck.errors import ConfigError, ControllerError
from dreamduck.readers import in_words, read_text
from dreamduck.storage import PathLike, read_json, replacing, write_json

log = logging.getLogger(__name__)

SEARCH = {**DEFAULTS, "max_steps": DREAM_STEPS}
TEMPERATURES = ("0.1", "0.3", "0.5", "0.75", "1.0", "1.15", "1.3")


@dataclasses.dataclass(frozen=True)
class GapConfig(VerdictConfig):
    """How the report is made."""

    temperatures: tuple[str, ...] = option(TEMPERATURES, "to evolve at")

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self)
        for text in self.temperatures:
            try:
                value = float(text)
            except ValueError:
                value = 0.0
            if not 0 < value < float("inf"):
                raise ConfigError(f"temperatures: expected numbers above 0, got {text!r}")


def pick(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row to ship: the greatest mean return on the road; of equals the warmer dream."""
    return max(rows, key=lambda row: (row["road"]["return"][0], row["temperature"]))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The report as Markdown."""
    lines = [
        "# The dream and the road",
        "",
        "Controllers evolved in the dream alone at each temperature; mean return ± standard deviation over "
        f"{rows[0]['road']['episodes']} episodes, dreamt at that temperature and driven.",
        "",
        "| temperature | return in the dream | on the road | alive at the end | along the lane [m] |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    chosen = pick(rows)
    for row in rows:
        dream, road = row["dream"], row["road"]
        mark = " **(chosen)**" if row is chosen else ""
        lines.append(
            f"| {row['temperature']:g}{mark} | {dream['mean']:.2f} ± {dream['std']:.2f} | "
            f"{road['return'][0]:.2f} ± {road['return'][1]:.2f} | {100 * road['alive'][0]:.0f}% | "
            f"{road['distance'][0]:.2f} ({road['distance'][1]:.2f} to {road['distance'][2]:.2f}) |"
        )
    return "\n".join(lines) + "\n"


def draw(path: PathLike, rows: Sequence[dict[str, Any]]) -> None:
    """Draw return against temperature, dreamt and driven."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    plot = figure.subplots()
    temperatures = [row["temperature"] for row in rows]
    for name, values in (
        ("in the dream", [(row["dream"]["mean"], row["dream"]["std"]) for row in rows]),
        ("on the road", [tuple(row["road"]["return"]) for row in rows]),
    ):
        means, spreads = zip(*values, strict=True)
        plot.errorbar(temperatures, means, spreads, fmt="o-", capsize=3, label=name)
    plot.axvline(pick(rows)["temperature"], color="0.8", zorder=0)
    plot.set(xlabel="temperature of the dream", ylabel="return of an episode")
    plot.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def write_report(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the raw figures, the table, the picture."""
    chosen = pick(rows)
    write_json(folder / "gap.json", {"rows": list(rows), "chosen_temperature": chosen["temperature"]})
    with replacing(folder / "gap.md") as temporary:
        temporary.write_text(table(rows), encoding="utf-8")
    draw(folder / "gap.png", rows)


def ship(files: RunFiles, folder: Path, name: str) -> RunFiles:
    """Copy a run's best controller and its card to `folder/<name>.json`."""
    shipped = RunFiles(folder / name)
    path = files.path(".best.json")
    with in_words(path, ControllerError, "not a controller and its return"):
        _, reward = read_json(path, ControllerError)
    shipped.write_theta(read_theta(path))
    shipped.write_card(
        {**read_card(path), "copied_from": files.path(".best.json").name, "best_evaluation": reward}
    )
    return shipped


def run(
    gap: GapConfig, world: WorldConfig, search: SearchConfig, form: FormConfig, folder: Path, team: mpi.Team
) -> list[dict[str, Any]]:
    """Evolve and judge at every temperature; every rank calls this, rank 0 gets the rows.

    What is done already is taken from the files.
    """
    rows: list[dict[str, Any]] = []
    sizes = model_sizes(world.folder)
    for text in gap.temperatures:
        here = dataclasses.replace(world, temperature=float(text))
        plan = Plan("rnnenv", here, search, form.form(*sizes), folder / f"temperature-{text}")
        done = plan.folder / "verdict.json"
        missing = team.agree(not done.exists())
        if missing:
            evolve(plan, team)
        if team.rank:
            continue
        if missing:
            controller = read_controller(plan.files.path(".best.json"), *sizes)
            verdict = judge_both(here, controller, gap)
            write_json(done, {"temperature": float(text), **verdict._asdict()})
        rows.append(read_verdict(done, table))
        log.info("temperature %s: %s", text, rows[-1])
        write_report(folder, rows)
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Make the report and copy the best controller."""
    parser = cli.parser("Evolve at several temperatures; return in the dream and on the road for each.")
    parser.add_argument("--out", default="gap", help="folder to write to (default: gap)")
    config.add_arguments(parser, GapConfig)
    config.add_arguments(parser.add_argument_group("search"), SearchConfig, defaults=SEARCH)  # type: ignore[arg-type]
    config.add_arguments(parser.add_argument_group("controller"), FormConfig, defaults=DEFAULTS)  # type: ignore[arg-type]
    skip = ("temperature",)
    config.add_arguments(parser.add_argument_group("world"), WorldConfig, skip)  # type: ignore[arg-type]
    arguments = parser.parse_args(argv)
    cli.start_logging(arguments)
    gap = config.from_arguments(GapConfig, arguments)
    world = config.from_arguments(WorldConfig, arguments)
    search = config.from_arguments(SearchConfig, arguments)
    form = config.from_arguments(FormConfig, arguments)
    folder = Path(arguments.out)
    with mpi.team() as team:
        rows = run(gap, world, search, form, folder, team)
        if team.rank:
            return
    chosen = pick(rows)
    text = next(text for text in gap.temperatures if float(text) == chosen["temperature"])
    files = RunFiles.of(folder / f"temperature-{text}", "rnnenv", search.num_episode, search.population)
    ship(files, folder, "dream")
    print(read_text(folder / "gap.md"))
    print(f"chosen: temperature {text}; its controller is {folder / 'dream.json'}")


if __name__ == "__main__":
    cli.run(main)
