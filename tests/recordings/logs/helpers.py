"""Made-up drives: frames that show their own number, and commands that change at every row."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

COUNT = 60


def numbered(count: int = COUNT, height: int = 48, width: int = 64) -> npt.NDArray[np.uint8]:
    """Frames (count, height, width, 3) whose red is 20 and three times their number.

    A yellow line lies on the road."""
    frames = np.full((count, height, width, 3), 20, np.uint8)
    frames[..., 0] += 3 * np.arange(count, dtype=np.uint8)[:, None, None]
    frames[:, -8:, 4:12] = (220, 200, 30)
    return frames


def duties(count: int = COUNT, seed: int = 0) -> npt.NDArray[np.float64]:
    """Duties (count, 2) that an action of the environment can say."""
    random = np.random.default_rng(seed)
    middle, turn = random.uniform(0.2, 0.5, count), random.uniform(-0.1, 0.1, count)
    return np.stack([middle - turn, middle + turn], axis=1)


def write_table(path: Path, columns: Mapping[str, Any]) -> Path:
    """A CSV file of these columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        rows.writerows(zip(*columns.values(), strict=True))
    return path


def write_images(folder: Path, frames: npt.NDArray[np.uint8], names: Sequence[str]) -> None:
    """Frames as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame, name in zip(frames, names, strict=True):
        Image.fromarray(frame).save(folder / name)


def image_log(folder: Path, times: npt.NDArray[Any], **columns: Any) -> Path:
    """A folder of images, and a CSV file with a row for each."""
    names = [f"{number}.png" for number in range(len(times))]
    write_images(folder, numbered(len(times)), names)
    left, right = duties(len(times)).T
    table = {"time": times, "vel_left": left, "vel_right": right, "frame": names, **columns}
    write_table(folder / "log.csv", {k: v for k, v in table.items() if len(v)})
    return folder
