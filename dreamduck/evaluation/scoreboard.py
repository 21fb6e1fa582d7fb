"""The scoreboard: all policies in the same episodes, by the measures of the AI Driving Olympics.

Each row has the same
starts on each map and in each simulator, those it was trained on and those it never saw. What is
measured already is not measured again: a stopped run resumes. Under `mpiexec` the ranks share the
work; the result does not depend on their number."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common import command_line, config, seeding
from dreamduck.common.config import check, option
from dreamduck.common.errors import ConfigError
from dreamduck.common.processes import mpi
from dreamduck.common.processes.threads import cores
from dreamduck.common.readers import in_words
from dreamduck.common.storage import read_json, write_json, write_text
from dreamduck.controllers.evaluator import blocks
from dreamduck.controllers.factory import (
    WorldConfig,
    versions,
    weights_fingerprints,
)
from dreamduck.evaluation import report
from dreamduck.evaluation.entries import Entry, training_budget
from dreamduck.evaluation.episode_stats import as_measures
from dreamduck.evaluation.runner import PATHS_KEPT, Round, Runner
from dreamduck.simulator.base import SIMULATORS
from dreamduck.simulator.maps.generated import expand_map_names
from dreamduck.simulator.maps.parser import load_map

SCORES_BYTES = 1 << 28  # every episode of every row

log = logging.getLogger(__name__)

TRAINING_MAP = "loop_empty"
UNSEEN_MAPS = ("udem1", "small_loop")


@dataclasses.dataclass(frozen=True)
class ScoreConfig:
    """Settings of the scoreboard."""

    episodes: int = option(100, "episodes for each row, map and simulator", low=1)
    seconds: float = option(60.0, "greatest length of an episode", unit="s", above=0.0)
    seed: int = option(0, "seed of the episodes", low=0)
    maps: tuple[str, ...] = option((TRAINING_MAP, *UNSEEN_MAPS), "maps to evaluate on")
    simulators: tuple[str, ...] = option(SIMULATORS[:1], "native, gym-duckietown or both")
    cars: int = option(0, "cars at a time; 0: 50 in native, a core's worth in gym-duckietown", low=0)

    def __post_init__(self) -> None:
        check(self)
        for name in self.simulators:
            if name not in SIMULATORS:
                raise ConfigError(f"simulators: expected some of {', '.join(SIMULATORS)}, got {name!r}")
        object.__setattr__(self, "maps", expand_map_names(self.maps))
        for name in self.maps:
            load_map(name)  # an unknown one fails now, not after an hour


class Scoreboard:
    """The rows, and what is measured of them so far.

    Args:
        folder: where `scores.json` and what is made from it lie.
    """

    def __init__(self, folder: Path, settings: ScoreConfig, world: WorldConfig) -> None:
        self.folder, self.settings, self.world = folder, settings, world
        self.path = folder / "scores.json"
        self.entries: list[dict[str, Any]] = []
        if os.path.lexists(self.path):
            self.entries = read_entries(self.path)

    def key(self, row: Entry, simulator: str, map_name: str) -> dict[str, Any]:
        """The settings that a measurement depends on."""
        world = _settings(config.replace(self.world, simulator=simulator, map_name=map_name))
        return {
            "row": row.name,
            "kind": row.kind,
            "source": row.source,
            "fingerprint": row.fingerprint(),
            "weights": weights_fingerprints(self.world.model.folder) if row.sees_through_model() else {},
            "world": world,
            "episodes": self.settings.episodes,
            "seconds": self.settings.seconds,
            "seed": self.settings.seed,
        }

    def measured(self, key: dict[str, Any]) -> bool:
        """Whether this was measured already."""
        return any(entry["key"] == key for entry in self.entries)

    def check_settings(self, rows: Sequence[Entry]) -> None:
        """Refuse to put measurements in the place of others that were made with other settings.

        Raises:
            ConfigError: names the first one, and what is different.
        """
        for simulator in self.settings.simulators:
            for map_name in self.settings.maps:
                for row in rows:
                    now = self.key(row, simulator, map_name)
                    for then in (entry["key"] for entry in self.entries):
                        if _place(then) == _place(now) and then != now:
                            changed = sorted(n for n in {*then, *now} if then.get(n) != now.get(n))
                            raise ConfigError(
                                f"{self.path}: {row.name!r} on {map_name}, {simulator}, was measured with "
                                f"another {', '.join(changed)}; choose another --out, or give --fresh to "
                                "measure it again in its place"
                            )

    def add(self, key: dict[str, Any], parts: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
        """Add a measurement, in the place of an older one of the same row, map and simulator."""
        episodes = [episode for part in parts for episode in part["episodes"]][: self.settings.episodes]
        paths = [path for part in parts for path in part["paths"]][: min(PATHS_KEPT, len(episodes))]
        place = _place(key)
        self.entries = [entry for entry in self.entries if _place(entry["key"]) != place]
        entry = {
            "key": key,
            "summary": report.summarize_episodes(episodes, self.settings.seed),
            "wall_seconds": round(seconds, 1),
            "versions": versions(),
            "episodes": episodes,
            "paths": paths,
        }
        self.entries.append(entry)
        self.write()
        return entry

    def set_budget(self, key: dict[str, Any], found: dict[str, Any] | None) -> None:
        """Add the training budget to a measurement that is there."""
        for entry in self.entries:
            if entry["key"] == key and found is not None:
                entry["cost"] = found

    def write(self) -> None:
        """Write the raw figures, the table and the figure."""
        write_json(self.path, {"entries": self.entries}, indent=None)
        write_text(self.folder / "scores.md", report.table(self.entries))
        report.draw_paths(self.folder / "paths.png", self.entries)

    def rounds(self, row: Entry, simulator: str, map_name: str) -> list[Round]:
        """The rounds of cars that make up one measurement; the last is filled up."""
        cars = self.settings.cars or (50 if simulator == "native" else cores())
        cars = min(cars, self.settings.episodes)
        # The map is no part of a seed's place: it is its own randomness already.
        return [
            Round(row, simulator, map_name, tuple(seeding.derive(self.settings.seed, n) for n in numbers))
            for numbers in blocks(self.settings.episodes, cars)
        ]


def read_entries(path: Path) -> list[dict[str, Any]]:
    """The measurements in a `scores.json`.

    Raises:
        ConfigError: it is missing, damaged or of another form.
    """
    remedy = "choose another --out"
    found = read_json(path, ConfigError, remedy, SCORES_BYTES)
    plain = _settings(WorldConfig())
    with in_words(path, ConfigError, "not a scoreboard", remedy):
        entries: list[dict[str, Any]] = list(found["entries"])
        report.table(entries)
        for entry in entries:
            # A setting that is newer than the measurement was what it is by default.
            entry["key"]["world"] = {**plain, **entry["key"]["world"]}
            ends = [np.asarray(points, dtype=np.float64).reshape(-1, 2)[-1] for points in entry["paths"]]
            as_measures(entry["episodes"])
            if not all(isinstance(part, str) for part in _place(entry["key"])):
                raise TypeError("names are no strings")
            json.dumps([entry, np.array(ends).tolist()], allow_nan=False)
    return entries


def _settings(world: WorldConfig) -> dict[str, Any]:
    """The settings of a road, as a key holds them."""
    found = config.to_dict(world)
    return {
        name: value
        for name, value in found.items()
        if name not in ("temperature", "weights", "any_weights")
    }


def _place(key: dict[str, Any]) -> tuple[str, str, str]:
    return key["row"], key["world"]["simulator"], key["world"]["map_name"]


def fill(board: Scoreboard, rows: Sequence[Entry], team: mpi.Team, runner: Runner) -> None:
    """Measure what is not measured yet, the fast ones first."""
    places = [
        (simulator, map_name, row)
        for simulator in board.settings.simulators
        for map_name in board.settings.maps
        for row in rows
    ]
    for simulator, map_name, row in command_line.progress(places, desc="rows"):
        key = board.key(row, simulator, map_name)
        if not board.measured(key):
            started = time.monotonic()
            parts = team.map(runner, board.rounds(row, simulator, map_name))
            entry = board.add(key, parts, time.monotonic() - started)
            log.info("%s, %s, %s: %s", simulator, map_name, row.name, report.one_line(entry["summary"]))
        board.set_budget(key, training_budget(row, board.world.model.folder))
