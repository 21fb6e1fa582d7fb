import io

import numpy as np
import pytest
from PIL import Image

from dreamduck.deployment.gauntlet.camera import ImagePerturbation, compressed, rolled
from dreamduck.deployment.gauntlet.perturbations import Conditions


def frames(count=2, height=48, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3)).astype(np.uint8)


def perturbed(frame, seed=0, **conditions):
    return ImagePerturbation([Conditions(**conditions)], [seed])(frame[None])[0]


def test_a_clean_car_sees_what_the_camera_sees_and_nothing_given_is_changed():
    given = frames(3)
    before = given.copy()
    conditions = [Conditions(), Conditions(noise=20.0), Conditions(pitch=5.0, latency=0.1)]
    seen = ImagePerturbation(conditions, [1, 2, 3])(given)
    np.testing.assert_array_equal(seen[[0, 2]], given[[0, 2]])
    assert (seen[1] != given[1]).mean() > 0.5
    np.testing.assert_array_equal(given, before)


def test_frames_of_some_cars_are_perturbed_by_their_own_conditions():
    conditions = [Conditions(red=1.25), Conditions(), Conditions(exposure=0.5)]
    given = frames(3)
    whole = ImagePerturbation(conditions, [1, 2, 3])(given)
    some = ImagePerturbation(conditions, [1, 2, 3])(given[[1, 2]], [1, 2])
    np.testing.assert_array_equal(some, whole[[1, 2]])
    assert (some[1] != given[2]).any()


def test_a_camera_that_is_rolled_clockwise_sees_the_world_turned_the_other_way():
    frame = np.zeros((65, 65, 3), np.uint8)
    frame[4:7, 31:34] = 255  # above the middle
    turned = rolled(frame, 30.0)[..., 0]
    assert turned.shape == (65, 65)
    y, x = np.unravel_index(int(turned.argmax()), turned.shape)
    assert (32 - x) / (32 - y) == pytest.approx(np.tan(np.radians(30.0)), abs=0.06)  # to the left


def test_a_rolled_image_has_no_black_corners():
    assert rolled(np.full((48, 64, 3), 200, np.uint8), 10.0).min() == 200


def test_exposure_and_white_balance():
    frame = np.full((8, 8, 3), (100, 120, 200), np.uint8)
    np.testing.assert_array_equal(perturbed(frame, exposure=1.5)[0, 0], (150, 180, 255))
    np.testing.assert_array_equal(perturbed(frame, red=1.25)[0, 0], (125, 120, 160))


def test_noise_has_its_spread_and_is_another_in_each_frame():
    frame = np.full((64, 64, 3), 128, np.uint8)
    first, again, other = (ImagePerturbation([Conditions(noise=10.0)], [seed]) for seed in (5, 5, 6))
    one, two = first(frame[None]), first(frame[None])
    assert one.std() == pytest.approx(10.0, rel=0.05)
    assert (one != two).mean() > 0.5
    np.testing.assert_array_equal(again(frame[None]), one)
    assert (other(frame[None]) != one).mean() > 0.5


def test_blur_is_a_share_of_the_width():
    """The same share blurs an image of twice the size by twice as many pixels."""
    small, large = np.zeros((32, 32, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    small[:, 16:], large[:, 32:] = 255, 255
    small, large = (perturbed(one, blur=0.05)[16, :, 0] for one in (small, large))
    grey = [((row > 20) & (row < 235)).sum() for row in (small, large)]
    assert grey[0] >= 3
    assert grey[1] == pytest.approx(2 * grey[0], abs=2)


def test_jpeg_is_that_of_pillow():
    frame = frames(1)[0]
    data = io.BytesIO()
    Image.fromarray(frame).save(data, "JPEG", quality=30)
    np.testing.assert_array_equal(perturbed(frame, jpeg_quality=30), np.asarray(Image.open(data)))
    smooth = np.tile(np.arange(64, dtype=np.uint8)[:, None, None] * 3, (1, 64, 3))

    def error(quality):
        return np.abs(compressed(smooth, quality).astype(int) - smooth).mean()

    assert error(5) > error(30) > error(90)
