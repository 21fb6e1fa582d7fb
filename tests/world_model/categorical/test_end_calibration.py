"""The end's calibration: what is fitted, where it acts, and what is refused."""

from typing import Any

import numpy as np
import pytest

from dreamduck.common.backend import tf
from dreamduck.common.errors import WeightsError
from dreamduck.world_model.categorical import CategoricalDynamics, files
from dreamduck.world_model.categorical.end_calibration import Foretold, calibrate, dreamt_ends, fit
from tests.world_model.categorical.helpers import SMALL, random_dynamics, random_parameters, random_states
from tests.world_model.mdn_rnn.helpers import toy_series


def logit(p):
    return np.log(p / (1 - p))


def test_true_probabilities_stay_and_false_ones_are_mended():
    random = np.random.default_rng(0)
    hazard = random.choice([0.0005, 0.02, 0.1], (4000, 1)) * np.ones((1, 50))
    comes = random.random((4000, 50)) < hazard
    ended: Any = comes.any(axis=1)
    left = np.where(ended, comes.argmax(axis=1) + 1, 80)
    true = np.repeat(logit(hazard)[:, None], 2, axis=1)
    found = fit(Foretold(true, left, ended))
    assert found["scale"] == pytest.approx(1.0, abs=0.11)
    assert found["shift"] == pytest.approx(0.0, abs=0.51)
    mended = fit(Foretold((true + 1) / 2, left, ended))  # too sure of ends where none comes
    assert mended["scale"] == pytest.approx(2.0, abs=0.21)
    assert mended["shift"] == pytest.approx(-1.0, abs=0.76)


def test_few_dreams_are_not_taken_for_uncertainty():
    """Dreams that know their ends, as many of which end as episodes do, need no mending."""
    random = np.random.default_rng(1)
    p = random.choice([0.03, 0.3, 0.8], (3000, 1))
    when = random.integers(1, 11, 3000)
    logits = np.full((3000, 4, 50), -12.0)
    episodes, dreams = np.nonzero(random.random((3000, 4)) < p)
    logits[episodes, dreams, when[episodes] - 1] = 12
    ended: Any = random.random(3000) < p[:, 0]
    found = fit(Foretold(logits, np.where(ended, when, 80), ended))
    assert -12 * found["scale"] + found["shift"] < -9  # what is safe stays safe for hundreds of steps
    assert 12 * found["scale"] + found["shift"] > 4


def test_dreams_follow_the_recorded_actions_from_a_step_of_their_episode():
    series, dynamics = toy_series(12), random_dynamics()
    found = dreamt_ends(dynamics, series, np.arange(12), 0)
    assert found.logits.shape == (12, 4, 50)
    assert np.isfinite(found.logits).all()
    assert (found.left >= 1).all()
    again = dreamt_ends(dynamics, series, np.arange(12), 0)
    np.testing.assert_array_equal(again.logits, found.logits)
    assert (dreamt_ends(dynamics, series, np.arange(12), 1).left != found.left).any()
    assert set(calibrate(dynamics, series, np.arange(12), 0)) == {"scale", "shift"}


def test_it_acts_on_the_end_alone_in_numpy_and_in_graphs():
    card = {**random_dynamics().card, "end_calibration": {"scale": 2.5, "shift": -1.25}}
    plain = random_dynamics()
    made = CategoricalDynamics(random_parameters(), SMALL, card)
    z, action, h, s = random_states(SMALL, 9)
    uniform = np.random.default_rng(0).random((9, SMALL.variables), np.float32)
    normal = np.zeros((9, 0), np.float32)
    state = type(plain.start())(h, s)
    (z0, _, said), (z1, _, other) = (d.step(z, action, state, uniform, normal, 1.0) for d in (plain, made))
    np.testing.assert_array_equal(z0, z1)
    np.testing.assert_array_equal(said.reward, other.reward)
    assert logit(other.end) == pytest.approx(2.5 * logit(said.end) - 1.25, abs=1e-3)
    given: Any = [tf.constant(part) for part in (z, action, h, s, uniform, normal, 1.0)]
    step = made.graph_step(tf)(*given)
    assert step.end.numpy() == pytest.approx(other.end, abs=1e-5)


def test_the_card_keeps_it_and_the_weights_stay(tmp_path):
    random_dynamics().save(tmp_path, {"end_calibration": {"scale": 2.0, "shift": 0.5}})
    found = CategoricalDynamics.load(tmp_path)
    np.testing.assert_array_equal(
        found.parameters["head_end/kernel"], random_parameters()["head_end/kernel"]
    )
    kernel, _ = found.layer_weights()["head_end"]
    np.testing.assert_array_equal(kernel, 2 * found.parameters["head_end/kernel"])
    assert files.CARD == "rnn.json"
    for bad in ({"scale": 0, "shift": 0}, {"scale": 1}, [1, 2], {"scale": 1, "shift": float("inf")}):
        with pytest.raises(WeightsError, match="end_calibration: expected a scale more than 0 and a shift"):
            CategoricalDynamics(random_parameters(), SMALL, {"end_calibration": bad})
