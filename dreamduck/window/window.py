"""A window that shows an environment and reads the keyboard.

The window is drawn by a process of its own, because its OpenGL and TensorFlow crash in one process; here
are its controls, and the text below the image."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dreamduck.common.errors import DisplayError
from dreamduck.common.processes.workers import Worker

Frame = npt.NDArray[np.uint8]

WIDTH, HEIGHT = 640, 480  # of the image; the text goes below it [pixels]
LINE = 22  # height of a line of text [pixels]
LINES = 2
SMALLEST = 64  # side of the place for the image [pixels]
OPEN_TIMEOUT, SHOW_TIMEOUT = 60.0, 10.0  # [s]
TEXT, BACKGROUND = (235, 235, 235), (24, 24, 28)
NO_DISPLAY = (
    "run the command under a virtual display (xvfb-run -a python ..., from the package xvfb), or use "
    "render_mode='rgb_array', which needs none"
)


class Keys(NamedTuple):
    """Keys that were pressed: names as pyglet has them, for example "UP", "LSHIFT", "BACKSPACE"."""

    held: frozenset[str]
    pressed: tuple[str, ...]  # since the last image, in order
    closed: bool  # the window was closed by its user
    stick: tuple[float, float] = (0.0, 0.0)  # of a gamepad: to the right and up, each in [-1, 1]


def check_display() -> None:
    """Refuse where no window can be opened.

    Raises:
        DisplayError: DISPLAY is not set; says what to do.
    """
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        raise DisplayError(f"a window needs a display, and DISPLAY is not set; {NO_DISPLAY}")


class Window:
    """A window.

    Args:
        title: what stands on it.
        size: width and height of the place for the image at first [pixels]; images are scaled to it, also
            when the window's size is changed.
    Raises:
        DisplayError: there is no display; says what to do.
        DependencyError: no system libraries.
    """

    def __init__(self, title: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
        check_display()
        self.size = size
        self.closed = False
        self._due = 0.0
        self._worker = Worker("dreamduck.window.window_worker", "the window", "open another")
        try:
            height = size[1] + LINE * LINES
            self._worker.send("open", f"DreamDuck: {title}", size[0], height, limit=OPEN_TIMEOUT)
            self._worker.receive()
        except DisplayError as err:
            self.close()
            display = os.environ.get("DISPLAY")
            raise DisplayError(f"{err} on the display {display!r}; {NO_DISPLAY}") from err
        except BaseException:
            self.close()
            raise

    def show(
        self,
        frame: Frame,
        lines: Sequence[str] = (),
        fps: float | None = None,
        names: Sequence[str] = (),
    ) -> Keys:
        """Show an image.

        Args:
            frame: (H, W, 3) uint8.
            lines: text below it, two lines at most.
            fps: wait, so that no more images than this are shown in a second.
            names: of the panels in it.
        Raises:
            SimulatorError: the window's process died.
        """
        if self.closed:
            return Keys(frozenset(), (), True)
        if fps is not None:
            time.sleep(max(0.0, self._due - time.monotonic()))
            self._due = max(self._due, time.monotonic() - 1.0 / fps) + 1.0 / fps
        image = compose(frame, lines, self.size, names)
        height, width, _ = image.shape
        self._worker.send("show", width, height, limit=SHOW_TIMEOUT, blob=image.tobytes())
        answer, _ = self._worker.receive()
        width, height = answer["size"]
        self.size = max(width, SMALLEST), max(height - LINE * LINES, SMALLEST)
        right, up = answer["stick"]
        keys = Keys(frozenset(answer["held"]), tuple(answer["pressed"]), answer["closed"], (right, up))
        if keys.closed:
            self.close()
        return keys

    def close(self) -> None:
        """Close the window; doing it twice is harmless."""
        self.closed = True
        self._worker.close()


def compose(
    frame: Frame, lines: Sequence[str], size: tuple[int, int] = (WIDTH, HEIGHT), names: Sequence[str] = ()
) -> Frame:
    """The image scaled into its place with its shape kept, its panels' names on it, and the text below."""
    width, height = size
    canvas = Image.new("RGB", (width, height + LINE * LINES), BACKGROUND)
    scale = min(width / frame.shape[1], height / frame.shape[0])
    fitted = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    image = Image.fromarray(np.ascontiguousarray(frame))
    if image.size != fitted:
        image = image.resize(fitted, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX)
    canvas.paste(image, ((width - fitted[0]) // 2, (height - fitted[1]) // 2))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    left, top = (width - fitted[0]) // 2, (height - fitted[1]) // 2
    for k, name in enumerate(names):
        at = left + fitted[0] * k // len(names) + 6, top + 6
        draw.rectangle(draw.textbbox(at, f" {name} ", font=font), fill=BACKGROUND)
        draw.text(at, f" {name} ", fill=TEXT, font=font)
    for k, line in enumerate(lines[:LINES]):
        draw.text((8, height + LINE * k + 3), line, fill=TEXT, font=font)
    return np.asarray(canvas)


def status(reward: float, info: Mapping[str, Any], steps: int, total: float | None = None) -> list[str]:
    """The two lines below the image: reward and speed; lane position, or probability of termination."""
    sums = "" if total is None else f"   sum {total:+.2f}"
    first = f"step {steps}   reward {reward:+.3f}{sums}"
    if "speed" in info:
        first += f"   speed {info['speed']:.2f} m/s"
    second = ""
    if "lane_dist" in info:
        if np.isfinite(info["lane_dist"]):
            place = f"lane {100 * info['lane_dist']:+.1f} cm, {np.degrees(info['lane_angle']):+.0f} degrees"
            second = place + ("" if info.get("in_lane", True) else ", out of the lane")
        else:
            second = "no lane here"
    elif "end_probability" in info:
        second = f"probability of termination {info['end_probability']:.1%}"
    if info.get("end"):
        second += f"   ended: {info['end']}"
    return [first, second]
