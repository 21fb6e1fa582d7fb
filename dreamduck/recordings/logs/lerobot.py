"""Logs that are LeRobot data sets, of version 2 (a file an episode) and 3 (many episodes in a file)."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamduck.common.errors import RecordError
from dreamduck.common.extras import needed
from dreamduck.common.readers import in_words, open_input, read_json
from dreamduck.common.video_reader import Video, open_video
from dreamduck.recordings.logs.columns import Columns, unit_of
from dreamduck.recordings.logs.csv_logs import Commands, video
from dreamduck.recordings.logs.datasets import EPISODE, MOST_BYTES, commands_of, steady
from dreamduck.recordings.logs.drive_log import DriveLog, Frame

INFO = Path("meta") / "info.json"
DESCRIPTION = "not the description of a LeRobot data set"
Table = dict[str, npt.NDArray[Any]]


class DataSet(NamedTuple):
    """The description of a data set.

    Attributes:
        folder: of the data set.
        rate: frames a second.
        actions: names of the parts of an action.
        cameras: columns of frames.
        videos: those of them that are videos.
        template: of a video's path.
        chunk: episodes in a folder, of version 2.
    """

    folder: Path
    rate: float
    actions: list[str]
    cameras: list[str]
    videos: list[str]
    template: str
    chunk: int


class VideoPart(NamedTuple):
    """Where an episode lies in a video: the path, and when it begins there [s]."""

    path: Path
    start: float


def lerobot_logs(folder: Path, columns: Columns) -> list[DriveLog]:
    """The episodes of a LeRobot data set.

    Args:
        folder: of the data set.
        columns: finds the columns.
    Raises:
        RecordError: it is damaged, of another version, or lacks a column.
        DependencyError: what reads Parquet is not installed.
    """
    about = _describe(folder)
    paths = sorted(folder.glob("data/chunk-*/episode_*.parquet"))
    shared = [] if paths else sorted(folder.glob("data/chunk-*/file-*.parquet"))
    if not (paths or shared) or not about.cameras:
        raise RecordError(
            f"{folder}: expected a LeRobot data set of version 2 or 3 with a camera, got {len(paths)} "
            f"files data/chunk-*/episode_*.parquet, {len(shared)} file-*.parquet and {len(about.cameras)} "
            "cameras"
        )
    opened: dict[Path, Video] = {}
    parts = _parts_of_videos(about) if shared and about.videos else {}
    made = []
    for path in paths or shared:
        with in_words(path, RecordError, "not the rows of a LeRobot data set"):
            for number, table in _episodes(path, read_parquet(path), bool(shared)):
                part = None
                if about.videos:
                    part = parts.get(number) if shared else _own_video(about, number)
                    if part is None:
                        raise RecordError(f"{folder}: meta/episodes lacks episode {number} of {path}")
                made.append(_log(f"{path}, episode {number}", path, table, about, columns, part, opened))
    return made


def _describe(folder: Path) -> DataSet:
    info = read_json(folder / INFO, RecordError)
    with in_words(folder / INFO, RecordError, DESCRIPTION):
        features = dict(info["features"])
        cameras = [k for k, v in features.items() if v["dtype"] in ("video", "image")]
        if not (float(info["fps"]) > 0):
            raise ValueError(f"fps: {info['fps']}")
        return DataSet(
            folder,
            float(info["fps"]),
            _names(features.get("action", {}).get("names")),
            cameras,
            [k for k in cameras if features[k]["dtype"] == "video"],
            str(info.get("video_path", "")),
            int(info.get("chunks_size", 1000)),
        )


def _episodes(path: Path, table: Table, shared: bool) -> Iterator[tuple[int, Table]]:
    """The episodes in a file, by their numbers."""
    if not shared:
        yield int(re.findall(r"\d+", path.stem)[-1]), table
        return
    if EPISODE not in table:
        raise RecordError(f"{path}: expected a column {EPISODE}, got {', '.join(table)}")
    for number in np.unique(table[EPISODE]):
        rows = table[EPISODE] == number
        yield int(number), {name: column[rows] for name, column in table.items()}


def _log(
    label: str,
    path: Path,
    table: Table,
    about: DataSet,
    columns: Columns,
    part: VideoPart | None,
    opened: dict[Path, Video],
) -> DriveLog:
    """One episode.

    Args:
        label: what messages call it.
        path: of its file.
        table: its rows.
        about: the data set.
        columns: finds the columns.
        part: of a video; None where the frames are images in the table.
        opened: the videos that were looked at.
    """
    kind, values = commands_of(table, str(path), columns, about.actions)
    time = columns.find("time", table)
    if time is None:
        times = steady(len(values), 1 / about.rate)
    else:
        times = table[time].astype(np.float64) * unit_of(time)
    if part is None:
        images = table[about.cameras[0]]
        return DriveLog(label, times, _decoded(images, path), times, values, kind, True)
    if part.path not in opened:
        opened[part.path] = open_video(part.path, "ingest")
    commands = Commands(path, times - times[0] + part.start, values, kind, 1.0, None)
    return video(part.path, commands, opened[part.path])


def _parts_of_videos(about: DataSet) -> dict[int, VideoPart]:
    """Where the episodes of a data set of version 3 lie in its videos."""
    key, found = about.videos[0], {}
    for path in sorted(about.folder.glob("meta/episodes/chunk-*/file-*.parquet")):
        table = read_parquet(path)
        with in_words(path, RecordError, "not the episodes of a LeRobot data set"):
            names = [f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")]
            rows = zip(table[EPISODE], *(table[name] for name in names), strict=True)
            for number, chunk, file, start in rows:
                values = {"chunk_index": int(chunk), "file_index": int(file), "video_key": key}
                place = about.folder / _filled(about.template, values)
                found[int(number)] = VideoPart(place, float(start))
    return found


def _own_video(about: DataSet, number: int) -> VideoPart:
    """The video of an episode of version 2."""
    values = {
        "episode_chunk": number // about.chunk,
        "video_key": about.videos[0],
        "episode_index": number,
    }
    return VideoPart(about.folder / _filled(about.template, values), 0.0)


def _names(given: Any) -> list[str]:
    """The names of an action's parts: a list, or the only list of an object."""
    if isinstance(given, dict):
        given = next(iter(given.values()), [])
    return [str(name) for name in given or ()]


def _filled(template: str, values: Mapping[str, Any]) -> str:
    """A video's path; the template is filled in by hand, as `str.format` would follow attributes."""

    def value(found: re.Match[str]) -> str:
        return f"{values[found[1]]:{found[2] or ''}}"

    with in_words(INFO, RecordError, DESCRIPTION):
        made = re.sub(r"\{(\w+)(?::(\d{1,2}d))?\}", value, template)
    if ".." in Path(made).parts or Path(made).is_absolute():
        raise RecordError(f"video_path: expected a path inside the data set, got {made!r:.100}")
    return made


def read_parquet(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The columns of a Parquet file: numbers, lists of numbers, and images as objects.

    Raises:
        RecordError: it cannot be read.
        DependencyError: pyarrow is not installed.
    """
    with needed("ingest"):
        from pyarrow import parquet
    with in_words(path, RecordError, "not a Parquet file"), open_input(path, MOST_BYTES) as file:
        table = parquet.read_table(file)
        found = {}
        for name in table.column_names:
            values = table[name].to_pylist()
            listed = bool(values) and isinstance(values[0], (dict, bytes, str))
            if listed:
                column = np.empty(len(values), object)
                column[:] = values
            else:
                column = np.array(values)
            found[name] = column
        return found


def _decoded(images: npt.NDArray[Any], path: Path) -> Callable[[Sequence[int]], Iterator[Frame]]:
    """Images that are kept as the bytes of their files."""

    def chosen(indices: Sequence[int]) -> Iterator[Frame]:
        for index in indices:
            with in_words(path, RecordError, f"no image in row {index + 1}"):
                data = images[index]["bytes"]
                with Image.open(io.BytesIO(data)) as image:
                    yield np.asarray(image.convert("RGB"))

    return chosen
