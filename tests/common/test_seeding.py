import numpy as np
import pytest

from dreamduck.common import seeding


def test_streams_depend_on_the_place_alone():
    first = seeding.generator(0, 3, 1).random(4)
    seeding.generator(0, 3, 2).random(100)
    np.testing.assert_array_equal(first, seeding.generator(0, 3, 1).random(4))


def test_places_and_seeds_differ():
    places = [(0,), (0, 0), (0, 1), (1, 0), (1,)]
    numbers = {seeding.derive(*place) for place in places}
    assert len(numbers) == len(places)
    assert all(0 <= n < 2**31 for n in numbers)


@pytest.mark.parametrize("count", [0, 1, seeding.FEW - 1, seeding.FEW, 300])
@pytest.mark.parametrize("length", [1, 3])
def test_many_streams_at_once_are_the_same(count, length):
    random = np.random.default_rng(0)
    seeds = [0, 2**32 - 1, *map(int, random.integers(0, 2**32, count))][:count]
    keys = random.integers(0, 2**32, (count, length))
    keys[-1:] = 2**32 - 1
    found = seeding.generators(seeds, keys.tolist())
    for stream, seed, key in zip(found, seeds, keys.tolist(), strict=True):
        alone = seeding.generator(seed, *key)
        np.testing.assert_array_equal(stream.standard_normal(5), alone.standard_normal(5))


@pytest.mark.parametrize("count", [2, 100])
@pytest.mark.parametrize(("seed", "key"), [(2**32, 1), (2**70, 1), (1, 2**32), (1, 2**40)])
def test_numbers_of_several_words(count, seed, key):
    seeds, keys = [*range(count), seed], [*((n,) for n in range(count)), (key,)]
    for stream, one, other in zip(seeding.generators(seeds, keys), seeds, keys, strict=True):
        assert stream.random() == seeding.generator(one, *other).random()


@pytest.mark.parametrize("count", [2, 100])
@pytest.mark.parametrize(("seed", "key"), [(-1, 1), (1, -1), (1.5, 1), (1, 0.5), ("x", 1)])
def test_a_bad_place_gives_the_error_of_a_single_one(count, seed, key):
    with pytest.raises((TypeError, ValueError)) as alone:
        seeding.generator(seed, key)
    with pytest.raises(alone.type) as found:
        seeding.generators([*range(count), seed], [*((n,) for n in range(count)), (key,)])
    assert str(found.value) == str(alone.value)


@pytest.mark.parametrize("count", [2, 100])
def test_as_many_seeds_as_keys(count):
    with pytest.raises(ValueError, match=r"shorter|longer|broadcast|shape"):
        seeding.generators(list(range(count)), [(1,)] * (count + 1))
