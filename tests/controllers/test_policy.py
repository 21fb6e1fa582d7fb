from __future__ import annotations

import itertools

import numpy as np
import pytest

from dreamduck.common.errors import ControllerError
from dreamduck.controllers.policy import (
    CRUISE_THROTTLE,
    FEATURES,
    Controller,
    ControllerForm,
    act,
    infer_form,
    random_theta,
    select,
    tensor_policy,
)

SMALL = [
    ControllerForm(features, hidden, z_size=5, hidden_size=3)
    for features, hidden in itertools.product(FEATURES, (0, 4))
]


@pytest.mark.parametrize(
    ("features", "inputs", "size"),
    [("z", 64, 130), ("zh", 576, 1154), ("zc", 576, 1154), ("zch", 1088, 2178)],
)
def test_sizes_are_the_original_ones(features, inputs, size):
    form = ControllerForm(features)
    assert (form.inputs, form.size) == (inputs, size)
    car_racing = ControllerForm("zh", actions=3, z_size=32, hidden_size=256)
    assert car_racing.size == 867


def test_theta_is_bias_first_then_weights_row_by_row():
    form = ControllerForm("z", z_size=2, hidden_size=0)
    theta = np.array([0.1, 0.2, 1.0, 2.0, 3.0, 4.0], dtype=np.float32)
    seen = np.array([0.5, -0.25], dtype=np.float32)
    weight = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    expected = np.tanh(seen @ weight + theta[:2])
    np.testing.assert_allclose(Controller(form, theta)(seen), expected, rtol=1e-6)


def test_a_hidden_layer_is_laid_out_as_the_original_has_it():
    form = ControllerForm("z", hidden=2, z_size=3, hidden_size=0)
    theta = (np.arange(form.size) / 10).astype(np.float32)
    bias, weight = theta[:2], theta[2:8].reshape(3, 2)
    out_bias, out_weight = theta[8:10], theta[10:].reshape(2, 2)
    seen = np.array([[0.3, -0.2, 0.1]], dtype=np.float32)
    expected = np.tanh(np.tanh(seen @ weight + bias) @ out_weight + out_bias)
    np.testing.assert_allclose(Controller(form, theta)(seen), expected, rtol=1e-6)


def test_features_are_chosen_in_the_order_z_c_h():
    seen = np.arange(5 + 3 + 3, dtype=np.float32)
    chosen = {f.features: select(f, seen).tolist() for f in SMALL}
    assert chosen["z"] == [0, 1, 2, 3, 4]
    assert chosen["zc"] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert chosen["zh"] == [0, 1, 2, 3, 4, 8, 9, 10]
    assert chosen["zch"] == list(range(11))


@pytest.mark.parametrize("form", SMALL, ids=str)
def test_many_controllers_at_once_equal_one_at_a_time(form):
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(3, form.size)).astype(np.float32)
    seen = rng.normal(size=(3, 4, 11)).astype(np.float32)
    together = act(form, theta, select(form, seen))
    assert together.shape == (3, 4, 2)
    assert together.dtype == np.float32
    for candidate, car in itertools.product(range(3), range(4)):
        alone = Controller(form, theta[candidate])(seen[candidate, car])
        np.testing.assert_allclose(together[candidate, car], alone, atol=1e-6)


@pytest.mark.parametrize("form", [*SMALL, ControllerForm("zch", 0, 1, 5, 3, bias=False)], ids=str)
def test_the_policy_of_tensors_equals_numpy(form):
    from dreamduck.common.backend import tf

    rng = np.random.default_rng(1)
    theta = rng.normal(size=(3, form.size)).astype(np.float32)
    seen = rng.normal(size=(3, 4, 11)).astype(np.float32)
    flat = seen.reshape(12, 11)
    policy = tf.function(tensor_policy(form))
    found = policy(theta, flat[:, :5], flat[:, 5:8], flat[:, 8:]).numpy()
    expected = act(form, theta, select(form, seen)).reshape(12, 2)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_form_follows_from_the_count_of_numbers():
    for features, hidden in itertools.product(FEATURES, (0, 1, 16, 40)):
        form = ControllerForm(features, hidden)
        found = infer_form(form.size)
        # [z, h] and [z, c] have the same size; the first is what the original drove with.
        assert found.size == form.size
        assert found.features == ("zh" if features == "zc" else features)
        assert found.hidden == hidden
    original = infer_form(1088)
    assert (original.features, original.actions, original.bias) == ("zch", 1, False)


def test_a_single_output_steers():
    form = infer_form(1088)
    theta = np.full(form.size, 0.001, dtype=np.float32)
    actions = Controller(form, theta)(np.ones((2, 1088), dtype=np.float32))
    np.testing.assert_allclose(actions, [[CRUISE_THROTTLE, np.tanh(1.088)]] * 2, rtol=1e-4)


@pytest.mark.parametrize("size", [0, 1, 131, 866, 2177])
def test_a_wrong_size_is_reported_with_the_right_ones(size):
    with pytest.raises(ControllerError, match=f"{size} parameters.*130 for.*1154 for.*2178 for"):
        infer_form(size)


def test_bad_controllers_are_refused():
    form = ControllerForm("z")
    with pytest.raises(ControllerError, match=r"expected shape \(130,\)"):
        Controller(form, np.zeros(129, dtype=np.float32))
    with pytest.raises(ControllerError, match="finite"):
        Controller(form, np.full(130, np.nan, dtype=np.float32))
    with pytest.raises(ControllerError, match="expected one of z, zh"):
        ControllerForm("hz")
    with pytest.raises(ControllerError, match="expected 1088 numbers"):
        Controller(form, np.zeros(130, dtype=np.float32))(np.zeros(64))


def test_random_thetas_follow_their_generator():
    form = ControllerForm("z")
    first, second = (random_theta(form, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.shape == (130,)
    assert not np.array_equal(first, random_theta(form, np.random.default_rng(4)))
