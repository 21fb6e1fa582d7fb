import contextlib

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
    assert about[1:] == (48, 32, 15.0, 9)
    seen = np.stack(list(read_video(about)))
    assert seen.shape == (9, 32, 48, 3)
    assert np.abs(seen.astype(int) - frames()).mean() < 4


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
