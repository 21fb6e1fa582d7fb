"""Videos to frames, by the ffmpeg that comes with `imageio-ffmpeg`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import VideoError
from dreamduck.common.extras import needed
from dreamduck.common.readers import PathLike, in_words, one_line, open_input

HEADER = re.compile(rb"YUV4MPEG2 W(\d{1,6}) H(\d{1,6}) F(\d{1,9}):(\d{1,9}) ")
TIME = re.compile(rb"pts_time:(\S+)")
EVERY_FRAME = ("-fps_mode", "passthrough")  # once, also where the frame rate varies
MOST_PIXELS = 1 << 26  # of a frame


class Video(NamedTuple):
    """Size of a video, and the times of its frames.

    Attributes:
        path: of the file.
        width: [pixels].
        height: likewise.
        times: (F,) of its frames [s]; the first is 0.
    """

    path: Path
    width: int
    height: int
    times: npt.NDArray[np.float64]


def open_video(path: PathLike, extra: str = "train") -> Video:
    """Read the size of a video and the times of its frames; all of it is decoded once.

    Args:
        path: of the file.
        extra: of pip, that brings the decoder for the caller.
    Raises:
        VideoError: missing, damaged, or no video.
        DependencyError: the decoder is not installed.
    """
    with needed(extra):
        import imageio_ffmpeg  # noqa: F401
    place = Path(path).resolve()  # ffmpeg might read a bare name as a protocol
    with in_words(path, VideoError, "not a video"):
        open_input(place).close()
        first = ("-frames:v", "1", "-pix_fmt", "yuv444p", "-f", "yuv4mpegpipe")
        done = subprocess.run(_command(place, *first), capture_output=True, check=False)
        found = HEADER.match(done.stdout)
        if found is None:
            raise ValueError(one_line(VideoError(done.stderr.decode(errors="replace"))))
        width, height, above, below = map(int, found.groups())
        if not 0 < width * height <= MOST_PIXELS or not above or not below:
            raise ValueError(f"{width} x {height} pixels, {above}/{below} frames a second")
        told = (*EVERY_FRAME, "-vf", "showinfo=checksum=0", "-f", "null")
        done = subprocess.run(_command(place, *told, level="info"), capture_output=True, check=False)
        found_times = TIME.findall(done.stderr)
        if b"NOPTS" in found_times:  # a bare stream, without times
            times = np.arange(len(found_times)) * (below / above)
        else:
            times = np.array(found_times, np.float64)
    return Video(place, width, height, times - times[:1])


def read_video(video: Video) -> Generator[npt.NDArray[np.uint8], None, None]:
    """The frames of a video, (H, W, 3) RGB, one after another.

    Raises:
        VideoError: it cannot be decoded.
    """
    size = video.width * video.height * 3
    command = _command(video.path, *EVERY_FRAME, "-pix_fmt", "rgb24", "-f", "rawvideo")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            while data := process.stdout.read(size):
                if len(data) < size:
                    raise VideoError(
                        f"{video.path}: the decoder stopped within a frame; is the file whole?"
                    )
                yield np.frombuffer(data, np.uint8).reshape(video.height, video.width, 3)
        finally:
            process.kill()


def _command(path: Path, *output: str, level: str = "error") -> list[str]:
    import imageio_ffmpeg

    program = (imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", level)
    return [*program, "-i", str(path), "-map", "0:v:0", *output, "-"]
