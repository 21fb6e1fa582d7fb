"""Sum up scoreboards that were measured under several conditions: `docs/scores/conditions.json`.

    python -m scripts.conditions NAME=FOLDER [NAME=FOLDER ...]

A folder is the `--out` of `dreamduck scoreboard`. The episodes of all its maps count together."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common.errors import ConfigError
from dreamduck.common.storage import write_json
from dreamduck.evaluation.report import share
from dreamduck.evaluation.scoreboard import read_entries

OUT = Path(__file__).resolve().parent.parent / "docs" / "scores" / "conditions.json"
PEER = "pure pursuit"
SETTINGS = ("simulator", "domain_rand", "dynamics_rand", "distortion")


def summarize(folder: Path) -> dict[str, Any]:
    """The survival rate and the distance of each row, over all maps.

    Args:
        folder: of a scoreboard, with a row of pure pursuit.
    Raises:
        ConfigError: there is no scoreboard, or its rows were not measured on the same maps.
    """
    entries = read_entries(folder / "scores.json")
    rows: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        rows.setdefault(entry["key"]["row"], []).append(entry)
    maps = {name: [e["key"]["world"]["map_name"] for e in found] for name, found in rows.items()}
    if PEER not in rows or any(sorted(names) != sorted(maps[PEER]) for names in maps.values()):
        raise ConfigError(f"{folder}: expected the same maps for each row and {PEER!r}, got {maps}")
    means, alive = {}, {}
    for name, found in rows.items():
        episodes = [episode for entry in found for episode in entry["episodes"]]
        means[name] = float(np.mean([episode["distance"] for episode in episodes]))
        alive[name] = share(episode["end"] == "time" for episode in episodes)
    key = entries[0]["key"]
    return {
        "maps": maps[PEER],
        "episodes": key["episodes"],
        "seconds": key["seconds"],
        "seed": key["seed"],
        "world": {name: key["world"][name] for name in SETTINGS},
        "rows": {
            name: {"alive": alive[name], "distance_share": round(means[name] / means[PEER], 4)}
            for name in rows
        },
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Read the scoreboards and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("boards", nargs="+", metavar="NAME=FOLDER")
    found = {}
    for text in parser.parse_args(argv).boards:
        name, _, folder = text.partition("=")
        found[name] = summarize(Path(folder))
    write_json(OUT, found)
    print(OUT)


if __name__ == "__main__":
    main()
