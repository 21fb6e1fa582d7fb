"""Weights on disk: an HDF5 file as Keras writes it, and the card beside it.

The card is a JSON object that describes how the weights were made; its `weights` is their fingerprint (the
first 16 hex digits of the file's SHA-256), so that a damaged file does not load as other weights. Of
HDF5 only plain arrays in the file itself are read: no links, no storage elsewhere, no plugins."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import WeightsError
from dreamduck.common.readers import PathLike, fingerprint_of, in_words, read_bytes, read_json
from dreamduck.common.storage import write_bytes, write_json

CARD_BYTES = 1 << 20
OTHER_BYTES = 1 << 24  # of a weights file, besides its numbers
COPIES = 4  # a file of Keras may hold the optimizer's variables too, and 8 bytes a number
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
LAYOUTS = {h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED}
WIDEST = 8  # bytes of a number


def to_hdf5(arrays: Mapping[str, npt.NDArray[Any]], groups: tuple[str, ...] = ()) -> bytes:
    """Arrays as the bytes of an HDF5 file, compressed.

    Args:
        arrays: by their places in the file.
        groups: empty groups that Keras expects.
    """
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for place, array in arrays.items():
            # byte shuffling puts the zeros that rounding left side by side
            file.create_dataset(place, data=array, compression="gzip", compression_opts=9, shuffle=True)
        for group in groups:
            file.require_group(group)
    return stream.getvalue()


def read_weights(path: PathLike, numbers: int, remedy: str) -> bytes:
    """The bytes of a weights file.

    Args:
        path: of the file.
        numbers: that the model has, at most.
        remedy: what a message advises.
    Raises:
        WeightsError: the file is missing, not a regular file, or too large.
    """
    return read_bytes(path, WeightsError, remedy, numbers * 8 * COPIES + OTHER_BYTES)


@contextmanager
def open_hdf5(data: bytes, source: PathLike, remedy: str) -> Iterator[Any]:
    """An HDF5 file in memory; any exception in the context becomes a WeightsError."""
    with (
        in_words(source, WeightsError, "not a readable weights file", remedy),
        h5py.File(io.BytesIO(data), "r") as file,
    ):
        yield file


def find_dataset(file: Any, place: str) -> Any:
    """An array of numbers in an HDF5 file, by its place; nothing is read of it yet.

    Raises:
        ValueError: there is none, or its numbers are not in the file itself.
        KeyError: likewise.
    """
    found = file
    for name in place.split("/"):
        if not isinstance(found, h5py.Group):
            raise ValueError(f"{place}: expected a group")
        if not isinstance(found.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{place}: missing, or a link to another place")
        found = found[name]
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"{place}: expected an array")
    made = found.id.get_create_plist()
    if made.get_layout() not in LAYOUTS or made.get_external_count():
        raise ValueError(f"{place}: its numbers are in another file")
    filters = {made.get_filter(number)[0] for number in range(made.get_nfilters())}
    if not filters <= FILTERS:
        raise ValueError(f"{place}: unknown compression")
    kind = found.dtype
    if kind.kind not in "bfiu" or kind.itemsize > WIDEST:
        raise ValueError(f"{place}: expected numbers, got {str(kind)[:40]}")
    if found.chunks and math.prod(found.chunks) > max(math.prod(found.shape), 1):
        raise ValueError(f"{place}: stored in parts larger than itself")
    return found


def read_dataset(file: Any, place: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """An array of numbers of a known shape.

    Raises:
        ValueError: it is of another shape, or damaged.
        KeyError: there is none.
    """
    found = find_dataset(file, place)
    if found.shape != shape:  # before reading: a damaged header may claim terabytes
        raise ValueError(f"{place}: expected {shape}, got {found.shape}")
    return np.asarray(found[()])


def save_pair(weights: Path, data: bytes, card_path: Path, card: Mapping[str, Any]) -> None:
    """Write weights and their card, with their fingerprint.

    The new card waits under another name until the weights are in place: killed at any moment, this
    leaves weights that a card fits.
    """
    waiting = _waiting(card_path)
    write_json(waiting, {**card, "weights": fingerprint_of(data)})
    write_bytes(weights, data)
    os.replace(waiting, card_path)


def read_card(card_path: Path, fits: str | None, remedy: str) -> dict[str, Any]:
    """The card of some weights; empty where there is none.

    Args:
        card_path: of the card.
        fits: the fingerprint of the weights; None where it is not known.
        remedy: what a message advises.
    Raises:
        WeightsError: the card is damaged.
    """
    if fits is not None and (waiting := _waiting(card_path)).is_file():
        card = _read_object(waiting, remedy)
        if card.get("weights") == fits:
            return card
    return _read_object(card_path, remedy) if card_path.exists() else {}


def check_pair(card: Mapping[str, Any], found: str, weights: Path, card_path: Path, remedy: str) -> None:
    """Refuse weights that do not match their card's fingerprint; a card without one fits any weights.

    Raises:
        WeightsError: they differ.
    """
    if "weights" in card and card["weights"] != found:
        raise WeightsError(
            f"{weights}: expected the weights of {card_path.name} (SHA-256 {str(card['weights'])[:16]}), "
            f"got others ({found}); one of the two files is damaged or was replaced: copy both again, "
            f"or {remedy}"
        )


def _waiting(card_path: Path) -> Path:
    return card_path.with_name(f".{card_path.name}.next")


def _read_object(path: Path, remedy: str) -> dict[str, Any]:
    card = read_json(path, WeightsError, remedy, CARD_BYTES)
    if not isinstance(card, dict):
        raise WeightsError(f"{path}: expected a JSON object (a card), got {type(card).__name__}; {remedy}")
    return card
