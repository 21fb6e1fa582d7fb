"""Files that are hard to break.

Every write goes to a temporary name beside the target, is flushed to disk and then renamed, so
that a kill at any moment leaves the old file or the new one, never half of either. A run claims the
files that it will write. `readers` reads files."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common.errors import ConfigError
from dreamduck.common.files.archives import read_npz
from dreamduck.common.readers import PathLike, fingerprint, read_json

__all__ = [
    "PathLike",
    "cache_folder",
    "claim",
    "fingerprint",
    "read_json",
    "read_npz",
    "replacing",
    "sweep",
    "write_bytes",
    "write_json",
    "write_npz",
    "write_text",
]

MARK = ".tmp-"  # what a temporary file's name begins with
LEFT = 86400.0  # [s]; a temporary file of another machine that is older than this is left over
NOTE_BYTES = 64
STEM = 80  # characters of the target's name in a temporary's; names have a limit of 255 bytes

_swept: set[str] = set()
_swept_lock = threading.Lock()


def cache_folder() -> Path:
    """The folder for files that can be made or fetched again: under XDG_CACHE_HOME, or in the user's cache.

    Returns:
        The folder, which may not exist; a path that cannot be written where the user has no home.
    """
    given = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    base = given or os.path.expanduser("~/.cache")
    return Path(os.devnull if base.startswith("~") else base) / "dreamduck"


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path of the same suffix; on a clean exit it takes the place of `path`.

    The temporary file is locked for as long as the context is open, so that no `sweep` removes it. Do
    not open it with HDF5, which wants that lock for itself.

    Raises:
        OSError: the folder cannot be written; the error names `path`.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep_once(target.parent)
    # Keras insists on the suffix, so the mark of a temporary file stands in front.
    suffix = "".join(target.suffixes[-2:]) if target.name.endswith(".weights.h5") else target.suffix
    name = f"{_mark()}{os.getpid()}-{target.stem[:STEM]}-{secrets.token_hex(4)}{suffix}"
    temporary = target.parent / name
    try:
        # The kernel applies the umask; to ask for it would change it for all threads.
        lock = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as err:
        err.filename = str(target)
        raise
    try:
        _try_lock(lock)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    except OSError as err:
        if err.errno is not None and err.filename in (None, str(temporary)):
            err.filename = str(target)  # the error of a full disk has no file name
        err.filename2 = None
        raise
    finally:
        temporary.unlink(missing_ok=True)
        os.close(lock)


def copy_file(source: PathLike, target: PathLike) -> None:
    """Copy a file, whole or not at all.

    Raises:
        OSError: the source cannot be read, or the target's folder not written.
    """
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def sweep(folder: PathLike) -> None:
    """Remove temporary files that killed writers left in a folder.

    A file that a living process of this machine writes is locked. Where locks do not work, as on other
    machines that share the folder, only a day without any change does.
    """
    with contextlib.suppress(OSError):
        for path in Path(folder).glob(f"{MARK}*"):
            with contextlib.suppress(OSError):
                _sweep_one(path)


def _sweep_one(path: Path) -> None:
    """Remove a temporary file if its writer is known to have ended."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or not _try_lock(file):
            return
        writer = re.match(re.escape(_mark()) + r"(\d+)-", path.name)
        if (writer and not _runs(int(writer[1]))) or time.time() - status.st_mtime > LEFT:
            path.unlink()
    finally:
        os.close(file)


def _sweep_once(folder: Path) -> None:
    """Sweep a folder when this process first writes there."""
    where = str(folder.resolve())
    with _swept_lock:
        if where in _swept:
            return
        _swept.add(where)
    sweep(folder)


def _try_lock(file: int) -> bool:
    """Lock an open file; False where another holds it. True also where there are no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        return err.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


@functools.cache
def _mark() -> str:
    """What the names of this machine's temporary files begin with, before the process's number.

    Process numbers are valid within one boot of one machine, and there within one container.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        here = f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        here = os.uname().nodename
    return f"{MARK}{hashlib.sha256(here.encode()).hexdigest()[:12]}-"


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

    A run never overwrites files that it did not write, unless `fresh` is given. Which files
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
        fresh: overwrite whatever is there.
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
        if not _try_lock(lock):
            raise ConfigError(
                f"{path.parent}: another process writes {path.name[1:].removesuffix('.run')} there now; "
                "wait until it ends, or write to another folder"
            )
        yield lock
    finally:
        os.close(lock)


def _read_note(lock: int) -> str:
    """The number of the run in a locked file; "" where there is none."""
    text = os.pread(lock, NOTE_BYTES, 0)
    return text.decode() if re.fullmatch(rb"[0-9a-f]{16}", text) else ""


def _write_note(lock: int, run: str) -> None:
    if _read_note(lock) != run:
        os.ftruncate(lock, 0)
        os.pwrite(lock, run.encode(), 0)


def write_json(path: PathLike, value: Any, indent: int | None = 2) -> None:
    """Write JSON; NaN and infinity are refused, since no other reader takes them."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def write_text(path: PathLike, text: str) -> None:
    """Write a text file."""
    write_bytes(path, text.encode())


def write_bytes(path: PathLike, data: bytes) -> None:
    """Write the bytes of a file."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_npz(path: PathLike, arrays: Mapping[str, np.ndarray], compress: bool = True) -> None:
    """Write arrays to an `.npz` file."""
    save = np.savez_compressed if compress else np.savez
    with replacing(path) as temporary, open(temporary, "wb") as file:
        save(file, **arrays)  # type: ignore[arg-type]
