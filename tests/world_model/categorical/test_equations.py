"""Numpy, TensorFlow and plain formulas in double precision agree; draws have their probabilities."""

import numpy as np
import pytest

from dreamduck.common.backend import keras, tf
from dreamduck.world_model.categorical import CategoricalConfig, equations
from dreamduck.world_model.dynamics import RecurrentState
from tests.world_model.categorical.helpers import SMALL, random_dynamics, random_states

BATCH = 6
OTHER = CategoricalConfig(z_size=3, action_size=1, hidden_size=5, variables=4, classes=7, units=9)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_formula(p, config, action, h, s):
    """h, probabilities, heads of the next step; written down apart from the library."""
    p = {name: array.astype(np.float64) for name, array in p.items()}

    def dense(name, x, act=True):
        y = x @ p[f"{name}/kernel"] + p[f"{name}/bias"]
        return y * sigmoid(y) if act else y

    size = config.hidden_size
    x = dense("core_input", np.concatenate([s, action], 1)) @ p["core/kernel"] + p["core/bias"][0]
    y = h @ p["core/recurrent_kernel"] + p["core/bias"][1]
    keep = sigmoid(x[:, :size] + y[:, :size])
    reset = sigmoid(x[:, size : 2 * size] + y[:, size : 2 * size])
    h = keep * h + (1 - keep) * np.tanh(x[:, 2 * size :] + reset * y[:, 2 * size :])
    logits = dense("prior", dense("prior_hidden", h), False).reshape(-1, config.variables, config.classes)
    likely = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    hidden = dense("head_hidden", h)
    rewards, end = dense("head_reward", hidden, False), sigmoid(dense("head_end", hidden, False))[:, 0]
    return h, 0.99 * likely + 0.01 / config.classes, (rewards[:, 0], rewards[:, 1], end)


@pytest.mark.parametrize("config", [SMALL, OTHER])
def test_a_prediction_is_the_formula(config):
    dynamics = random_dynamics(config)
    z, action, h, s = random_states(config, BATCH)
    state = dynamics.advance(z, action, RecurrentState(h, s))
    found = dynamics.predict(z, state)
    known_h, likely, heads = by_formula(dynamics.parameters, config, action, h, s)
    np.testing.assert_allclose(state.h, known_h, atol=3e-6)
    np.testing.assert_allclose(found.probabilities, likely, atol=3e-6)
    for one, other in zip((found.reward, found.end_reward, found.end), heads, strict=True):
        np.testing.assert_allclose(one, other, atol=5e-6)
    np.testing.assert_allclose(found.entropy(), -(likely * np.log(likely)).sum(2).mean(1), atol=1e-5)


def test_the_gru_is_that_of_keras():
    dynamics = random_dynamics()
    layer = keras.layers.GRU(SMALL.hidden_size)
    layer.build((None, None, SMALL.units))
    layer.set_weights([dynamics.parameters[f"core/{n}"] for n in ("kernel", "recurrent_kernel", "bias")])
    _, action, h, s = random_states(SMALL, BATCH)
    p = dynamics.parameters
    x = np.concatenate([s, action], 1) @ p["core_input/kernel"] + p["core_input/bias"]
    known = layer(keras.activations.silu(x)[:, None], initial_state=tf.constant(h))
    found = dynamics.advance(np.zeros((BATCH, 4), np.float32), action, RecurrentState(h, s)).h
    np.testing.assert_allclose(found, known, atol=3e-6)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 1.7])
@pytest.mark.parametrize("config", [SMALL, OTHER])
def test_the_graph_step_is_the_numpy_step(config, temperature):
    dynamics = random_dynamics(config)
    z, action, h, s = random_states(config, BATCH)
    uniform = np.random.default_rng(2).random((BATCH, config.variables), np.float32)
    normal = np.zeros((BATCH, 0), np.float32)
    mine = dynamics.step(z, action, RecurrentState(h, s), uniform, normal, temperature)
    others = map(tf.constant, (z, action, h, s, uniform, normal, np.float32(temperature)))
    found = dynamics.graph_step(tf)(*others)
    np.testing.assert_allclose(found.h, mine.state.h, atol=3e-6)
    np.testing.assert_array_equal(found.c, mine.state.c)
    np.testing.assert_allclose(found.z, mine.z, atol=1e-5)
    for name in ("reward", "end_reward", "end"):
        np.testing.assert_allclose(getattr(found, name), getattr(mine.prediction, name), atol=5e-6)
    assert ((mine.z > -1.5) & (mine.z < 1.0)).any()
    assert ((mine.z == -1.5) | (mine.z == 1.0)).any()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_have_the_probabilities(temperature):
    dynamics, count = random_dynamics(), 20_000
    z, action, h, s = random_states(SMALL, 1)
    likely = dynamics.predict(z, dynamics.advance(z, action, RecurrentState(h, s))).probabilities
    uniform = np.random.default_rng(3).random((count, SMALL.variables), np.float32)
    many = np.repeat(likely, count, axis=0)
    drawn = equations.draw(np, many, uniform, temperature)
    shaped = drawn.reshape(count, SMALL.variables, SMALL.classes)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    np.testing.assert_array_equal(shaped.sum(axis=2), 1.0)
    wanted = likely[0].astype(np.float64) ** (1 / temperature)
    np.testing.assert_allclose(shaped.mean(axis=0), wanted / wanted.sum(axis=1, keepdims=True), atol=0.015)
    if temperature == 1.0:
        np.testing.assert_array_equal(equations.draw(np, many, uniform), drawn)


def test_the_ends_of_the_unit_interval_choose_a_class():
    likely = np.array([[[0.3, 0.7], [0.999, 0.001]]], np.float32)
    for uniform, chosen in (
        (0.0, [1, 0, 1, 0]),
        (np.nextafter(np.float32(1), np.float32(0)), [0, 1, 0, 1]),
    ):
        given = np.full((1, 2), uniform, np.float32)
        for temperature in (None, 0.01, 1.0):
            found = equations.draw(np, likely, given, temperature)
            assert found.sum() == 2
            if temperature != 0.01:
                np.testing.assert_array_equal(found[0], chosen)


def test_logits_of_any_size_have_finite_probabilities():
    logits = np.array([[1e4, 0, -1e4, 3, 3] * 3], np.float32)
    for xp in (np, tf):
        found = np.asarray(equations.probabilities(xp, logits, SMALL))
        np.testing.assert_allclose(found.sum(axis=2), 1.0, atol=1e-5)
        np.testing.assert_allclose(found[0, 0], [0.992, 0.002, 0.002, 0.002, 0.002], atol=1e-6)


def test_without_temperature_the_likeliest_is_drawn():
    dynamics = random_dynamics()
    z, action, h, s = random_states(SMALL, BATCH)
    state = dynamics.advance(z, action, RecurrentState(h, s))
    prediction = dynamics.predict(z, state)
    uniform, normal = np.full((BATCH, 3), 0.99, np.float32), np.zeros((BATCH, 0), np.float32)
    cold, colder = (dynamics.draw(prediction, state, uniform, normal, t) for t in (0.003, 0.0))
    np.testing.assert_array_equal(cold.state.c, colder.state.c)
    best = prediction.probabilities.argmax(axis=2)
    np.testing.assert_array_equal(colder.state.c.reshape(BATCH, 3, 5).argmax(axis=2), best)


def test_frames_choose_s():
    dynamics = random_dynamics()
    z, _, h, s = random_states(SMALL, BATCH)
    one = dynamics.observe(z, RecurrentState(h, s))
    other = dynamics.observe(-2 * z, RecurrentState(h, s))
    np.testing.assert_array_equal(one.h, h)
    assert (one.c != other.c).any()
    assert (one.c != s).any()
