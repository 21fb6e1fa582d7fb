"""Confidence intervals of the card."""

import numpy as np
import pytest

from dreamduck.evaluation.model_card.bootstrap import bootstrap, bootstrap_mean, number


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    hits = 0
    for seed in range(100):
        values = np.random.default_rng(seed).normal(3.0, 1.0, 40)
        found = bootstrap_mean(values, seed)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 3.0 <= found.high
    assert 88 <= hits <= 99


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    values = np.random.default_rng(0).normal(size=20)
    assert bootstrap_mean(values, 1) == bootstrap_mean(values, 1)
    assert bootstrap_mean(values, 1) != bootstrap_mean(values, 2)


def test_a_statistic_of_resampled_episodes_and_what_is_not_defined():
    values = np.array([1.0, 2.0, 6.0])
    found = bootstrap(lambda rows: float(np.median(values[rows])), 3, 0)
    assert found.value == 2.0
    assert found.n == 3
    assert bootstrap_mean(np.array([np.nan, 4.0]), 0) == (4.0, 4.0, 4.0, 1)
    assert bootstrap_mean(np.array([]), 0) == (None, None, None, 0)
    assert bootstrap(lambda rows: float("nan"), 3, 0) == (None, None, None, 3)
    assert number(1 / 3) == pytest.approx(0.333333)
