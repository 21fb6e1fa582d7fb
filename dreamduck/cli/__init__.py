"""The command line `dreamduck`: one subcommand a stage, imported only when it runs."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from dreamduck.common import command_line
from dreamduck.common.errors import ConfigError
from dreamduck.common.extras import needed, require


class Command(NamedTuple):
    """A subcommand.

    Attributes:
        target: module:function, which takes the arguments and returns an exit code.
        help: one line.
        extra: the extra of pip that holds what the base install lacks for it.
    """

    target: str
    help: str
    extra: str = "train"


COMMANDS = {
    "fetch-data": Command("dreamduck.cli.fetch_data:main", "fetch Duckietown's maps, textures and meshes"),
    "record": Command(
        "dreamduck.cli.record:main", "record episodes of Duckietown or any Gymnasium environment"
    ),
    "ingest": Command(
        "dreamduck.cli.ingest:main", "convert a robot's logs, or a data set, to recordings", "ingest"
    ),
    "train-vae": Command("dreamduck.cli.train_networks:train_vae", "train the VAE on recorded episodes"),
    "encode": Command("dreamduck.cli.encode:main", "encode recorded episodes as latents"),
    "train-rnn": Command(
        "dreamduck.cli.train_networks:train_rnn", "train the dynamics on encoded episodes"
    ),
    "train-ensemble": Command(
        "dreamduck.cli.train_networks:train_ensemble", "train an ensemble for the dynamics' uncertainty"
    ),
    "train-lane-probe": Command(
        "dreamduck.cli.train_lane_probe:main", "fit the probe of the lane position"
    ),
    "evolve": Command(
        "dreamduck.cli.evolve:main", "evolve a controller by CMA-ES, in the dream or on the road"
    ),
    "train-controller": Command(
        "dreamduck.cli.train_controller:main", "train a controller by PPO, in the dream or for real", "rl"
    ),
    "evaluate": Command(
        "dreamduck.cli.evaluate:main", "run a controller, in a window or for many episodes"
    ),
    "plot": Command("dreamduck.search.search_plot:main", "draw the progress of a search"),
    "scoreboard": Command(
        "dreamduck.cli.scoreboard:main", "compare policies: survival, distance, deviations"
    ),
    "evaluate-model": Command(
        "dreamduck.evaluation.model_card.command:main", "measure the accuracy of a world model's dreams"
    ),
    "temperature-sweep": Command(
        "dreamduck.pipeline.temperature_sweep:main", "evolve at several temperatures, compare on the road"
    ),
    "ablations": Command(
        "dreamduck.pipeline.ablations:main", "compare controllers without and with trained dynamics"
    ),
    "iterate": Command(
        "dreamduck.pipeline.iterate:main", "drive, record, train the dynamics, evolve; repeat"
    ),
    "record-controller": Command(
        "dreamduck.pipeline.record_controller:main", "record a controller's episodes on the road"
    ),
    "reproduce": Command(
        "dreamduck.pipeline.reproduce:main", "run all stages up to a controller trained in the dream"
    ),
    "quickstart": Command(
        "dreamduck.pipeline.quickstart:main", "run all stages, small, for any Gymnasium environment"
    ),
    "drive": Command("dreamduck.cli.drive:main", "drive in a browser", "web"),
    "window": Command("dreamduck.cli.window:main", "drive by keyboard in a window: v0, v1 or v2", "window"),
    "export": Command(
        "dreamduck.export.static_export:main", "write the dream as one HTML file with no server", "web"
    ),
    "deploy": Command(
        "dreamduck.cli.deploy:main", "write a policy as one file that drives a robot", "robot"
    ),
    "gauntlet": Command(
        "dreamduck.deployment.gauntlet.command:main",
        "measure how well a policy drives under perturbations",
        "robot",
    ),
    "figure": Command(
        "dreamduck.figures.command:main", "figures for talks: simulator and dream side by side"
    ),
    "rl": Command("dreamduck.rl.run:main", "train or play agents of Stable-Baselines3", "rl"),
    "learning-curves": Command(
        "dreamduck.rl.curves:main", "keep an agent with its curve, draw curves", "rl"
    ),
}
# Packages that a command needs only at its end; checked at its start, so that it does not fail after hours.
PACKAGES = {
    **dict.fromkeys(("record", "scoreboard", "evaluate-model"), ("matplotlib",)),
    "gauntlet": ("onnxruntime", "matplotlib"),
    "figure": ("matplotlib", "imageio_ffmpeg"),
    **dict.fromkeys(("train-vae", "train-rnn"), ("keras", "matplotlib")),
    "train-ensemble": ("keras",),
    "train-controller": ("stable_baselines3", "sb3_contrib"),
    **dict.fromkeys(("evolve", "temperature-sweep", "ablations"), ("cma", "matplotlib")),
    **dict.fromkeys(("iterate", "reproduce", "quickstart"), ("keras", "cma", "matplotlib")),
}


def overview() -> str:
    """What `dreamduck -h` prints."""
    width = max(map(len, COMMANDS))
    rows = [f"  {name:{width}}  {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: dreamduck [-h] [--version] COMMAND ...",
            "",
            "A world model for Duckietown: Gym environments and the pipeline that trains them.",
            "",
            "commands:",
            *rows,
            "",
            "`dreamduck COMMAND -h` lists the flags of a command, with an example.",
        ]
    )


def main(*words: str) -> None:
    """Run a subcommand, then exit.

    Args:
        words: come before the arguments that were typed, for example the name of a subcommand.
    """
    command_line.run(run, [*words, *sys.argv[1:]])


def run(words: Sequence[str] | None) -> int | None:
    """Run a subcommand.

    Args:
        words: its name and its arguments.
    Returns:
        The exit code; None for 0.
    Raises:
        ConfigError: there is no subcommand of this name.
        DependencyError: what it needs is not installed.
    """
    name, *rest = (_to_complete() if command_line.completes() else words) or ["-h"]
    if name in ("-h", "--help"):
        print(overview())
        return None
    if name == "--version":
        print(f"dreamduck {importlib.metadata.version('dreamduck')}")
        return None
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else "`dreamduck -h` lists them"
        raise ConfigError(f"dreamduck: expected a command, got {name!r}; {hint}")
    command = COMMANDS[name]
    sys.argv = [f"dreamduck {name}", *rest]  # argparse takes the name of the program from here
    command_line.search_here()
    module, _, function = command.target.partition(":")
    if not ({"-h", "--help"} & set(rest) or command_line.completes()):
        require(command.extra, PACKAGES.get(name, ()))
    with needed(command.extra):
        code: int | None = getattr(importlib.import_module(module), function)(rest)
    return code


def _to_complete() -> list[str]:
    """The subcommand whose arguments are to be completed; its name is completed here."""
    typed = os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])]
    words = typed.split(maxsplit=2)
    if words[1:] and words[1] in COMMANDS and (words[2:] or typed[-1].isspace()):
        os.environ["_ARGCOMPLETE"] = "2"  # the place of the word that argcomplete takes for the program
        return words[1:2]
    names = command_line.Parser(prog="dreamduck")
    names.add_argument("command", choices=tuple(COMMANDS))
    names.parse_args([])
    return []
