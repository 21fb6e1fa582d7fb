"""The end's bias, by which ends are expected as often as they happen."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from dreamduck.world_model.categorical import CategoricalDynamics
from dreamduck.world_model.categorical.end_bias import BIAS, shift_to_rate, with_true_end_rate
from dreamduck.world_model.mdn_rnn.prediction_metrics import one_step_metrics, predicted_ends
from tests.world_model.categorical.helpers import SMALL, random_dynamics, random_parameters
from tests.world_model.mdn_rnn.helpers import toy_series


def test_the_shift_makes_the_mean_a_rate():
    random = np.random.default_rng(0)
    logits = random.normal(-6, 3, 5000)
    true = 1 / (1 + np.exp(-logits - 0.75))
    assert shift_to_rate(1 / (1 + np.exp(-logits)), float(true.mean())) == pytest.approx(0.75, abs=1e-6)
    assert shift_to_rate(np.full(9, 0.5), 1.0) == pytest.approx(3.0)


def test_ends_are_expected_as_often_as_they_happen():
    series = toy_series(40)
    dynamics = CategoricalDynamics({**random_parameters(), BIAS: np.array([-2.5], np.float32)}, SMALL)
    ends: Any = np.isin(np.arange(len(series.done)), series.offsets[1:31] - 1)
    series = dataclasses.replace(series, done=ends)
    episodes = list(range(36))
    before = one_step_metrics(dynamics, series, episodes, measure=lambda *_: {})
    assert abs(before["end_expected"] - before["end_rate"]) > 0.01
    found = with_true_end_rate(dynamics, series, episodes)
    after = one_step_metrics(found, series, episodes, measure=lambda *_: {})
    assert after["end_expected"] == pytest.approx(before["end_rate"], rel=0.01)
    assert after["end_auc"] == pytest.approx(before["end_auc"])
    changed = {
        n for n, array in dynamics.parameters.items() if not np.array_equal(array, found.parameters[n])
    }
    assert changed == {BIAS}
    assert with_true_end_rate(found, series, episodes) is found
    end, done = predicted_ends(found, series, episodes)
    assert (end.mean(), done.sum()) == (pytest.approx(after["end_expected"]), 30)


def test_few_ends_teach_nothing():
    series, dynamics = toy_series(40), random_dynamics()
    few: Any = np.isin(np.arange(len(series.done)), series.offsets[1:10] - 1)
    assert with_true_end_rate(dynamics, dataclasses.replace(series, done=few), list(range(40))) is dynamics
