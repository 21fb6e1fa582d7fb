"""Where the results lie, and what all tables use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamduck.common.storage import read_json

ROOT = Path(__file__).resolve().parent.parent.parent
CARDS = ROOT / "dreamduck" / "pretrained"
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def body(text: str) -> str:
    """A report without its heading."""
    return text.split("\n", 2)[2].strip() + "\n"


def benchmark(name: str) -> Any:
    """The results of one benchmark."""
    return read_json(RESULTS / f"{name}.json")["results"]


def minutes(seconds: Mapping[str, float]) -> str:
    """The minutes of each stage and their sum, as a sentence."""
    stages = ", ".join(f"{stage} {value / 60:.1f}" for stage, value in seconds.items())
    return f"Minutes: {stages}; together {sum(seconds.values()) / 60:.0f}.\n"
