"""The one place where files are opened for reading.

A file may be damaged, of another program, or made to do harm. So each reader here

- opens regular files only: a pipe, a device or a folder is refused at once, without waiting;
- has a limit on bytes and on elements, so that a small file cannot take all memory;
- checks what can be checked: checksums, sizes, types, JSON's own rules;
- turns whatever goes wrong into one line that names the file, the reason and the remedy.

Nothing here reads a pickle."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterator
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError, DreamDuckError

PathLike = str | os.PathLike[str]

JSON_BYTES = 1 << 24  # a controller with 100,000 parameters and all its evaluations has less
JSON_LEGACY_BYTES = 1 << 27  # weights of 2019: 4.3 million integers
JSON_CONTAINERS = 1_000_000  # lists and objects; each takes 56 bytes and more
JSON_DIGITS = 100  # of an integer; a seed has 39 at most
TEXT_BYTES = 1 << 27
REASON = 240  # characters of a library's message that are repeated

MEMBERS = 4096  # arrays in an archive; a training's checkpoint has some hundred
DIRECTORY_BYTES = MEMBERS * 256  # that list an archive's members
INFLATED_BYTES = 1 << 28  # of all compressed members; large files of ours are not compressed
END = struct.Struct("<4s4H2LH")  # the last bytes of an archive
LOCATOR = struct.Struct("<4sLQL")  # before it, where the archive is larger than 4 GB
WIDE_END = struct.Struct("<4sQ2H2L4Q")  # and before that
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes
ENCRYPTED = 1  # a bit of a member's flags
# What numpy writes at the beginning of an array. Parsed by hand: numpy evaluates it as Python.
HEADER = re.compile(
    rb"\{'descr': '([<>|=][biufU]\d{1,9})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,15}(?:, ?|(?=\))))*)\), ?\} *\n"
)
MAGIC = b"\x93NUMPY\x01\x00"
AXES = 32
BLOCK = 1 << 20
LAST_LETTER, SURROGATES = 0x10FFFF, (0xD800, 0xDFFF)


def one_line(err: BaseException) -> str:
    """What an error says, on one line of limited length."""
    text = " ".join(str(err).split()) or type(err).__name__
    if isinstance(err, OSError) and err.strerror:
        text = err.strerror
    return text if len(text) <= REASON else f"{text[:REASON]}..."


@contextlib.contextmanager
def in_words(
    path: PathLike, error: type[Exception], what: str = "cannot be read", remedy: str = ""
) -> Iterator[None]:
    """Turn whatever is raised inside into one line.

    Libraries raise all kinds of exceptions for damaged files, so that all kinds are caught here.

    Args:
        path: of the file, for the message.
        error: the kind of exception to raise.
        what: is wrong with the file.
        remedy: what to do about it.
    Raises:
        error: in the place of any exception that is not one of ours.
    """
    advice = f"; {remedy}" if remedy else ""
    try:
        yield
    except DreamDuckError:
        raise
    except FileNotFoundError as err:
        raise error(f"{path}: no such file{advice}") from err
    except Exception as err:
        raise error(f"{path}: {what} ({one_line(err)}){advice}") from err


def open_input(path: PathLike, most: int | None = None) -> BinaryIO:
    """Open a regular file for reading; never waits for a pipe, and opens no device.

    Args:
        path: of the file.
        most: bytes that it may have; None for no limit.
    Raises:
        OSError: there is no such file, or it may not be read.
        ValueError: it is no regular file, or larger than `most`.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"expected a file, got {_kind(status.st_mode)}")
        if most is not None and status.st_size > most:
            raise ValueError(f"expected at most {most} bytes, got {status.st_size}")
        return os.fdopen(file, "rb")
    except BaseException:
        os.close(file)
        raise


def _kind(mode: int) -> str:
    names = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return names.get(stat.S_IFMT(mode), "a device")


def read_bytes(
    path: PathLike, error: type[Exception] = ConfigError, remedy: str = "", most: int = TEXT_BYTES
) -> bytes:
    """The bytes of a file.

    Args:
        path: of the file.
        error: the kind of exception to raise.
        remedy: what its message advises.
        most: bytes that the file may have.
    Raises:
        error: the file is missing, not a regular file, too large, or cannot be read.
    """
    with in_words(path, error, remedy=remedy), open_input(path, most) as file:
        data = bytearray()
        while block := file.read(BLOCK):  # a file may grow, and what /proc shows has no size
            data += block
            if len(data) > most:
                raise ValueError(f"expected at most {most} bytes")
        return bytes(data)


def read_text(
    path: PathLike, error: type[Exception] = ConfigError, remedy: str = "", most: int = TEXT_BYTES
) -> str:
    """The text of a UTF-8 file; arguments and exceptions as `read_bytes`."""
    data = read_bytes(path, error, remedy, most)
    with in_words(path, error, "not a text file", remedy):
        return data.decode("utf-8")


def begins_with(path: PathLike, sign: bytes) -> bool:
    """Whether a file's first bytes, but for white space, are `sign`; False where it cannot be read."""
    try:
        with open_input(path) as file:
            return file.read(64).lstrip().startswith(sign)
    except (OSError, ValueError):
        return False


def fingerprint(path: PathLike) -> str:
    """The first 16 hex digits of a file's SHA-256.

    Raises:
        ConfigError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with in_words(path, ConfigError), open_input(path) as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()[:16]


def fingerprint_of(data: bytes) -> str:
    """The same of bytes in memory."""
    return hashlib.sha256(data).hexdigest()[:16]


def read_json(
    path: PathLike, error: type[Exception] = ConfigError, remedy: str = "", most: int = JSON_BYTES
) -> Any:
    """Read a JSON file.

    Args:
        path: of the file.
        error: the kind of exception to raise.
        remedy: what its message advises.
        most: bytes that the file may have.
    Raises:
        error: the file is missing or damaged, or what it holds is not JSON.
    """
    return parse_json(read_text(path, error, remedy, most), path, error, remedy)


def parse_json(text: str, source: PathLike, error: type[Exception] = ConfigError, remedy: str = "") -> Any:
    """Parse JSON as the standard has it: no NaN, no infinity, no integer of thousands of digits.

    Args:
        text: to parse.
        source: what a message calls it, for example the file's path.
        error: the kind of exception to raise.
        remedy: what its message advises.
    Raises:
        error: it is not JSON, is nested too deeply, or has too many lists.
    """
    advice = f"; {remedy}" if remedy else ""
    with in_words(source, error, "not JSON", remedy):
        if text.count("[") + text.count("{") > JSON_CONTAINERS:
            raise ValueError(f"expected at most {JSON_CONTAINERS} lists and objects")
        try:
            value = json.loads(text, parse_int=_integer, parse_float=_number, parse_constant=_no_constant)
        except json.JSONDecodeError as err:
            raise error(f"{source}: not JSON, line {err.lineno}: {err.msg}{advice}") from err
        except RecursionError as err:
            raise ValueError("nested too deeply") from err
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half of a pair is no letter
        return value


def _integer(text: str) -> int:
    if len(text) > JSON_DIGITS:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"a number beyond all limits, {text[:20]}")
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


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
        error: the file is missing, damaged, or holds something else than arrays of numbers and strings.
    """
    with open_archive(path, error, remedy, most=most) as archive:
        arrays = {}
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                raise ValueError(f"expected arrays, got {info.filename[:40]!r}")
            arrays[info.filename.removesuffix(".npy")] = read_array(archive, info)
        return arrays


@contextlib.contextmanager
def open_archive(
    path: PathLike,
    error: type[Exception],
    remedy: str = "",
    members: int = MEMBERS,
    most: int = INFLATED_BYTES,
) -> Iterator[zipfile.ZipFile]:
    """Open an `.npz` file; whatever goes wrong while the context is open becomes one line.

    Args:
        path: of the file.
        error: the kind of exception to raise.
        remedy: what its message advises.
        members: that it may have.
        most: bytes that its compressed members may take in memory.
    """
    with in_words(path, error, "not a readable .npz file", remedy), open_input(path) as file:
        size, count = check_directory(file, members)
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            if len(infos) != count:
                raise ValueError(f"{len(infos)} members, expected {count}")
            if len({info.filename for info in infos}) < len(infos):  # which counts is each reader's guess
                raise ValueError("two members of one name")
            for info in infos:
                check_member(info)
            packed = sum(info.file_size for info in infos if info.compress_type == zipfile.ZIP_DEFLATED)
            plain = sum(info.file_size for info in infos if info.compress_type == zipfile.ZIP_STORED)
            if packed > most or plain > size:
                raise ValueError(f"members of {packed + plain} bytes in a file of {size}")
            yield archive


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
    """Refuse forms of compression that numpy does not write, with errors and appetites of their own.

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
        The header's length in bytes, the shape, whether it is in Fortran's order, and the type.
    Raises:
        ValueError: it is no array file, or of a type that has no place in files of ours.
    """
    name = repr(str(getattr(member, "name", "array"))[:40])
    start = member.read(len(MAGIC) + 2)
    if len(start) != len(MAGIC) + 2 or not start.startswith(MAGIC):
        raise ValueError(f"{name}: not an array of format 1.0")
    length = int.from_bytes(start[len(MAGIC) :], "little")
    text = member.read(length)
    found = HEADER.fullmatch(text)
    if len(text) != length or found is None:
        raise ValueError(f"{name}: not the header of an array of numbers")
    shape = tuple(int(size) for size in found[3].replace(b" ", b"").split(b",") if size)
    if len(shape) > AXES:
        raise ValueError(f"{name}: {len(shape)} axes")
    return len(start) + length, shape, found[2] == b"True", np.dtype(found[1].decode())


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
    """Refuse letters and truth values that there are not.

    Raises:
        ValueError: there are some.
    """
    if array.dtype.kind == "b" and array.size and array.view(np.uint8).max() > 1:
        raise ValueError("a truth value that is neither 0 nor 1")
    if array.dtype.kind != "U" or not array.size or not array.dtype.itemsize:
        return
    codes = array.reshape(-1).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    if codes.max() > LAST_LETTER or ((codes >= SURROGATES[0]) & (codes <= SURROGATES[1])).any():
        raise ValueError("a string with letters beyond Unicode")


def to_float32(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Numbers as float32; what is beyond its range becomes infinite, for its caller to refuse."""
    with np.errstate(over="ignore"):
        return np.asarray(array).astype(np.float32, copy=False)
