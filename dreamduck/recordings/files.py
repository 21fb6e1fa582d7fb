"""Episodes on disk: `records/<seed>.npz`.

Flow: simulator -> [recordings] -> vision. Writing leaves whole files only. Reading trusts nothing:
names, kinds, shapes and sizes are checked before any memory is taken, so that a damaged or hostile
file costs an error message and no more."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.errors import RecordError
from dreamduck.storage import PathLike, replacing

FRAME_SHAPE = (64, 64, 3)
TELEMETRY = ("lane_dist", "lane_angle", "speed", "x", "z", "heading", "tile_i", "tile_j")
MAX_FRAMES = 10_000  # longer is no episode of ours
MAX_META = 1 << 16  # characters
MAX_BYTES = MAX_FRAMES * 16_384
MAX_MEMBERS = 32
MAX_DIRECTORY = MAX_MEMBERS * 1024  # bytes that list an archive's members
MAX_SEED = 2**63 - 1
END = struct.Struct("<4s16s4s4H2LH")  # an archive's last bytes: where a wide list is, where the list is
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes
LEVEL = 1  # of zlib: five times quicker than numpy's 6 and files 5% larger
# what zipfile and numpy raise too, for encrypted members, sizes without bounds, letters beyond Unicode
DAMAGE = (
    RuntimeError,
    NotImplementedError,
    OverflowError,
    MemoryError,
    TypeError,
    SyntaxError,
    SystemError,
)
# array: its type, and its shape after the axis T
ARRAYS: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
    "obs": (np.dtype(np.uint8), FRAME_SHAPE),
    "action": (np.dtype(np.float32), (2,)),
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
        action: (T, 2) float32 in [-1, 1], throttle and steering, taken at `obs`.
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
        for name, (dtype, shape) in ARRAYS.items():
            if name in OPTIONAL and f"{name}.npy" not in archive.namelist():
                continue
            with _member(archive, name, path) as member:
                found = _header(member, name, path, dtype, shape)
                length = length or found
                if found != length:
                    raise RecordError(f"{path}: '{name}' has {found} steps, 'obs' has {length}")
                if name == "obs" and not frames:
                    arrays[name] = np.empty((0, *shape), dtype)
                else:
                    arrays[name] = _data(member, name, path, dtype, (length, *shape))
        episode = Episode(**arrays, meta=_meta(archive, path))
    _check_values(episode, str(path), frames)
    return episode


@contextlib.contextmanager
def _archive(path: PathLike) -> Any:
    """The open zip file; whatever goes wrong while reading it becomes a RecordError."""
    try:
        if file_mark(Path(path))[0] > MAX_BYTES:
            raise RecordError(f"{path}: larger than {MAX_BYTES} bytes, which no episode is")
        check_directory(path)
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) > MAX_MEMBERS:
                raise RecordError(f"{path}: {len(names)} members, expected {len(ARRAYS) + 1}")
            if len(set(names)) < len(names):  # which of them counts is each reader's guess
                raise RecordError(f"{path}: two members of one name; record it again")
            yield archive
    except RecordError:
        raise
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError) as err:
        raise RecordError(f"{path}: not a readable .npz file ({_line(err)}); record it again") from err
    except DAMAGE as err:
        raise RecordError(f"{path}: damaged .npz file ({_line(err)}); record it again") from err


def _line(err: BaseException) -> str:
    """What an error says, on one line."""
    return " ".join(str(err).split()) or type(err).__name__


def check_directory(path: PathLike) -> None:
    """Refuse an archive whose list of members is longer than ours could be.

    `zipfile` reads that list into memory whole; a hostile one has millions of entries.

    Raises:
        ValueError: it is too long, or not where it should be.
    """
    with open(path, "rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - END.size))
        end = file.read()
    if len(end) != END.size:
        raise ValueError("no list of members")
    wide, _, mark, *_, size, _, _ = END.unpack(end)
    if mark != b"PK\5\6":
        raise ValueError("no list of members at its end")
    if size > MAX_DIRECTORY or wide == b"PK\6\7":  # the latter tells of another, larger list
        raise ValueError("too many members")


def file_mark(path: Path) -> list[int]:
    """Size and time of change of a recording, [bytes, ns].

    Raises:
        RecordError: no such file, or one of another name or kind.
    """
    # A pipe or a device would block whoever opens it.
    try:
        status = path.stat()
    except OSError as err:  # a link to itself, a file that vanished, a folder that may not be entered
        raise RecordError(f"{path}: no such file, or not to be had ({err.strerror})") from err
    if not stat.S_ISREG(status.st_mode):
        raise RecordError(f"{path}: not a file")
    digits = path.stem.isascii() and path.stem.isdigit()
    # "07" would be another episode of seed 7
    if path.suffix != ".npz" or not digits or str(int(path.stem)) != path.stem:
        raise RecordError(f"{path}: expected a name <seed>.npz")
    if int(path.stem) > MAX_SEED:
        raise RecordError(f"{path}: expected a seed of at most {MAX_SEED}")
    return [status.st_size, status.st_mtime_ns]


def _member(archive: zipfile.ZipFile, name: str, path: PathLike) -> Any:
    if f"{name}.npy" not in archive.namelist():
        raise RecordError(f"{path}: no array '{name}'; record it again with extract.py")
    check_member(archive.getinfo(f"{name}.npy"))
    return archive.open(f"{name}.npy")


def check_member(info: zipfile.ZipInfo) -> None:
    """Refuse forms of compression that numpy does not write, with errors and appetites of their own.

    Raises:
        ValueError: it is one of them.
    """
    if info.compress_type not in COMPRESSIONS:
        raise ValueError(f"{info.filename}: compression {info.compress_type}")


def _header(member: Any, name: str, path: PathLike, dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """The number of steps that an array's header tells, if the rest is as expected."""
    found, fortran, kind = read_header(member)
    if kind != dtype or fortran or len(found) != 1 + len(shape) or found[1:] != shape:
        wanted = ", ".join(["T", *map(str, shape)])
        raise RecordError(
            f"{path}: '{name}' is {kind} {found}, expected {dtype} ({wanted}); record it again"
        )
    if not 1 <= found[0] <= MAX_FRAMES:
        raise RecordError(f"{path}: '{name}' has {found[0]} steps, expected 1 to {MAX_FRAMES}")
    return int(found[0])


def read_header(member: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """An array file's shape, whether it is in Fortran's order, and its type; no data is read.

    Raises:
        ValueError: it is no array file, or not of format 1.0, whose header has 64 KB at most; that of the
            others may have gigabytes, and no array of ours needs it.
    """
    version = np.lib.format.read_magic(member)
    if version != (1, 0):
        raise ValueError(f"array format {version}")
    return np.lib.format.read_array_header_1_0(member)


def _data(
    member: Any, name: str, path: PathLike, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    size = int(np.prod(shape)) * dtype.itemsize
    data = member.read(size)
    if len(data) != size or member.read(1):  # reading to the end also checks the checksum
        raise RecordError(f"{path}: '{name}' is cut short or too long; record it again")
    return np.frombuffer(data, dtype).reshape(shape)


def _meta(archive: zipfile.ZipFile, path: PathLike) -> dict[str, Any]:
    with _member(archive, "meta", path) as member:
        shape, _, kind = read_header(member)
        if shape != () or kind.kind != "U" or kind.itemsize > 4 * MAX_META:
            raise RecordError(f"{path}: 'meta' is {kind} {shape}, expected one short text")
        text = str(_data(member, "meta", path, kind, ()))
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise RecordError(f"{path}: 'meta' is not JSON ({err})") from err
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
        if array.dtype != dtype or array.shape != (length, *shape) or not 1 <= length <= MAX_FRAMES:
            wanted = ", ".join(["T", *map(str, shape)])
            raise RecordError(
                f"{path}: '{name}' is {array.dtype} {array.shape}, expected {dtype} ({wanted})"
            )
    if not (np.isfinite(episode.action).all() and np.isfinite(episode.reward).all()):
        raise RecordError(f"{path}: an action or a reward is not finite; record it again")
    if np.abs(episode.action).max() > 1:
        raise RecordError(f"{path}: an action lies outside [-1, 1]; record it again")
    if episode.done[:-1].any():
        raise RecordError(f"{path}: the episode ends before its last step; record it again")
