import contextlib
import subprocess

import numpy as np
import pytest

from dreamduck.common.errors import VideoError
from dreamduck.common.video import write_video
from dreamduck.common.video_reader import open_video, read_video


def frames(count=9):
    made = np.zeros((count, 32, 48, 3), np.uint8)
    made[..., 0] = 20 * np.arange(count)[:, None, None]
    return made


def test_what_was_written_is_read(tmp_path):
    write_video(tmp_path / "drive.mp4", frames(), 15)
    about = open_video(tmp_path / "drive.mp4")
    assert about[1:3] == (48, 32)
    np.testing.assert_allclose(about.times, np.arange(9) / 15, atol=1e-4)
    seen = np.stack(list(read_video(about)))
    assert seen.shape == (9, 32, 48, 3)
    assert np.abs(seen.astype(int) - frames()).mean() < 4


def test_frames_of_a_varying_rate_have_their_times(tmp_path):
    """As telephones write them: 30 frames a second, then 10."""
    import imageio_ffmpeg

    write_video(tmp_path / "even.mp4", frames(11), 30)
    slower = "setpts=if(lt(N\\,6)\\,N\\,5+3*(N-5))/30/TB"
    words = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", "even.mp4", "-vf", slower]
    subprocess.run([*words, "-fps_mode", "vfr", "uneven.mp4"], cwd=tmp_path, check=True)
    about = open_video(tmp_path / "uneven.mp4")
    seen = np.stack(list(read_video(about)))
    np.testing.assert_allclose(np.diff(about.times), [1 / 30] * 5 + [0.1] * 5, atol=1e-3)
    assert np.abs(seen.mean(axis=(1, 2, 3)) - frames(11).mean(axis=(1, 2, 3))).max() < 3  # the next: 7


def test_reading_may_stop_early(tmp_path):
    write_video(tmp_path / "drive.mp4", frames(), 15)
    with contextlib.closing(read_video(open_video(tmp_path / "drive.mp4"))) as found:
        assert next(found).shape == (32, 48, 3)


@pytest.mark.parametrize("content", [b"", b"no video at all", None])
def test_what_is_no_video_is_reported_in_one_line(tmp_path, content):
    path = tmp_path / "drive.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=r"drive\.mp4: (not a video|no such file)") as caught:
        open_video(path)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_video(tmp_path):
    with pytest.raises(VideoError, match="not a video"):
        open_video(tmp_path)
