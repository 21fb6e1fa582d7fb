"""The one place where files are opened for reading.

A file may be damaged, of another program, or malicious. So each reader here

- opens regular files only: a pipe, a device or a folder is refused at once, without waiting;
- has a limit on bytes and on elements, so that a small file cannot take all memory;
- checks what can be checked: checksums, sizes, types, JSON's own rules;
- turns any error into one line that names the file, the reason and the remedy.

Nothing here reads a pickle."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

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

BLOCK = 1 << 20


def one_line(err: BaseException) -> str:
    """An error's message on one line of limited length."""
    text = " ".join(str(err).split()) or type(err).__name__
    if isinstance(err, OSError) and err.strerror:
        text = err.strerror
    return text if len(text) <= REASON else f"{text[:REASON]}..."


@contextlib.contextmanager
def in_words(
    path: PathLike, error: type[Exception], what: str = "cannot be read", remedy: str = ""
) -> Iterator[None]:
    """Turn any exception in the context into a one-line error.

    Libraries raise all kinds of exceptions for damaged files, so that all kinds are caught here.

    Args:
        path: of the file, for the message.
        error: the kind of exception to raise.
        what: is wrong with the file.
        remedy: what to do about it.
    Raises:
        error: raised instead of any exception that is not one of ours.
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
        return data.decode("utf-8-sig")  # some programs begin a file with a mark of its encoding


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
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no character
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


def to_float32(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Numbers as float32; what is beyond its range becomes infinite, for its caller to refuse."""
    with np.errstate(over="ignore"):
        return np.asarray(array).astype(np.float32, copy=False)
