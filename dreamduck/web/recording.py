"""Episodes of the page on disk: a recording for training, a video to show."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import OrderedDict
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import RecordError, VideoError
from dreamduck.common.video import write_video
from dreamduck.recordings import Episode, read_episode
from dreamduck.recordings.coverage import CUT
from dreamduck.recordings.live import MADE_BY, keep
from dreamduck.web.episode_images import IMAGE, STRIP, enlarge, write_images
from dreamduck.web.session import Session

Frame = npt.NDArray[np.uint8]

SERVED = {".mp4": "video/mp4", ".gif": "image/gif", ".png": "image/png"}  # by the end of the name
CACHED = 4  # recordings held in memory
MAX_LISTED = 10_000


class Recorder:
    """The folder of recordings, as the page sees it.

    Args:
        folder: `records`, where episodes lie.
        videos: where videos of episodes lie.
        step_time: duration of a step of the world [s].
    """

    def __init__(self, folder: Path, videos: Path, step_time: float) -> None:
        self.folder = folder
        self.videos = videos
        self.step_time = step_time
        self._lock = threading.Lock()
        self._read: OrderedDict[str, Episode] = OrderedDict()

    def save(self, session: Session) -> dict[str, Any]:
        """Save an episode up to its present moment: both files, or neither.

        Returns:
            `episode` and `video`, the names of the files, and `steps`.
        Raises:
            RecordError: there is no step yet, or a file cannot be written; the episode is as it was.
        """
        if session.at == 0:
            raise RecordError("save: expected an episode of at least one step; drive first")
        episode = to_episode(session)
        try:
            with self._lock:  # two tabs must not choose one number
                number = keep(self.folder, episode)
            video = f"{number}.mp4"
            try:
                with contextlib.closing(video_frames(session)) as frames:
                    write_video(self.videos / video, frames, 1 / self.step_time)
            except BaseException:
                (self.folder / f"{number}.npz").unlink(missing_ok=True)
                raise
        except (OSError, VideoError) as err:
            raise RecordError(
                f"save: expected to write to {self.folder} and {self.videos}, got: {err}; nothing is lost: "
                "make room there, or start the server with other --records and --videos, and save again"
            ) from err
        return {"episode": f"{number}.npz", "video": video, "steps": len(episode)}

    def video(self, name: str) -> Path | None:
        """The path of a video or image by its name; None if there is none."""
        return next((p for p in self.videos.glob("*.*") if p.name == name and p.suffix in SERVED), None)

    def export(self, session: Session, form: str, names: Sequence[str], every: int) -> str:
        """Write an episode up to its present moment as `write_images` does; returns the file's name.

        Raises:
            RecordError: the file cannot be written; the episode is as it was.
            ConfigError: see `write_images`.
        """
        start = session.scene.start
        end = ".png" if form in (IMAGE, STRIP) else f".{form}"
        stem = f"{start.world}-{start.seed}-{session.at}-{form}"
        try:
            with self._lock:  # two tabs must not choose one name
                self.videos.mkdir(parents=True, exist_ok=True)
                taken = {path.stem for path in self.videos.iterdir()}
                free = next(name for k in itertools.count() if (name := f"{stem}-{k}") not in taken)
                path = self.videos / f"{free}{end}"
                path.touch()
            try:
                write_images(path, session, form, names, every, self.step_time)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        except (OSError, VideoError) as err:
            raise RecordError(
                f"export: expected to write to {self.videos}, got: {err}; make room there, or start the "
                "server with another --videos, and export again"
            ) from err
        return path.name

    def names(self) -> list[str]:
        """The recordings there are, the newest first."""
        if not self.folder.is_dir():
            return []
        files = [p for p in self.folder.glob("*.npz") if p.stem.isascii() and p.stem.isdigit()]
        files.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        return [path.stem for path in files[:MAX_LISTED]]

    def frame(self, name: str, index: int) -> tuple[Frame, int]:
        """One frame (64, 64, 3) of a recording, and how many it has; past its end, the last.

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
            while len(self._read) > CACHED:
                self._read.popitem(last=False)
        return episode.obs[min(index, len(episode) - 1)], len(episode)


def video_frames(session: Session) -> Generator[Frame, None, None]:
    """The images of an episode up to its present moment, for its video."""
    if not session.scene.quick_return:
        yield from (enlarge(moment.frame) for moment in session.moments[: session.at + 1])
        return
    for moment in session.visit(range(session.at + 1)):
        yield enlarge(session.scene.video_frame(moment))


def to_episode(session: Session) -> Episode:
    """An episode up to its present moment, in the form of a recording.

    In the dream, frames are what the VAE makes of the latents, and rewards are predicted ones.
    """
    before, after = session.moments[: session.at], session.moments[1 : session.at + 1]
    ends = [moment.outcome.end for moment in after]
    start = session.scene.start
    meta = {
        **session.scene.env.about(),
        "world": start.world,
        "domain_rand": start.domain_rand,
        "end": ends[-1] or "time",
    }
    return Episode(
        obs=np.stack([moment.frame for moment in before]),
        action=np.stack([session.scene.keys.unpack(action) for action in session.actions()]),
        reward=np.array([moment.outcome.reward for moment in after], np.float32),
        done=np.array([bool(end) and end not in CUT for end in ends]),
        meta={**meta, **MADE_BY},
    )
