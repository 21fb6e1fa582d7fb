"""What was driven, kept: an episode for training, a film for showing."""

from __future__ import annotations

import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck import __version__
from dreamduck.common.errors import ConfigError, RecordError, VideoError
from dreamduck.common.video import SUFFIXES, write_video
from dreamduck.recordings import Episode, read_episode, write_episode
from dreamduck.recordings.episode import MAX_FRAMES
from dreamduck.simulator.environment import ENVIRONMENT
from dreamduck.web.session import Session

log = logging.getLogger(__name__)
Frame = npt.NDArray[np.uint8]

FILM_SCALE = 6  # 64 x 64 pixels become 384 x 384
SEED_BASE = 1_000_000_000  # episodes driven by hand are numbered from here, apart from recorded ones
KEPT = 4  # recordings held in memory for looking through
MAX_LISTED = 10_000
FILM_WAITING = 32  # frames that wait for the encoder
MADE_BY = {"policy": "drive", "versions": {"dreamduck": __version__}}


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
        """Keep a drive up to its present moment: both files, or neither.

        Returns:
            `episode` and `film`, the names of the files, and `steps`.
        Raises:
            RecordError: nothing was driven yet, or a file cannot be written; the drive is as it was.
        """
        if session.at == 0:
            raise RecordError("save: expected a drive of at least one step; drive first")
        episode = to_episode(session)
        frames = [moment.frame for moment in session.moments[: session.at + 1]]
        try:
            with self._lock:  # two tabs must not choose one number
                number = keep(self.folder, episode)
            film = f"{number}.mp4"
            try:
                write_video(self.films / film, frames, 1 / self.step_time, FILM_SCALE)
            except BaseException:
                (self.folder / f"{number}.npz").unlink(missing_ok=True)
                raise
        except (OSError, VideoError) as err:
            raise RecordError(
                f"save: expected to write to {self.folder} and {self.films}, got: {err}; nothing is lost: "
                "make room there, or start the server with other --records and --films, and save again"
            ) from err
        return {"episode": f"{number}.npz", "film": film, "steps": len(episode)}

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

    def frame(self, name: str, index: int) -> tuple[Frame, int]:
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


def keep(folder: Path, episode: Episode) -> int:
    """Write an episode under the next number that no recording in the folder has; returns the number."""
    taken = [int(p.stem) for p in folder.glob("*.npz") if p.stem.isascii() and p.stem.isdigit()]
    number = max([SEED_BASE - 1, *taken]) + 1
    write_episode(folder / f"{number}.npz", episode)
    return number


def to_episode(session: Session) -> Episode:
    """A drive up to its present moment, in the form of a recording.

    In the dream, frames are what the VAE makes of the latents, and rewards are predicted ones.
    """
    before, after = session.moments[: session.at], session.moments[1 : session.at + 1]
    ends = [moment.outcome.end for moment in after]
    start, simulator = session.world.start, session.world.simulator
    meta = {
        "world": start.world,
        "map_name": start.map_name if start.world != "dream" else "dream",
        "simulator": simulator,
        "seed": start.seed,
        "domain_rand": start.domain_rand,
        "end": ends[-1] or "time",
        **({ENVIRONMENT: session.world.environment} if session.world.environment else {}),
    }
    return Episode(
        obs=np.stack([moment.frame for moment in before]),
        action=session.actions(),
        reward=np.array([moment.outcome.reward for moment in after], np.float32),
        done=np.array([bool(end) for end in ends]),
        meta={**meta, **MADE_BY},
    )


class EpisodeLog:
    """Keeps the episodes of a Gym world while one drives in it.

    Args:
        folder: where they go.
        world: `DuckEnv`, `RealEnv` or `DreamEnv`.
    """

    def __init__(self, folder: Path, world: Any) -> None:
        self._folder, self._world = folder, world
        self._steps: list[tuple[Frame, npt.NDArray[np.float32], float, bool]] = []
        self._end = ""

    def add(
        self, frame: Frame, action: npt.NDArray[np.float32], reward: float, terminated: bool, end: str
    ) -> None:
        """Note a step: the frame (64, 64, 3) before it, the action (2,), and what it gave."""
        self._steps.append((frame, action, reward, terminated))
        self._end = end
        if len(self._steps) == MAX_FRAMES:  # a longer episode would not be read
            self.close()

    def close(self) -> None:
        """End the episode, and write it if anything was driven; the next step begins another.

        Raises:
            RecordError: it cannot be written.
        """
        if not self._steps:
            return
        obs, action, reward, done = zip(*self._steps, strict=True)
        self._steps = []
        episode = Episode(
            obs=np.stack(obs),
            action=np.stack(action).astype(np.float32),
            reward=np.array(reward, np.float32),
            done=np.array(done),
            meta={**self._world.about(), "end": self._end or "time", **MADE_BY},
        )
        try:
            number = keep(self._folder, episode)
        except OSError as err:
            raise RecordError(
                f"{self._folder}: expected to write an episode of {len(episode)} steps there, got: {err}; "
                "make room, or name another folder with --record"
            ) from err
        log.info("kept %d steps as %s", len(episode), self._folder / f"{number}.npz")


class VideoWriter:
    """A film that is written while one drives; to be used in a `with` block.

    Args:
        path: ends in .mp4 or .gif.
        fps: frames a second.
    Raises:
        ConfigError: another suffix.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._frames: queue.Queue[Frame | None] = queue.Queue(FILM_WAITING)
        self._thread = ThreadPoolExecutor(1, "dreamduck-film")
        self._written: Future[int] | None = None
        self.path, self.fps = path, fps
        if path.suffix.lower() not in SUFFIXES:
            raise ConfigError(f"video: expected a name that ends in {' or '.join(SUFFIXES)}, got {path}")

    def add(self, frame: Frame) -> None:
        """Add a frame (H, W, 3); all have one size.

        Raises:
            VideoError: the encoder failed.
        """
        if self._written is None:  # a film has at least one frame
            self._written = self._thread.submit(write_video, self.path, self._waiting(), self.fps)
        self._put(frame)
        if self._written.done():
            self._written.result()

    def _put(self, frame: Frame | None) -> None:
        """Hand a frame, or the end, to the encoder as soon as it takes it; drop it if that has failed."""
        assert self._written is not None
        while not self._written.done():
            try:
                self._frames.put(frame, timeout=0.1)
            except queue.Full:
                continue
            return

    def _waiting(self) -> Iterator[Frame]:
        while (frame := self._frames.get()) is not None:
            yield frame

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *error: object) -> None:
        """End the film.

        Raises:
            VideoError: the encoder failed.
        """
        if self._written is not None:
            self._put(None)
            log.info("%d frames in %s", self._written.result(), self.path)
        self._thread.shutdown()
