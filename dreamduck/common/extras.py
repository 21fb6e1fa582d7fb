"""The extras of pip that hold what the base install lacks, named where something is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

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
        raise DependencyError(
            f"expected the package {err.name.partition('.')[0]}, found none; "
            f"install it with: pip install 'dreamduck[{extra}]'"
        ) from err
