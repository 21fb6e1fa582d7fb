"""The way over a sequence with a gradient of its own, against the equations and the library's gradient."""

import numpy as np
import pytest

from dreamduck.common.backend import tf
from dreamduck.world_model.categorical import CategoricalDynamics, equations
from dreamduck.world_model.categorical.network import CategoricalNetwork
from dreamduck.world_model.dynamics import RecurrentState
from tests.world_model.categorical.helpers import SMALL, random_parameters

FRAMES, BATCH, ROWS = 6, 4, 2


@pytest.fixture
def network():
    made = CategoricalNetwork(SMALL)
    made.set_parameters(random_parameters())
    return made


def given(rows=ROWS):
    random = np.random.default_rng(0)
    seen = random.standard_normal((FRAMES, BATCH, SMALL.z_size + 1)).astype(np.float32)
    action = random.standard_normal((FRAMES - 1, BATCH, SMALL.action_size)).astype(np.float32)
    uniform = random.random((FRAMES, BATCH, SMALL.variables), np.float32)
    use = np.zeros((FRAMES, rows), bool)
    use[2:5, :1] = use[1:3, 1:] = True
    return [*map(tf.constant, (seen, action, uniform, use, random.random((FRAMES, rows, 3), np.float32)))]


def straight_through(logits, uniform):
    likely = equations.probabilities(tf, logits, SMALL)
    flat = tf.reshape(likely, (-1, SMALL.cell_size))
    return flat + tf.stop_gradient(equations.draw(tf, likely, uniform) - flat)


def step_by_step(network, seen, action, uniform, use, prior_uniform):
    """The same by the equations, with the library's gradient."""
    dense, rows = network.dense(), use.shape[1]
    h, found = tf.zeros((BATCH, SMALL.hidden_size)), []
    for t in range(FRAMES):
        logits = equations.posterior(tf, dense, h, seen[t])
        s = straight_through(logits, uniform[t])
        found.append((h, s, logits))
        if t < FRAMES - 1:
            likely = equations.probabilities(tf, equations.prior(tf, dense, h[:rows]), SMALL)
            own = tf.stop_gradient(equations.draw(tf, likely, prior_uniform[t]))
            used = tf.concat([tf.where(use[t][:, None], own, s[:rows]), s[rows:]], 0)
            h = equations.advance(tf, dense, action[t], h, used)
    return [tf.stack(part) for part in zip(*found, strict=True)]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("rows", [0, ROWS])
def test_it_is_the_equations_with_their_gradient(network, compiled, rows):
    parts = given()
    parts[3], parts[4] = parts[3][:, :rows], parts[4][:, :rows]
    random = np.random.default_rng(5)
    sizes = (SMALL.hidden_size, SMALL.cell_size, SMALL.cell_size)
    d = [tf.constant(random.standard_normal((FRAMES, BATCH, n)), tf.float32) for n in sizes]
    follow = tf.function(network.follow) if compiled else network.follow
    results = []
    for run in (lambda *a: step_by_step(network, *a), follow):
        with tf.GradientTape() as tape:
            path = run(*parts)
        gradients = tape.gradient(list(path), network.trainable_variables, output_gradients=d)
        results.append([*path, *(g for g in gradients if g is not None)])
    assert len(results[0]) == len(results[1]) == 3 + 10  # weights on the way
    for known, found in zip(*results, strict=True):
        assert np.abs(known).max() > 0.01
        np.testing.assert_allclose(found, known, rtol=2e-4, atol=2e-5)


def test_it_is_the_numpy_model_on_real_frames(network):
    """Its states and posteriors are those of the numpy step."""
    seen, action, uniform, use, own = given(0)
    seen = tf.concat([seen[:, :, :-1], tf.zeros_like(seen[:, :, -1:])], 2)
    path = network.follow(seen, action, uniform, use, own)
    dynamics = CategoricalDynamics(network.parameters(), SMALL)
    for t in range(FRAMES - 1):
        state = RecurrentState(path.h[t].numpy(), path.s[t].numpy())
        likely = dynamics.posterior(seen[t, :, :-1].numpy(), state)
        shaped = path.logits[t].numpy().reshape(BATCH, 3, 5)
        known = np.exp(shaped) / np.exp(shaped).sum(axis=2, keepdims=True)
        np.testing.assert_allclose(likely, 0.99 * known + 0.01 / 5, atol=1e-5)
        after = dynamics.advance(seen[t, :, :-1].numpy(), action[t].numpy(), state)
        np.testing.assert_allclose(path.h[t + 1], after.h, atol=1e-5)


def test_chosen_rows_continue_with_draws_of_the_prior(network):
    parts = given()
    plain = network.follow(*parts[:3], tf.zeros_like(parts[3]), parts[4])
    other = network.follow(*parts)
    same = (plain.h.numpy() == other.h.numpy()).all(axis=2)
    assert same[:, ROWS:].all()  # the rows that only see frames
    assert same[:3, 0].all()  # the first draw at frame 2 moves the state of frame 3
    assert same[:2, 1].all()
    assert not same[3:, 0].any()
    assert not same[2:, 1].any()
