import numpy as np

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
