"""Figures by matplotlib, without a display: one way to begin one and to write it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from dreamduck.common.storage import PathLike, replacing


@contextlib.contextmanager
def figure(path: PathLike, width: float, height: float, dpi: int = 100) -> Iterator[Any]:
    """A figure to draw into; it is written to the file at the end of the context.

    Args:
        path: of the file; its suffix says the format, PNG without one.
        width: [inch].
        height: [inch].
        dpi: pixels per inch.

    Yields:
        A `matplotlib.figure.Figure`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    yield made
    with replacing(path) as temporary:
        made.savefig(temporary, dpi=dpi)
