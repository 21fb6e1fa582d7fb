"""Episodes on disk: `records/<seed>.npz`.

Writing leaves complete files only. Reading trusts nothing:
names, kinds, shapes and sizes are checked before any memory is taken, so that a damaged or hostile
file costs an error message and no more."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import RecordError
from dreamduck.common.files.archives import check_values, open_archive, read_data, read_header
from dreamduck.common.readers import PathLike, parse_json
from dreamduck.common.storage import replacing

FRAME_SHAPE = (64, 64, 3)  # of what is recorded, and of what the world model sees
TELEMETRY = ("lane_dist", "lane_angle", "speed", "x", "z", "heading", "tile_i", "tile_j")
MAX_FRAMES = 10_000  # longer episodes are refused
MAX_META = 1 << 16  # characters
MAX_BYTES = MAX_FRAMES * 16_384
MAX_MEMBERS = 32
MAX_INFLATED = MAX_FRAMES * 2**14  # bytes; a frame and what belongs to it take 12,345
MAX_SEED = 2**63 - 1
LEVEL = 1  # of zlib: five times quicker than numpy's 6 and files 5% larger
MAX_ACTIONS = 256  # numbers in an action
# array: its type, and its shape after the axis T; 0 for any size up to MAX_ACTIONS
ARRAYS: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
    "obs": (np.dtype(np.uint8), FRAME_SHAPE),
    "action": (np.dtype(np.float32), (0,)),
    "reward": (np.dtype(np.float32), ()),
    "done": (np.dtype(np.bool_), ()),
    "telemetry": (np.dtype(np.float32), (len(TELEMETRY),)),
}
OPTIONAL = ("telemetry",)


@dataclasses.dataclass(frozen=True)
class Episode:
    """One recorded run of T steps.

    Attributes:
        obs: (T, 64, 64, 3) uint8, what the camera saw before each action.
        action: (T, A) float32 in [-1, 1], taken at `obs`: throttle and steering, or see `ActionSpace`.
        reward: (T,) float32, the action's.
        done: (T,) bool, whether the action truly ended the episode; only the last can be True.
        telemetry: (T, 8) float32, `TELEMETRY` when the frame was seen ([m], [rad], [m/s]; nan
            where there is no lane), or None.
        meta: map, simulator, seed, versions, policy and more.
    """

    obs: npt.NDArray[np.uint8]
    action: npt.NDArray[np.float32]
    reward: npt.NDArray[np.float32]
    done: npt.NDArray[np.bool_]
    telemetry: npt.NDArray[np.float32] | None = None
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.action)


def write_episode(path: PathLike, episode: Episode) -> None:
    """Write an episode; the same episode gives the same bytes.

    Raises:
        RecordError: the episode is not of the standard form.
    """
    _check_values(episode, str(path))
    meta = np.array(json.dumps(dict(episode.meta), sort_keys=True, allow_nan=False))
    arrays = {name: getattr(episode, name) for name in ARRAYS if getattr(episode, name) is not None}
    # in memory first, so that a kill hardly ever finds half a file, not even under its temporary name
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for name, array in {**arrays, "meta": meta}.items():
            # the file's time would make equal episodes differ; ZipInfo has a constant one
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w") as member:
                np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
    with replacing(path) as temporary:
        temporary.write_bytes(data.getbuffer())


def read_episode(path: PathLike, frames: bool = True) -> Episode:
    """Read and check an episode.

    Args:
        frames: False leaves `obs` out (an array of no frames stands there), which is quick.
    Raises:
        RecordError: the file is missing, damaged or of another form.
    """
    with _archive(path) as archive:
        length = 0
        arrays: dict[str, Any] = {}
        names = archive.namelist()
        missing = [name for name in OPTIONAL if f"{name}.npy" not in names]
        lengths = [len(f"{name}.npy") for name in missing]
        for name in names:  # arrays of other programs may be there, but a damaged name keeps its length
            if len(name) in lengths and name.removesuffix(".npy") not in ARRAYS:
                raise RecordError(f"{path}: unknown array {name!a}; record it again")
        for name, (dtype, shape) in ARRAYS.items():
            if name in missing:
                continue
            with _member(archive, name, path) as member:
                found, *axes = _header(member, name, path, dtype, shape)
                length = length or found
                if found != length:
                    raise RecordError(f"{path}: '{name}' has {found} steps, 'obs' has {length}")
                if name == "obs" and not frames:
                    arrays[name] = np.empty((0, *axes), dtype)
                else:
                    arrays[name] = _data(member, name, path, dtype, (length, *axes))
        episode = Episode(**arrays, meta=_meta(archive, path))
    _check_values(episode, str(path), frames)
    return episode


@contextlib.contextmanager
def _archive(path: PathLike) -> Iterator[zipfile.ZipFile]:
    """The open zip file; any exception while reading becomes a RecordError."""
    if file_mark(Path(path))[0] > MAX_BYTES:
        raise RecordError(f"{path}: larger than {MAX_BYTES} bytes, which no episode is")
    with open_archive(path, RecordError, "record it again", MAX_MEMBERS, MAX_INFLATED) as archive:
        yield archive


def file_mark(path: Path) -> list[int]:
    """Size and time of change of a recording, [bytes, ns].

    Raises:
        RecordError: no such file, or one of another name or kind.
    """
    # Opening a pipe or a device would block.
    try:
        status = path.stat()
    except OSError as err:  # a link to itself, a file that vanished, a folder that may not be entered
        raise RecordError(f"{path}: no such file, or not readable ({err.strerror})") from err
    if not stat.S_ISREG(status.st_mode):
        raise RecordError(f"{path}: not a file")
    digits = path.stem.isascii() and path.stem.isdigit()
    # "07" would be another episode of seed 7
    if path.suffix != ".npz" or not digits or str(int(path.stem)) != path.stem:
        raise RecordError(f"{path}: expected a name <seed>.npz")
    if int(path.stem) > MAX_SEED:
        raise RecordError(f"{path}: expected a seed of at most {MAX_SEED}")
    return [status.st_size, status.st_mtime_ns]


def _member(archive: zipfile.ZipFile, name: str, path: PathLike) -> IO[bytes]:
    if f"{name}.npy" not in archive.namelist():
        raise RecordError(f"{path}: no array '{name}'; record it again with dreamduck record")
    return archive.open(f"{name}.npy")


def _header(
    member: Any, name: str, path: PathLike, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> tuple[int, ...]:
    """The shape in an array's header, if it is as expected."""
    _, found, fortran, kind = read_header(member)
    if kind != dtype or fortran or not _fits(found[1:], shape) or len(found) != 1 + len(shape):
        raise RecordError(
            f"{path}: '{name}' is {kind} {found}, expected {dtype} ({_wanted(shape)}); record it again"
        )
    if not 1 <= found[0] <= MAX_FRAMES:
        raise RecordError(f"{path}: '{name}' has {found[0]} steps, expected 1 to {MAX_FRAMES}")
    return found


def _fits(found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether a shape is the expected one, where 0 stands for any size of an action."""
    return len(found) == len(shape) and all(
        1 <= one <= MAX_ACTIONS if wanted == 0 else one == wanted
        for one, wanted in zip(found, shape, strict=True)
    )


def _wanted(shape: tuple[int, ...]) -> str:
    """A shape as text."""
    return ", ".join(["T", *(str(size or "A") for size in shape)])


def _data(
    member: Any, name: str, path: PathLike, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    data = read_data(member, math.prod(shape) * dtype.itemsize).view(dtype)
    check_values(data)
    return data.reshape(shape)


def _meta(archive: zipfile.ZipFile, path: PathLike) -> dict[str, Any]:
    with _member(archive, "meta", path) as member:
        _, shape, _, kind = read_header(member)
        if shape != () or kind.kind != "U" or kind.itemsize > 4 * MAX_META:
            raise RecordError(f"{path}: 'meta' is {kind} {shape}, expected one short string")
        text = str(_data(member, "meta", path, kind, ()))
    meta = parse_json(text, f"{path}: 'meta'", RecordError, "record it again")
    if not isinstance(meta, dict):
        raise RecordError(f"{path}: 'meta' is not a JSON object")
    return meta


def _check_values(episode: Episode, path: str, frames: bool = True) -> None:
    """Shapes and kinds of an episode in memory, and what must hold of its numbers."""
    length = len(episode.action)
    for name, (dtype, shape) in ARRAYS.items():
        array = getattr(episode, name)
        if (array is None and name in OPTIONAL) or (name == "obs" and not frames):
            continue
        fits = array.dtype == dtype and array.shape[:1] == (length,) and _fits(array.shape[1:], shape)
        if not fits or not 1 <= length <= MAX_FRAMES:
            raise RecordError(
                f"{path}: '{name}' is {array.dtype} {array.shape}, expected {dtype} ({_wanted(shape)})"
            )
    if not (np.isfinite(episode.action).all() and np.isfinite(episode.reward).all()):
        raise RecordError(f"{path}: an action or a reward is not finite; record it again")
    if np.abs(episode.action).max() > 1:
        raise RecordError(f"{path}: an action lies outside [-1, 1]; record it again")
    if episode.done[:-1].any():
        raise RecordError(f"{path}: the episode ends before its last step; record it again")
