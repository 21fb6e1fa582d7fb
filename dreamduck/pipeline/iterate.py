"""Iterative training: record the controller, continue to train the dynamics and to evolve, and repeat.

A controller finds what is wrong with a dream; its own episodes in the real environment show the dynamics
what happens there. Each round adds such episodes to the records, continues the training of the dynamics on
all of them and the search in the new dream, and evaluates in the real environment.
Source: Ha & Schmidhuber 2018, section 5 (iterative training)."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamduck.common import command_line, config
from dreamduck.common.config import check, option, to_dict
from dreamduck.common.errors import ConfigError, RecordError
from dreamduck.common.storage import copy_file, fingerprint, write_json, write_text
from dreamduck.controllers.factory import WorldConfig, add_strict, load_controller
from dreamduck.evaluation.final_evaluation import (
    SelectionConfig,
    cached,
    claim_report,
    copy_controller,
    dream_and_road,
    evaluate_both,
    select,
    settings_key,
)
from dreamduck.pipeline.stages import Stage, run_stages
from dreamduck.search.recipe import DEFAULTS, RecipeConfig, adapt_to_environment, check_optimizer
from dreamduck.simulator.environment import SETTINGS
from dreamduck.world_model import WorldModel
from dreamduck.world_model.kinds import TRAINING

log = logging.getLogger(__name__)

OUTPUTS = ("loop.json", "loop.md", "best.json", "best.card.json", "records", "weights")
FIRST = 900_000_000  # number of the first episode of the rounds
VAE_FILES = ("vae.weights.h5", "vae.json")
# Settings of a training that each round has of its own.
EACH_RUN = ("series", "weights", "log", "steps", "limit", "adapt", "heads_only", "start", "seed", "fresh")


@dataclasses.dataclass(frozen=True)
class IterateConfig(RecipeConfig, SelectionConfig):
    """One round's settings."""

    rounds: int = option(2, "number of rounds: record, train, evolve", low=1)
    records: str = option("records", "folder of recorded episodes; new ones are added to a copy")
    episodes: int = option(200, "episodes to add in each round", low=1)
    drive_steps: int = option(300, "longest of these episodes", low=1)
    noise: float = option(0.3, "noise on the actions of every second episode", low=0.0)
    rnn_steps: int | None = option(
        None,
        "training steps of the dynamics in each round; the default depends on their kind",
        low=1,
        flags=("--memory-steps", "--memory_steps"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self)


def gather(source: Path, target: Path) -> None:
    """Link the recorded episodes into the run's own folder; copy them to another disk.

    Raises:
        RecordError: there are none.
    """
    if not any(source.glob("*.npz")):
        raise RecordError(
            f"{source}: expected the recordings that the world model learned from, got no episode; name "
            "their folder with --records"
        )
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.npz")):
        place = target / path.name
        if place.exists():
            continue
        try:
            place.hardlink_to(path)
        except OSError:  # another disk
            copy_file(path, place)


def copy_files(source: Path, target: Path) -> None:
    """Copy the files of a folder, and none of its folders."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.is_file():
            copy_file(path, target / path.name)


def round_stages(
    number: int, folder: Path, controller: Path, weights: Path, settings: IterateConfig, world: WorldConfig
) -> list[Stage]:
    """The commands of one round.

    Args:
        controller: of the round before.
        weights: likewise.
    """
    here = folder / f"round-{number}"
    records, series, made = folder / "records", here / "series", here / "weights"
    any_weights = ["--any-weights"] if world.any_weights else []
    learned = config.flags(world.road, config.options(type(world.road)).keys() - {*SETTINGS})
    best = settings.best(here / "log")
    own = int(fingerprint(controller), 16) % 1000 if controller.exists() else 0
    record = [
        *("dreamduck", "record-controller", str(controller), "--out", str(records)),
        *("--weights", str(weights), *config.flags(world.road), *any_weights),
        *("--first", str(FIRST + 1_000_000 * number + 1000 * own)),
        *("--episodes", str(settings.episodes)),
        *("--max-steps", str(settings.drive_steps), "--noise", str(settings.noise)),
    ]
    encode = ["series.py", "--records", str(records), "--weights", str(made), "--series", str(series)]
    train = [
        *("rnn_train.py", *training_flags(WorldModel.load(world.model.folder))),
        *("--start", str(weights), "--series", str(series)),
        *("--weights", str(made), "--log", str(here / "log")),
        *("--seed", str((settings.seed or 0) + number)),
        *(("--steps", str(settings.rnn_steps)) if settings.rnn_steps else ()),
    ]
    evolve = settings.command(made, here / "log", world.model.temperature, controller)
    evolve += [*learned, *any_weights]
    rnn = made / "rnn.weights.h5"
    return [
        Stage(f"{number}-record", tuple(record), (controller,), (records,)),
        Stage(f"{number}-series", tuple(encode), (controller,), (series,)),
        Stage(f"{number}-rnn", tuple(train), (controller,), (rnn,)),
        Stage(f"{number}-evolve", tuple(evolve), (rnn,), (best,)),
    ]


def training_flags(model: WorldModel) -> list[str]:
    """The flags that train dynamics of the same kind, sizes and settings as a world model's."""
    settings = TRAINING[model.kind]
    known = config.options(settings, EACH_RUN)
    kept = {name: value for name, value in model.training.items() if name in known}
    return ["--dynamics", model.kind, *config.flags(config.from_mapping(settings, kept))]


def selected_round(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The round of the greatest mean return in the selection's episodes."""
    row = select(rows)
    assert row is not None  # each round has such episodes
    return row


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rounds as Markdown."""
    duckietown = "alive" in rows[0]["road"]
    more = " survival rate | along the lane [m] |" if duckietown else ""
    lines = [
        "# Iterations",
        "",
        f"Selected by {rows[0]['choice']['episodes']} other episodes than are reported, of seed "
        f"{rows[0]['choice']['seed']}: round {selected_round(rows)['round']}.",
        "",
        f"| round | return in the dream | in the {'simulator' if duckietown else 'environment'} |{more}",
        "| ---: | ---: | ---: |" + (" ---: | ---: |" if duckietown else ""),
    ]
    lines += [f"| {row['round']} | {dream_and_road(row)}" for row in rows]
    return "\n".join(lines) + "\n"


def evaluate_round(
    number: int,
    controller: Path,
    weights: Path,
    settings: IterateConfig,
    world: WorldConfig,
    target: Path,
    fresh: bool = False,
) -> dict[str, Any]:
    """A round's results; from its file if it was evaluated already, unless `fresh`."""
    here = config.replace(world, weights=str(weights))
    # the dreams that it was evolved in
    temperature = here.model.with_temperature(search=True).temperature
    here = config.replace(here, temperature=temperature)
    key = settings_key("rnnenv", here, settings, controller=fingerprint(controller))
    row = None if fresh else cached(target, key, table)
    if row is None:
        found = evaluate_both(here, load_controller(controller, weights), settings)
        row = {"round": number, "controller": str(controller), **found._asdict(), "settings": key}
        write_json(target, row)
    return row


def run(
    controller: Path, settings: IterateConfig, world: WorldConfig, folder: Path, fresh: bool = False
) -> list[dict[str, Any]]:
    """All rounds; finished ones are taken from the files, their evaluations unless `fresh`.

    Args:
        controller: evolved in the dream of `world.weights`; the first to drive.
    """
    gather(Path(settings.records), folder / "records")
    weights = world.model.folder
    rows = [evaluate_round(0, controller, weights, settings, world, folder / "round-0.json", fresh)]
    for number in range(1, settings.rounds + 1):
        made = folder / f"round-{number}" / "weights"
        made.mkdir(parents=True, exist_ok=True)
        for name in VAE_FILES:
            if not (made / name).exists():
                copy_file(world.model.folder / name, made / name)
        planned = round_stages(number, folder, controller, weights, settings, world)
        run_stages(planned, folder)
        controller, weights = planned[-1].outputs[0], made
        target = folder / f"round-{number}.json"
        rows.append(evaluate_round(number, controller, weights, settings, world, target, fresh))
        log.info("round %d: %s", number, rows[-1])
        write_json(folder / "loop.json", rows)
        write_text(folder / "loop.md", table(rows))
    return rows


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.parser(
        "Record the controller, continue to train the dynamics and to evolve in the new dream; repeat.",
        "example:\n  dreamduck iterate log/rnnenv.cma.16.64.best.json --out loop",
    )
    parser.add_argument("controller", help="the controller to begin with, evolved in the dream")
    parser.add_argument("--out", default="loop", help="folder to write to (default: loop)")
    parser.add_argument("--fresh", action="store_true", help="evaluate again, over files that are there")
    add_strict(parser)
    config.add_arguments(parser, IterateConfig)
    config.add_arguments(parser.add_argument_group("world"), WorldConfig, defaults=DEFAULTS)  # type: ignore[arg-type]
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run all rounds and copy the best controller and its world model."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    said = config.given(parser, arguments, argv)
    adapt_to_environment(arguments, said)
    settings = config.from_arguments(IterateConfig, arguments)
    check_optimizer(settings.optimizer, said)
    world = config.from_arguments(WorldConfig, arguments)
    folder = Path(arguments.out)
    controller = Path(arguments.controller)
    form = load_controller(controller, world.model.folder, arguments.strict).form
    if "features" in said and settings.features != form.features:
        raise ConfigError(
            f"features: expected {form.features}, as {controller} has them, got {settings.features}; leave "
            "--features out"
        )
    described = {"loop": to_dict(settings), "world": to_dict(world), "controller": fingerprint(controller)}
    with claim_report("loop", folder, [folder / name for name in OUTPUTS], described, arguments.fresh):
        rows = run(controller, settings, world, folder, arguments.fresh)
        best = selected_round(rows)
        copy_controller(Path(best["controller"]), folder, "best")
        chosen = folder / f"round-{best['round']}" / "weights" if best["round"] else world.model.folder
        copy_files(chosen, folder / "weights")
    print(table(rows))
    print(
        f"best: round {best['round']}; its controller is {folder / 'best.json'}, its world model "
        f"{folder / 'weights'}"
    )
