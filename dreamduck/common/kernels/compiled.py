"""`njit` with a cache of our own for compiled code.

numba's cache notices a change of the file that a function is in, but not of a function that it calls in
another file; it needs a folder that can be written when a module is imported; and it fails on a damaged
file. Here every entry is found by a hash of the versions in use and of the sources of every module that
holds compiled functions or that such a module imports, in whatever folder of the package. An entry is
checked by a SHA-256 before it is loaded, and is compiled again where anything is wrong with it. Nothing
here can keep the package from being imported or run."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import pickle
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast, overload

import llvmlite
import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.compiler import CompileResult
from numba.core.dispatcher import Dispatcher
from numba.core.serialize import dumps

from dreamduck.common.storage import cache_folder, replacing

log = logging.getLogger(__name__)

PACKAGE = Path(__file__).parents[2]
COMPILES = re.compile(r"^ *@njit\b", re.MULTILINE)
IMPORTS = re.compile(rf"^ *(?:from|import) ({PACKAGE.name}[.\w]*)", re.MULTILINE)
PREFIX = "compiled-"  # of the folders, one for each version of the sources
KEPT = 4  # versions that are kept in one place, those used last
SUFFIX = ".code"
DIGEST = hashlib.sha256().digest_size
F = TypeVar("F", bound=Callable[..., Any])


@overload
def njit(function: F) -> F: ...


@overload
def njit(function: None = None, **options: Any) -> Callable[[F], F]: ...


def njit(function: F | None = None, **options: Any) -> F | Callable[[F], F]:
    """As `numba.njit`, with this module's cache.

    Args:
        function: what to compile, where the decorator has no brackets.
        options: those of numba, without `cache`.
    """
    if function is None:
        return cast("Callable[[F], F]", functools.partial(njit, **options))
    dispatcher = numba.njit(**options)(function)
    if isinstance(dispatcher, Dispatcher):  # not where NUMBA_DISABLE_JIT is set
        cast(Any, dispatcher)._cache = CompiledCache(function)
    return cast(F, dispatcher)


class CompiledCache(FunctionCache):
    """The compiled forms of one function, a file each.

    Args:
        function: before it is compiled.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._py_func = function  # the name that numba's base class reads, used by `_index_key`
        code = function.__code__
        self._name = f"{function.__module__}.{function.__qualname__}-{code.co_firstlineno}"
        self.enable()

    @property
    def cache_path(self) -> str:
        """The folder that is written to first."""
        return str(next(_folders(), ""))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled form for these types, or None where there is none that can be used."""
        target_context.refresh()
        if not self._enabled:
            return None
        name = self._file(sig, target_context.codegen())
        for folder in _folders():
            try:
                content = _read(folder / name)
                if content is not None:
                    return CompileResult._rebuild(target_context, *pickle.loads(content))
            except Exception as err:  # on any error from a damaged or foreign entry: compile it again
                log.debug("%s: not usable (%s)", folder / name, err)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save a compiled form in the first writable folder; without one it is compiled each time."""
        lasting = not data.library.has_dynamic_globals and all(part.can_cache for part in data.lifted)
        if not (self._enabled and lasting):
            return
        try:
            content = dumps(data._reduce())
            name = self._file(sig, data.codegen)
        except Exception as err:
            log.debug("%s: cannot be kept (%s)", self._name, err)
            return
        for folder in _folders(create=True):
            try:
                _write(folder / name, content)
            except OSError as err:
                log.debug("%s: cannot be written (%s)", folder, err)
            else:
                _remove_old(folder)
                return

    def flush(self) -> None:
        """Forget all compiled forms of this function."""
        for folder in _folders():
            for path in folder.glob(f"{self._name}-*{SUFFIX}"):
                path.unlink(missing_ok=True)

    def _file(self, sig: Any, codegen: Any) -> str:
        key = repr(self._index_key(sig, codegen)).encode()
        return f"{self._name}-{hashlib.sha256(key).hexdigest()[:24]}{SUFFIX}"


@functools.cache
def version() -> str | None:
    """A hash of all that compiled code depends on, or None where the sources cannot be read."""
    settings = (numba.config.OPT, numba.config.BOUNDSCHECK)
    used = (sys.version, numba.__version__, llvmlite.__version__, np.__version__, settings)
    digest = hashlib.sha256(repr(used).encode())
    try:
        used_sources = kernel_sources()
    except OSError:
        return None
    for name, text in sorted(used_sources.items()):
        digest.update(f"{name} {len(text)}\n{text}".encode())
    return digest.hexdigest()[:24] if used_sources else None


def kernel_sources() -> dict[str, str]:
    """The sources, by path in the package, of the modules that compile and of all that they import.

    Raises:
        OSError: a file cannot be read.
    """
    texts = {
        path.relative_to(PACKAGE.parent).as_posix(): path.read_text(encoding="utf-8")
        for path in PACKAGE.rglob("*.py")
    }
    found: set[str] = set()
    waiting = [name for name, text in texts.items() if COMPILES.search(text)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            for module in IMPORTS.findall(texts[name]):
                stem = module.replace(".", "/")
                # What is imported from a package may be any of its modules.
                in_package = [other for other in texts if other.rpartition("/")[0] == stem]
                waiting += [f"{stem}.py"] if f"{stem}.py" in texts else in_package
    return {name: texts[name] for name in found}


def _folders(create: bool = False) -> Iterator[Path]:
    """The folders for compiled code, the preferred one first; `create` the one for temporary files."""
    key = version()
    if key is None:
        return
    if numba.config.CACHE_DIR:
        yield Path(numba.config.CACHE_DIR) / "dreamduck" / f"{PREFIX}{key}"
    yield PACKAGE / "__pycache__" / f"{PREFIX}{key}"
    yield cache_folder() / f"{PREFIX}{key}"
    temporary = _own_temporary(create)
    if temporary is not None:
        yield temporary / f"{PREFIX}{key}"


def _own_temporary(create: bool) -> Path | None:
    """A folder for temporary files that no other user can write to, since code read from it is run."""
    try:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        folder = Path(tempfile.gettempdir()) / f"dreamduck-{user}"
        if create:
            folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o022
    return folder if private and user in (found.st_uid, "user") else None


def _read(path: Path) -> bytes | None:
    """What `_write` wrote, or None if there is nothing or it is damaged."""
    try:
        with path.open("rb") as file:
            content = file.read()
    except OSError:
        return None
    digest, content = content[:DIGEST], content[DIGEST:]
    return content if hashlib.sha256(content).digest() == digest else None


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(hashlib.sha256(content).digest() + content)


@functools.cache
def _remove_old(folder: Path) -> None:
    """Remove the code of older sources beside a folder, once in a process; numba's own files too."""
    try:
        os.utime(folder)
        others = [path for path in folder.parent.glob(f"{PREFIX}*") if path != folder]
        others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in others[KEPT - 1 :]:
            shutil.rmtree(path, ignore_errors=True)
        if folder.parent.name == "__pycache__":
            for path in (*folder.parent.glob("*.nb[ic]"), folder.parent / "compiled.stamp"):
                path.unlink(missing_ok=True)
    except OSError as err:
        log.debug("%s: cannot be cleaned up (%s)", folder.parent, err)
