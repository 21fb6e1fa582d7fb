"""Archives of arrays, `.npz` files: read with neither pickle nor trust; see `readers`."""

from __future__ import annotations

import contextlib
import math
import os
import struct
import zipfile
from collections.abc import Iterator
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError
from dreamduck.common.readers import BLOCK, PathLike, in_words, open_input

MEMBERS = 4096  # arrays in an archive; a training's checkpoint has some hundred
DIRECTORY_BYTES = MEMBERS * 256  # that list an archive's members
INFLATED_BYTES = 1 << 28  # of all compressed members; large files of ours are not compressed
END = struct.Struct("<4s4H2LH")  # the last bytes of an archive
LOCATOR = struct.Struct("<4sLQL")  # before it, where the archive is larger than 4 GB
WIDE_END = struct.Struct("<4sQ2H2L4Q")  # and before that
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes
ENCRYPTED = 1  # a bit of a member's flags
AXES = 32
LAST_LETTER, SURROGATES = 0x10FFFF, (0xD800, 0xDFFF)


def read_npz(
    path: PathLike,
    error: type[Exception] = ConfigError,
    remedy: str = "",
    most: int = INFLATED_BYTES,
) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of an `.npz` file; their checksums are compared.

    Args:
        path: of the file.
        error: the kind of exception to raise.
        remedy: what its message advises.
        most: bytes that compressed arrays may take in memory. Others take as much as the file has.
    Raises:
        error: the file is missing, damaged, or holds something other than arrays of numbers and strings.
    """
    with open_archive(path, error, remedy, most=most) as archive:
        return read_arrays(archive)


@contextlib.contextmanager
def open_archive(
    path: PathLike,
    error: type[Exception],
    remedy: str = "",
    members: int = MEMBERS,
    most: int = INFLATED_BYTES,
) -> Iterator[zipfile.ZipFile]:
    """Open an `.npz` file; any exception in the context becomes a one-line error.

    Args:
        path: of the file.
        error: the kind of exception to raise.
        remedy: what its message advises.
        members: that it may have.
        most: bytes that its compressed members may take in memory.
    """
    with (
        in_words(path, error, "not a readable .npz file", remedy),
        open_input(path) as file,
        checked_archive(file, members, most) as archive,
    ):
        yield archive


@contextlib.contextmanager
def checked_archive(
    file: BinaryIO, members: int = MEMBERS, most: int = INFLATED_BYTES
) -> Iterator[zipfile.ZipFile]:
    """An archive whose list of members has been checked; reading them is left to the caller.

    Args:
        file: open for reading.
        members: that it may have.
        most: bytes that its compressed members may take in memory; others take what the file has.
    Raises:
        ValueError: the list is damaged, or longer than that.
    """
    size, count = check_directory(file, members)
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if len(infos) != count:
            raise ValueError(f"{len(infos)} members, expected {count}")
        if len({info.filename for info in infos}) < len(infos):  # readers differ in which of them they use
            raise ValueError("two members of one name")
        for info in infos:
            check_member(info)
        packed = sum(info.file_size for info in infos if info.compress_type == zipfile.ZIP_DEFLATED)
        plain = sum(info.file_size for info in infos if info.compress_type == zipfile.ZIP_STORED)
        if packed > most or plain > size:
            raise ValueError(f"members of {packed + plain} bytes in a file of {size}")
        yield archive


def read_arrays(archive: zipfile.ZipFile) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an archive, by name; their checksums are compared.

    Raises:
        ValueError: it holds something else than arrays of numbers and strings; other kinds where zipfile or
            zlib see damage first.
    """
    arrays = {}
    for info in archive.infolist():
        if not info.filename.endswith(".npy"):
            raise ValueError(f"expected arrays, got {info.filename[:40]!r}")
        arrays[info.filename.removesuffix(".npy")] = read_array(archive, info)
    return arrays


def check_directory(file: BinaryIO, members: int = MEMBERS) -> tuple[int, int]:
    """Refuse an archive whose list of members is longer than it could be.

    `zipfile` reads that list into memory whole; a hostile one has millions of entries.

    Returns:
        The size of the file, and how many members it has.
    Raises:
        ValueError: the list is too long, or not where it should be.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - WIDE_END.size - LOCATOR.size - END.size))
    tail = file.read()
    file.seek(0)
    if len(tail) < END.size or tail[-END.size :][:4] != b"PK\5\6":
        raise ValueError("no list of members at its end")
    *_, count, length, offset, _ = END.unpack(tail[-END.size :])
    before, last = tail[: -END.size], size - END.size
    if before[-LOCATOR.size :][:4] == b"PK\6\7":
        wide = before[: -LOCATOR.size]
        if len(wide) != WIDE_END.size or wide[:4] != b"PK\6\6":
            raise ValueError("no list of members at its end")
        *_, count, length, offset = WIDE_END.unpack(wide)
        last -= LOCATOR.size + WIDE_END.size
    if count > members or length > members * DIRECTORY_BYTES // MEMBERS + 1024:
        raise ValueError("too many members")
    if offset + length != last:  # `zipfile` would look for the list elsewhere, and find part of it
        raise ValueError("no list of members where it should be")
    return size, count


def check_member(info: zipfile.ZipInfo) -> None:
    """Refuse forms of compression that numpy does not write, which may take much memory.

    Raises:
        ValueError: it is one of them, or encrypted.
    """
    if info.filename != info.orig_filename or not info.filename.isprintable() or not info.filename:
        raise ValueError(f"{info.filename[:40]!a}: a damaged name")  # `zipfile` cuts it at a zero byte
    if info.compress_type not in COMPRESSIONS:
        raise ValueError(f"{info.filename[:40]!r}: compression {info.compress_type}")
    if info.flag_bits & ENCRYPTED:
        raise ValueError(f"{info.filename[:40]!r}: encrypted")
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        raise ValueError(f"{info.filename[:40]!r}: two sizes")


def read_header(member: IO[bytes]) -> tuple[int, tuple[int, ...], bool, np.dtype[Any]]:
    """The header of an array file, of format 1.0, which all arrays of ours have.

    Returns:
        The header's length in bytes, the shape, whether it is in Fortran order, and the dtype.
    Raises:
        ValueError: it is no array file, or of a type that has no place in files of ours; other kinds where
            Python's parser sees it first.
    """
    if np.lib.format.read_magic(member) != (1, 0):
        raise ValueError("expected an array of format 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
    if dtype.kind not in "biufU" or len(shape) > AXES or min(shape, default=0) < 0:
        raise ValueError(f"expected numbers or strings, got {dtype} {shape}"[:80])
    return member.tell(), shape, fortran, dtype


def read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
    """An archive's array, read to its end, so that its checksum is compared.

    Raises:
        ValueError: it is damaged; other kinds where zipfile or zlib see it first.
    """
    with archive.open(info) as member:
        length, shape, fortran, dtype = read_header(member)
        count = math.prod(shape)
        if length + count * dtype.itemsize != info.file_size:
            raise ValueError(f"{info.filename[:40]!r}: {dtype} {shape} in {info.file_size - length} bytes")
        data = read_data(member, count * dtype.itemsize)
    array = data.view(dtype) if count and dtype.itemsize else np.zeros(count, dtype)
    check_values(array)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def read_data(member: IO[bytes], size: int) -> npt.NDArray[np.uint8]:
    """The rest of an archive's member, `size` bytes, to its very end.

    Raises:
        ValueError: it has less or more.
    """
    data = np.empty(size, np.uint8)
    view, at = data.data, 0
    while at < size:
        block = member.read(min(BLOCK, size - at))
        if not block:
            break
        view[at : at + len(block)] = block
        at += len(block)
    if at < size or member.read(1):  # reading to the end also compares the checksum
        raise ValueError("cut short or too long")
    return data


def check_values(array: npt.NDArray[Any]) -> None:
    """Refuse invalid characters and booleans.

    Raises:
        ValueError: there are some.
    """
    if array.dtype.kind == "b" and array.size and array.view(np.uint8).max() > 1:
        raise ValueError("a boolean that is neither 0 nor 1")
    if array.dtype.kind != "U" or not array.size or not array.dtype.itemsize:
        return
    codes = array.reshape(-1).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    if codes.max() > LAST_LETTER or ((codes >= SURROGATES[0]) & (codes <= SURROGATES[1])).any():
        raise ValueError("a string with characters outside Unicode")
