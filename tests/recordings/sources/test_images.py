"""From images to frames."""

import numpy as np
import pytest
from gymnasium import spaces

from dreamduck.common.errors import ConfigError, FrameError
from dreamduck.recordings.sources.images import ImageReader, find_pixels, is_image

NONE = (0, 0, 0, 0)
SIZE = (96, 160)


def image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (*SIZE, 3), np.uint8)


def test_a_frame_is_the_mean_of_areas():
    seen = ImageReader(None, (0, 32, 16, 16), "env")(np.full((96, 160, 3), 7, np.uint8))
    assert seen.shape == (64, 64, 3)
    assert (seen == 7).all()
    big = np.random.default_rng(0).integers(0, 256, (128, 192, 3), np.uint8)
    means = big.reshape(64, 2, 64, 3, 3).mean(axis=(1, 3))
    assert np.abs(ImageReader(None, NONE, "env")(big) - means).max() <= 0.5
    doubled = (
        big[:96, :160].repeat(2, axis=0).repeat(2, axis=1)
    )  # 1.5 and 2.5 pixels in one: no whole numbers
    means = doubled.reshape(64, 3, 64, 5, 3).mean(axis=(1, 3))
    assert np.abs(ImageReader(None, NONE, "env")(big[:96, :160]) - means).max() <= 0.5


def test_crop_cuts_top_bottom_left_right():
    big = image()
    part = ImageReader(None, (10, 22, 40, 56), "env")(big)
    np.testing.assert_array_equal(part, big[10:74, 40:104])


def test_all_forms_of_one_picture_give_one_frame():
    big = image()
    space = spaces.Box(0, 255, (*SIZE, 3), np.uint8)
    expected = ImageReader(space, NONE, "env")(big)
    first = spaces.Box(0, 255, (3, *SIZE), np.uint8)
    np.testing.assert_array_equal(ImageReader(first, NONE, "env")(np.moveaxis(big, 2, 0)), expected)
    for high in (1.0, 255.0):
        floats = spaces.Box(0.0, high, (*SIZE, 3), np.float32)
        seen = ImageReader(floats, NONE, "env")((big / 255 * high).astype(np.float32))
        np.testing.assert_array_equal(seen, expected)
    gray = big[..., 0]
    for shape in ((*SIZE,), (*SIZE, 1), (1, *SIZE)):
        seen = ImageReader(spaces.Box(0, 255, shape, np.uint8), NONE, "env")(gray.reshape(shape))
        np.testing.assert_array_equal(seen, np.repeat(expected[..., :1], 3, axis=2))


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1.0, 1.0, (64, 64, 3)),
        spaces.Box(0, 255, (64, 64, 4), np.uint8),
        spaces.Box(0.0, 1.0, (4,)),
        spaces.Box(0, 255, (4, 4, 3), np.uint8),
        spaces.Discrete(5),
    ],
    ids=str,
)
def test_what_has_no_rule_is_no_picture(space):
    assert not is_image(space)
    with pytest.raises(ConfigError, match=r"pixels: expected .*--pixels render"):
        find_pixels(space, "", "env")
    assert find_pixels(space, "render", "env") == "render"


def test_the_picture_of_a_dictionary_is_found():
    screen, other = spaces.Box(0, 255, (48, 64, 3), np.uint8), spaces.Box(0.0, 1.0, (2,))
    one = spaces.Dict({"screen": screen, "other": other})
    assert find_pixels(one, "", "env") == find_pixels(one, "screen", "env") == "screen"
    with pytest.raises(ConfigError, match=r"got 'other' of other .*, screen"):
        find_pixels(one, "other", "env")
    with pytest.raises(ConfigError, match="got 'none' of"):
        find_pixels(spaces.Dict({"a": screen, "b": screen}), "", "env")


def test_a_crop_that_leaves_nothing_is_refused():
    with pytest.raises(ConfigError, match="crop: expected less than the image of 96 rows and 160"):
        ImageReader(spaces.Box(0, 255, (*SIZE, 3), np.uint8), (50, 46, 0, 0), "env")


def test_no_picture_is_refused():
    with pytest.raises(FrameError, match="expected an image"):
        ImageReader(None, NONE, "env")(None)
