"""Logs of a CSV file of commands, with a folder of images or a video beside it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from dreamduck.common.errors import RecordError
from dreamduck.common.readers import in_words, open_input
from dreamduck.common.video_reader import Video, open_video, read_video
from dreamduck.recordings.logs.columns import Columns, missing, numbers, read_csv, unit_of
from dreamduck.recordings.logs.drive_log import DriveLog, FloatArray, Frame

IMAGES = (".png", ".jpg", ".jpeg", ".bmp")
VIDEOS = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v")
MOST_PIXELS, MOST_BYTES = 1 << 26, 1 << 28  # of an image


class Commands(NamedTuple):
    """The commands of a CSV file.

    Attributes:
        path: of the file.
        times: (C,) [s].
        values: (C, 2).
        kind: as in `DriveLog`.
        unit: of the times in the file [s].
        frames: (C,) the names of the images, or None.
    """

    path: Path
    times: FloatArray
    values: FloatArray
    kind: str
    unit: float
    frames: list[str] | None


def read_commands(path: Path, columns: Columns, offset: float) -> Commands:
    """The commands of a CSV file.

    Args:
        path: of the file.
        columns: finds the columns.
        offset: [s] taken off all times.
    Raises:
        RecordError: a column is missing, or a value is no number.
    """
    found = read_csv(path)
    kind, pair = columns.commands(found, str(path))
    time = columns.find("time", found)
    if time is None:
        raise missing("time", found, str(path))
    unit = unit_of(time)
    frame = columns.find("frame", found)
    return Commands(
        path,
        numbers(found, time, str(path)) * unit - offset,
        np.stack([numbers(found, name, str(path)) for name in pair], axis=1),
        kind,
        unit,
        None if frame is None else found[frame],
    )


def commands_beside(source: Path, given: str) -> Path:
    """The CSV file that belongs to a folder of images or to a video.

    Raises:
        RecordError: there is none, or more than one.
    """
    if given:
        return Path(given)
    if source.is_dir():
        found = sorted(source.glob("*.csv")) or sorted(source.parent.glob(f"{source.name}.csv"))
    else:
        found = [path for path in [source.with_suffix(".csv")] if path.exists()]
    if len(found) != 1:
        what = "none" if not found else ", ".join(path.name for path in found[:4])
        raise RecordError(
            f"{source}: expected a CSV file of wheel commands and times beside the frames, got {what}; "
            "name it with --commands"
        )
    return found[0]


def image_folder(source: Path, commands: Commands) -> DriveLog:
    """A folder of images: named in the CSV file, as many as its rows, or with their times as names.

    Raises:
        RecordError: images and commands do not belong together.
    """
    if commands.frames is not None:
        paths = [source / name for name in commands.frames]
        if paths and not paths[0].exists():  # named from the folder of the CSV file
            paths = [commands.path.parent / name for name in commands.frames]
        return _paired(source, commands, paths)
    paths = images(source)
    if len(paths) == len(commands.times):
        return _paired(source, commands, paths)
    named = _times_of_names(paths, commands)
    if named is None:
        raise RecordError(
            f"{source}: {len(paths)} images for {len(commands.times)} rows of {commands.path.name}; "
            "expected a column 'frame' with their names, as many images as rows, or images named by "
            "their times"
        )
    times, paths = named
    return DriveLog(
        str(source), times, opened(paths), commands.times, commands.values, commands.kind, False
    )


def _paired(source: Path, commands: Commands, paths: Sequence[Path]) -> DriveLog:
    times = commands.times
    return DriveLog(str(source), times, opened(paths), times, commands.values, commands.kind, True)


def images(folder: Path) -> list[Path]:
    """The images of a folder, in the order of the numbers in their names."""
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in IMAGES), key=_place)


def _place(path: Path) -> tuple[list[float], str]:
    return [float(number) for number in re.findall(r"\d+\.?\d*", path.stem)], path.name


def _times_of_names(paths: Sequence[Path], commands: Commands) -> tuple[FloatArray, list[Path]] | None:
    """The times [s] that images are named by, in their order, where they fall among the commands."""
    try:
        named = np.array([float(path.stem) for path in paths])
    except ValueError:
        return None
    if not len(named) or not len(commands.times):
        return None
    order = np.argsort(named, kind="stable")
    for unit in (commands.unit, 1.0, 1e-9, 1e-6, 1e-3):
        times = named[order] * unit
        if times[0] < commands.times.max() and times[-1] > commands.times.min():
            return times, [paths[place] for place in order]
    return None


def opened(paths: Sequence[Path]) -> Callable[[Sequence[int]], Iterator[Frame]]:
    """Frames of images, as `DriveLog.frames` gives them."""

    def chosen(indices: Sequence[int]) -> Iterator[Frame]:
        for index in indices:
            yield read_image(paths[index])

    return chosen


def read_image(path: Path) -> Frame:
    """An image as (H, W, 3) uint8 RGB.

    Raises:
        RecordError: it is missing or damaged.
    """
    with (
        in_words(path, RecordError, "not an image"),
        open_input(path, MOST_BYTES) as file,
        Image.open(file) as image,
    ):
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels")
        return np.asarray(image.convert("RGB"))


def video(source: Path, commands: Commands, known: Video | None = None) -> DriveLog:
    """A video, whose first frame is at time 0 of the commands.

    Args:
        source: the video.
        commands: given meanwhile.
        known: the video's own facts, where they are known.

    Raises:
        VideoError: it cannot be read.
        DependencyError: what decodes it is not installed.
    """
    about = known or open_video(source, "ingest")
    frames = video_frames(about)
    return DriveLog(str(source), about.times, frames, commands.times, commands.values, commands.kind, False)


def video_frames(about: Video) -> Callable[[Sequence[int]], Iterator[Frame]]:
    """Frames of a video, as `DriveLog.frames` gives them."""

    def chosen(indices: Sequence[int]) -> Iterator[Frame]:
        wanted = iter(indices)
        index = next(wanted, None)
        with contextlib.closing(read_video(about)) as frames:
            for number, frame in enumerate(frames):
                while index == number:
                    yield frame
                    index = next(wanted, None)
                if index is None:
                    return

    return chosen
