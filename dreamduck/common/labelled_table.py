"""Frames in a table, with a label for each row and column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Frames = npt.NDArray[np.uint8]
PAPER, INK = (255, 255, 255), (24, 24, 28)
GAP = 4  # pixels between two frames
FRAME_HEIGHT = 288  # pixels that a frame has at least in images and videos to be shown elsewhere
TEXT_SIZE = 17  # pixels
LINE = 26  # height of a line of text [pixels]
Rows = Sequence[Sequence[Frames | None]]


class Labels(NamedTuple):
    """The labels beside the rows and above the columns; "" for none."""

    rows: Sequence[str]
    columns: Sequence[str]


def labelled_table(rows: Rows, labels: Labels) -> Frames:
    """An image of all frames.

    Args:
        rows: of frames (H, W, 3), each row of one height and each column of one width; None leaves a cell
            white.
        labels: one for each row and column.
    Returns:
        (H, W, 3), RGB.
    """
    font = ImageFont.load_default(TEXT_SIZE)
    height, width, _ = next(frame for row in rows for frame in row if frame is not None).shape
    margin = max((int(font.getlength(label)) + 2 * GAP for label in labels.rows if label), default=0)
    top = LINE if any(labels.columns) else 0
    shape = (
        margin + len(labels.columns) * (width + GAP) - GAP,
        top + len(labels.rows) * (height + GAP) - GAP,
    )
    image = Image.new("RGB", shape, PAPER)
    draw = ImageDraw.Draw(image)
    for column, label in enumerate(labels.columns):
        draw.text((margin + column * (width + GAP) + GAP, LINE / 2), label, INK, font, anchor="lm")
    for line, (row, label) in enumerate(zip(rows, labels.rows, strict=True)):
        y = top + line * (height + GAP)
        draw.text((GAP, y + height / 2), label, INK, font, anchor="lm")
        for column, frame in enumerate(row):
            if frame is not None:
                image.paste(Image.fromarray(frame), (margin + column * (width + GAP), y))
    return np.asarray(image)
