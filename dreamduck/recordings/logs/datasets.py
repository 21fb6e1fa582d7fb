"""Logs that are data sets: columns in an `.npz` file, episodes in HDF5 (Minari)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import RecordError
from dreamduck.common.files.weights import find_dataset
from dreamduck.common.readers import in_words, open_input
from dreamduck.common.storage import read_npz
from dreamduck.recordings.logs.columns import PAIRS, Columns, missing, unit_of
from dreamduck.recordings.logs.drive_log import WHEELS, DriveLog, FloatArray, of_array

FRAME_COLUMNS = ("observation.image", "observation.images", "image", "frames", "obs", "observation")
EPISODE = "episode_index"
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
    found = read_npz(path, RecordError, most=MOST_BYTES)
    with in_words(path, RecordError, "expected columns of numbers, of one length"):
        return _npz_logs(found, str(path), columns, step_time)


def _npz_logs(
    found: Mapping[str, npt.NDArray[Any]], source: str, columns: Columns, step_time: float
) -> list[DriveLog]:
    kind, commands = commands_of(found, source, columns)
    count = len(commands)
    name = frame_column(found)
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
        then = steady(len(rows), step_time) if times is None else times[rows]
        label = f"{source}, episode {number}"
        made.append(DriveLog(label, then, of_array(frames[rows]), then, commands[rows], kind, True))
    return made


def frame_column(columns: Mapping[str, npt.NDArray[Any]]) -> str | None:
    """The column of frames; None where there is none."""
    several = [name for name in columns if name.startswith(FRAME_COLUMNS)]
    return max(several, key=lambda name: columns[name].ndim, default=None)


def commands_of(
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
        kind, order = roles_of(names, source)
        return kind, action[:, order].astype(np.float64)
    return kind, np.stack([found[name].astype(np.float64) for name in pair], axis=1)


def steady(count: int, step_time: float) -> FloatArray:
    """The times (count,) of rows that come at a steady rate [s]."""
    return np.arange(count, dtype=np.float64) * step_time


def roles_of(names: Sequence[str], source: str) -> tuple[str, list[int]]:
    """The kind of an action's two parts by their names, and which part comes first.

    Args:
        names: of the parts; where there are none, they are the wheels, left and right.
        source: what an error message calls it.
    Raises:
        RecordError: other names.
    """
    if not names:
        return WHEELS, [0, 1]
    for kind, roles in PAIRS.items():
        found = [[place for place, name in enumerate(names) if role in name.lower()] for role in roles]
        if len(names) == 2 and found in ([[0], [1]], [[1], [0]]):
            return kind, [one[0] for one in found]
    raise RecordError(
        f"{source}: expected an action of left and right (wheel duties), or of throttle and steering, got "
        f"{', '.join(names)}; name its parts so"
    )


def _frames(array: npt.NDArray[Any], source: str, name: str) -> npt.NDArray[np.uint8]:
    """Frames (T, H, W, 3) uint8, also from (T, 3, H, W)."""
    if array.dtype == np.uint8 and array.ndim == 4:
        if array.shape[3] == 3:
            return array
        if array.shape[1] == 3:
            return array.transpose(0, 2, 3, 1)
    raise RecordError(f"{source}: {name} is {array.dtype} {array.shape}, expected uint8 (T, H, W, 3)")


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
        for name in minari_episodes(data):
            actions = find_dataset(data, f"{name}/actions")
            if actions.ndim != 2 or actions.shape[1] != 2:
                raise RecordError(f"{path}: {name}/actions is {actions.shape}, expected (T, 2)")
            place = minari_frames(data, name, path)
            frames = _frames(np.asarray(find_dataset(data, place)[: len(actions)]), str(path), place)
            if len(frames) < len(actions):
                raise RecordError(
                    f"{path}: {place} has {len(frames)} frames, expected one for each of {len(actions)} "
                    "actions; write the data set again"
                )
            values, times = actions[()].astype(np.float64), steady(len(actions), step_time)
            label = f"{path}, {name}"
            made.append(DriveLog(label, times, of_array(frames), times, values, "actions", True))
    return made


def minari_episodes(data: Any) -> list[str]:
    """The groups of the episodes in a Minari data set, in their order.

    Raises:
        ValueError: there are none.
    """
    groups = sorted((n for n in data if re.fullmatch(r"episode_\d+", n)), key=lambda n: int(n[8:]))
    if not groups:
        raise ValueError("no group episode_0")
    return groups


def minari_frames(data: Any, name: str, path: Path) -> str:
    """Where an episode's frames lie: its observations, or the only ones of them that are images."""
    observations = data[name].get("observations")
    if isinstance(observations, h5py.Dataset):
        return f"{name}/observations"
    keys = list(observations) if isinstance(observations, h5py.Group) else []
    images = [k for k in keys if getattr(observations[k], "ndim", 0) == 4]
    if len(images) != 1:
        raise RecordError(
            f"{path}: expected one array of frames among {name}/observations, "
            f"got {', '.join(keys) or 'none'}"
        )
    return f"{name}/observations/{images[0]}"
