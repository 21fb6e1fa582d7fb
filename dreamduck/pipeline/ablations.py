"""Ablations: what do the MDN-RNN and a hidden layer contribute?

The same search for each controller: on z
alone, on z with an untrained MDN-RNN of random weights, on z with the trained one; linear and with a
hidden layer; evolved in the simulator and in the dream; all evaluated in the simulator.
ctallec/world-models found an untrained one to score as well as a trained one on CarRacing."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dreamduck.common import command_line, config, mpi
from dreamduck.common.config import check, option, to_dict
from dreamduck.common.errors import ConfigError
from dreamduck.common.storage import replacing, write_json
from dreamduck.controllers.factory import FormConfig, WorldConfig, load_controller, model_sizes
from dreamduck.controllers.policy import ControllerForm
from dreamduck.evaluation.final_evaluation import (
    EvaluationConfig,
    cached,
    claim_report,
    evaluate_on_road,
    settings_key,
)
from dreamduck.search.recipe import DEFAULTS, DREAM_STEPS, ROAD_STEPS
from dreamduck.search.run import Plan, evolve
from dreamduck.search.search import SearchConfig
from dreamduck.world_model import WorldModel

log = logging.getLogger(__name__)

MEMORIES = ("none", "untrained", "trained")
WORLDS = ("realenv", "rnnenv")
SEARCH = {**DEFAULTS, "max_steps": ROAD_STEPS}  # on the road; in the dream no more than is true
OUTPUTS = ("ablations.json", "ablations.md")
VAE_FILES = ("vae.weights.h5", "vae.json", "initial_z.json")
RNN_CARD = "rnn.json"


@dataclasses.dataclass(frozen=True)
class AblationConfig(EvaluationConfig):
    """What is compared."""

    worlds: tuple[str, ...] = option(WORLDS, "where to evolve")
    memories: tuple[str, ...] = option(MEMORIES, "none: z alone; untrained: random weights")
    hidden_units: int = option(16, "of the controllers with a hidden layer; 0 leaves them out", low=0)
    features: str = option("zh", "what the controllers with a memory see", choices=("zh", "zc", "zch"))
    memory_seed: int = option(0, "of the untrained memory", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self)
        for name, given, known in (("worlds", self.worlds, WORLDS), ("memories", self.memories, MEMORIES)):
            for value in given:
                if value not in known:
                    raise ConfigError(f"{name}: expected some of {', '.join(known)}, got {value!r}")


class AblationCase(NamedTuple):
    """One controller of the table."""

    env: str
    memory: str
    form: ControllerForm

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.env}-{self.memory}-{'hidden' if self.form.hidden else 'linear'}"


def cases(settings: AblationConfig, sizes: tuple[int, int, int]) -> list[AblationCase]:
    """All that are compared.

    Args:
        sizes: (Z, H, C) of the world model.
    """
    layers = [0, settings.hidden_units] if settings.hidden_units else [0]
    found = []
    for env, memory, hidden in itertools.product(settings.worlds, settings.memories, layers):
        features = "z" if memory == "none" else settings.features
        form = FormConfig(features, hidden).form(*sizes)
        found.append(AblationCase(env, memory, form))
    return found


def with_untrained_rnn(source: Path, target: Path, seed: int) -> Path:
    """A copy of a world model whose dynamics were never trained.

    Args:
        source: a folder of weights.
        target: where the copy goes.
        seed: of the random weights.
    """
    if not (target / RNN_CARD).exists():
        target.mkdir(parents=True, exist_ok=True)
        for name in VAE_FILES:
            if (source / name).exists():
                shutil.copyfile(source / name, target / name)
        card = {"trained": False, "seed": seed, "made_by": "dreamduck.pipeline.ablations"}
        WorldModel.load(source).dynamics.untrained(seed).save(target, card)
    return target


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The comparison as Markdown."""
    lines = [
        "# Ablations",
        "",
        "The same search for each; evaluated in the simulator. Return: mean ± standard deviation over "
        f"{rows[0]['road']['episodes']} episodes; the rest: share or median with 95% interval.",
        "",
        "| evolved | memory | controller | parameters | return | survival rate | along the lane [m] |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        road = row["road"]
        alive, distance = road["alive"], road["distance"]
        kind = f"hidden layer of {row['hidden']}" if row["hidden"] else "linear"
        lines.append(
            f"| {'in the simulator' if row['env'] == 'realenv' else 'in the dream'} | {row['memory']} | "
            f"{kind} | {row['parameters']} | "
            f"{road['return'][0]:.2f} ± {road['return'][1]:.2f} | "
            f"{100 * alive[0]:.0f}% ({100 * alive[1]:.0f} to {100 * alive[2]:.0f}) | "
            f"{distance[0]:.2f} ({distance[1]:.2f} to {distance[2]:.2f}) |"
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
    rows: list[dict[str, Any]] = []
    sizes = model_sizes(world.model.folder)
    if team.rank == 0:
        with_untrained_rnn(world.model.folder, folder / "untrained", settings.memory_seed)
    team.agree(0)  # no rank reads the copy before it is there
    for case in cases(settings, sizes):
        here, how = world, search
        if case.env == "rnnenv":
            how = dataclasses.replace(search, max_steps=min(search.max_steps, DREAM_STEPS))
        if case.memory == "untrained":
            here = config.replace(world, weights=str(folder / "untrained"))
            # An untrained state says nothing of what came before.
            how = dataclasses.replace(how, beginning="first")
        plan = Plan(case.env, here, how, case.form, folder / case.name, fresh=fresh)
        done = plan.folder / "verdict.json"
        key = settings_key(case.env, here, settings, search=to_dict(how), form=str(case.form))
        row = None if team.rank or fresh else cached(done, key, table)
        if team.agree(row is None):
            evolve(plan, team)
        if team.rank:
            continue
        if row is None:
            controller = load_controller(plan.files.path(".best.json"), here.model.folder)
            row = {"env": case.env, "memory": case.memory, "hidden": case.form.hidden}
            row |= {"parameters": case.form.size, "road": evaluate_on_road(here, controller, settings)}
            row["settings"] = key
            write_json(done, row)
        rows.append(row)
        log.info("%s: %s", case.name, rows[-1])
        write_json(folder / "ablations.json", rows)
        with replacing(folder / "ablations.md") as temporary:
            temporary.write_text(table(rows), encoding="utf-8")
    return rows


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.parser(
        "Compare controllers on z alone, with an untrained and with a trained MDN-RNN.",
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
    if "untrained" not in arguments.memories:
        config.refuse(said & {"memory_seed"}, "without the memory 'untrained'")
    if not {"untrained", "trained"} & set(arguments.memories):
        config.refuse(said & {"features"}, "where no controller has a memory")
    settings = config.from_arguments(AblationConfig, arguments)
    world = config.from_arguments(WorldConfig, arguments)
    search = config.from_arguments(SearchConfig, arguments)
    folder = Path(arguments.out)
    described = {"report": to_dict(settings), "world": to_dict(world), "search": to_dict(search)}
    with mpi.team(arguments.rank_timeout) as team, contextlib.ExitStack() as held:
        if team.rank == 0:
            outputs = [folder / name for name in OUTPUTS]
            held.enter_context(claim_report("ablations", folder, outputs, described, arguments.fresh))
        rows = run(settings, world, search, folder, team, arguments.fresh)
        if team.rank == 0:
            print(table(rows))
