"""The whole pipeline, from recordings to the evaluation of a controller of the dream: `make reproduce`.

Each stage is a command that anyone can type, run in a process of its
own, skipped when it is done; a kill costs no more than the stage's last checkpoint. The settings are
fixed here, so that two people who run it get the same controller."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamduck.common import command_line, config
from dreamduck.common.config import check, option
from dreamduck.common.extras import require
from dreamduck.common.precision import HALF, PRECISION_HELP, PRECISIONS
from dreamduck.common.storage import write_json, write_text
from dreamduck.evaluation.final_evaluation import claim_report
from dreamduck.evaluation.report import REFERENCE
from dreamduck.evaluation.scoreboard import TRAINING_MAP, UNSEEN_MAPS, read_entries
from dreamduck.pipeline import environment_pipeline
from dreamduck.pipeline.environment_pipeline import EnvironmentConfig
from dreamduck.pipeline.recipes import DUCKIETOWN, RECIPES, Recipe, table
from dreamduck.pipeline.stages import Stage, run_stages
from dreamduck.pipeline.training_stages import (
    Folders,
    TrainingConfig,
    card_stage,
    check_features,
    check_recordings,
    search_stage,
    show,
    training_stages,
)
from dreamduck.recordings.behavior_policies import DEFAULT_MIX
from dreamduck.search.recipe import PPO, check_optimizer
from dreamduck.simulator.base import SIMULATORS
from dreamduck.world_model.kinds import SHIPPED

ROW = "evolved in the dream"
RECORDED = (
    *("seed", "episodes", "frames", "maps", "generated_maps", "policies"),
    *("domain_rand_share", "dynamics_rand_share", "min_frames"),
)


@dataclasses.dataclass(frozen=True)
class ReproduceConfig(TrainingConfig):
    """The settings of every stage, in one place."""

    maps: tuple[str, ...] = option(
        (
            *(TRAINING_MAP, "zigzag_dists", TRAINING_MAP, "ETHZ_autolab_technical_track"),
            *(TRAINING_MAP, "TTIC_ripltown", "loop_obstacles", "robotarium1"),
            *(TRAINING_MAP, "ETH_large_intersect", "ETH_large_loop", "regress_4way_adam"),
        ),
        "maps to record on, in turn; others are never seen",
    )
    generated_maps: int = option(200, "further generated maps, one episode on each", low=0)
    policies: tuple[str, ...] = option(
        (*DEFAULT_MIX, "stand=1", "stop=1", "creep=1", "reverse=1"), "behaviour policies and their weights"
    )
    domain_rand_share: float = option(0.3, "share of episodes with random appearance", low=0.0, high=1.0)
    dynamics_rand_share: float = option(0.3, "share of episodes with random dynamics", low=0.0, high=1.0)
    min_frames: int = option(8, "shortest recorded episode [steps]", low=1)
    precision: str = option(HALF, PRECISION_HELP, choices=PRECISIONS)
    short_steps: int = option(40, "longest dream of a first search", low=1)
    short_generations: int = option(100, "generations of that search; 0: no first search", low=0)
    unseen_episodes: int = option(100, "episodes on a map outside the training, to report on", low=2)
    score_seconds: float = option(60.0, "length of each of these episodes", unit="s", above=0.0)
    score_maps: tuple[str, ...] = option((TRAINING_MAP, *UNSEEN_MAPS), "maps to score on")
    score_simulators: tuple[str, ...] = option(SIMULATORS, "simulators to score in")

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self)
        check_features(self.features, SHIPPED)

    @property
    def recorded_maps(self) -> tuple[str, ...]:
        """All maps in turn: the generated ones, and the others so often that they are as many."""
        if not self.generated_maps:
            return self.maps
        repeats = max(1, self.generated_maps // len(self.maps))
        return (*self.maps * repeats, f"generated:{self.generated_maps}")

    @property
    def record_flags(self) -> list[str]:
        """Flags of the recording."""
        return [
            *("--maps", ",".join(self.recorded_maps), "--policies", ",".join(self.policies)),
            *("--domain-rand-share", str(self.domain_rand_share)),
            *("--dynamics-rand-share", str(self.dynamics_rand_share), *self.least_frames),
        ]

    @property
    def least_frames(self) -> tuple[str, str]:
        """The flag for the shortest episode."""
        return "--min-frames", str(min(self.min_frames, self.frames))


def _searches(folders: Folders, settings: ReproduceConfig) -> list[Stage]:
    """The search in dreams as long as the dynamics allow, after one in short dreams; PPO needs none."""
    if not settings.short_generations or settings.optimizer == PPO:
        return [search_stage(folders, settings)]
    short = dataclasses.replace(
        settings, dream_steps=settings.short_steps, generations=settings.short_generations
    )
    first = search_stage(folders, short, "evolve-short")
    return [first, search_stage(folders, settings, start=first.outputs[0])]


def stages(folder: Path, settings: ReproduceConfig) -> list[Stage]:
    """The commands, in their order; the last four only report."""
    folders = Folders(folder)
    unseen, scores = folder / "unseen", folder / "scores"
    precision = ("--precision", settings.precision)
    trained = training_stages(folders, settings, settings.record_flags, precision, precision)
    vae, best = trained[1], settings.best(folders.log)
    weights = ("--weights", str(folders.weights))
    series = ("--series", str(folders.series))
    ensemble = ("dreamduck", "train-ensemble", *series, *weights, *settings.seed_flags)
    probe = ("dreamduck", "train-lane-probe", "--records", str(folders.records), *weights)
    score = [
        *("dreamduck", "scoreboard", "--out", str(scores)),
        *("--weights", str(folders.weights), "--rows", REFERENCE, "--controller", f"{ROW}={best}"),
        *("--maps", ",".join(settings.score_maps)),
        *("--simulators", ",".join(settings.score_simulators)),
        *("--episodes", str(settings.score_episodes), "--seconds", str(settings.score_seconds)),
    ]
    elsewhere = [
        *("extract.py", "--records", str(unseen), "--log", str(folders.log / "unseen")),
        *("--maps", UNSEEN_MAPS[0], "--max-trials", str(settings.unseen_episodes)),
        *("--max-frames", str(settings.frames), *settings.least_frames),
    ]
    return [
        *trained,
        Stage("ensemble", ensemble, (folders.rnn,), (folders.ensemble,)),
        Stage("lane-probe", probe, (folders.vae,), (folders.lane_probe,)),
        *_searches(folders, settings),
        Stage("score", tuple(score), (folders.rnn, best), (scores / "scores.json",)),
        Stage("record-unseen", tuple(elsewhere), (), (unseen,)),
        # Trained to its end already, it only measures again, with frames of a map that it never saw.
        Stage("vae-unseen", (*vae.command, "--unseen", str(unseen)), (folders.vae,), (folders.vae,)),
        card_stage(folders),
    ]


def compare(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The controller beside pure pursuit, for each simulator and map.

    Args:
        entries: of a scoreboard.
    """
    found = []
    for entry in entries:
        if entry["key"]["row"] != ROW:
            continue
        world = entry["key"]["world"]
        reference = next(
            (e for e in entries if e["key"]["row"] == REFERENCE and e["key"]["world"] == world), None
        )
        best = reference["summary"]["distance"][0] if reference else 0.0
        distance = entry["summary"]["distance"][0]
        found.append(
            {
                "simulator": world["simulator"],
                "map": world["map_name"],
                "of_pursuit": round(distance / best, 4) if best > 0 else None,
                "alive": entry["summary"]["alive"][0],
                "target": [0.9, 0.95] if world["map_name"] == TRAINING_MAP else [0.75, 0.8],
            }
        )
    return found


def summary(rows: Sequence[dict[str, Any]], seconds: dict[str, float]) -> str:
    """Results and minutes as text."""
    lines = []
    for row in rows:
        share = "?" if row["of_pursuit"] is None else f"{100 * row['of_pursuit']:.0f}%"
        wanted = "at least {:.0%} and {:.0%}".format(*row["target"])
        lines.append(
            f"{row['map']}, {row['simulator']}: {share} of pure pursuit's distance, "
            f"survival rate {100 * row['alive']:.0f}% (target {wanted})"
        )
    times = ", ".join(f"{name} {spent / 60:.1f}" for name, spent in seconds.items())
    lines.append(f"minutes: {times}; together {sum(seconds.values()) / 60:.1f}")
    return "\n".join(lines)


def build_parser(recipe: str = DUCKIETOWN) -> argparse.ArgumentParser:
    """The command line.

    Args:
        recipe: whose settings the flags have.
    """
    parser = command_line.parser(
        "The whole pipeline: record, train, evolve in the dream, evaluate.",
        "examples:\n  dreamduck reproduce --folder reproduce\n"
        "  dreamduck reproduce --recipe doom\n  dreamduck reproduce --recipe carracing --improve",
    )
    parser.add_argument(
        "--recipe",
        choices=(DUCKIETOWN, *RECIPES),
        default=recipe,
        help=f"what to reproduce; with -h: its settings (default: {DUCKIETOWN})",
    )
    folder = "reproduce" if recipe == DUCKIETOWN else f"reproduce-{recipe}"
    parser.add_argument("--folder", default=folder, help=f"folder for all files (default: {folder})")
    parser.add_argument("--show", action="store_true", help="print the commands, run nothing")
    if recipe == DUCKIETOWN:
        config.add_arguments(parser, ReproduceConfig)
    else:
        config.add_arguments(parser, EnvironmentConfig, defaults=RECIPES[recipe].options)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run all stages that are not done, and print the results."""
    choice = command_line.Parser(add_help=False, allow_abbrev=False)
    choice.add_argument("--recipe", default=DUCKIETOWN)
    recipe = choice.parse_known_args(argv)[0].recipe
    parser = build_parser(recipe if recipe in RECIPES else DUCKIETOWN)
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    check_optimizer(arguments.optimizer, config.given(parser, arguments, argv))
    folder = Path(arguments.folder)
    if recipe in RECIPES:
        _reproduce_recipe(RECIPES[recipe], folder, arguments)
        return
    settings = config.from_arguments(ReproduceConfig, arguments)
    planned = stages(folder, settings)
    if arguments.show:
        show(planned)
        return
    check_recordings(folder, "reproduce", settings, RECORDED)
    result = folder / "reproduce.json"
    with claim_report("reproduce", folder, [result], config.to_dict(settings)):
        seconds = run_stages(planned, folder)
        rows = compare(read_entries(folder / "scores" / "scores.json"))
        write_json(result, {"rows": rows, "seconds": seconds})
    print(summary(rows, seconds))


def _reproduce_recipe(recipe: Recipe, folder: Path, arguments: argparse.Namespace) -> None:
    """An experiment of the paper, and its results beside the paper's."""
    settings = config.from_arguments(EnvironmentConfig, arguments)
    if arguments.show:
        show(environment_pipeline.stages(folder, settings))
        return
    require(recipe.extra, recipe.packages)
    found = environment_pipeline.run("reproduce", folder, settings)
    text = table(recipe, found)
    write_text(folder / "reproduce.md", text)
    print(text)
