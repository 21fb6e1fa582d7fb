"""Numpy and TensorFlow run the same equations, and the LSTM over a sequence is their cell."""

import numpy as np
import pytest

from dreamduck.common.backend import tf
from dreamduck.world_model.dynamics import RecurrentState
from dreamduck.world_model.mdn_rnn import MDNRNN, MDNRNNConfig, equations, graph
from dreamduck.world_model.mdn_rnn.choice import choose
from tests.world_model.mdn_rnn.helpers import random_parameters

BATCH, STEPS = 3, 6


@pytest.fixture(params=[False, True])
def dynamics(request):
    config = MDNRNNConfig(z_size=4, action_size=2, hidden_size=16, mixtures=3, residual=request.param)
    parameters = random_parameters(config)
    assert all((array != 0).all() and (array != 1).all() for array in parameters.values())
    card = {"latents": {"low": [-1.5] * 4, "high": [1.0] * 4}}
    return MDNRNN(parameters, config, card)


def given(dynamics, *sizes):
    random = np.random.default_rng(1)
    return [random.standard_normal((BATCH, *size)).astype(np.float32) for size in sizes]


@pytest.mark.parametrize("temperature", [0.1, 1.0, 1.7])
def test_one_step_and_draw(dynamics, temperature):
    z, action, h, c, normal = given(dynamics, (4,), (2,), (16,), (16,), (4,))
    uniform = np.random.default_rng(2).random((BATCH, 4), np.float32)
    state = dynamics.advance(z, action, RecurrentState(h, c))
    prediction = dynamics.predict(z, state)
    drawn = dynamics.draw(prediction, state, uniform, normal, temperature).z
    others = map(tf.constant, (z, action, h, c, uniform, normal, np.float32(temperature)))
    found = dynamics.graph_step(tf)(*others)
    np.testing.assert_allclose(found.h, state.h, atol=2e-6)
    np.testing.assert_allclose(found.c, state.c, atol=2e-6)
    np.testing.assert_allclose(found.z, drawn, atol=1e-5)
    for name in ("reward", "end_reward", "end"):
        np.testing.assert_allclose(getattr(found, name), getattr(prediction, name), atol=2e-6)
    assert (np.abs(drawn) < 1.4).any()  # not all at the limits


@pytest.mark.parametrize("mixtures", [1, 2, 5])
def test_the_compiled_choice_has_the_bits_of_the_equation(mixtures):
    random = np.random.default_rng(3)
    weights, means, logstds = random.random((3, 7, mixtures, 6), np.float32)
    weights[random.random(weights.shape) < 0.3] = 0  # steps of the same height
    uniform = random.random((7, 6), np.float32)
    uniform[0] = 0
    first, second, third = (part.swapaxes(0, 1) for part in (weights, means, logstds))
    expected = np.stack(equations.choose(np, first, second, third, uniform))
    np.testing.assert_array_equal(choose(weights, means, logstds, uniform), expected)
    assert len(np.unique(expected[0])) > 20


def test_the_lstm_over_a_sequence_is_the_cell(dynamics):
    z, action, h, c = given(dynamics, (STEPS, 4), (STEPS, 2), (16,), (16,))
    weights = [dynamics.parameters[f"core/{name}"] for name in ("kernel", "recurrent_kernel", "bias")]
    hidden, last_h, last_c = graph.lstm(tf.concat([z, action], 2), tf.constant(h), tf.constant(c), *weights)
    state = RecurrentState(h, c)
    for t in range(STEPS):
        state = dynamics.advance(z[:, t], action[:, t], state)
        np.testing.assert_allclose(hidden[:, t], state.h, atol=3e-6)
    np.testing.assert_allclose(last_h, state.h, atol=3e-6)
    np.testing.assert_allclose(last_c, state.c, atol=3e-6)
