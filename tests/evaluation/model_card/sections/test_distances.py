"""Distances are what their definitions say, and real against real comes out at 1."""

import itertools

import numpy as np
import pytest

from dreamduck.evaluation.model_card.sections.distances import (
    energy,
    frechet,
    on_shared_axes,
    standardized,
    times_floor,
)


def rows(*counts):
    """Numbers of rows, set after set."""
    edges = np.cumsum([0, *counts])
    return [np.arange(a, b) for a, b in itertools.pairwise(edges)]


def test_the_energy_distance_is_that_of_its_definition():
    random = np.random.default_rng(0)
    one, other = random.standard_normal((5, 3)), random.standard_normal((7, 3)) + 1

    def mean(a, b):
        return np.mean([[np.linalg.norm(x - y) for y in b] for x in a])

    expected = 2 * mean(one, other) - mean(one, one) - mean(other, other)
    assert energy(np.concatenate([one, other]))(*rows(5, 7)) == pytest.approx(expected)


def test_the_frechet_distance_of_known_gaussians():
    random = np.random.default_rng(1)
    white = random.standard_normal((4000, 2))
    white = np.linalg.solve(
        np.linalg.cholesky(np.cov(white, rowvar=False)), (white - white.mean(axis=0)).T
    ).T
    other = white @ np.diag([2.0, 3.0]) + [1.0, -2.0]
    found = frechet(np.concatenate([white, other]))(*rows(4000, 4000))
    assert found == pytest.approx(1 + 4 + (2 - 1) ** 2 + (3 - 1) ** 2)


@pytest.mark.parametrize("distance", [energy, frechet])
def test_the_same_distribution_is_at_the_floor_and_another_is_not(distance):
    random, episodes = np.random.default_rng(2), np.arange(80)
    real, same = random.standard_normal((2, 80, 4))
    found = times_floor(distance(standardized(same, real)), episodes, episodes, 0)
    assert 0.6 < found.value < 1.6
    assert found.low < 1.2
    assert found.n == 80
    shifted = times_floor(
        distance(standardized(same + np.array([0, 0, 0.8, 0]), real)), episodes, episodes, 0
    )
    assert shifted.low > 1.5
    narrow = times_floor(distance(standardized(same * 0.3, real)), episodes, episodes, 0)
    assert narrow.low > 1.5


def test_the_floor_has_as_many_rows_as_the_dreams():
    random, episodes = np.random.default_rng(3), np.arange(120)
    real, same = random.standard_normal((2, 120, 3))
    few = np.arange(0, 120, 4)
    found = times_floor(energy(standardized(same[few], real)), few, episodes, 0)
    assert 0.5 < found.value < 1.8


def test_too_few_rows_say_nothing():
    one, other = np.random.default_rng(4).standard_normal((2, 10, 3))
    assert times_floor(energy(standardized(one, other)), np.arange(10), np.arange(10), 0).value is None


def test_constant_columns_and_principal_axes():
    random = np.random.default_rng(5)
    real = np.concatenate([random.standard_normal((30, 2)) * [1, 9], np.ones((30, 1))], axis=1)
    scaled = standardized(real, real)
    np.testing.assert_allclose(scaled[:30, :2].std(axis=0), 1)
    assert np.isfinite(scaled).all()
    kept = on_shared_axes(real[:10], real[10:], 1)
    assert kept.shape == (30, 1)
    assert abs(np.corrcoef(kept[:, 0], real[:, 1])[0, 1]) > 0.99


def test_a_column_that_real_rows_hardly_move_does_not_outweigh_the_others():
    random = np.random.default_rng(6)
    dreamt, real = random.standard_normal((2, 60, 5)) * [3, 2, 1, 1, 1]
    dreamt[:, 4], real[:, 4] = 0.1 * dreamt[:, 4], 1e-4 * real[:, 4]
    episodes = np.arange(60)
    found = times_floor(frechet(on_shared_axes(dreamt, real, 5)), episodes, episodes, 0)
    assert found.value == pytest.approx(1.0, abs=0.6)
