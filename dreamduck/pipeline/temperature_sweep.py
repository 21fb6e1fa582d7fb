"""The temperature sweep: controllers of several temperatures, evaluated in the dream and in the simulator.

A dream without uncertainty is easy to
exploit, one with too much of it teaches nothing. The temperature is selected by other episodes than the
table reports, since the best of many looks better than it is.
Source: Ha & Schmidhuber 2018, table 2."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamduck.common import command_line, config
from dreamduck.common.config import check, option, to_dict
from dreamduck.common.errors import ConfigError
from dreamduck.common.plot import figure
from dreamduck.common.processes import mpi
from dreamduck.common.readers import read_text
from dreamduck.common.storage import PathLike, write_json, write_text
from dreamduck.controllers.controller_file import RunFiles
from dreamduck.controllers.factory import FormConfig, WorldConfig, model_actions, model_sizes
from dreamduck.controllers.policy import Controller
from dreamduck.evaluation.final_evaluation import (
    SelectionConfig,
    claim_report,
    copy_controller,
    dream_and_road,
    evaluate_both,
    select,
    settings_key,
)
from dreamduck.pipeline.comparison import Case, Rows, train_and_evaluate
from dreamduck.pipeline.stages import Stage, run_stages
from dreamduck.search.recipe import (
    CMA,
    DEFAULTS,
    OPTIMIZERS,
    PPO,
    PPO_STEPS,
    RecipeConfig,
    adapt_to_environment,
    add_max_steps,
    check_optimizer,
    max_steps,
    ppo_files,
)
from dreamduck.search.run import Plan, evolve
from dreamduck.search.settings import SearchConfig

# Flags of a search that a training by PPO has, too.
SHARED = {"max_steps", "action_delay", "latent_shift", "seed_start"}
OUTPUTS = ("gap.json", "gap.md", "gap.png", "dream.json", "dream.card.json")
TEMPERATURES = ("0.1", "0.3", "0.5", "0.75", "1.0", "1.15", "1.3")


@dataclasses.dataclass(frozen=True)
class TemperatureSweepConfig(SelectionConfig):
    """How the report is made."""

    temperatures: tuple[str, ...] = option(TEMPERATURES, "temperatures to evolve at")
    optimizer: str = option(CMA, "of controllers: CMA-ES, or PPO", choices=OPTIMIZERS)
    steps: int = option(PPO_STEPS, "training steps of PPO, of all dreams together", low=1)

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


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The report as Markdown."""
    chosen = select(rows)
    how = (
        "No temperature was selected by these episodes."
        if chosen is None
        else f"The temperature was selected by {chosen['choice']['episodes']} other episodes, of seed "
        f"{chosen['choice']['seed']}."
    )
    duckietown = "alive" in rows[0]["road"]
    more = " survival rate | along the lane [m] |" if duckietown else ""
    real = "simulator" if duckietown else "environment"
    lines = [
        "# Temperature sweep",
        "",
        "Controllers evolved in the dream alone at each temperature; mean return ± standard deviation over "
        f"{rows[0]['road']['episodes']} episodes each, in that dream and in the {real}. {how}",
        "",
        f"| temperature | return in the dream | in the {real} |{more}",
        "| ---: | ---: | ---: |" + " ---: |" * more.count("|"),
    ]
    for row in rows:
        mark = " **(selected)**" if row is chosen else ""
        lines.append(f"| {row['temperature']:g}{mark} | {dream_and_road(row)}")
    return "\n".join(lines) + "\n"


def draw(path: PathLike, rows: Sequence[dict[str, Any]]) -> None:
    """Draw return against temperature, in the dream and in the simulator."""
    with figure(path, 7, 4) as drawn:
        plot = drawn.subplots()
        temperatures = [row["temperature"] for row in rows]
        for name, values in (
            ("in the dream", [(row["dream"]["mean"], row["dream"]["std"]) for row in rows]),
            (
                "in the simulator" if "alive" in rows[0]["road"] else "in the environment",
                [tuple(row["road"]["return"]) for row in rows],
            ),
        ):
            means, spreads = zip(*values, strict=True)
            plot.errorbar(temperatures, means, spreads, fmt="o-", capsize=3, label=name)
        if (chosen := select(rows)) is not None:
            plot.axvline(chosen["temperature"], color="0.8", zorder=0)
        plot.set(xlabel="temperature of the dream", ylabel="return of an episode")
        plot.legend()


def write_report(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the raw figures, the table and the plot."""
    chosen = select(rows)
    temperature = None if chosen is None else chosen["temperature"]
    write_json(folder / "gap.json", {"rows": list(rows), "chosen_temperature": temperature})
    write_text(folder / "gap.md", table(rows))
    draw(folder / "gap.png", rows)


def run(
    gap: TemperatureSweepConfig,
    world: WorldConfig,
    search: SearchConfig,
    form: FormConfig,
    folder: Path,
    team: mpi.Team,
    fresh: bool = False,
    ppo: RecipeConfig | None = None,
) -> list[dict[str, Any]]:
    """Train and evaluate at every temperature; every rank calls this, rank 0 gets the rows.

    What is done already is taken from the files, but with `fresh`.

    Args:
        gap: of the report.
        world: of the dreams, but for their temperature.
        search: of CMA-ES.
        form: of the controllers that it evolves.
        folder: where everything goes.
        team: the ranks that share the work.
        fresh: do all again.
        ppo: of PPO, where that trains the controllers.
    """
    controller_form = form.form(*model_sizes(world.model.folder), actions=model_actions(world.model.folder))

    def case(text: str) -> Case:
        here = config.replace(world, temperature=float(text))
        target = folder / f"temperature-{text}"

        def evaluate(controller: Controller) -> dict[str, Any]:
            return {"temperature": float(text), **evaluate_both(here, controller, gap)._asdict()}

        best = controller_file(gap, search, target)
        if ppo is not None:
            command = ppo.command(world.model.folder, target, float(text))
            command += ["--any-weights"] * world.any_weights
            if fresh and team.rank == 0:
                command.append("--fresh")
                (target / "stamps" / f"{target.name}.json").unlink(missing_ok=True)
            key = settings_key("rnnenv", here, gap, ppo=ppo.flags)
            stage = Stage(target.name, tuple(command), (), (best,))
            planned = [] if team.rank else [stage]
            return Case(best, world.model.folder, lambda: run_stages(planned, target), key, evaluate)
        plan = Plan("rnnenv", here, search, controller_form, target, fresh=fresh)
        key = settings_key(plan.env, here, gap, search=to_dict(search), form=str(plan.form))
        return Case(best, world.model.folder, lambda: evolve(plan, team), key, evaluate)

    def write(rows: Rows) -> None:
        write_report(folder, rows)

    return train_and_evaluate(map(case, gap.temperatures), team, table, write, fresh)


def controller_file(gap: TemperatureSweepConfig, search: SearchConfig, folder: Path) -> Path:
    """The file of the controller of one temperature, in its folder."""
    if gap.optimizer == PPO:
        return ppo_files(folder, "rnnenv").path(".best.json")
    return RunFiles.of(folder, "rnnenv", search.num_episode, search.population).path(".best.json")


def ppo_settings(gap: TemperatureSweepConfig, search: SearchConfig, said: set[str]) -> RecipeConfig | None:
    """The settings of PPO; None where CMA-ES trains the controllers.

    Args:
        gap: of the report.
        search: whose settings of dreams both have.
        said: the names of the flags that the command line says.
    Raises:
        ConfigError: a flag of the other one was said.
        DependencyError: a package is missing.
    """
    check_optimizer(gap.optimizer, set())
    if gap.optimizer == CMA:
        config.refuse(said & {"steps"}, "with --optimizer cma")
        return None
    own = {*config.options(SearchConfig), *config.options(FormConfig)} - SHARED
    config.refuse(said & own, "with --optimizer ppo")
    return RecipeConfig(
        optimizer=PPO,
        ppo_steps=gap.steps,
        dream_steps=search.max_steps,
        action_delay=search.action_delay,
        latent_shift=search.latent_shift,
        seed=search.seed_start if "seed_start" in said else None,
    )


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.parser(
        "Train controllers at several temperatures; return in the dream and in the simulator for each.",
        "example:\n  dreamduck temperature-sweep --temperatures 0.3,0.5,1.0 --out gap",
    )
    parser.add_argument("--out", default="gap", help="folder to write to (default: gap)")
    parser.add_argument("--fresh", action="store_true", help="start again, overwriting existing files")
    mpi.add_arguments(parser)
    config.add_arguments(parser, TemperatureSweepConfig)
    search = parser.add_argument_group("search")
    config.add_arguments(search, SearchConfig, ("max_steps",), DEFAULTS)  # type: ignore[arg-type]
    add_max_steps(search)
    config.add_arguments(parser.add_argument_group("controller"), FormConfig, defaults=DEFAULTS)  # type: ignore[arg-type]
    skip = ("temperature",)
    config.add_arguments(parser.add_argument_group("world"), WorldConfig, skip)  # type: ignore[arg-type]
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Make the report and copy the best controller."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    said = config.given(parser, arguments, argv)
    adapt_to_environment(arguments, said)
    arguments.max_steps = max_steps(arguments)
    gap = config.from_arguments(TemperatureSweepConfig, arguments)
    world = config.from_arguments(WorldConfig, arguments)
    search = config.from_arguments(SearchConfig, arguments)
    form = config.from_arguments(FormConfig, arguments)
    ppo = ppo_settings(gap, search, said)
    folder = Path(arguments.out)
    parts = {"report": gap, "world": world, "search": search, "controller": form}
    parts |= {} if ppo is None else {"ppo": ppo}
    described = {name: to_dict(part) for name, part in parts.items()}
    with mpi.team(arguments.rank_timeout) as team, contextlib.ExitStack() as held:
        if team.rank == 0:
            outputs = [folder / name for name in OUTPUTS]
            held.enter_context(claim_report("gap", folder, outputs, described, arguments.fresh))
        rows = run(gap, world, search, form, folder, team, arguments.fresh, ppo)
        if team.rank:
            return
        chosen = select(rows)
        assert chosen is not None  # every row has episodes of the selection
        text = next(text for text in gap.temperatures if float(text) == chosen["temperature"])
        copy_controller(controller_file(gap, search, folder / f"temperature-{text}"), folder, "dream")
    print(read_text(folder / "gap.md"))
    print(f"selected: temperature {text}; its controller is {folder / 'dream.json'}")
