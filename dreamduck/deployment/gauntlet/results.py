"""The gauntlet's measurements so far: the file from which a stopped run resumes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamduck.common.config import to_dict
from dreamduck.common.errors import ConfigError
from dreamduck.common.extras import versions
from dreamduck.common.readers import in_words
from dreamduck.common.storage import fingerprint, read_json, write_json
from dreamduck.deployment.gauntlet.config import GauntletConfig
from dreamduck.deployment.gauntlet.drive import round_count
from dreamduck.deployment.gauntlet.perturbations import Perturbation
from dreamduck.deployment.gauntlet.team import Task
from dreamduck.evaluation.episode_stats import as_measures

VERSION = 1  # of `gauntlet.json`
RESULT_BYTES = 1 << 28
UNIMPORTANT = ("only", "workers", "out", "short", "episodes")  # settings that change no episode
REMEDY = "choose another --out, or give --fresh to write over it"


class Results:
    """The rounds that were driven.

    Args:
        path: of the file, which is read where it is there.
        file: the deployed file.
        settings: of the gauntlet.
    Raises:
        ConfigError: the file is damaged, or of another policy or other settings.
    """

    def __init__(self, path: Path, file: Path, settings: GauntletConfig) -> None:
        self.path = path
        kept = {name: value for name, value in to_dict(settings).items() if name not in UNIMPORTANT}
        kept = json.loads(json.dumps(kept))  # tuples become lists, as they are in the file
        self.key = {
            "version": VERSION,
            "fingerprint": fingerprint(file),
            "episodes": settings.count,
            "settings": kept,
        }
        self.rounds: dict[Task, list[dict[str, Any]]] = {}
        if os.path.lexists(path):
            self._read()

    def _read(self) -> None:
        found = read_json(self.path, ConfigError, REMEDY, RESULT_BYTES)
        with in_words(self.path, ConfigError, "not the result of a gauntlet", REMEDY):
            changed = [name for name in self.key if found["key"].get(name) != self.key[name]]
            if changed:
                raise ConfigError(
                    f"{self.path}: measured with another {', '.join(changed)}; expected those of this run; "
                    f"{REMEDY}"
                )
            for one in found["rounds"]:
                task = Task(str(one["perturbation"]), str(one["map"]), int(one["round"]))
                as_measures(one["episodes"])
                self.rounds[task] = one["episodes"]

    def missing(self, rows: Sequence[Perturbation], settings: GauntletConfig) -> list[Task]:
        """The rounds that are still to be driven."""
        wanted = [
            Task(row.key, name, number)
            for row in rows
            for name in settings.maps
            for number in range(round_count(settings))
        ]
        return [task for task in wanted if task not in self.rounds]

    def episodes(self, key: str, map_name: str) -> list[dict[str, Any]]:
        """The episodes of a perturbation on a map, in the order of their numbers."""
        tasks = sorted(task for task in self.rounds if task[:2] == (key, map_name))
        return [episode for task in tasks for episode in self.rounds[task]]

    def write(self, summary: Sequence[dict[str, Any]] = ()) -> None:
        """Write the file.

        Args:
            summary: see `report.summarize`.
        """
        rounds = [
            {"perturbation": task.key, "map": task.map_name, "round": task.number, "episodes": episodes}
            for task, episodes in sorted(self.rounds.items())
        ]
        found = {"key": self.key, "versions": versions(("numpy", "onnxruntime"))}
        write_json(self.path, {**found, "summary": list(summary), "rounds": rounds}, indent=None)
