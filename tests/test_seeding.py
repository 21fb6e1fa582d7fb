import re

import numpy as np
import pytest

from dreamduck import seeding


def test_streams_depend_on_the_place_alone():
    first = seeding.generator(0, 3, 1).random(4)
    seeding.generator(0, 3, 2).random(100)
    np.testing.assert_array_equal(first, seeding.generator(0, 3, 1).random(4))


def test_places_and_seeds_differ():
    places = [(0,), (0, 0), (0, 1), (1, 0), (1,)]
    numbers = {seeding.derive(*place) for place in places}
    assert len(numbers) == len(places)
    assert all(0 <= n < 2**31 for n in numbers)


@pytest.mark.parametrize("count", [1, 11, 12, 300])
@pytest.mark.parametrize("length", [1, 3])
def test_many_streams_at_once_are_the_same(count, length):
    random = np.random.default_rng(0)
    seeds = [0, 2**32 - 1, *map(int, random.integers(0, 2**32, count))][:count]
    keys = np.concatenate([np.full((1, length), 2**32 - 1), random.integers(0, 2**32, (count, length))])[
        :count
    ]
    for stream, seed, key in zip(seeding.generators(seeds, keys), seeds, keys.tolist(), strict=True):
        alone = seeding.generator(seed, *key)
        np.testing.assert_array_equal(stream.standard_normal(5), alone.standard_normal(5))


def test_longer_seeds_are_no_trouble():
    seeds, keys = [2**32, 2**70, *range(20)], [(1, 2)] * 22
    for stream, seed in zip(seeding.generators(seeds, keys), seeds, strict=True):
        assert stream.random() == seeding.generator(seed, 1, 2).random()


@pytest.mark.parametrize(
    ("seeds", "keys", "told"),
    [
        ([1, 2], [(1,)], "for 2 seeds"),
        ([1], [1], "whole numbers (N, K)"),
        ([1], [(0.5,)], "float64"),
        ([1], [(-1,)], "0 to 2**32 - 1"),
        ([1], [(2**32,)], "0 to 2**32 - 1"),
        ([-1], [(1,)], "non-negative"),
    ],
)
def test_what_is_no_place_is_told(seeds, keys, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        seeding.generators(seeds, keys)
