"""The area average against its definition, pixel by pixel."""

import numpy as np
import pytest

from dreamduck.common.area_average import area_average, centre, resize


def by_definition(frame, height, width):
    """The mean over the area that each pixel covers, with exact fractions of pixels."""
    rows, columns, _ = frame.shape
    found = np.zeros((height, width, 3))
    for y in range(height):
        for x in range(width):
            area = np.zeros(3)
            for i in range(rows):
                for j in range(columns):
                    down = min((y + 1) * rows / height, i + 1) - max(y * rows / height, i)
                    across = min((x + 1) * columns / width, j + 1) - max(x * columns / width, j)
                    area += max(down, 0) * max(across, 0) * frame[i, j]
            found[y, x] = area * height * width / (rows * columns)
    return found


@pytest.mark.parametrize("size", [(12, 12), (15, 10), (9, 7), (5, 4), (3, 2)])
def test_it_is_the_mean_over_areas(size):
    frame = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    target = (6, 4) if size != (12, 12) else (6, 6)
    top, left, rows, columns = centre(size[0], size[1], *target)
    cut = frame[0, top : top + rows, left : left + columns]
    found = area_average(frame, *target)[0]
    assert np.abs(found - by_definition(cut, *target)).max() <= 0.5 + 1e-9


def test_a_frame_of_the_size_stays_as_it_is():
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(area_average(frames, 64, 64), frames)


def test_the_centre_has_the_aspect():
    assert centre(480, 640, 64, 64) == (0, 80, 480, 480)
    assert centre(640, 480, 64, 64) == (80, 0, 480, 480)
    assert centre(480, 640, 48, 64) == (0, 0, 480, 640)
    assert centre(1, 9, 64, 64) == (0, 4, 1, 1)


@pytest.mark.parametrize("size", [(13, 7), (3, 10), (2, 3)])
def test_whole_frames_of_any_aspect_are_the_mean_over_areas(size):
    frames = np.random.default_rng(4).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    found = resize(frames[:, :, ::-1], 5, 4)
    for frame, made in zip(frames[:, :, ::-1], found, strict=True):
        assert np.abs(made - by_definition(frame, 5, 4)).max() <= 0.5 + 1e-9


def test_halves_become_even():
    frame = np.array([[[1, 2, 3]], [[2, 3, 4]]], np.uint8)[None]
    wide = np.repeat(frame, 2, axis=2)
    assert area_average(wide, 1, 1)[0, 0, 0].tolist() == [2, 2, 4]
