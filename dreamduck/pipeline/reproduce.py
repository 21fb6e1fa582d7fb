"""The whole pipeline, from recordings to the evaluation of a controller of the dream: `make reproduce`.

Each stage is a command that anyone can type, run in a process of its
own, skipped when it is done; a kill costs no more than the stage's last checkpoint. The settings are
fixed here, so that two people who run it get the same controller."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamduck.common import command_line, config
from dreamduck.common.config import check, option
from dreamduck.common.storage import write_json
from dreamduck.evaluation.final_evaluation import claim_report
from dreamduck.evaluation.report import REFERENCE
from dreamduck.evaluation.scoreboard import TRAINING_MAP, UNSEEN_MAPS, read_entries
from dreamduck.pipeline.stages import Stage, run_stages
from dreamduck.search.recipe import RecipeConfig
from dreamduck.simulator.base import SIMULATORS

log = logging.getLogger(__name__)

ROW = "evolved in the dream"


@dataclasses.dataclass(frozen=True)
class ReproduceConfig(RecipeConfig):
    """The settings of every stage, in one place."""

    maps: tuple[str, ...] = option(
        (
            *(TRAINING_MAP, "zigzag_dists", TRAINING_MAP, "ETHZ_autolab_technical_track"),
            *(TRAINING_MAP, "TTIC_ripltown", "loop_obstacles", "robotarium1"),
            *(TRAINING_MAP, "ETH_large_intersect", "ETH_large_loop", "regress_4way_adam"),
        ),
        "maps to record on, in turn; others are never seen",
    )
    episodes: int = option(4000, "to record", low=2)
    frames: int = option(150, "of an episode at most", low=2)
    vae_epochs: int = option(2, "of the VAE", low=1)
    vae_steps: int = option(4000, "of the VAE at most; 0 for all", low=0)
    kl_tolerance: float = option(2.0, "of the VAE: KL divergence that is not penalised", low=0.0)
    rnn_steps: int | None = option(
        None,
        "of the dynamics; by default as many as their kind takes",
        low=1,
        flags=("--memory-steps", "--memory_steps"),
    )
    temperature: float | None = option(None, "of the dream; that of a search by default", above=0.0)
    unseen_episodes: int = option(100, "to record on a map that is never seen, to report on", low=2)
    score_episodes: int = option(100, "to score by", low=1)
    score_seconds: float = option(60.0, "of each", unit="s", above=0.0)
    score_maps: tuple[str, ...] = option((TRAINING_MAP, *UNSEEN_MAPS), "maps to score on")
    score_simulators: tuple[str, ...] = option(SIMULATORS, "where to score")

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self)


def stages(folder: Path, settings: ReproduceConfig) -> list[Stage]:
    """The commands, in their order; the last three only report."""
    records, weights, series, logs = (folder / name for name in ("records", "weights", "series", "log"))
    unseen, card = folder / "unseen", folder / "card"
    vae, rnn, best = weights / "vae.weights.h5", weights / "rnn.weights.h5", settings.best(logs)
    record = [
        *("extract.py", "--records", str(records), "--log", str(logs)),
        *("--maps", ",".join(settings.maps), "--max-trials", str(settings.episodes)),
        *("--max-frames", str(settings.frames), "--min-frames", str(min(50, settings.frames))),
    ]
    train_vae = [
        *("vae_train.py", "--records", str(records), "--weights", str(weights), "--log", str(logs)),
        *("--epochs", str(settings.vae_epochs)),
        *(("--max-steps", str(settings.vae_steps)) if settings.vae_steps else ()),
        *("--learning-rate", "0.001", "--schedule", "cosine"),
        *("--kl-tolerance", str(settings.kl_tolerance)),
    ]
    encode = ["series.py", "--records", str(records), "--weights", str(weights), "--series", str(series)]
    train_rnn = [
        *("rnn_train.py", "--series", str(series), "--weights", str(weights), "--log", str(logs)),
        *(("--steps", str(settings.rnn_steps)) if settings.rnn_steps else ()),
    ]
    score = [
        *("dreamduck", "scoreboard", "--out", str(folder / "scores")),
        *("--weights", str(weights), "--rows", REFERENCE, "--controller", f"{ROW}={best}"),
        *("--maps", ",".join(settings.score_maps)),
        *("--simulators", ",".join(settings.score_simulators)),
        *("--episodes", str(settings.score_episodes), "--seconds", str(settings.score_seconds)),
    ]
    elsewhere = [
        *("extract.py", "--records", str(unseen), "--log", str(logs / "unseen")),
        *("--maps", UNSEEN_MAPS[0], "--max-trials", str(settings.unseen_episodes)),
        *("--max-frames", str(settings.frames), "--min-frames", str(min(50, settings.frames))),
    ]

    evaluate = ["dreamduck", "evaluate-model", "--weights", str(weights), "--out", str(card)]
    evolve = settings.command(weights, logs, settings.temperature)
    return [
        Stage("record", tuple(record), (), (records,)),
        Stage("vae", tuple(train_vae), (), (vae,)),
        Stage("series", tuple(encode), (vae,), (series,)),
        Stage("rnn", tuple(train_rnn), (vae,), (rnn,)),
        Stage("evolve", tuple(evolve), (rnn,), (best,)),
        Stage("score", tuple(score), (rnn, best), (folder / "scores" / "scores.json",)),
        Stage("record-unseen", tuple(elsewhere), (), (unseen,)),
        # Trained to its end already, it only measures again, with frames of a map that it never saw.
        Stage("vae-unseen", (*train_vae, "--unseen", str(unseen)), (vae,), (vae,)),
        Stage("card", (*evaluate, "--short"), (rnn,), (card / "model.json",)),
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


def tell(rows: Sequence[dict[str, Any]], seconds: dict[str, float]) -> str:
    """Results and minutes as text."""
    lines = []
    for row in rows:
        share = "?" if row["of_pursuit"] is None else f"{100 * row['of_pursuit']:.0f}%"
        wanted = "at least {:.0%} and {:.0%}".format(*row["target"])
        lines.append(
            f"{row['map']}, {row['simulator']}: {share} of pure pursuit's distance, "
            f"{100 * row['alive']:.0f}% alive (target {wanted})"
        )
    times = ", ".join(f"{name} {spent / 60:.1f}" for name, spent in seconds.items())
    lines.append(f"minutes: {times}; together {sum(seconds.values()) / 60:.1f}")
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.parser(
        "The whole pipeline: record, train, evolve in the dream, evaluate.",
        "example:\n  dreamduck reproduce --folder reproduce",
    )
    parser.add_argument("--folder", default="reproduce", help="where everything goes (default: reproduce)")
    parser.add_argument("--show", action="store_true", help="print the commands, run nothing")
    config.add_arguments(parser, ReproduceConfig)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run all stages that are not done, and print the results."""
    arguments = build_parser().parse_args(argv)
    command_line.start_logging(arguments)
    settings, folder = config.from_arguments(ReproduceConfig, arguments), Path(arguments.folder)
    planned = stages(folder, settings)
    if arguments.show:
        for stage in planned:
            print(f"{stage.name}: {shlex.join(stage.argv)}")
        return
    result = folder / "reproduce.json"
    with claim_report("reproduce", folder, [result], config.to_dict(settings)):
        seconds = run_stages(planned, folder)
        rows = compare(read_entries(folder / "scores" / "scores.json"))
        write_json(result, {"rows": rows, "seconds": seconds})
    print(tell(rows, seconds))
