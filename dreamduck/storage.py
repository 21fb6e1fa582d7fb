"""Files that are safe to open and hard to break.

Every write goes to a temporary name beside the target, is flushed to disk and then renamed, so
that a kill at any moment leaves the old file or the new one, never half of either. Nothing here
reads or writes a pickle."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.errors import ConfigError

log = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]
MARK = ".tmp-"  # what a temporary file's name begins with
NOTE_BYTES = 64
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


@contextlib.contextmanager
def claim(
    name: str,
    outputs: Iterable[PathLike],
    state: PathLike | None = None,
    fresh: bool = False,
) -> Iterator[bool]:
    """Hold the files that a run is about to write, for as long as the context is open.

    A run never writes over files that it did not write, unless it is told to with `fresh`. Which files
    are its own follows from `state`, the checkpoint that it writes before all its other outputs:

    - no `state`, no outputs: the run is new;
    - no `state`, but outputs: they are of another run; refused;
    - a `state`: the run resumes. Whether the settings fit is for its reader to check. Outputs in other
      folders than the one of `state` must be of the same run.

    Each folder gets a small file `.<name>.run`. It is locked while the run lasts, so that no second
    process writes there; the kernel frees the lock when the process ends, however it ends. It also
    holds a random number of the run, by which the folders of one run are known to belong together.

        with claim("vae", [weights / "vae.weights.h5", log / "vae.jsonl"], checkpoint, fresh) as resumes:
            ...

    Args:
        name: of the kind of run, for example "vae"; runs of different names may share a folder.
        outputs: the files that the run writes. Their folders are made where they are missing.
        state: the file that the run resumes from; None for a run that cannot resume.
        fresh: write over whatever is there.
    Yields:
        Whether `state` is there and the run resumes from it.
    Raises:
        ConfigError: files of another run are there, or another process writes there now.
        OSError: a folder cannot be written.
    """
    paths = [Path(path) for path in outputs]
    own = None if state is None else Path(state)
    folders = sorted({path.parent.resolve() for path in [*paths, *([own] if own else [])]})
    with contextlib.ExitStack() as stack:
        locks = {folder: stack.enter_context(_run_lock(folder / f".{name}.run")) for folder in folders}
        notes = {folder: _read_note(lock) for folder, lock in locks.items()}
        resumes = own is not None and os.path.lexists(own) and not fresh
        run = notes[own.parent.resolve()] if own is not None and resumes else ""
        for path in paths:
            ours = resumes and notes[path.parent.resolve()] == run
            if os.path.lexists(path) and not ours and not fresh:
                raise ConfigError(
                    f"{path}: expected no such file, or one of this run, got one of another run; "
                    "write to another folder, or give --fresh to write over it"
                )
        run = run or secrets.token_hex(8)
        for lock in locks.values():
            _write_note(lock, run)
        yield resumes


@contextlib.contextmanager
def _run_lock(path: Path) -> Iterator[int]:
    """Hold the lock of a run's file; yields its descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise ConfigError(
                f"{path.parent}: another process writes {path.name[1:].removesuffix('.run')} there now; "
                "wait until it ends, or write to another folder"
            ) from err
        except OSError:
            log.debug("%s: this file system has no locks", path)
        yield lock
    finally:
        os.close(lock)


def _read_note(lock: int) -> str:
    """The number of the run that a locked file tells; "" where there is none."""
    text = os.pread(lock, NOTE_BYTES, 0)
    return text.decode() if re.fullmatch(rb"[0-9a-f]{16}", text) else ""


def _write_note(lock: int, run: str) -> None:
    if _read_note(lock) != run:
        os.ftruncate(lock, 0)
        os.pwrite(lock, run.encode(), 0)


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
