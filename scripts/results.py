"""Fill the README's tables from the files that the commands wrote: `python scripts/results.py [--check]`.

Each table stands between `<!-- results:NAME -->` and `<!-- end -->`; nothing in it is typed by hand."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dreamduck.storage import read_json

ROOT = Path(__file__).resolve().parent.parent
CARDS = ROOT / "dreamduck" / "pretrained"
RESULTS = ROOT / "benchmarks" / "results"
SCORES = ROOT / "docs" / "scores" / "scores.md"
MARK = re.compile(r"(<!-- results:(\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def model() -> str:
    """What the shipped world model reaches on held-out episodes, and what made it."""
    vae, rnn = read_json(CARDS / "vae.json"), read_json(CARDS / "rnn.json")
    eye, mind = vae["metrics"]["held_out"], rnn["metrics"]["held_out"]

    def made(card: dict[str, Any]) -> str:
        return f"{card['seconds'] / 60:.0f} min"

    rows = [
        ["VAE", "PSNR of a decoded frame", f"{eye['psnr']:.1f} dB", f"`{vae['command']}`", made(vae)],
        ["", "structural similarity", f"{eye['ssim']:.2f}", "", ""],
        [
            "MDN-RNN",
            "log-likelihood loss of a latent",
            f"{mind['nll']:.3f} nats",
            f"`{rnn['command']}`",
            made(rnn),
        ],
        ["", "correlation of predicted and true reward", f"{mind['reward_correlation']:.2f}", "", ""],
        ["", "ROC AUC of the end", f"{mind['end_auc']:.3f}", "", ""],
        [
            "",
            "ends a step, expected and true",
            f"{mind['end_expected']:.4f}, {mind['end_rate']:.4f}",
            "",
            "",
        ],
    ]
    return table(["", "on held-out episodes", "", "made by", "took"], rows)


def scores() -> str:
    """The scoreboard's own tables, without their heading."""
    return SCORES.read_text(encoding="utf-8").split("\n", 2)[2].replace("\n## ", "\n#### ").strip() + "\n"


def simulator() -> str:
    """Frames a second of the native simulator, as ratios to gym-duckietown."""
    found = read_json(RESULTS / "simulator.json")["results"]["frames a second, one core"]
    rows = []
    for name, rates in found.items():
        stock, _, native, batch = rates.values()
        rows.append([name, f"{stock:.0f}", f"{native:.0f}", f"{native / stock:.0f}", f"{batch:.0f}"])
    return table(["map and frame", "gym-duckietown", "native", "times", "native, 64 cars a call"], rows)


TABLES: dict[str, Callable[[], str]] = {"model": model, "scores": scores, "simulator": simulator}


def main() -> int:
    """Fill the tables, or with --check say whether they are as they should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a table is stale")
    check = parser.parse_args().check
    path = ROOT / "README.md"
    old = path.read_text(encoding="utf-8")
    new = MARK.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], old)
    if check:
        return int(new != old)
    path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
