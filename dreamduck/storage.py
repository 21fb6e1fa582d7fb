"""Files that are safe to open and hard to break.

Every write goes to a temporary name beside the target, is flushed to disk and then renamed, so
that a kill at any moment leaves the old file or the new one, never half of either. Nothing here
reads or writes a pickle."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

PathLike = str | os.PathLike[str]
MARK = ".tmp-"  # what a temporary file's name begins with
LEFT = 60.0  # [s]; who has not touched a temporary file for so long never will


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path of the same suffix; on a clean exit it takes the place of `path`.

    Raises:
        OSError: the folder cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Keras insists on the suffix, so the mark of a temporary file stands in front.
    suffix = "".join(target.suffixes[-2:]) if target.name.endswith(".weights.h5") else target.suffix
    handle, name = tempfile.mkstemp(
        prefix=f"{_mark()}{os.getpid()}-{target.stem}-", suffix=suffix, dir=target.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes it private
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: PathLike) -> None:
    """Remove what writers that were killed left under temporary names in a folder.

    A process of this machine that has ended is known by its number; of others, which may share the folder,
    only time tells.
    """
    with contextlib.suppress(OSError):
        for path in Path(folder).glob(f"{MARK}*"):
            with contextlib.suppress(OSError):
                writer = re.match(re.escape(_mark()) + r"(\d+)-", path.name)
                if (writer and not _runs(int(writer[1]))) or time.time() - path.stat().st_mtime > LEFT:
                    path.unlink()


def _mark() -> str:
    """What the names of this machine's temporary files begin with, before the process's number."""
    return f"{MARK}{os.uname().nodename}-"


def _runs(process: int) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def write_json(path: PathLike, value: Any, indent: int | None = 2) -> None:
    """Write JSON; NaN and infinity are refused, since no other reader takes them."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=indent, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: PathLike, error: type[Exception] = ValueError) -> Any:
    """Read JSON, or raise `error` naming the file and the place in it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise error(f"{path}: no such file") from err
    except (OSError, UnicodeDecodeError) as err:
        raise error(f"{path}: cannot be read ({err})") from err
    except json.JSONDecodeError as err:
        raise error(f"{path}: not JSON, line {err.lineno}: {err.msg}") from err


def write_npz(path: PathLike, arrays: Mapping[str, np.ndarray], compress: bool = True) -> None:
    """Write arrays to an `.npz` file."""
    save = np.savez_compressed if compress else np.savez
    with replacing(path) as temporary, open(temporary, "wb") as file:
        save(file, **arrays)  # type: ignore[arg-type]


def read_npz(path: PathLike, error: type[Exception] = ValueError) -> dict[str, np.ndarray]:
    """Read all arrays of an `.npz` file, or raise `error` naming the file; never unpickles."""
    damage = (ValueError, EOFError, KeyError, AttributeError, TypeError, NotImplementedError)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as err:
        raise error(f"{path}: no such file") from err
    except (OSError, MemoryError, zipfile.BadZipFile, zlib.error, *damage) as err:
        raise error(f"{path}: not a readable .npz file ({err})") from err


def fingerprint(path: PathLike) -> str:
    """The first 16 hex digits of a file's SHA-256."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()[:16]
