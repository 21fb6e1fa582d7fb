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
MOST_PIXELS = 1 << 26  # of a frame


class Video(NamedTuple):
    """Size, rate and length of a video.

    Attributes:
        path: of the file.
        width: [pixels].
        height: likewise.
        rate: frames a second.
        frames: how many there are.
    """

    path: Path
    width: int
    height: int
    rate: float
    frames: int


def open_video(path: PathLike, extra: str = "train") -> Video:
    """Read size, rate and length of a video; all of it is decoded once, to count its frames.

    Args:
        path: of the file.
        extra: of pip, that brings the decoder for the caller.
    Raises:
        VideoError: missing, damaged, or no video.
        DependencyError: the decoder is not installed.
    """
    with needed(extra):
        import imageio_ffmpeg
    place = Path(path).resolve()  # ffmpeg might read a bare name as a protocol
    with in_words(path, VideoError, "not a video"):
        open_input(place).close()
        first = ("-frames:v", "1", "-pix_fmt", "yuv444p", "-f", "yuv4mpegpipe")
        done = subprocess.run(_command(place, *first), capture_output=True, check=False)
        found = HEADER.match(done.stdout)
        if found is None:
            raise ValueError(one_line(VideoError(done.stderr.decode(errors="replace"))))
        width, height, above, below = map(int, found.groups())
        count, _ = imageio_ffmpeg.count_frames_and_secs(str(place))
        if not 0 < width * height <= MOST_PIXELS or not above or not below:
            raise ValueError(f"{width} x {height} pixels, {above}/{below} frames a second")
    return Video(place, width, height, above / below, int(count))


def read_video(video: Video) -> Generator[npt.NDArray[np.uint8], None, None]:
    """The frames of a video, (H, W, 3) RGB, one after another.

    Raises:
        VideoError: it cannot be decoded.
    """
    size = video.width * video.height * 3
    command = _command(video.path, "-pix_fmt", "rgb24", "-f", "rawvideo")
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


def _command(path: Path, *output: str) -> list[str]:
    import imageio_ffmpeg

    return [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-map", "0:v:0", *output, "-"]
