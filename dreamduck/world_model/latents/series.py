"""Encoded episodes on disk: `series.npz`, all of them in flat arrays with offsets.

Episodes differ in length, so each array holds them one after
another; `offsets` says where each begins."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import SeriesError
from dreamduck.common.files.archives import open_archive, read_array, read_header
from dreamduck.common.readers import PathLike, fingerprint, parse_json, to_float32
from dreamduck.common.storage import write_npz

FILE = "series.npz"
MAKE = "write it again with dreamduck encode"
# array: kind of number, axes
ARRAYS: dict[str, tuple[str, int]] = {
    "mu": ("f", 2),
    "logvar": ("f", 2),
    "action": ("f", 2),
    "reward": ("f", 1),
    "done": ("b", 1),
    "offsets": ("i", 1),
    "seeds": ("i", 1),
    "meta": ("U", 0),
}


@dataclasses.dataclass(frozen=True)
class Series:
    """E episodes, N steps in all.

    Attributes:
        mu: (N, Z) float32.
        logvar: likewise.
        action: (N, A) float32.
        reward: (N,) float32.
        done: (N,) bool.
        offsets: (E + 1,) int64, the first row of each episode, and N at the end.
        seeds: (E,) int64, of the recordings.
        meta: which recordings and which weights it was made of.
        fingerprint: of the file; "" where there is none.
    """

    mu: npt.NDArray[np.float32]
    logvar: npt.NDArray[np.float32]
    action: npt.NDArray[np.float32]
    reward: npt.NDArray[np.float32]
    done: npt.NDArray[np.bool_]
    offsets: npt.NDArray[np.int64]
    seeds: npt.NDArray[np.int64]
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(E,) steps of each episode."""
        return np.diff(self.offsets)

    @property
    def z_size(self) -> int:
        """Size of the latent vector."""
        return int(self.mu.shape[1])

    def rows(self, episode: int) -> slice:
        """Where an episode lies."""
        return slice(int(self.offsets[episode]), int(self.offsets[episode + 1]))


def path_of(where: PathLike) -> Path:
    """The file, if `where` is one (`*.npz`), or the one in the folder `where`."""
    path = Path(where)
    return path if path.suffix == ".npz" and not path.is_dir() else path / FILE


def write_series(where: PathLike, series: Series) -> Path:
    """Write a series to a file or into a folder; returns the file's path.

    Raises:
        SeriesError: it is not of the standard form.
    """
    path = path_of(where)
    arrays = {name: getattr(series, name) for name in ARRAYS if name != "meta"}
    _check(arrays, path)
    meta = np.array(json.dumps(dict(series.meta), sort_keys=True, allow_nan=False))
    write_npz(path, {**arrays, "meta": meta}, compress=False)  # latents hardly shrink
    return path


def read_series(where: PathLike) -> Series:
    """Read and check a series.

    Args:
        where: the file, or the folder that it lies in.
    Raises:
        SeriesError: it is missing, damaged or of another form.
    """
    path = path_of(where)
    arrays = _read_arrays(path)
    meta = parse_json(str(arrays.pop("meta")), f"{path}: 'meta'", SeriesError, MAKE)
    if not isinstance(meta, dict):
        raise SeriesError(f"{path}: 'meta' is not a JSON object; {MAKE}")
    for name in ("mu", "logvar", "action", "reward"):
        arrays[name] = to_float32(arrays[name])
    for name in ("offsets", "seeds"):
        arrays[name] = arrays[name].astype(np.int64, copy=False)
    _check(arrays, path)
    return Series(
        **{name: arrays[name] for name in ARRAYS if name != "meta"},
        meta=meta,
        fingerprint=fingerprint(path),
    )


def _read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays; what is not a series is refused before memory is taken for it."""
    arrays = {}
    with open_archive(path, SeriesError, MAKE, len(ARRAYS), most=0) as archive:
        wrong = sorted({f"{name}.npy" for name in ARRAYS} ^ set(archive.namelist()))
        if wrong:
            raise ValueError(f"missing or unknown: {', '.join(wrong)}")
        for name, (kind, axes) in ARRAYS.items():
            with archive.open(f"{name}.npy") as member:
                _, shape, _, dtype = read_header(member)
            if dtype.kind != kind or len(shape) != axes:
                raise SeriesError(f"{path}: '{name}' is {dtype} {shape}; {MAKE}")
        for name in ARRAYS:
            arrays[name] = read_array(archive, archive.getinfo(f"{name}.npy"))
    return arrays


def _check(arrays: Mapping[str, npt.NDArray[Any]], path: Path) -> None:
    """Check the arrays against each other, and their numbers."""
    rows, offsets = len(arrays["mu"]), arrays["offsets"]
    for name in ("mu", "logvar", "action", "reward", "done"):
        array, (kind, axes) = arrays[name], ARRAYS[name]
        if array.dtype.kind != kind or array.ndim != axes or len(array) != rows or 0 in array.shape:
            raise SeriesError(
                f"{path}: '{name}' is {array.dtype} {array.shape}, 'mu' has {rows} rows; {MAKE}"
            )
        if kind == "f" and not np.isfinite(array).all():
            raise SeriesError(f"{path}: '{name}' has numbers that are not finite; {MAKE}")
    if arrays["mu"].shape != arrays["logvar"].shape:
        raise SeriesError(f"{path}: mu is {arrays['mu'].shape}, logvar {arrays['logvar'].shape}; {MAKE}")
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != rows or (np.diff(offsets) < 1).any():
        raise SeriesError(f"{path}: 'offsets' do not part {rows} rows into episodes; {MAKE}")
    if arrays["seeds"].shape != (len(offsets) - 1,):
        raise SeriesError(f"{path}: {len(arrays['seeds'])} seeds for {len(offsets) - 1} episodes; {MAKE}")
    inside = np.ones(rows, np.bool_)
    inside[offsets[1:] - 1] = False
    if (arrays["done"] & inside).any():
        raise SeriesError(f"{path}: an episode ends before its last step; {MAKE}")
