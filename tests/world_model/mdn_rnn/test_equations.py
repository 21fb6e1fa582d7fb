"""Numpy and TensorFlow run the same equations, and the LSTM over a sequence is their cell."""

import numpy as np
import pytest

from dreamduck.common.backend import tf
from dreamduck.world_model.mdn_rnn import MDNRNN, LSTMState, MDNRNNConfig, graph
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
    state = dynamics.advance(z, action, LSTMState(h, c))
    drawn = dynamics.draw(dynamics.predict(z, state).mixture, uniform, normal, temperature)
    weights = graph.StepWeights(*(tf.constant(array) for array in dynamics.merged()))
    c, h, out = graph.advance(weights, *map(tf.constant, (z, action, c, h)))
    other = graph.sample(
        dynamics.config,
        out,
        z,
        dynamics.residual_scale,
        uniform,
        normal,
        np.float32(temperature),
        dynamics.bounds,
    )
    np.testing.assert_allclose(h, state.h, atol=2e-6)
    np.testing.assert_allclose(c, state.c, atol=2e-6)
    np.testing.assert_allclose(other, drawn, atol=1e-5)
    assert (np.abs(drawn) < 1.4).any()  # not all at the limits


def test_the_lstm_over_a_sequence_is_the_cell(dynamics):
    z, action, h, c = given(dynamics, (STEPS, 4), (STEPS, 2), (16,), (16,))
    weights = [dynamics.parameters[f"core/{name}"] for name in ("kernel", "recurrent_kernel", "bias")]
    hidden, last_h, last_c = graph.lstm(tf.concat([z, action], 2), tf.constant(h), tf.constant(c), *weights)
    state = LSTMState(h, c)
    for t in range(STEPS):
        state = dynamics.advance(z[:, t], action[:, t], state)
        np.testing.assert_allclose(hidden[:, t], state.h, atol=3e-6)
    np.testing.assert_allclose(last_h, state.h, atol=3e-6)
    np.testing.assert_allclose(last_c, state.c, atol=3e-6)
