"""Logs that are data sets: columns in an `.npz` or Parquet file (LeRobot), episodes in HDF5 (Minari)."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamduck.common.errors import RecordError
from dreamduck.common.extras import needed
from dreamduck.common.files.weights import find_dataset
from dreamduck.common.readers import in_words, open_input, read_json
from dreamduck.common.storage import read_npz
from dreamduck.recordings.logs.columns import PAIRS, Columns, missing, unit_of
from dreamduck.recordings.logs.csv_logs import Commands, video
from dreamduck.recordings.logs.drive_log import WHEELS, DriveLog, FloatArray, Frame, of_array

FRAME_COLUMNS = ("observation.image", "observation.images", "image", "frames", "obs", "observation")
EPISODE = "episode_index"
INFO = Path("meta") / "info.json"  # of a LeRobot data set
MINARI = (Path("data") / "main_data.hdf5", Path("main_data.hdf5"))
MOST_BYTES = 1 << 33  # of arrays in memory


def npz_logs(path: Path, columns: Columns, step_time: float) -> list[DriveLog]:
    """The episodes in an `.npz` file of columns, one row a step.

    Args:
        path: of the file.
        columns: finds the columns.
        step_time: [s] from row to row, where there are no times.
    Raises:
        RecordError: a column is missing, or of another form.
    """
    found, source = read_npz(path, RecordError, most=MOST_BYTES), str(path)
    kind, commands = _commands(found, source, columns)
    count = len(commands)
    name = next((n for n in found if n.startswith(FRAME_COLUMNS) and found[n].ndim == 4), None)
    if name is None:
        raise missing(f"of frames (T, H, W, 3), one of {', '.join(FRAME_COLUMNS)}", found, source)
    frames = _frames(found[name], source, name)
    time = columns.find("time", found)
    times = None if time is None else found[time].astype(np.float64).reshape(-1) * unit_of(time)
    episode = found.get(EPISODE, np.zeros(count, np.int64)).reshape(-1)
    lengths = sorted({count, len(frames), len(episode), count if times is None else len(times)})
    if len(lengths) > 1:
        raise RecordError(f"{source}: expected columns of one length, got {lengths}")
    made = []
    for number in np.unique(episode):
        rows = np.flatnonzero(episode == number)
        then = _steady(len(rows), step_time) if times is None else times[rows]
        label = f"{source}, episode {number}"
        made.append(DriveLog(label, then, of_array(frames[rows]), then, commands[rows], kind, True))
    return made


def _commands(
    found: Mapping[str, npt.NDArray[Any]], source: str, columns: Columns, names: Sequence[str] = ()
) -> tuple[str, npt.NDArray[np.float64]]:
    """What commands are, and (T, 2) of them, from two columns or from `action`."""
    flat = [name for name in found if found[name].ndim == 1]
    try:
        kind, pair = columns.commands(flat, source)
    except RecordError:
        action = found.get("action", found.get("actions"))
        if action is None or action.ndim != 2 or action.shape[1] != 2:
            raise missing(
                "left and right (wheel duties), throttle and steering, or action (T, 2)", found, source
            ) from None
        return kind_of(names), action.astype(np.float64)
    return kind, np.stack([found[name].astype(np.float64) for name in pair], axis=1)


def _steady(count: int, step_time: float) -> FloatArray:
    """The times (count,) of rows that come at a steady rate [s]."""
    return np.arange(count, dtype=np.float64) * step_time


def kind_of(names: Sequence[str]) -> str:
    """What the two columns of an action are, by their names; wheels where these tell nothing."""
    for kind, roles in PAIRS.items():
        if len(names) == 2 and all(role in name.lower() for role, name in zip(roles, names, strict=True)):
            return kind
    return WHEELS


def _frames(array: npt.NDArray[Any], source: str, name: str) -> npt.NDArray[np.uint8]:
    """Frames (T, H, W, 3) uint8, also from (T, 3, H, W)."""
    if array.dtype == np.uint8 and array.ndim == 4:
        if array.shape[3] == 3:
            return array
        if array.shape[1] == 3:
            return array.transpose(0, 2, 3, 1)
    raise RecordError(f"{source}: {name} is {array.dtype} {array.shape}, expected uint8 (T, H, W, 3)")


def lerobot_logs(folder: Path, columns: Columns, step_time: float) -> list[DriveLog]:
    """The episodes of a LeRobot data set of version 2: a Parquet file each, with images in it or a video.

    Raises:
        RecordError: it is damaged, of another version, or lacks a column.
        DependencyError: what reads Parquet is not installed.
    """
    info = read_json(folder / INFO, RecordError)
    with in_words(folder / INFO, RecordError, "not the description of a LeRobot data set"):
        features, rate = dict(info["features"]), float(info["fps"])
        names = _names(features.get("action", {}).get("names"))
        cameras = [k for k, v in features.items() if v["dtype"] in ("video", "image")]
        videos = [k for k in cameras if features[k]["dtype"] == "video"]
        template, chunk = str(info.get("video_path", "")), int(info.get("chunks_size", 1000))
    paths = sorted(folder.glob("data/chunk-*/episode_*.parquet"))
    if not paths or not cameras:
        raise RecordError(
            f"{folder}: expected a LeRobot data set of version 2 with a camera, got "
            f"{len(paths)} files data/chunk-*/episode_*.parquet and {len(cameras)} cameras"
        )
    made = []
    for path in paths:
        found = read_parquet(path)
        number = int(re.findall(r"\d+", path.stem)[-1])
        kind, values = _commands(found, str(path), columns, names)
        time = columns.find("time", found)
        times = _steady(len(values), 1 / rate) if time is None else found[time].astype(np.float64)
        commands = Commands(path, times, values, kind, 1.0, None)
        if videos:
            film = folder / _place(template, number // chunk, videos[0], number)
            made.append(video(film, commands._replace(times=times - times[0])))
        else:
            images = found[cameras[0]]
            made.append(DriveLog(str(path), times, _decoded(images, path), times, values, kind, True))
    return made


def _names(given: Any) -> list[str]:
    """The names of an action's parts: a list, or the only list of an object."""
    if isinstance(given, dict):
        given = next(iter(given.values()), [])
    return [str(name) for name in given or ()]


def _place(template: str, chunk: int, key: str, episode: int) -> str:
    """A video's path; the template is filled in by hand, as `str.format` would follow attributes."""
    values: dict[str, Any] = {"episode_chunk": chunk, "video_key": key, "episode_index": episode}

    def value(found: re.Match[str]) -> str:
        return f"{values[found[1]]:{found[2] or ''}}"

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


def minari_logs(path: Path, step_time: float) -> list[DriveLog]:
    """The episodes of a Minari data set, one row a step; rewards are of its own environment and left out.

    Args:
        path: of its HDF5 file.
        step_time: [s] of a step.
    Raises:
        RecordError: it is damaged, or its observations are no frames.
    """
    made = []
    with (
        in_words(path, RecordError, "not a Minari data set"),
        open_input(path) as file,
        h5py.File(file) as data,
    ):
        groups = sorted((n for n in data if re.fullmatch(r"episode_\d+", n)), key=lambda n: int(n[8:]))
        if not groups:
            raise ValueError("no group episode_0")
        for name in groups:
            actions = find_dataset(data, f"{name}/actions")
            if actions.ndim != 2 or actions.shape[1] != 2:
                raise RecordError(f"{path}: {name}/actions is {actions.shape}, expected (T, 2)")
            place = _frames_place(data, name, path)
            frames = _frames(np.asarray(find_dataset(data, place)[: len(actions)]), str(path), place)
            values, times = actions[()].astype(np.float64), _steady(len(actions), step_time)
            label = f"{path}, {name}"
            made.append(DriveLog(label, times, of_array(frames), times, values, "actions", True))
    return made


def _frames_place(data: Any, name: str, path: Path) -> str:
    """Where an episode's frames lie: its observations, or the only ones of them that are images."""
    observations = data[name].get("observations")
    if isinstance(observations, h5py.Dataset):
        return f"{name}/observations"
    keys = list(observations) if isinstance(observations, h5py.Group) else []
    images = [k for k in keys if getattr(observations[k], "ndim", 0) == 4]
    if len(images) != 1:
        raise RecordError(
            f"{path}: expected frames among {name}/observations, got {', '.join(keys) or 'none'}"
        )
    return f"{name}/observations/{images[0]}"
