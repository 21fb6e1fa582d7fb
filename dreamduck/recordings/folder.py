"""A folder of episodes: which are complete, which are held out."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dreamduck.common.command_line import progress
from dreamduck.common.errors import RecordError
from dreamduck.common.seeding import sequence
from dreamduck.common.storage import PathLike, read_json, write_json
from dreamduck.recordings.episode import MAX_FRAMES, Episode, file_mark, read_episode

log = logging.getLogger(__name__)

INDEX = ".index.json"
HELD_OUT_SHARE = 0.05
HELD_OUT_KEY = 0x68656C64  # a stream of its own for this choice


@dataclasses.dataclass(frozen=True)
class Recordings:
    """A folder of episodes that were found whole.

    Attributes:
        paths: the files, in the order of their seeds.
        lengths: (E,) int64, frames in each.
        skipped: the files that were not, with the reason for each.
    """

    paths: tuple[Path, ...]
    lengths: npt.NDArray[np.int64]
    skipped: tuple[tuple[Path, str], ...] = ()

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each episode, from its file's name."""
        return tuple(int(path.stem) for path in self.paths)

    def chosen(self, which: Iterable[int]) -> Recordings:
        """The episodes at these places."""
        places = list(which)
        return Recordings(tuple(self.paths[i] for i in places), self.lengths[places])


def scan(folder: PathLike, bar: Callable[[Iterable[Path]], Iterable[Path]] | None = None) -> Recordings:
    """Find the episodes in a folder and read each to its end; a damaged file is listed, not fatal.

    Each whole file is noted in the folder (`.index.json`) and read again only if it changed.

    Args:
        bar: wraps the list of files, for a bar.
    Raises:
        RecordError: there is no such folder.
    """
    where = Path(folder)
    if not where.is_dir():
        raise RecordError(f"{folder}: no such folder; record episodes with dreamduck record")
    known = _read_index(where / INDEX)
    index: dict[str, list[int]] = {}
    skipped: list[tuple[Path, str]] = []
    files = sorted(path for path in where.iterdir() if not path.name.startswith("."))
    for path in bar(files) if bar else files:
        try:
            mark = file_mark(path)
            noted = known.get(path.name)
            fresh = noted is None or noted[:2] != mark
            length = len(read_episode(path)) if fresh else noted[2]  # type: ignore[index]
            index[path.name] = [*mark, length]
        except RecordError as err:
            skipped.append((path, str(err).removeprefix(f"{path}: ")))
    if index != known:
        with contextlib.suppress(OSError):  # a folder that only can be read is scanned each time
            write_json(where / INDEX, index, indent=None)
    names = sorted(index, key=lambda name: int(Path(name).stem))
    lengths = np.array([index[name][2] for name in names], dtype=np.int64)
    return Recordings(tuple(where / name for name in names), lengths, tuple(skipped))


def find_recordings(folder: PathLike, limit: int | None = None) -> Recordings:
    """The whole episodes in a folder; what was skipped is logged by name.

    Raises:
        RecordError: no such folder, or no episode in it.
    """
    recordings = scan(folder, lambda paths: progress(paths, desc=f"reading {folder}", unit="file"))
    for path, reason in recordings.skipped:
        log.warning("skipped %s: %s", printable(path), reason)
    if recordings.skipped:
        log.warning("%d files skipped, %d episodes found", len(recordings.skipped), len(recordings.paths))
    if not recordings.paths:
        raise RecordError(
            f"{folder}: expected recorded episodes, got none; record some with dreamduck record"
        )
    return recordings.chosen(range(min(limit or len(recordings.paths), len(recordings.paths))))


def printable(path: PathLike) -> str:
    """A path on one line, with control characters escaped."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(path))


def reread(path: Path, length: int) -> Episode:
    """Read an episode that a scan found whole.

    Args:
        length: frames that it had then.
    Raises:
        RecordError: it has changed since, perhaps under its old size and time; the next scan will not
            trust the folder's index.
    """
    try:
        episode = read_episode(path)
        if len(episode) != length:
            raise RecordError(f"{path}: {len(episode)} frames, {length} when it was found; start again")
    except RecordError:
        with contextlib.suppress(OSError):
            (path.parent / INDEX).unlink()
        raise
    return episode


def held_out(seeds: Iterable[int], share: float = HELD_OUT_SHARE) -> npt.NDArray[np.bool_]:
    """Which episodes no model may learn from, (E,) bool.

    An episode's seed alone decides, so that more recordings move none from one side to the other;
    but of two episodes or more at least one is held out, and at least one is not.
    """
    marks = np.array([sequence(seed, HELD_OUT_KEY).generate_state(1)[0] / 2**32 for seed in seeds])
    out = np.asarray(marks < share, dtype=np.bool_)
    if len(marks) > 1 and not out.any():
        out[np.argmin(marks)] = True
    if len(marks) and out.all():
        out[np.argmax(marks)] = False
    return out


def _read_index(path: Path) -> dict[str, list[int]]:
    """The index of an earlier scan; empty where it is missing or damaged."""
    if not path.is_file():
        return {}
    try:
        index = read_json(path, RecordError)
    except (RecordError, ValueError, RecursionError):  # huge integers, deeply nested lists
        return {}
    if not isinstance(index, dict):
        return {}
    return {name: value for name, value in index.items() if _is_entry(value)}


def _is_entry(value: object) -> bool:
    """Whether this is [bytes, ns, frames]."""
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(n, int) for n in value):
        return False
    return 1 <= value[2] <= MAX_FRAMES
