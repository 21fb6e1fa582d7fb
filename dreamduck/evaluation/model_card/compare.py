"""Several models side by side, on the same episodes and with the same actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamduck.common.errors import ConfigError
from dreamduck.common.storage import write_json, write_text
from dreamduck.evaluation.model_card.card import FILE
from dreamduck.evaluation.model_card.figures import draw_comparison
from dreamduck.evaluation.model_card.report import headlines, table

NAME = "compare"
SAME = ("seed", "short", "episodes", "dreams", "warmup")  # settings that must be the same


def names_of(folders: Sequence[str]) -> list[str]:
    """A short name for each folder: its last part, or as much as tells them apart.

    Args:
        folders: of world models or cards; "" is the model that ships.
    """
    parts = [Path(folder).resolve().parts if folder else ("shipped",) for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["-".join(part[-length:]).strip("/").lstrip("-") for part in parts]
        if len(set(names)) == len(names):
            return names
    raise ConfigError(f"compare: expected different folders, got {', '.join(folders)}")


def has_card(folder: str) -> bool:
    """Whether a folder holds a card, not a world model."""
    return bool(folder) and (Path(folder) / FILE).is_file()


def check_same(cards: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse cards that were not made on the same episodes.

    Args:
        cards: by the model's name.
    Raises:
        ConfigError: two differ; says in what, and what to do.
    """
    (first, reference), *others = cards.items()
    for name, card in others:
        for what, one, other in _differences(reference["made_with"], card["made_with"]):
            raise ConfigError(
                f"compare: expected cards of the same episodes, got {what} {one} in {first} and {other} in "
                f"{name}; make both with the same --seed, --records and sizes"
            )


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    pairs = [("episodes of", one["data"].get("fingerprint"), other["data"].get("fingerprint"))]
    pairs += [(name, one["settings"].get(name), other["settings"].get(name)) for name in SAME]
    return [pair for pair in pairs if pair[1] != pair[2]]


def write_comparison(folder: Path, cards: Mapping[str, Mapping[str, Any]]) -> str:
    """Write table, image and JSON; returns the table.

    Args:
        folder: where to.
        cards: by the model's name, of the same episodes.
    """
    figures = {name: headlines(card) for name, card in cards.items()}
    rows = {
        line: {name: found[line] for name, found in figures.items()}
        for line in next(iter(figures.values()))
    }
    text = "\n".join(table("figure", rows))
    made = {name: card["made_with"] for name, card in cards.items()}
    write_json(folder / f"{NAME}.json", {"figures": figures, "made_with": made})
    write_text(
        folder / f"{NAME}.md",
        f"# World models side by side\n\n{text}\n\n![The same models by horizon]({NAME}.png)\n",
    )
    draw_comparison(folder / f"{NAME}.png", cards)
    return text
