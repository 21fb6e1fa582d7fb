"""Sum up scoreboards that were measured under several conditions: `docs/scores/conditions.json`.

    python -m scripts.conditions NAME=FOLDER [NAME=FOLDER ...]

A folder is the `--out` of `dreamduck scoreboard`. The episodes of all maps on which
every row was measured count together."""

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
    """The survival rate and the distance of each row, over the maps on which every row was measured.

    Args:
        folder: of a scoreboard, with a row of pure pursuit.
    Raises:
        ConfigError: there is no scoreboard, or no such map.
    """
    entries = read_entries(folder / "scores.json")
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for entry in entries:
        rows.setdefault(entry["key"]["row"], {})[entry["key"]["world"]["map_name"]] = entry
    maps = [name for name in rows.get(PEER, {}) if all(name in found for found in rows.values())]
    if not maps:
        raise ConfigError(
            f"{folder}: expected a map with every row and with {PEER!r}, got rows {', '.join(rows)}"
        )
    means, alive = {}, {}
    for name, found in rows.items():
        episodes = [episode for map_name in maps for episode in found[map_name]["episodes"]]
        means[name] = float(np.mean([episode["distance"] for episode in episodes]))
        alive[name] = share(episode["end"] == "time" for episode in episodes)
    kept = [(e["key"]["episodes"], e["key"]["seconds"], e["key"]["seed"]) for e in entries]
    if len(set(kept)) > 1:
        raise ConfigError(
            f"{folder}: expected rows of the same episodes, seconds and seed, got {set(kept)}"
        )
    key = entries[0]["key"]
    return {
        "maps": maps,
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
