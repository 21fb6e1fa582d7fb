"""A series file as the memory takes it in, checked: `series.npz`.

Flow: series -> [memory] -> dream."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dreamduck.errors import SeriesError
from dreamduck.storage import PathLike, fingerprint, read_npz

FILE = "series.npz"
MAKE = "write it again with series.py"
# name, axes, kind of number
ARRAYS = {"mu": (2, "f"), "logvar": (2, "f"), "action": (2, "f"), "reward": (1, "f"), "done": (1, "b")}


@dataclasses.dataclass(frozen=True)
class Series:
    """Episodes one after another; N rows in all, E episodes.

    Attributes:
        mu, logvar: (N, Z) float32. action: (N, A) float32. reward: (N,) float32. done: (N,) bool.
        offsets: (E + 1,) int64, the first row of each episode, and N.
        seeds: (E,) int64, of the recordings.
        fingerprint: of the file.
    """

    mu: npt.NDArray[np.float32]
    logvar: npt.NDArray[np.float32]
    action: npt.NDArray[np.float32]
    reward: npt.NDArray[np.float32]
    done: npt.NDArray[np.bool_]
    offsets: npt.NDArray[np.int64]
    seeds: npt.NDArray[np.int64]
    fingerprint: str = ""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(E,) steps of each episode."""
        return np.diff(self.offsets)

    def rows(self, episode: int) -> slice:
        """Where an episode lies."""
        return slice(int(self.offsets[episode]), int(self.offsets[episode + 1]))


def read_series(where: PathLike) -> Series:
    """Read and check a series.

    Args:
        where: the file, or the folder that it lies in.
    Raises:
        SeriesError: it is missing, damaged or of another form.
    """
    path = Path(where)
    path = path / FILE if path.is_dir() or path.suffix != ".npz" else path
    if not path.is_file():
        raise SeriesError(f"{path}: no such file; write it with series.py")
    arrays = read_npz(path, SeriesError)
    missing = sorted({*ARRAYS, "offsets"} - set(arrays))
    if missing:
        raise SeriesError(f"{path}: no {', '.join(missing)} in it; {MAKE}")
    for name, (axes, kind) in ARRAYS.items():
        array = arrays[name]
        if array.ndim != axes or array.dtype.kind != kind or len(array) != len(arrays["mu"]):
            raise SeriesError(f"{path}: '{name}' is {array.dtype} {array.shape}; {MAKE}")
        if kind == "f":
            arrays[name] = array.astype(np.float32, copy=False)
            if not np.isfinite(arrays[name]).all():
                raise SeriesError(f"{path}: '{name}' has numbers that are not finite; {MAKE}")
    if arrays["mu"].shape != arrays["logvar"].shape or 0 in arrays["mu"].shape + arrays["action"].shape:
        raise SeriesError(f"{path}: mu {arrays['mu'].shape}, logvar {arrays['logvar'].shape}; {MAKE}")
    offsets = _check_offsets(arrays["offsets"], len(arrays["mu"]), path)
    seeds = arrays.get("seeds", arrays.get("seed", np.arange(len(offsets) - 1)))
    if seeds.shape != (len(offsets) - 1,) or seeds.dtype.kind not in "iu":
        raise SeriesError(
            f"{path}: 'seeds' is {seeds.dtype} {seeds.shape}, expected one an episode; {MAKE}"
        )
    fields = {name: arrays[name] for name in ARRAYS}
    return Series(**fields, offsets=offsets, seeds=seeds.astype(np.int64), fingerprint=fingerprint(path))


def _check_offsets(offsets: npt.NDArray[np.generic], rows: int, path: Path) -> npt.NDArray[np.int64]:
    """Offsets that begin at 0, rise, and end at the number of rows."""
    good = offsets.ndim == 1 and len(offsets) > 1 and offsets.dtype.kind in "iu"
    checked = offsets.astype(np.int64) if good else np.zeros(2, np.int64)
    if not good or checked[0] != 0 or checked[-1] != rows or (np.diff(checked) < 1).any():
        raise SeriesError(f"{path}: 'offsets' do not part {rows} rows into episodes; {MAKE}")
    return checked
