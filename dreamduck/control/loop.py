"""The loop that closes the dream's gap: drive, record, retrain, evolve, and again.

Flow: every stage -> [loop]. A controller finds what is wrong with a dream; its own drives, recorded on
the road, show the memory what happens there. Each round adds such drives to the records, trains the
memory anew on all of them, evolves in the new dream, and judges on the road; the table says whether it
helped. Source: Ha & Schmidhuber 2018, section 5 (iterative training)."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamduck import cli, config
from dreamduck.config import check, option
from dreamduck.control.files import read_controller, run_of
from dreamduck.control.gap import ship
from dreamduck.control.recipe import RecipeConfig
from dreamduck.control.runs import VerdictConfig, judge_both, read_verdict
from dreamduck.control.stages import Stage, run_stages
from dreamduck.control.worlds import WorldConfig, model_sizes
from dreamduck.memory.layout import TRAINING_STEPS
from dreamduck.storage import replacing, write_json

log = logging.getLogger(__name__)

VISION_FILES = ("vae.weights.h5", "vae.json")


@dataclasses.dataclass(frozen=True)
class LoopConfig(RecipeConfig, VerdictConfig):
    """One round's settings."""

    rounds: int = option(2, "drive, record, retrain, evolve: so many times", low=1)
    records: str = option("records", "folder of the episodes there are; drives are added in a copy")
    episodes: int = option(200, "drives to add in each round", low=1)
    drive_steps: int = option(300, "of such a drive at most", low=1)
    noise: float = option(0.3, "pushes on the actions of every second drive", low=0.0)
    memory_steps: int = option(TRAINING_STEPS, "of the MDN-RNN in each round", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self)


def gather(source: Path, target: Path) -> None:
    """Bring the episodes there are into the loop's own folder, as links where the disk allows."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.npz")):
        place = target / path.name
        if place.exists():
            continue
        try:
            place.hardlink_to(path)
        except OSError:  # another disk
            shutil.copyfile(path, place)


def round_stages(
    number: int, folder: Path, controller: Path, weights: Path, settings: LoopConfig, world: WorldConfig
) -> list[Stage]:
    """The commands of one round.

    Args:
        controller, weights: of the round before.
    """
    here = folder / f"round-{number}"
    records, series, made = folder / "records", here / "series", here / "weights"
    name = f"{number}"
    best = settings.best(here / "log")
    drives = [
        *("dreamduck.control.drives", str(controller), "--out", str(records)),
        *("--weights", str(weights), "--map-name", world.map_name, "--simulator", world.simulator),
        *("--first", str(900_000_000 + 1_000_000 * number), "--episodes", str(settings.episodes)),
        *("--max-steps", str(settings.drive_steps), "--noise", str(settings.noise)),
    ]
    encode = ["series.py", "--records", str(records), "--weights", str(made), "--series", str(series)]
    remember = [
        *("rnn_train.py", "--series", str(series), "--weights", str(made), "--log", str(here / "log")),
        *("--steps", str(settings.memory_steps)),
    ]
    evolve = settings.command(made, here / "log", world.temperature)
    if settings.features == "z":
        # The VAE stays, so z still means the same; c and h do not after another training.
        evolve += ["--start", str(controller)]
    mind = made / "rnn.weights.h5"
    return [
        Stage(f"{name}-drives", tuple(drives), (controller,), (records,)),
        Stage(f"{name}-series", tuple(encode), (controller,), (series,)),
        Stage(f"{name}-memory", tuple(remember), (controller,), (mind,)),
        Stage(f"{name}-evolve", tuple(evolve), (mind,), (best,)),
    ]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rounds as Markdown."""
    lines = [
        "# The loop",
        "",
        "| round | return in the dream | on the road | alive at the end | along the lane [m] |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        dream, road = row["dream"], row["road"]
        lines.append(
            f"| {row['round']} | {dream['mean']:.2f} ± {dream['std']:.2f} | "
            f"{road['return'][0]:.2f} ± {road['return'][1]:.2f} | {100 * road['alive'][0]:.0f}% | "
            f"{road['distance'][0]:.2f} ({road['distance'][1]:.2f} to {road['distance'][2]:.2f}) |"
        )
    return "\n".join(lines) + "\n"


def judge(
    number: int, controller: Path, weights: Path, settings: LoopConfig, world: WorldConfig, target: Path
) -> dict[str, Any]:
    """A round's verdict, from its file where it is judged already."""
    if not target.exists():
        here = dataclasses.replace(world, weights=str(weights))
        found = judge_both(here, read_controller(controller, *model_sizes(weights)), settings)
        write_json(target, {"round": number, "controller": str(controller), **found._asdict()})
    return read_verdict(target, table)


def run(controller: Path, settings: LoopConfig, world: WorldConfig, folder: Path) -> list[dict[str, Any]]:
    """All rounds; what is done already is taken from the files.

    Args:
        controller: evolved in the dream of `world.weights`; the first to drive.
    """
    gather(Path(settings.records), folder / "records")
    weights = world.folder
    rows = [judge(0, controller, weights, settings, world, folder / "round-0.json")]
    for number in range(1, settings.rounds + 1):
        made = folder / f"round-{number}" / "weights"
        made.mkdir(parents=True, exist_ok=True)
        for name in VISION_FILES:
            if not (made / name).exists():
                shutil.copyfile(world.folder / name, made / name)
        planned = round_stages(number, folder, controller, weights, settings, world)
        run_stages(planned, folder)
        controller, weights = planned[-1].outputs[0], made
        rows.append(judge(number, controller, weights, settings, world, folder / f"round-{number}.json"))
        log.info("round %d: %s", number, rows[-1])
        write_json(folder / "loop.json", rows)
        with replacing(folder / "loop.md") as temporary:
            temporary.write_text(table(rows), encoding="utf-8")
    return rows


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser("Drive, record, retrain the memory, evolve in the new dream; and again.")
    parser.add_argument("controller", help="the controller to begin with, evolved in the dream")
    parser.add_argument("--out", default="loop", help="folder to write to (default: loop)")
    config.add_arguments(parser, LoopConfig)
    config.add_arguments(parser.add_argument_group("world"), WorldConfig)  # type: ignore[arg-type]
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run all rounds and copy the controller that drove best."""
    arguments = build_parser().parse_args(argv)
    cli.start_logging(arguments)
    settings = config.from_arguments(LoopConfig, arguments)
    world = config.from_arguments(WorldConfig, arguments)
    folder = Path(arguments.out)
    rows = run(Path(arguments.controller), settings, world, folder)
    best = max(rows, key=lambda row: row["road"]["return"][0])
    print(table(rows))
    if best["round"]:
        ship(run_of(best["controller"]), folder, "best")
        print(
            f"best: round {best['round']}; its controller is {folder / 'best.json'}, its world model "
            f"{folder / ('round-' + str(best['round'])) / 'weights'}"
        )
    else:
        print("best: round 0, the controller the loop began with")


if __name__ == "__main__":
    cli.run(main)
