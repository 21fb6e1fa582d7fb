"""An episode of the page as labelled images and videos, to be shown elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dreamduck.common.errors import ConfigError
from dreamduck.common.labelled_table import FRAME_HEIGHT, Labels, labelled_table
from dreamduck.common.storage import replacing
from dreamduck.common.video import LARGE_GIF_LIMIT, write_video
from dreamduck.web.scenes import Frame, Moment
from dreamduck.web.session import Session

IMAGE, STRIP, GIF, MP4 = FORMS = ("image", "strip", "gif", "mp4")
COLUMNS = 10  # moments of a film strip, at most
ERROR = "error"  # the difference between the model's camera frame and the dream
LABELS = {
    "camera": "true",
    "reconstruction": "reconstructed",
    "dream": "dreamt",
    "predicted": "predicted a step ago",
    "next": "likeliest next frame",
    ERROR: "error",
}


def enlarge(frame: Frame) -> Frame:
    """An image (H, W, 3) of at least `FRAME_HEIGHT` pixels height."""
    height, width = frame.shape[:2]
    if height >= FRAME_HEIGHT:
        return frame
    size = (width * FRAME_HEIGHT // height, FRAME_HEIGHT)
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))


def write_images(
    path: Path, session: Session, form: str, names: Sequence[str], every: int, step_time: float
) -> None:
    """Write an episode up to its present moment.

    Args:
        path: of the file, with the end of its form: `.png`, `.gif` or `.mp4`.
        session: stands where it stood, afterwards.
        form: "image", this moment; "strip", every so many steps; "gif" or "mp4", all.
        names: of the images, as `Scene.show` names them; none: all, and beside the road their difference.
        every: steps between two moments of a strip, which ends here and has at most `COLUMNS`.
        step_time: of a step [s].
    Raises:
        ConfigError: this world has no such image, or its simulator cannot return to each moment.
        VideoError: the encoder failed.
    """
    video = form in (GIF, MP4)
    if video and not session.scene.quick_return:
        raise ConfigError(
            "export: expected an image or a strip; this simulator drives again for each moment"
        )
    shown = _choose(session.scene.show(session.now, session.following())[0].keys(), names)
    steps = {IMAGE: [session.at], STRIP: strip_steps(session.at, every)}.get(form, range(session.at + 1))
    with contextlib.closing(session.visit(steps)) as moments:
        rows = ((session.at * step_time, _images(session, moment, shown)) for moment in moments)
        if video:
            frames = (_table([row], shown) for row in rows)
            write_video(path, frames, 1 / step_time, gif_limit=LARGE_GIF_LIMIT, gif_keeps_size=True)
            return
        table = _table(list(rows), shown)
    with replacing(path) as temporary:
        Image.fromarray(table).save(temporary, "PNG")


def strip_steps(at: int, every: int) -> list[int]:
    """The moments of a strip that ends at one of them."""
    return list(range(at, -1, -every))[:COLUMNS][::-1]


def _choose(there: Collection[str], names: Sequence[str]) -> list[str]:
    """The images to show; see `write_images`."""
    missing = [name for name in names if name not in there]
    if missing:
        raise ConfigError(f"images: expected some of {', '.join(there)}, got {missing[0]!r:.40}")
    both = {"camera", "dream"} <= {*there}
    return list(names) or [*there, *([ERROR] if both else [])]


def _images(session: Session, moment: Moment, names: Sequence[str]) -> dict[str, Frame]:
    """The images of a moment at which the session stands, by their names."""
    makers, _ = session.scene.show(moment, session.following())
    found = {name: make() for name, make in makers.items() if name in names}
    if "camera" in found and len(found["camera"]) < FRAME_HEIGHT:
        found["camera"] = session.scene.video_frame(moment, square=True)
    if ERROR in names:
        found[ERROR] = np.abs(moment.frame.astype(np.int16) - found["dream"]).astype(np.uint8)
    return {name: enlarge(found[name]) for name in names if name in found}


def _table(rows: Sequence[tuple[float, dict[str, Frame]]], names: Sequence[str]) -> Frame:
    """One moment: its images side by side; several: a column for each."""
    labels, times = [LABELS[name] for name in names], [f"{seconds:.1f} s" for seconds, _ in rows]
    if len(rows) > 1:
        return labelled_table([[row.get(name) for _, row in rows] for name in names], Labels(labels, times))
    labels[0] += f", {times[0]}"
    return labelled_table([[rows[0][1].get(name) for name in names]], Labels([""], labels))
