"""What was driven, kept: an episode for training, a film for showing.

Flow: session -> [saving] -> recordings."""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck import __version__
from dreamduck.drive.session import Session
from dreamduck.errors import RecordError
from dreamduck.recordings import Episode, read_episode, write_episode
from dreamduck.video import write_video

FILM_SCALE = 6  # 64 x 64 pixels become 384 x 384
SEED_BASE = 1_000_000_000  # episodes driven by hand are numbered from here, apart from recorded ones
KEPT = 4  # recordings held in memory for looking through
MAX_LISTED = 500


class Recorder:
    """The folder of recordings, as the page sees it.

    Args:
        folder: `records`, where episodes lie.
        films: where films of drives lie.
        step_time: duration of a step of the world [s].
    """

    def __init__(self, folder: Path, films: Path, step_time: float) -> None:
        self.folder = folder
        self.films = films
        self.step_time = step_time
        self._lock = threading.Lock()
        self._read: OrderedDict[str, Episode] = OrderedDict()

    def save(self, session: Session) -> dict[str, Any]:
        """Keep a drive up to its present moment.

        Returns:
            `episode` and `film`, the names of the files, and `steps`.
        Raises:
            RecordError: nothing was driven yet.
        """
        if session.at == 0:
            raise RecordError("save: expected a drive of at least one step; drive first")
        episode = to_episode(session)
        frames = [moment.frame for moment in session.moments[: session.at + 1]]
        with self._lock:  # two tabs must not choose one number
            seed = self._free_seed()
            write_episode(self.folder / f"{seed}.npz", episode)
        film = f"{seed}.mp4"
        write_video(self.films / film, frames, 1 / self.step_time, FILM_SCALE)
        return {"episode": f"{seed}.npz", "film": film, "steps": len(episode)}

    def film(self, name: str) -> Path | None:
        """The path of a film by its name; None if there is none."""
        return next((p for p in self.films.glob("*.mp4") if p.name == name), None)

    def names(self) -> list[str]:
        """The recordings there are, the newest first."""
        if not self.folder.is_dir():
            return []
        files = [p for p in self.folder.glob("*.npz") if p.stem.isascii() and p.stem.isdigit()]
        files.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        return [path.stem for path in files[:MAX_LISTED]]

    def frame(self, name: str, index: int) -> tuple[npt.NDArray[np.uint8], int]:
        """One frame (64, 64, 3) of a recording, and how many it has; past its end: the last.

        Raises:
            RecordError: there is no such recording, or it is damaged.
        """
        # Only names that are in the folder: what comes from a browser is never made into a path.
        if not (name.isascii() and name.isdigit() and len(name) < 20):
            raise RecordError(f"record: expected a number, got {name!r:.40}")
        with self._lock:
            episode = self._read.get(name) or read_episode(self.folder / f"{name}.npz")
            self._read[name] = episode
            self._read.move_to_end(name)
            while len(self._read) > KEPT:
                self._read.popitem(last=False)
        return episode.obs[min(index, len(episode) - 1)], len(episode)

    def _free_seed(self) -> int:
        """The next number that no recording has."""
        taken = [int(p.stem) for p in self.folder.glob("*.npz") if p.stem.isascii() and p.stem.isdigit()]
        return max([SEED_BASE - 1, *taken]) + 1


def to_episode(session: Session) -> Episode:
    """A drive up to its present moment, in the form of a recording.

    In the dream, frames are what the VAE makes of the latents, and rewards are predicted ones.
    """
    before, after = session.moments[: session.at], session.moments[1 : session.at + 1]
    ends = [moment.outcome.end for moment in after]
    start = dataclasses.asdict(session.world.start)
    meta = {
        "policy": "drive",
        "world": start["world"],
        "map": start["map_name"],
        "simulator": session.world.simulator,
        "seed": start["seed"],
        "domain_rand": start["domain_rand"],
        "end": ends[-1],
        "versions": {"dreamduck": __version__},
    }
    return Episode(
        obs=np.stack([moment.frame for moment in before]),
        action=session.actions(),
        reward=np.array([moment.outcome.reward for moment in after], np.float32),
        done=np.array([bool(end) for end in ends]),
        meta=meta,
    )
