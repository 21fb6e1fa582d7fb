"""Logs of any Gymnasium environment: a row is a step, with its frame, its action, and its result.

A log is a folder of images or a video with a CSV file, an `.npz` file of columns, or a Minari data set
(its names of arrays are Minari's). Actions are in the environment's own units."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import RecordError
from dreamduck.common.files.weights import find_dataset
from dreamduck.common.readers import in_words, open_input
from dreamduck.common.storage import read_npz
from dreamduck.common.video_reader import open_video
from dreamduck.recordings.logs import csv_logs, datasets
from dreamduck.recordings.logs.columns import missing, numbers, read_csv
from dreamduck.recordings.logs.drive_log import FloatArray, Frame, of_array

ACTION = ("action", "actions")
REWARD = ("reward", "rewards")
TERMINATED = ("terminated", "terminations", "done")
TRUNCATED = ("truncated", "truncations", "timeouts")
TRUE, FALSE = ("1", "true", "yes"), ("0", "false", "no", "")


class EnvironmentLog(NamedTuple):
    """One episode of T steps.

    Attributes:
        name: what messages call it.
        frames: gives the frames of these steps, as the environment has them.
        actions: (T, ...).
        rewards: (T,), or None.
        terminated: whether its last step ended it.
    """

    name: str
    frames: Callable[[Sequence[int]], Iterator[Frame]]
    actions: npt.NDArray[Any]
    rewards: FloatArray | None
    terminated: bool


def environment_logs(source: Path, table: str) -> list[EnvironmentLog]:
    """The episodes in a file or folder.

    Args:
        source: of the log.
        table: CSV file of the steps; by default the one beside the frames.
    Raises:
        RecordError: it is nothing that is known, or damaged.
        DependencyError: what decodes a video is not installed.
    """
    suffix = source.suffix.lower()
    minari = next((source / place for place in datasets.MINARI if (source / place).exists()), source)
    if suffix == ".npz":
        return _npz(source)
    if minari.suffix.lower() in (".hdf5", ".h5"):
        return _minari(minari)
    if source.is_dir() or (suffix in csv_logs.VIDEOS and source.exists()):
        return _table(source, csv_logs.commands_beside(source, table))
    raise RecordError(
        f"{source}: expected a folder of images or a video ({', '.join(csv_logs.VIDEOS)}) with a CSV file, "
        "an .npz file of columns, or a Minari data set"
    )


def _made(
    name: str, columns: Mapping[str, npt.NDArray[Any]], frames: Callable[..., Iterator[Frame]], count: int
) -> list[EnvironmentLog]:
    """The episodes in columns, of which each has a row for each of `count` frames, or one less."""
    single = _find(ACTION, columns)
    several = [f"action_{n}" for n in range(len(columns)) if f"action_{n}" in columns]
    if single is None and not several:
        raise missing("action, or action_0, action_1, ...", columns, name)
    actions = np.stack([columns[key] for key in several], 1) if single is None else columns[single]
    reward, ended, cut = (_find(names, columns) for names in (REWARD, TERMINATED, TRUNCATED))
    used = {key: columns[key] for key in (reward, ended, cut) if key is not None}
    steps = len(actions)
    if steps < 1 or count - steps not in (0, 1) or any(value.shape != (steps,) for value in used.values()):
        lengths = ", ".join(f"{key} {value.shape}" for key, value in {"action": actions, **used}.items())
        raise RecordError(
            f"{name}: expected a frame, an action and a reward a step, got {count}, {lengths}"
        )
    for what, values in {"action": actions, **used}.items():
        if values.dtype.kind not in "buif" or not np.isfinite(values).all():
            raise RecordError(f"{name}: {what}: expected finite numbers")
    rewards = None if reward is None else used[reward].astype(np.float64)
    terminated = np.zeros(steps, np.bool_) if ended is None else used[ended].astype(np.bool_)
    truncated = np.zeros(steps, np.bool_) if cut is None else used[cut].astype(np.bool_)
    edges = np.flatnonzero((terminated | truncated)[:-1]) + 1
    return [
        EnvironmentLog(
            name if len(edges) == 0 else f"{name}, steps {begin} to {end - 1}",
            functools.partial(_from, frames, begin),
            actions[begin:end],
            None if rewards is None else rewards[begin:end],
            bool(terminated[end - 1]),
        )
        for begin, end in itertools.pairwise([0, *edges.tolist(), steps])
    ]


def _from(frames: Callable[..., Iterator[Frame]], begin: int, steps: Sequence[int]) -> Iterator[Frame]:
    """The frames of these steps of an episode that begins later in a log."""
    return frames([begin + step for step in steps])


def _find(names: Sequence[str], columns: Mapping[str, Any]) -> str | None:
    return next((name for name in names if name in columns), None)


def _table(source: Path, path: Path) -> list[EnvironmentLog]:
    """A folder of images or a video, in the order of the rows of a CSV file."""
    found = {name.strip().lower(): column for name, column in read_csv(path).items()}
    known = (*REWARD, *ACTION, *(f"action_{n}" for n in range(len(found))))
    columns: dict[str, Any] = {name: numbers(found, name, str(path)) for name in found if name in known}
    for name in (*TERMINATED, *TRUNCATED):
        if name in found:
            columns[name] = np.array([_truth(text, path) for text in found[name]], np.bool_)
    if source.is_dir():
        paths = [source / name for name in found["frame"]] if "frame" in found else csv_logs.images(source)
        return _made(str(source), columns, csv_logs.opened(paths), len(paths))
    about = open_video(source, "ingest")
    return _made(str(source), columns, csv_logs.video_frames(about), len(about.times))


def _truth(text: str, path: Path) -> bool:
    if text.strip().lower() not in (*TRUE, *FALSE):
        raise RecordError(f"{path}: terminated, truncated: expected 0 or 1, got {text[:40]!r}")
    return text.strip().lower() in TRUE


def _npz(path: Path) -> list[EnvironmentLog]:
    found = read_npz(path, RecordError, most=datasets.MOST_BYTES)
    place = datasets.frame_column(found)
    if place is None:
        raise missing(f"of frames, one of {', '.join(datasets.FRAME_COLUMNS)}", found, str(path))
    frames, made = _checked(found.pop(place), f"{path}: {place}"), []
    episode = found.pop(datasets.EPISODE, np.zeros(len(frames), np.int64)).reshape(-1)
    if any(len(column) != len(frames) for column in (episode, *found.values()) if column.ndim):
        raise RecordError(f"{path}: expected columns of one length, that of {place}")
    for number in np.unique(episode):
        rows = np.flatnonzero(episode == number)
        columns = {name: column[rows] for name, column in found.items() if column.ndim}
        made += _made(f"{path}, episode {number}", columns, of_array(frames[rows]), len(rows))
    return made


def _minari(path: Path) -> list[EnvironmentLog]:
    made = []
    with (
        in_words(path, RecordError, "not a Minari data set"),
        open_input(path) as file,
        h5py.File(file) as data,
    ):
        for group in datasets.minari_episodes(data):
            place = datasets.minari_frames(data, group, path)
            frames = _checked(find_dataset(data, place)[()], f"{path}: {place}")
            names = [name for name in (*ACTION, *REWARD, *TERMINATED, *TRUNCATED) if name in data[group]]
            columns = {name: find_dataset(data, f"{group}/{name}")[()] for name in names}
            made += _made(f"{path}, {group}", columns, of_array(frames), len(frames))
    return made


def _checked(frames: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    if frames.dtype != np.uint8 or frames.ndim not in (3, 4):
        raise RecordError(
            f"{name}: expected frames (T, H, W, 3) of uint8, got {frames.dtype} {frames.shape}"
        )
    return frames
