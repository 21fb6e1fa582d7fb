"""Recording while a person drives: an episode for training, a video for showing."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck import __version__
from dreamduck.common.errors import RecordError
from dreamduck.common.video import check_suffix, write_video
from dreamduck.recordings.episode import MAX_FRAMES, Episode, write_episode

log = logging.getLogger(__name__)
Frame = npt.NDArray[np.uint8]

SEED_BASE = 1_000_000_000  # episodes driven by hand are numbered from here, apart from recorded ones
VIDEO_WAITING = 32  # frames that wait for the encoder
MADE_BY = {"policy": "drive", "versions": {"dreamduck": __version__}}


def keep(folder: Path, episode: Episode) -> int:
    """Write an episode under the next number that no recording in the folder has; returns the number."""
    taken = [int(p.stem) for p in folder.glob("*.npz") if p.stem.isascii() and p.stem.isdigit()]
    number = max([SEED_BASE - 1, *taken]) + 1
    write_episode(folder / f"{number}.npz", episode)
    return number


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
    """A video that is written while one drives; to be used in a `with` block.

    Args:
        path: ends in .mp4 or .gif.
        fps: frames a second.
    Raises:
        ConfigError: another suffix.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._frames: queue.Queue[Frame | None] = queue.Queue(VIDEO_WAITING)
        self._thread = ThreadPoolExecutor(1, "dreamduck-video")
        self._written: Future[int] | None = None
        self.path, self.fps = path, fps
        check_suffix(path)

    def add(self, frame: Frame) -> None:
        """Add a frame (H, W, 3); all have one size.

        Raises:
            VideoError: the encoder failed.
        """
        if self._written is None:  # a video has at least one frame
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
        """End the video.

        Raises:
            VideoError: the encoder failed.
        """
        if self._written is not None:
            self._put(None)
            log.info("%d frames in %s", self._written.result(), self.path)
        self._thread.shutdown()
