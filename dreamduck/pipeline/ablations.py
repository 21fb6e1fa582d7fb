"""Ablations: what do the dynamics and a hidden layer contribute?

The same search for each controller: on z
alone, with h of untrained dynamics of random weights, with h of the trained ones; linear and with a
hidden layer; evolved in the simulator and in the dream; all evaluated in the simulator.
ctallec/world-models found an untrained one to score as well as a trained one on CarRacing."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dreamduck.common import command_line, config
from dreamduck.common.config import check, option, to_dict
from dreamduck.common.errors import ConfigError, WeightsError
from dreamduck.common.processes import mpi
from dreamduck.common.storage import copy_file, read_json, write_json, write_text
from dreamduck.controllers.factory import FormConfig, WorldConfig, model_sizes, weights_fingerprints
from dreamduck.controllers.policy import Controller, ControllerForm
from dreamduck.evaluation.final_evaluation import (
    EvaluationConfig,
    claim_report,
    evaluate_on_road,
    settings_key,
)
from dreamduck.evaluation.report import interval, percent
from dreamduck.pipeline.comparison import Case, Rows, train_and_evaluate
from dreamduck.search.recipe import DEFAULTS, ROAD_STEPS
from dreamduck.search.run import Plan, evolve
from dreamduck.search.settings import SearchConfig
from dreamduck.simulator.environment import check_own
from dreamduck.world_model import WorldModel

RNNS = ("none", "untrained", "trained")
WORLDS = ("realenv", "rnnenv")
SEARCH = {**DEFAULTS, "max_steps": ROAD_STEPS}  # on the road; in the dream no more than is true
OUTPUTS = ("ablations.json", "ablations.md")
VAE_FILES = ("vae.weights.h5", "vae.json", "initial_z.json")
RNN_CARD = "rnn.json"


@dataclasses.dataclass(frozen=True)
class AblationConfig(EvaluationConfig):
    """What is compared."""

    worlds: tuple[str, ...] = option(WORLDS, "worlds to evolve in")
    rnns: tuple[str, ...] = option(
        RNNS, "the dynamics; none: z alone; untrained: random weights", flags=("--memories",)
    )
    hidden_units: int = option(16, "units of the hidden layer; 0 leaves these controllers out", low=0)
    features: str = option("zh", "features of the controllers with dynamics", choices=("zh", "zc", "zch"))
    rnn_seed: int = option(0, "seed of untrained dynamics", low=0, flags=("--memory-seed", "--memory_seed"))

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self)
        for name, given, known in (("worlds", self.worlds, WORLDS), ("rnns", self.rnns, RNNS)):
            for value in given:
                if value not in known:
                    raise ConfigError(f"{name}: expected some of {', '.join(known)}, got {value!r}")


class AblationCase(NamedTuple):
    """One controller of the table."""

    env: str
    rnn: str
    form: ControllerForm

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.env}-{self.rnn}-{'hidden' if self.form.hidden else 'linear'}"


def cases(settings: AblationConfig, sizes: tuple[int, int, int]) -> list[AblationCase]:
    """All that are compared.

    Args:
        sizes: (Z, H, C) of the world model.
    """
    layers = [0, settings.hidden_units] if settings.hidden_units else [0]
    found = []
    for env, rnn, hidden in itertools.product(settings.worlds, settings.rnns, layers):
        features = "z" if rnn == "none" else settings.features
        form = FormConfig(features, hidden).form(*sizes)
        found.append(AblationCase(env, rnn, form))
    return found


def with_untrained_rnn(source: Path, target: Path, seed: int) -> Path:
    """A copy of a world model whose dynamics were never trained.

    Args:
        source: a folder of weights.
        target: where the copy goes.
        seed: of the random weights.
    """
    made_from = {"seed": seed, "made_from": weights_fingerprints(source)}
    path = target / RNN_CARD
    card = read_json(path, WeightsError) if path.exists() else {}
    if not isinstance(card, dict) or {name: card.get(name) for name in made_from} != made_from:
        target.mkdir(parents=True, exist_ok=True)
        for name in VAE_FILES:
            if (source / name).exists():
                copy_file(source / name, target / name)
        given = {"trained": False, "made_by": "dreamduck.pipeline.ablations", **made_from}
        WorldModel.load(source).dynamics.untrained(seed).save(target, given)
    return target


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The comparison as Markdown."""
    lines = [
        "# Ablations",
        "",
        "The same search for each; evaluated in the simulator. Return: mean ± standard deviation over "
        f"{rows[0]['road']['episodes']} episodes; the rest: share or median with 95% interval.",
        "",
        "| evolved | dynamics | controller | parameters | return | survival rate | along the lane [m] |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        road = row["road"]
        kind = f"hidden layer of {row['hidden']}" if row["hidden"] else "linear"
        lines.append(
            f"| {'in the simulator' if row['env'] == 'realenv' else 'in the dream'} | {row['rnn']} | "
            f"{kind} | {row['parameters']} | "
            f"{road['return'][0]:.2f} ± {road['return'][1]:.2f} | "
            f"{percent(road['alive'])} | {interval(road['distance'])} |"
        )
    return "\n".join(lines) + "\n"


def run(
    settings: AblationConfig,
    world: WorldConfig,
    search: SearchConfig,
    folder: Path,
    team: mpi.Team,
    fresh: bool = False,
) -> list[dict[str, Any]]:
    """Evolve and evaluate every case; every rank calls this, rank 0 gets the rows.

    What is done already is taken from the files, but with `fresh`.
    """
    sizes = model_sizes(world.model.folder)
    if team.rank == 0:
        with_untrained_rnn(world.model.folder, folder / "untrained", settings.rnn_seed)
    team.agree(0)  # no rank reads the copy before it is there
    planned = [
        _planned(case, settings, world, search, folder, team, fresh) for case in cases(settings, sizes)
    ]

    def write(rows: Rows) -> None:
        write_json(folder / OUTPUTS[0], rows)
        write_text(folder / OUTPUTS[1], table(rows))

    return train_and_evaluate(planned, team, table, write, fresh)


def _planned(
    case: AblationCase,
    settings: AblationConfig,
    world: WorldConfig,
    search: SearchConfig,
    folder: Path,
    team: mpi.Team,
    fresh: bool,
) -> Case:
    """The search and the evaluation of one controller."""
    if case.env == "rnnenv":
        most = WorldModel.load(world.model.folder).search_steps
        search = dataclasses.replace(search, max_steps=min(search.max_steps, most))
    if case.rnn == "untrained":
        world = config.replace(world, weights=str(folder / "untrained"))
        # An untrained state holds nothing of earlier steps.
        search = dataclasses.replace(search, beginning="first")
    plan = Plan(case.env, world, search, case.form, folder / case.name, fresh=fresh)
    key = settings_key(case.env, world, settings, search=to_dict(search), form=str(case.form))

    def evaluate(controller: Controller) -> dict[str, Any]:
        row = {"env": case.env, "rnn": case.rnn, "hidden": case.form.hidden}
        road = evaluate_on_road(world, controller, settings)
        return {**row, "parameters": case.form.size, "road": road}

    best = plan.files.path(".best.json")
    return Case(best, world.model.folder, lambda: evolve(plan, team), key, evaluate)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.parser(
        "Compare controllers on z alone, with untrained and with trained dynamics.",
        "example:\n  dreamduck ablations --out ablations --generations 50",
    )
    parser.add_argument("--out", default="ablations", help="folder to write to (default: ablations)")
    parser.add_argument("--fresh", action="store_true", help="start again, overwriting existing files")
    mpi.add_arguments(parser)
    config.add_arguments(parser, AblationConfig)
    config.add_arguments(parser.add_argument_group("search"), SearchConfig, defaults=SEARCH)  # type: ignore[arg-type]
    config.add_arguments(parser.add_argument_group("world"), WorldConfig, defaults=DEFAULTS)  # type: ignore[arg-type]
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Make the table."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    said = config.given(parser, arguments, argv)
    if "rnnenv" not in arguments.worlds:
        config.refuse(said & {"temperature"}, "without the world rnnenv")
    if "untrained" not in arguments.rnns:
        config.refuse(said & {"rnn_seed"}, "without the dynamics 'untrained'")
    if not {"untrained", "trained"} & set(arguments.rnns):
        config.refuse(said & {"features"}, "where no controller has dynamics")
    settings = config.from_arguments(AblationConfig, arguments)
    world = config.from_arguments(WorldConfig, arguments)
    search = config.from_arguments(SearchConfig, arguments)
    check_own(WorldModel.load(world.model.folder).environment, str(world.model.folder))
    folder = Path(arguments.out)
    described = {"report": to_dict(settings), "world": to_dict(world), "search": to_dict(search)}
    with mpi.team(arguments.rank_timeout) as team, contextlib.ExitStack() as held:
        if team.rank == 0:
            outputs = [folder / name for name in OUTPUTS]
            held.enter_context(claim_report("ablations", folder, outputs, described, arguments.fresh))
        rows = run(settings, world, search, folder, team, arguments.fresh)
        if team.rank == 0:
            print(table(rows))
