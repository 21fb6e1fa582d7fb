import re
import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from dreamduck.common.errors import ConfigError
from dreamduck.common.video import side_by_side, write_video


def moving_square(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    frames = []
    for t in range(count):
        frame = np.full((*size, 3), 40, np.uint8)
        frame[8:24, t : t + 16] = (250, 200, 0)
        frames.append(frame)
    return frames


def described(path: Path, pattern: str) -> list[str]:
    """What ffmpeg says of a video."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)]
    found = re.findall(pattern, subprocess.run(command, capture_output=True, text=True).stderr)
    assert found
    return list(found[0]) if isinstance(found[0], tuple) else found


def read(path: Path) -> np.ndarray:
    """The video's frames (T, H, W, 3)."""
    width, height = map(int, described(path, r"Video: .* (\d+)x(\d+)"))
    tail = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "-"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), *tail]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, height, width, 3)


@pytest.mark.parametrize("name", ["video.mp4", "video.gif"])
def test_a_video_shows_its_frames(tmp_path, name):
    frames = moving_square(12)
    assert write_video(tmp_path / name, iter(frames), fps=10, scale=2) == 12
    seen = read(tmp_path / name)
    assert seen.shape == (12, 96, 128, 3)
    assert described(tmp_path / name, r"([\d.]+) fps") == ["10"]
    for frame, shown in zip(frames, seen, strict=True):
        back = shown.reshape(48, 2, 64, 2, 3).mean(axis=(1, 3))
        assert np.abs(back - frame).mean() < 6


def test_a_large_gif_is_made_smaller_at_the_same_speed(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 32, 32, 3), np.uint8)
    path = tmp_path / "noise.gif"
    assert write_video(path, noise, 10, gif_limit=30_000) == 60
    assert path.stat().st_size <= 30_000
    gif: Any
    with Image.open(path) as gif:
        durations = []
        for k in range(gif.n_frames):
            gif.seek(k)
            durations.append(gif.info["duration"])
        assert gif.n_frames < 60
    assert sum(durations) == pytest.approx(6000, abs=250)
    assert list(tmp_path.iterdir()) == [path]


def test_a_large_gif_may_keep_the_size_of_its_frames(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 32, 32, 3), np.uint8)
    path = tmp_path / "noise.gif"
    write_video(path, noise, 10, gif_limit=60_000, gif_keeps_size=True)
    gif: Any
    with Image.open(path) as gif:
        assert (gif.size, gif.n_frames < 60) == ((32, 32), True)


def test_an_odd_size_is_padded_to_an_even_one(tmp_path):
    write_video(tmp_path / "video.mp4", moving_square(3, (33, 65)), fps=30)
    assert read(tmp_path / "video.mp4").shape == (3, 34, 66, 3)


@pytest.mark.parametrize(
    ("frames", "settings", "text"),
    [
        ([], {}, r"video\.mp4: expected at least one frame, got none"),
        (moving_square(2), {"fps": 0}, "^fps: expected more than 0 and at most 240 .* got 0"),
        (moving_square(2), {"scale": 0}, "^scale: expected at least 1, got 0"),
        ([np.zeros((8, 8), np.uint8)], {}, r"^frame 0: expected \(H, W, 3\) uint8, got \(8, 8\) uint8"),
        ([np.zeros((8, 8, 3), np.float32)], {}, r"^frame 0: .* got \(8, 8, 3\) float32"),
        (
            [*moving_square(2), np.zeros((8, 8, 3), np.uint8)],
            {},
            r"^frame 2: expected \(48, 64, 3\) as the first, got \(8, 8, 3\)",
        ),
    ],
)
def test_what_is_no_video_is_refused_and_leaves_no_file(tmp_path, frames, settings, text):
    with pytest.raises(ConfigError, match=text):
        write_video(tmp_path / "video.mp4", frames, **{"fps": 10, **settings})
    with pytest.raises(ConfigError, match=r"^video: expected a name that ends in \.mp4 or \.gif, got"):
        write_video(tmp_path / "video.avi", moving_square(2), fps=10)
    assert list(tmp_path.iterdir()) == []


def test_side_by_side():
    left, right = moving_square(2)
    row = side_by_side([left, right], gap=3)
    assert row.shape == (48, 64 + 3 + 64, 3)
    assert (row[:, 67:] == right).all()
    with pytest.raises(
        ConfigError, match=r"^frames: expected one height, got \[\(48, 64, 3\), \(8, 8, 3\)\]"
    ):
        side_by_side([left, np.zeros((8, 8, 3), np.uint8)])
