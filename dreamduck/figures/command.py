"""`dreamduck figure`: a figure for a talk, and a text file that describes how it was made."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from dreamduck import __version__
from dreamduck.common import command_line, config
from dreamduck.common.storage import replacing, write_json, write_text
from dreamduck.common.video import write_video
from dreamduck.controllers.factory import ROAD_FIELDS
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.figures.config import CONTROLLER, KINDS, ONLY, ROADLESS, FigureConfig, output_path
from dreamduck.figures.drawings import DRAWINGS, Drawing
from dreamduck.figures.horizon_error import BAND, draw_horizon, horizon_errors
from dreamduck.figures.source import Source
from dreamduck.world_model import WorldModel

DESCRIPTION = """\
Write a figure: frames of the simulator beside those of the dream, each labelled.

kinds:
  picture       one panel, the camera unless --panels names others
  split         the true drive beside the dream under the same actions
  strip         true, reconstructed, dreamt and error below each other, every n steps
  steering      left, straight on, right, reverse from one moment, true and dreamt
  temperatures  the same drive dreamt at several temperatures
  dream         a controller that drives in the dream alone
  latents       frames with single latents changed
  horizon       error of dreams by step: image and lane offset, over many drives

A .txt file beside the figure describes how it was made; a horizon also has a .json file."""
EPILOG = """\
examples:
  dreamduck figure split --seed 3 --out split.gif
  dreamduck figure strip --every 5 --steps 30 --out strip.png
  dreamduck figure picture --panels true,map --map-name udem1 --out udem1.mp4
  dreamduck figure horizon --episodes 50 --out horizon.svg"""
SKIPPED = ("camera_width", "camera_height")  # the model sees 64 x 64; people see --side


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.parser(DESCRIPTION, EPILOG)
    parser.add_argument("kind", choices=KINDS, help="kind of figure", metavar="KIND")
    config.add_arguments(parser, FigureConfig, skip=SKIPPED)
    return parser


class Made(NamedTuple):
    """What was made.

    Attributes:
        text: what the figure shows.
        steps: that were dreamt.
        frames: of the video; 1 of an image.
        model: the world model.
        temperature: of its dreams.
    """

    text: str
    steps: int
    frames: int
    model: WorldModel
    temperature: float


def make(kind: str, settings: FigureConfig, path: Path) -> Made:
    """Make a figure and write it.

    Args:
        kind: one of `KINDS`.
        settings: of the figure.
        path: of the file.
    """
    model = WorldModel.load(settings.weights or None)
    dreams = Dreams(model, settings.temperature)
    source = Source(settings, model, road=not settings.records and kind not in ROADLESS)
    if kind != "horizon":
        drawing = DRAWINGS[kind](source, dreams, settings)
        write_drawing(path, drawing, 1 / source.step_time, round(1e6 * settings.gif_limit))
        frames = 1 if path.suffix.lower() == ".png" else drawing.frames
        return Made(drawing.text, drawing.steps, frames, model, dreams.temperature)
    found = horizon_errors(source, dreams, settings)
    draw_horizon(path, found)
    write_json(path.with_suffix(".json"), found)
    text = (
        f"Error of dreams against {found['episodes'][0]} true drives by time: median, and a band of the "
        f"{BAND[0]}th to the {BAND[1]}th percentile; beside it that of the last frame, if it stays, and of "
        "reconstructions alone."
    )
    return Made(text, len(found["seconds"]), 1, model, dreams.temperature)


def write_drawing(path: Path, drawing: Drawing, fps: float, gif_limit: int) -> None:
    """Write a drawing in the format of its file name.

    Args:
        path: of the file.
        drawing: what is written.
        fps: of a video.
        gif_limit: [bytes].
    """
    if path.suffix.lower() == ".png":
        with replacing(path) as temporary:
            Image.fromarray(drawing.still()).save(temporary, "PNG", optimize=True)
    else:
        frames = map(drawing.frame, range(drawing.frames))
        write_video(path, frames, fps, gif_limit=gif_limit, gif_keeps_size=True)


def facts_of(kind: str, settings: FigureConfig, words: Sequence[str], made: Made) -> dict[str, Any]:
    """How a figure was made.

    Args:
        kind: one of `KINDS`.
        settings: of the figure.
        words: of the command line.
        made: the figure.
    """
    weights = (f"{network} {print_}" for network, print_ in made.model.card.fingerprints.items())
    facts: dict[str, Any] = {
        "command": shlex.join(["dreamduck", "figure", *words]),
        "dreamduck": __version__,
        "weights": f"{', '.join(weights)}; dynamics: {made.model.dynamics.kind}",
        "seed": settings.seed,
    }
    if settings.records:
        facts["drive"] = f"recordings in {settings.records}"
    elif kind not in ROADLESS:
        facts["drive"] = f"{settings.policy} on {settings.road.simulation.map_name}"
        facts["largest start angle [degrees]"] = settings.road.simulation.start_angle
    if kind == "temperatures":
        facts["temperatures"] = ", ".join(
            f"{value:g}" for value in settings.temperature_values(made.model.dynamics.shown_temperatures)
        )
    elif kind != "latents":
        facts["temperature"] = made.temperature
    if kind not in ROADLESS:
        facts["real frames before the dream"] = settings.warmup
    return {**facts, "steps dreamt": made.steps, "frames": made.frames}


def check_flags(kind: str, settings: FigureConfig, said: set[str]) -> None:
    """Refuse flags that this figure does not have.

    Args:
        kind: one of `KINDS`.
        settings: of the figure.
        said: the names of the flags that a command line says.
    Raises:
        ConfigError: names them.
    """
    config.refuse(said & {name for name, kinds in ONLY.items() if kind not in kinds}, f"for {kind}")
    if kind in ROADLESS:
        config.refuse(said & ROAD_FIELDS, f"for {kind}, which has no road")
    if settings.records:
        config.refuse(said & {*ROAD_FIELDS, "policy"}, "with --records")
    if settings.policy != CONTROLLER and kind != "dream":
        config.refuse(said & {"controller"}, "without --policy controller")


def figure(argv: Sequence[str] | None = None) -> tuple[Path, Made, dict[str, Any]]:
    """Make the figure of a command line.

    Returns:
        Its file, what was made, and how.
    """
    parser = build_parser()
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    settings = config.from_arguments(FigureConfig, arguments)
    check_flags(arguments.kind, settings, config.given(parser, arguments, argv))
    path = output_path(arguments.kind, settings.out)
    made = make(arguments.kind, settings, path)
    words = sys.argv[1:] if argv is None else argv
    return path, made, facts_of(arguments.kind, settings, words, made)


def main(argv: Sequence[str] | None = None) -> None:
    """Make the figure, and write its caption beside it."""
    path, made, facts = figure(argv)
    caption = path.with_suffix(".txt")
    lines = [made.text, "", *(f"{name}: {value}" for name, value in facts.items()), ""]
    write_text(caption, "\n".join(lines))
    print(f"wrote {path} and {caption}")
