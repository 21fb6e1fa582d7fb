"""The classifier does not separate equal samples, and separates frames that are blurred or rearranged."""

import numpy as np
import pytest

from dreamduck.evaluation.model_card.sections.realism import flicker, matched, ratio, realism, sharpness


def images(count, seed, columns=(8, 56)):
    """Frames with a bright line somewhere."""
    random = np.random.default_rng(seed)
    frames = random.integers(80, 90, (count, 64, 64, 3)).astype(np.uint8)
    for frame, column in zip(frames, random.integers(*columns, count), strict=True):  # type: ignore[call-overload]
        frame[:, column - 3 : column + 3] = 220
    return frames


def blurred(frames):
    """The mean of each pixel and its neighbours to the right and below."""
    wide = frames.astype(float)
    shifted = [np.roll(wide, shift, axis) for axis in (1, 2) for shift in (0, 1)]
    return np.mean(shifted, axis=0).astype(np.uint8)


def test_samples_of_one_distribution_cannot_be_classified():
    episodes = np.arange(80)
    found = realism(images(80, 0), images(80, 1), episodes, episodes, 0)
    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.4
    assert found.n == 80


@pytest.mark.parametrize("change", [blurred, lambda frames: images(80, 2, (8, 24))])
def test_different_samples_are_classified(change):
    episodes = np.arange(80)
    assert realism(change(images(80, 0)), images(80, 1), episodes, episodes, 0).low > 0.75


def test_the_same_frames_of_an_episode_are_never_in_both_folds():
    """Eight near copies of each frame would let a classifier know the held-out ones by heart."""
    ten = images(20, 0)
    copies, episodes = np.repeat(ten, 8, axis=0), np.repeat(np.arange(20), 8)
    labels = np.arange(160) % 16 < 8
    found = realism(copies[labels], copies[~labels], episodes[labels], episodes[~labels], 0)
    assert found.value < 0.8


def test_as_many_of_either_kind_and_few_say_nothing():
    found = realism(images(90, 0), images(30, 1), np.arange(90), np.arange(30), 0)
    assert found.low < 0.5 < found.high
    assert realism(images(2, 0), images(2, 1), np.arange(2), np.arange(2), 0).value is None


def test_sharpness_and_flicker():
    frames = images(4, 0)
    assert (sharpness(blurred(frames)) < 0.7 * sharpness(frames)).all()
    np.testing.assert_allclose(flicker(frames, frames), 0)
    np.testing.assert_allclose(flicker(frames // 2, frames // 2 + 7), 7)


def test_flicker_is_held_to_real_frames_of_the_same_speed():
    speed = np.array([0.0, 0.1, 0.2, 0.3])
    found = matched(np.array([0.0, 0.3]), np.repeat(speed, 4), np.repeat(speed * 10, 4))
    np.testing.assert_allclose(found, [0, 3])


def test_where_speeds_are_unknown_all_values_are_matched():
    values = np.random.default_rng(0).uniform(1, 2, 90)
    np.testing.assert_allclose(matched(np.zeros(3), np.zeros(90), values), values.mean())


def test_a_ratio_is_of_means_over_episodes():
    episodes = np.arange(50)
    values = np.random.default_rng(0).uniform(1, 2, 50)
    found = ratio(values * 3, values[::2], episodes, episodes[::2], 0)
    assert found.value == pytest.approx(3 * values.mean() / values[::2].mean(), rel=1e-4)
    assert found.low < found.value < found.high
    assert found.n == 50
