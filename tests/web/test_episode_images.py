"""Episodes of the page as labelled images and videos."""

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from dreamduck.common.errors import ConfigError, RecordError
from dreamduck.common.labelled_table import FRAME_HEIGHT as SIDE
from dreamduck.web.episode_images import COLUMNS, enlarge, strip_steps, write_images
from dreamduck.web.recording import Recorder
from dreamduck.web.scenes import Scene
from dreamduck.web.session import Session
from dreamduck.web.session_factory import SessionFactory, SessionFactoryConfig
from dreamduck.web.share_link import Start
from tests.web.fakes import LineScene


def drive(scene: Scene, steps: int) -> Session:
    session = Session(scene)
    session.choose_policy(scene.policy_names[-1])
    for _ in range(steps):
        session.advance()
    return session


@pytest.fixture(scope="module")
def split(model_folder) -> Session:
    factory = SessionFactory(SessionFactoryConfig(weights=str(model_folder)))
    return drive(factory.make(Start("split", seed=3, warm=True)), 7)


def read(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_the_moments_of_a_strip():
    assert strip_steps(7, 3) == [1, 4, 7]
    assert strip_steps(2, 5) == [2]
    assert strip_steps(100, 2) == list(range(100 - 2 * (COLUMNS - 1), 101, 2))


def test_all_images_of_a_moment(split, tmp_path):
    write_images(tmp_path / "a.png", split, "image", (), 5, 0.1)
    image = read(tmp_path / "a.png")
    tiles = [image[-SIDE:, k * (SIDE + 4) : k * (SIDE + 4) + SIDE] for k in range(4)]
    assert image.shape[1] == 4 * (SIDE + 4) - 4
    shown, _ = split.show()
    dream = shown["dream"]
    error = np.abs(split.now.frame.astype(int) - dream).astype(np.uint8)
    expected = [shown["camera"], *(enlarge(one) for one in (dream, shown["reconstruction"], error))]
    assert all((tile == one).all() for tile, one in zip(tiles, expected, strict=True))
    above = image[:-SIDE]
    assert all((above[:, k * (SIDE + 4) : (k + 1) * (SIDE + 4)] < 100).any() for k in range(4))  # labels


def test_a_strip_of_one_image(split, tmp_path):
    before, (shown, _) = split.at, split.show()
    write_images(tmp_path / "a.png", split, "strip", ("dream",), 3, 0.1)
    image = read(tmp_path / "a.png")
    assert split.at == before
    assert (split.show()[0]["camera"] == shown["camera"]).all()
    for place, step in enumerate((7, 4, 1)):
        split.seek(step)
        right = image.shape[1] - place * (SIDE + 4)
        assert (image[-SIDE:, right - SIDE : right] == enlarge(split.show()[0]["dream"])).all(), step
    split.seek(before)


def test_the_camera_is_shown_larger_than_the_model_sees_it(model_folder, tmp_path):
    factory = SessionFactory(SessionFactoryConfig(weights=str(model_folder)))
    session = drive(factory.make(Start("seen", seed=3)), 2)
    write_images(tmp_path / "a.png", session, "image", ("camera", "reconstruction"), 1, 0.1)
    camera = read(tmp_path / "a.png")[-SIDE:, :SIDE]
    env: Any = session.scene.env
    assert (camera == env.road.view("camera", SIDE, SIDE)).all()


@pytest.mark.parametrize("form", ["gif", "mp4"])
def test_a_video_has_every_moment(split, tmp_path, form):
    write_images(tmp_path / f"a.{form}", split, form, ("camera", "dream"), 1, 0.1)
    if form == "gif":
        with Image.open(tmp_path / "a.gif") as image:
            assert (len(list(ImageSequence.Iterator(image))), image.width) == (8, 2 * (SIDE + 4) - 4)
    assert (tmp_path / f"a.{form}").stat().st_size > 1000
    assert split.at == 7


def test_a_large_gif_keeps_the_height_of_its_images(split, tmp_path, monkeypatch):
    monkeypatch.setattr("dreamduck.web.episode_images.LARGE_GIF_LIMIT", 1)
    write_images(tmp_path / "a.gif", split, "gif", (), 1, 0.1)
    with Image.open(tmp_path / "a.gif") as image:
        assert (image.height, image.width) == (SIDE + 26, 4 * (SIDE + 4) - 4)


def test_images_that_cannot_be_drawn(split, tmp_path):
    with pytest.raises(ConfigError, match="expected some of camera, dream, reconstruction, got 'next'"):
        write_images(tmp_path / "a.png", split, "image", ("camera", "next"), 1, 0.1)
    session = drive(LineScene(Start("road", seed=1)), 3)
    session.scene.quick_return = False
    with pytest.raises(ConfigError, match="expected an image or a strip"):
        write_images(tmp_path / "a.gif", session, "gif", (), 1, 0.1)
    assert not list(tmp_path.iterdir())


def test_files_are_never_overwritten(tmp_path):
    recorder, session = (
        Recorder(tmp_path, tmp_path / "videos", 0.1),
        drive(LineScene(Start("road", seed=1)), 3),
    )
    names = [recorder.export(session, form, (), 2) for form in ("image", "image", "mp4")]
    assert names == ["road-1-3-image-0.png", "road-1-3-image-1.png", "road-1-3-mp4-0.mp4"]
    assert all((recorder.videos / name).stat().st_size > 500 for name in names)
    with pytest.raises(ConfigError, match="images: expected some of camera"):
        recorder.export(session, "strip", ("dream",), 2)
    assert len(list((tmp_path / "videos").iterdir())) == 3
    blocked = Recorder(tmp_path, tmp_path / "file", 0.1)
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"export: expected to write to .*file, got: .*another --videos"):
        blocked.export(session, "image", (), 2)


def test_videos_of_the_road_are_of_the_large_camera(model_folder, tmp_path, monkeypatch):
    factory = SessionFactory(SessionFactoryConfig(weights=str(model_folder), videos=str(tmp_path)))
    session = drive(factory.make(Start("seen", seed=3)), 3)
    written: dict[str, Any] = {}

    def keep(path, frames, fps):
        written.update(frames=list(frames), fps=fps)
        path.touch()

    monkeypatch.setattr("dreamduck.web.recording.write_video", keep)
    factory.recorder.folder = tmp_path
    factory.recorder.save(session)
    assert [frame.shape for frame in written["frames"]] == [(288, 384, 3)] * 4
    assert (written["frames"][0] != written["frames"][3]).any()
    assert session.at == 3
    session.scene.quick_return = False
    factory.recorder.save(session)
    assert (written["frames"][2] == enlarge(session.moments[2].frame)).all()
