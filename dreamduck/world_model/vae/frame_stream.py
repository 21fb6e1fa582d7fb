"""Shuffled frames from many files, in bounded memory.

The order of a whole epoch follows from the seed and the
episodes' lengths alone: episodes are shuffled and dealt into groups that fit the buffer, a group's
frames are shuffled, and the groups stand one after the other. A training that continues in the middle
of an epoch therefore reads only the groups that are still to come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import TrainingError
from dreamduck.common.seeding import generator
from dreamduck.recordings import Recordings, reread
from dreamduck.recordings.episode import FRAME_SHAPE
from dreamduck.world_model.vae.layout import Frames

BUFFER_FRAMES = 16_384  # 200 MB; a second buffer fills while the first is used


class FrameStream:
    """Batches of frames, epoch after epoch.

    Args:
        recordings: the episodes to learn from.
        batch_size: frames in each batch.
        seed: decides the order.
        buffer_frames: about how many frames are shuffled together.
    Raises:
        TrainingError: there are fewer frames than fill a batch.
    """

    def __init__(
        self, recordings: Recordings, batch_size: int, seed: int, buffer_frames: int = BUFFER_FRAMES
    ) -> None:
        self.recordings, self.batch_size, self.seed = recordings, batch_size, seed
        self.buffer_frames = max(buffer_frames, batch_size)
        self.frames = int(recordings.lengths.sum())
        self.steps_per_epoch = self.frames // batch_size
        if not self.steps_per_epoch:
            raise TrainingError(
                f"expected at least {batch_size} frames (one batch) to train on, got {self.frames}; "
                "record more, or lower --batch-size (of pipelines --vae-batch)"
            )

    def batches(self, epoch: int, start: int = 0) -> Iterator[Frames]:
        """The batches of an epoch, each (batch_size, 64, 64, 3) uint8, from the one numbered `start` on.

        Raises:
            RecordError: a file changed or vanished since it was scanned.
        """
        groups = self._groups(epoch)
        sizes = [int(self.recordings.lengths[group].sum()) for group in groups]
        first = int(np.searchsorted(np.cumsum(sizes), start * self.batch_size, side="right"))
        skip = start * self.batch_size - sum(sizes[:first])
        rest = np.empty((0, *FRAME_SHAPE), np.uint8)
        given = start
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(self._load, epoch, first, groups[first])
            for number in range(first, len(groups)):
                frames, skip = coming.result()[skip:], 0
                if number + 1 < len(groups):
                    coming = reader.submit(self._load, epoch, number + 1, groups[number + 1])
                at = 0
                while given < self.steps_per_epoch:
                    missing = self.batch_size - len(rest)
                    if at + missing > len(frames):
                        break
                    yield np.concatenate([rest, frames[at : at + missing]])
                    rest, at, given = rest[:0], at + missing, given + 1
                rest = np.concatenate([rest, frames[at:]])

    def _groups(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        """Episodes in a new order, in groups that fill the buffer, as evenly as they come."""
        order = generator(self.seed, epoch).permutation(len(self.recordings.lengths))
        ends = np.cumsum(self.recordings.lengths[order])
        count = -(-self.frames // self.buffer_frames)
        number = np.minimum((ends - 1) * count // self.frames, count - 1)
        return [order[number == i] for i in range(count) if (number == i).any()]

    def _load(self, epoch: int, number: int, group: npt.NDArray[np.int64]) -> Frames:
        """A group's frames, shuffled."""
        lengths = self.recordings.lengths[group]
        places = generator(self.seed, epoch, number).permutation(int(lengths.sum()))
        frames = np.empty((len(places), *FRAME_SHAPE), np.uint8)
        at = 0
        for episode, length in zip(group, lengths, strict=True):
            frames[places[at : at + length]] = reread(self.recordings.paths[episode], int(length)).obs
            at += length
        return frames


def sample_frames(recordings: Recordings, count: int) -> Frames:
    """Up to `count` frames, evenly spaced over the episodes; the same ones every time."""
    total = int(recordings.lengths.sum())
    wanted = np.unique(np.linspace(0, total - 1, min(count, total)).astype(np.int64))
    starts = np.cumsum(recordings.lengths) - recordings.lengths
    found = []
    for path, start, length in zip(recordings.paths, starts, recordings.lengths, strict=True):
        here = wanted[(wanted >= start) & (wanted < start + length)] - start
        if len(here):
            found.append(reread(path, int(length)).obs[here])
    return np.concatenate(found) if found else np.empty((0, *FRAME_SHAPE), np.uint8)


def data_fingerprint(recordings: Recordings) -> str:
    """16 hex digits that stand for these episodes: their seeds, lengths and files' sizes."""
    digest = hashlib.sha256()
    for path, length in zip(recordings.paths, recordings.lengths, strict=True):
        digest.update(f"{path.stem} {length} {path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]
