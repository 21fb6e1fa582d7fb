"""`dreamduck evaluate-model`: the evaluation card of a world model, or of several side by side."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamduck.common import command_line, config
from dreamduck.common.errors import ConfigError
from dreamduck.common.storage import write_json, write_text
from dreamduck.evaluation.model_card import card as cards
from dreamduck.evaluation.model_card.compare import check_same, has_card, names_of, write_comparison
from dreamduck.evaluation.model_card.config import ModelCardConfig
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.collection import Recorded, collect
from dreamduck.evaluation.model_card.driving.data import encode
from dreamduck.evaluation.model_card.figures import draw, draw_frames
from dreamduck.evaluation.model_card.report import headlines, report, table
from dreamduck.evaluation.model_card.sections.cost import timings
from dreamduck.world_model import WorldModel

log = logging.getLogger(__name__)
EPILOG = """\
examples:
  dreamduck evaluate-model --short
  dreamduck evaluate-model --weights weights --records records --out card
  dreamduck evaluate-model --compare weights other-weights"""


def evaluate(settings: ModelCardConfig, model: WorldModel, recorded: Recorded, out: Path) -> dict[str, Any]:
    """Make the card of one model and write it with its report and images; returns it.

    Args:
        settings: the card's settings.
        model: the world model.
        recorded: the episodes.
        out: folder for the files.
    """
    data = encode(recorded, model)
    dreams = Dreams(model, settings.temperature)
    card = cards.make_card(dreams, data, settings)
    cards.write_card(out, card)
    write_json(out / "cost.json", timings(dreams))
    draw_frames(out / "frames.png", dreams, data, settings)
    images = ["frames.png", *draw(out, card)]
    links = "\n".join(f"![{Path(name).stem}]({name})" for name in images if (out / name).exists())
    write_text(out / "model.md", f"{report(card)}\n## Figures\n\n{links}\n")
    return card


def compare(settings: ModelCardConfig) -> str:
    """The cards of several folders; those without one are evaluated on the same episodes.

    Returns:
        The table.
    Raises:
        ConfigError: the folders are the same, or their cards are of other episodes or another version.
    """
    names, out = names_of(settings.compare), Path(settings.out)
    folders = dict(zip(names, settings.compare, strict=True))
    made = {name: cards.read_card(Path(folder)) for name, folder in folders.items() if has_card(folder)}
    models = {name: WorldModel.load(folder or None) for name, folder in folders.items() if name not in made}
    if models:
        recorded = collect(list(models.values()), settings)
        for name, model in models.items():
            log.info("%s", name)
            made[name] = evaluate(settings, model, recorded, out / name)
    found = {name: made[name] for name in names}
    check_same(found)
    return write_comparison(out, found)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.parser(__doc__ or "", EPILOG)
    config.add_arguments(parser, ModelCardConfig, skip=("compare",))
    parser.add_argument(
        "--compare",
        nargs="+",
        default=(),
        metavar="FOLDER",
        help="folders of world models, or of cards that are made, to put side by side; "
        '"" is the model that ships',
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int | None:
    """Make the card, or compare, and print the main figures."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    arguments.compare = tuple(arguments.compare)
    settings = config.from_arguments(ModelCardConfig, arguments)
    if settings.compare:
        if settings.weights:
            raise ConfigError("weights: of no effect with --compare; name the folder there")
        if len(settings.compare) < 2:
            raise ConfigError("compare: expected two folders or more, got one; use --weights for one")
        print(compare(settings))
    else:
        model = WorldModel.load(settings.weights or None)
        card = evaluate(settings, model, collect([model], settings), Path(settings.out))
        shown = {name: one for name, one in headlines(card).items() if one is not None}
        if "explanation" in card:
            shown |= {name: card["explanation"][name] for name in ("psnr", "surprise")}
        print("\n".join(table("figure", {name: {"value": one} for name, one in shown.items()})))
        for name, part in card.items():
            if "left_out" in part:
                print(f"left out: {name}, {part['left_out']}")
    print(f"written to {settings.out}")
    return 0
