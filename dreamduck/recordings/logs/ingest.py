"""From logs to recordings: steps of the environment's length, frames of 64 by 64, actions in [-1, 1]."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

import dreamduck
from dreamduck.common.area_average import area_average
from dreamduck.common.config import check, option, part
from dreamduck.common.errors import ConfigError, RecordError
from dreamduck.recordings.episode import FRAME_SHAPE, MAX_FRAMES, Episode, write_episode
from dreamduck.recordings.logs import csv_logs, datasets, lerobot
from dreamduck.recordings.logs.columns import Columns
from dreamduck.recordings.logs.drive_log import WHEELS, DriveLog, FloatArray, Frame
from dreamduck.recordings.logs.resample import Steps, resample
from dreamduck.simulator.environment import ENVIRONMENT, describe
from dreamduck.simulator.physics.dynamics import action_of_duties
from dreamduck.simulator.road import RoadConfig

log = logging.getLogger(__name__)

SEED_BASE = 2_000_000_000  # ingested episodes are numbered from here, apart from recorded ones
BLOCK = 100_000  # numbers of a source
BLOCKS = 1 << 28
COLOR_FRAMES = 64  # that the order of colours is judged by
CLIPPED = 0.01  # share of steps whose command is beyond the environment's, from which a warning says so
ORDERS = ("auto", "rgb", "bgr")
STRONG, LEAST = 40, 3.0  # colour difference of a pixel that counts; times as many of one as of the other


@dataclasses.dataclass(frozen=True)
class IngestConfig:
    """How logs are read."""

    road: RoadConfig = part(RoadConfig)
    records: str = option("records", "folder of recordings to write to")
    commands: str = option("", "CSV file of commands and times; by default the one beside the frames")
    columns: tuple[str, ...] = option((), "names of columns: time=stamp,left=l,right=r,frame=file")
    time_offset: float = option(0.0, "subtracted from the times of commands", unit="s")
    max_gap: float = option(0.5, "longest time from a frame or command to the next", unit="s", above=0.0)
    split: bool = option(False, "make a recording of each part between gaps")
    color_order: str = option(
        "auto", "order of colours in frames; auto refuses frames that look like bgr", choices=ORDERS
    )
    gain: float = option(1.0, "factor by which the robot multiplied its duties", above=0.0)
    trim: float = option(0.0, "trim that the robot added at the right wheel, subtracted at the left")
    episode_steps: int = option(150, "longest recording", unit="steps", low=2, high=MAX_FRAMES)
    min_steps: int = option(20, "shorter parts are left out", unit="steps", low=2, high=MAX_FRAMES)

    def __post_init__(self) -> None:
        check(self)
        if abs(self.trim) >= self.gain:
            raise ConfigError(f"trim: expected less than the gain, {self.gain:g}, got {self.trim:g}")
        Columns(self.columns)


def find_logs(source: Path, config: IngestConfig) -> list[DriveLog]:
    """The logs in a file or folder, by what it is.

    Raises:
        RecordError: it is nothing that is known, or damaged.
        DependencyError: what reads it is not installed.
    """
    columns, step_time, suffix = Columns(config.columns), config.road.step_time, source.suffix.lower()
    if not source.exists():
        raise RecordError(f"{source}: no such file or folder; name a log")
    if suffix == ".npz":
        return datasets.npz_logs(source, columns, step_time)
    if suffix in (".hdf5", ".h5"):
        return datasets.minari_logs(source, step_time)
    if source.is_dir():
        if (source / lerobot.INFO).exists():
            return lerobot.lerobot_logs(source, columns)
        for place in datasets.MINARI:
            if (source / place).exists():
                return datasets.minari_logs(source / place, step_time)
    if source.is_dir() or suffix in csv_logs.VIDEOS:
        beside = csv_logs.commands_beside(source, config.commands)
        commands = csv_logs.read_commands(beside, columns, config.time_offset)
        return [(csv_logs.image_folder if source.is_dir() else csv_logs.video)(source, commands)]
    raise RecordError(
        f"{source}: expected a folder of images with a CSV file, a video ({', '.join(csv_logs.VIDEOS)}) "
        "with one, an .npz file of columns, a LeRobot folder or a Minari data set"
    )


def ingest(source: Path, config: IngestConfig, fresh: bool = False) -> tuple[int, int]:
    """Write the recordings of a log.

    Args:
        source: see `find_logs`.
        config: the settings.
        fresh: write over those that were made of the same source before.
    Returns:
        How many episodes and how many steps.
    Raises:
        RecordError: the log cannot be used as it is; nothing of it is written then.
        ConfigError: the source was ingested before, and not `fresh`.
    """
    clipped = 0

    def episodes() -> Iterator[Episode]:
        nonlocal clipped
        parts = [(one, _pieces(one, config)) for one in find_logs(source, config)]
        for one, _ in parts:
            check_colors(one, config)
        for one, pieces in parts:
            for piece in pieces:
                episode, beyond = _episode(one, piece, source, config)
                clipped += beyond
                yield episode

    count, steps = write_recordings(source, Path(config.records), episodes(), config.min_steps, fresh)
    if clipped > CLIPPED * steps:
        log.warning(
            "%d of %d steps have commands outside the range of an action, which were clipped; "
            "check columns, gain and --steering-gain", clipped, steps,
        )  # fmt: skip
    return count, steps


def write_recordings(
    source: Path, folder: Path, episodes: Iterator[Episode], shortest: int, fresh: bool
) -> tuple[int, int]:
    """Write the episodes of a log.

    Args:
        source: the log; the numbers of its episodes follow from its place.
        folder: to write to.
        episodes: of the log.
        shortest: steps of an episode that is not left out.
        fresh: write over those that were made of the same source before.
    Returns:
        How many episodes and how many steps.
    Raises:
        RecordError: there are no episodes.
        ConfigError: the source was ingested before, and not `fresh`.
    """
    first = first_seed(source)
    old = [
        path for path in folder.glob("*.npz") if path.stem.isdigit() and 0 <= int(path.stem) - first < BLOCK
    ]
    if old and not fresh:
        raise ConfigError(
            f"{folder}: {source} was ingested before, as {old[0].name}; give --fresh to replace it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ingest-", dir=folder) as place:
        steps, made = 0, []
        for number, episode in enumerate(episodes, first):
            made.append(Path(place) / f"{number}.npz")
            write_episode(made[-1], episode)
            steps += len(episode)
        if not made:
            raise RecordError(f"{source}: no part has {shortest} steps; give a smaller --min-steps")
        for path in made:  # all of them are whole
            path.replace(folder / path.name)
    for path in old:
        if path.name not in {one.name for one in made}:
            path.unlink()
    return len(made), steps


def first_seed(source: Path) -> int:
    """The number of the first episode of a source, from its place: the same each time it is ingested."""
    digest = hashlib.sha256(str(source.resolve()).encode("utf-8", "surrogateescape")).digest()
    return SEED_BASE + int.from_bytes(digest[:8], "big") % BLOCKS * BLOCK


def _pieces(one: DriveLog, config: IngestConfig) -> list[Steps]:
    """The steps of the episodes that a log becomes."""
    found = []
    for steps in resample(one, config.road.step_time, config.max_gap, config.split):
        for at in range(0, len(steps.frames), config.episode_steps):
            here = slice(at, at + config.episode_steps)
            piece = Steps(steps.frames[here], steps.commands[here])
            if len(piece.frames) >= config.min_steps:
                found.append(piece)
    return found


def _episode(one: DriveLog, piece: Steps, source: Path, config: IngestConfig) -> tuple[Episode, int]:
    """An episode, and in how many of its steps the command was clipped."""
    actions = actions_of(one, piece.commands, config)
    inside = np.clip(actions, -1.0, 1.0).astype(np.float32)
    count = len(inside)
    meta = {
        "source": source.name,
        "log": one.name[-200:],
        "policy": "log",
        "rewards": False,
        "end": "time",
        ENVIRONMENT: {**describe(config.road), "camera": list(FRAME_SHAPE)},
        "versions": {"dreamduck": dreamduck.__version__},
    }
    return Episode(
        obs=_resized(one.frames(piece.frames.tolist()), config.color_order == "bgr", count, one.name),
        action=inside,
        reward=np.zeros(count, np.float32),
        done=np.zeros(count, np.bool_),
        meta=meta,
    ), int((np.abs(actions) > 1 + 1e-6).any(axis=1).sum())


def actions_of(one: DriveLog, commands: FloatArray, config: IngestConfig) -> FloatArray:
    """Throttle and steering (T, 2) of commands, which may exceed [-1, 1]."""
    if one.kind != WHEELS:
        return commands
    factors = np.array([config.gain - config.trim, config.gain + config.trim])
    return np.asarray(action_of_duties(commands / factors) / (1.0, config.road.steering_gain))


def _resized(frames: Iterable[Frame], swapped: bool, count: int, name: str) -> npt.NDArray[np.uint8]:
    made = np.empty((count, *FRAME_SHAPE), np.uint8)
    filled = 0
    for place, frame in enumerate(frames):
        made[place] = area_average(frame[None], *FRAME_SHAPE[:2])[0][..., :: -1 if swapped else 1]
        filled = place + 1
    if filled < count:
        raise RecordError(f"{name}: ends after {filled} of {count} frames; it was cut short")
    return made


def check_colors(one: DriveLog, config: IngestConfig) -> None:
    """Refuse frames whose red and blue are most likely swapped: the yellow line is then light blue.

    Raises:
        RecordError: they look so, and the settings name no order.
    """
    if config.color_order != "auto":
        return
    count = len(one.frame_times)
    chosen = np.unique(np.linspace(0, count - 1, min(COLOR_FRAMES, count)).astype(int)).tolist()
    yellow = blue = 0
    for frame in _small(one.frames(chosen)):
        red, green, last = frame[len(frame) // 2 :].astype(np.int64).transpose(2, 0, 1)
        yellow += int(((np.minimum(red, green) - last) > STRONG).sum())
        blue += int(((np.minimum(last, green) - red) > STRONG).sum())
    if blue > LEAST * yellow and blue > len(chosen):
        raise RecordError(
            f"{one.name}: expected frames in the order red, green, blue, got some with light blue lines "
            "on the road and no yellow ones; give --color-order bgr, or --color-order rgb if they are right"
        )


def _small(frames: Iterable[Frame]) -> Iterator[Frame]:
    for frame in frames:
        yield area_average(frame[None], *FRAME_SHAPE[:2])[0]
