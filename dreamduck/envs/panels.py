"""Small frames, enlarged, side by side: the images of v1 and v2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from dreamduck.simulator.base import Frames

BACKGROUND = 24  # grey level
IMAGE_WIDTH, IMAGE_HEIGHT = 640, 480  # of `render` [pixels]
GAP = 4  # pixels between two panels


def panels(frames: Sequence[Frames], width: int = IMAGE_WIDTH, height: int = IMAGE_HEIGHT) -> Frames:
    """Square frames in a row, as large as fits, centred in the image.

    Args:
        frames: each (n, n, 3) uint8.
    Returns:
        (height, width, 3) uint8.
    """
    count = len(frames)
    side = panel_side(count, width, height)
    image = np.full((height, width, 3), BACKGROUND, np.uint8)
    top, left = (height - side) // 2, (width - side * count - GAP * (count - 1)) // 2
    for frame in frames:
        large = Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC)
        image[top : top + side, left : left + side] = np.asarray(large)
        left += side + GAP
    return image


def panel_side(count: int, width: int = IMAGE_WIDTH, height: int = IMAGE_HEIGHT) -> int:
    """The side of each of this many panels [pixels]."""
    return min(height, (width - GAP * (count - 1)) // count)
