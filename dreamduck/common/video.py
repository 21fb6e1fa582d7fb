"""Frames to a video: `.mp4` to watch, `.gif` to put on a page.

The encoder is the ffmpeg that comes with `imageio-ffmpeg`, so nothing has to be installed beside this
package."""

from __future__ import annotations

import contextlib
import itertools
import logging
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError, VideoError
from dreamduck.common.extras import needed
from dreamduck.common.readers import PathLike, one_line
from dreamduck.common.storage import replacing

log = logging.getLogger(__name__)

SUFFIXES = (".mp4", ".gif")
# H.264 in 4:2:0 wants even sides; a row or column of black is added where needed.
MP4 = (
    *("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "20", "-preset", "veryfast"),
    *("-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-movflags", "+faststart"),
)
# A palette for each video, and ordered dithering, which does not flicker between frames.
GIF_FILTER = (
    "split[a][b];[a]palettegen=stats_mode=diff:max_colors={colors}[p];"
    "[b][p]paletteuse=dither=bayer:bayer_scale={scale}"
)
GIF = ("-filter_complex", GIF_FILTER.format(colors=256, scale=4), "-loop", "0")
GIF_LIMIT = 2_000_000  # bytes; what is larger is made again with fewer and smaller frames, and colours
LARGE_GIF_LIMIT = 10_000_000  # bytes, of a GIF that keeps the size of its frames
SMALL_GIF_FILTER = GIF_FILTER.format(colors=64, scale=5)
# Of the rate and of the sides, in turn.
GIF_SHARES = ((0.75, 0.75), (0.5, 0.75), (0.5, 0.65), (0.5, 0.5), (0.4, 0.35), (0.25, 0.25))


def write_video(
    path: PathLike,
    frames: Iterable[npt.NDArray[np.uint8]],
    fps: float,
    scale: int = 1,
    gif_limit: int = GIF_LIMIT,
    gif_keeps_size: bool = False,
) -> int:
    """Write frames as a video; the file appears under its name only when it is complete.

    Args:
        path: ends in `.mp4` (H.264, plays everywhere) or `.gif` (loops for ever, and is made smaller until
            it has at most `gif_limit` bytes).
        frames: each (H, W, 3) uint8 RGB, all of one size; may be a generator, is read once.
        fps: frames a second; a GIF counts in hundredths of a second, so at most 50.
        scale: every pixel becomes a block of scale x scale; 64x64 frames want 4 or more.
        gif_limit: of a GIF [bytes].
        gif_keeps_size: whether a GIF that is too large gets only fewer frames and colours.
    Returns:
        The number of frames written.
    Raises:
        ConfigError: another suffix, a rate or scale out of range, no frames, or frames that are
            not (H, W, 3) uint8 of one size.
        VideoError: the encoder failed.
    """
    path = Path(path)
    suffix = check_suffix(path)
    if not 0 < fps <= 240:
        raise ConfigError(f"fps: expected more than 0 and at most 240 frames a second, got {fps!r}")
    if scale < 1:
        raise ConfigError(f"scale: expected at least 1, got {scale!r}")
    if suffix == ".gif":
        fps = min(fps, 50.0)
    checked = _checked(frames, scale)
    first = next(checked, None)
    if first is None:
        raise ConfigError(f"{path}: expected at least one frame, got none")
    count = 0
    try:
        with replacing(path) as temporary:
            with _encoder(temporary, first.shape, fps, suffix) as pipe:
                for frame in itertools.chain([first], checked):
                    pipe.write(np.ascontiguousarray(frame).data)
                    count += 1
            if suffix == ".gif":
                shrink_gif(temporary, fps, gif_limit, gif_keeps_size)
    except VideoError as err:
        raise VideoError(f"{path}: {one_line(err)}") from err
    return count


def check_suffix(path: Path) -> str:
    """The form of a video by its name's end, one of `SUFFIXES`.

    Raises:
        ConfigError: another end.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"video: expected a name that ends in {' or '.join(SUFFIXES)}, got {path}")
    return suffix


def side_by_side(frames: Sequence[npt.NDArray[np.uint8]], gap: int = 2) -> npt.NDArray[np.uint8]:
    """Frames of one height in a row, `gap` white pixels between them."""
    height = frames[0].shape[0]
    if any(frame.shape[0] != height for frame in frames):
        raise ConfigError(f"frames: expected one height, got {[frame.shape for frame in frames]}")
    white = np.full((height, gap, 3), 255, np.uint8)
    parts = [part for frame in frames for part in (frame, white)]
    return np.concatenate(parts[:-1], axis=1)


def _checked(frames: Iterable[npt.NDArray[np.uint8]], scale: int) -> Iterator[npt.NDArray[np.uint8]]:
    shape = None
    for index, frame in enumerate(frames):
        frame = np.asarray(frame)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ConfigError(f"frame {index}: expected (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
        if shape is None:
            shape = frame.shape
        if frame.shape != shape:
            raise ConfigError(f"frame {index}: expected {shape} as the first, got {frame.shape}")
        yield frame if scale == 1 else frame.repeat(scale, axis=0).repeat(scale, axis=1)


def shrink_gif(path: Path, fps: float, limit: int, keeps_size: bool = False) -> None:
    """Make a GIF again, with fewer and smaller frames of the same speed, until it is small enough.

    Args:
        path: of the GIF.
        fps: its frames a second.
        limit: [bytes]; a GIF that cannot be made so small is left larger, and a warning says so.
        keeps_size: whether its frames stay as large as they are.
    Raises:
        VideoError: the encoder failed.
    """
    with needed("train"):
        import imageio_ffmpeg
    shares = dict.fromkeys((rate, 1.0 if keeps_size else side) for rate, side in GIF_SHARES)
    whole = path.with_name(f"whole-{path.name}")
    try:
        for rate, side in shares:
            if path.stat().st_size <= limit:
                return
            if not whole.exists():
                path.rename(whole)
            chain = f"fps={fps * rate:g},scale=iw*{side}:-1:flags=area,{SMALL_GIF_FILTER}"
            command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-i", str(whole)]
            command += ["-filter_complex", chain, "-loop", "0", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise VideoError(f"ffmpeg failed ({done.stderr.strip()}); is the disk full?")
        if path.stat().st_size > limit:
            log.warning("%d bytes in a GIF; a name that ends in .mp4 takes far less", path.stat().st_size)
    finally:
        whole.unlink(missing_ok=True)


@contextlib.contextmanager
def _encoder(path: Path, shape: tuple[int, ...], fps: float, suffix: str) -> Iterator[IO[bytes]]:
    """A running ffmpeg that takes raw frames; on leaving, the file is whole or an error is raised."""
    with needed("train"):
        import imageio_ffmpeg
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{shape[1]}x{shape[0]}", "-r", f"{fps:g}"]
    coding = GIF if suffix == ".gif" else MP4
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    command = [ffmpeg, "-y", "-v", "error", *source, "-i", "-", *coding, str(path)]
    with (
        tempfile.TemporaryFile() as errors,  # a file, since a long message would fill a pipe
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdin is not None
        try:
            yield process.stdin
            process.stdin.close()
        except BrokenPipeError:
            pass  # ffmpeg has ended; its exit code and its errors say why
        except BaseException:
            process.kill()
            raise
        if process.wait() != 0:
            errors.seek(0)
            text = errors.read().decode(errors="replace").strip()
            raise VideoError(f"ffmpeg failed ({text or process.returncode}); is the disk full?")
