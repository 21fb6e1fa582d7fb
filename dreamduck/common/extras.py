"""The extras of pip that hold what the base install lacks, named where something is missing."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Iterable, Iterator

from dreamduck import __version__
from dreamduck.common.errors import DependencyError


@contextlib.contextmanager
def needed(extra: str) -> Iterator[None]:
    """A block whose imports come with an extra, such as "train".

    Raises:
        DependencyError: one of them is missing; says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as err:
        if err.name is None or err.name.partition(".")[0] == "dreamduck":
            raise
        raise _missing(err.name.partition(".")[0], extra) from err


def require(extra: str, packages: Iterable[str]) -> None:
    """Refuse to begin without packages that are used later on; nothing is imported.

    Raises:
        DependencyError: one of them is missing; says how to install it.
    """
    for name in packages:
        if importlib.util.find_spec(name) is None:
            raise _missing(name, extra)


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of dreamduck, of Python, and of those packages that are installed."""
    found = {"dreamduck": __version__, "python": platform.python_version()}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _missing(package: str, extra: str) -> DependencyError:
    return DependencyError(
        f"expected the package {package}, found none; install it with: pip install 'dreamduck[{extra}]'"
    )
