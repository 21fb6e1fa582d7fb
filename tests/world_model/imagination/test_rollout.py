"""Compiled dreams: the same numbers as stepping, in any batch."""

import copy

import numpy as np
import pytest

from dreamduck.common.backend import tf
from dreamduck.common.errors import ConfigError, WeightsError
from dreamduck.common.storage import fingerprint
from dreamduck.pretrained import FOLDER
from dreamduck.simulator.environment import describe
from dreamduck.simulator.road import RoadConfig
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import InitialZ
from dreamduck.world_model.imagination import dream_batch
from dreamduck.world_model.imagination.rollout import CHUNK, Dream
from dreamduck.world_model.imagination.stepper import Dreams
from dreamduck.world_model.mdn_rnn import MDNRNN, MDNRNNConfig, files
from tests.world_model.mdn_rnn.helpers import SMALL, random_parameters, write_mdn_rnn

RESIDUAL = MDNRNNConfig(z_size=4, hidden_size=16, mixtures=3, residual=True)
STEPS = CHUNK + 9
NARROW = {"latents": {"low": [-0.7, -0.2, -1.5, 0.1], "high": [0.5, 0.3, 1.1, 0.4]}}


def policy(theta, z, c, h):
    """Linear on [z, h]; theta (P, 2 (Z + H))."""
    candidates, inputs = theta.shape[0] or tf.shape(theta)[0], z.shape[1] + h.shape[1]
    seen = tf.reshape(tf.concat([z, h], 1), [candidates, -1, inputs])
    return tf.reshape(tf.tanh(tf.matmul(seen, tf.reshape(theta, [candidates, inputs, 2]))), [-1, 2])


def in_numpy(theta, z, h):
    return np.tanh(np.concatenate([z, h], 1) @ theta.reshape(-1, 2))


def make(config=SMALL, end=-3.0, spread=0.3, card=None):
    parameters = random_parameters(config, spread=spread)
    parameters["head_end/bias"][:] = end
    mu = np.random.default_rng(1).standard_normal((6, config.z_size)).astype(np.float32)
    return MDNRNN(parameters, config, card), InitialZ(mu, np.full_like(mu, -3.0))


def thetas(count, config=SMALL, seed=0):
    size = 2 * (config.z_size + config.hidden_size)
    return np.random.default_rng(seed).normal(0, 0.5, (count, size)).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_noise_does_not_depend_on_threads(monkeypatch, threads):
    dream, theta = Dream(*make(end=-3.0)), thetas(5)
    one = dream.rollout(policy, theta, 3, 2 * STEPS, 4)
    assert len(set(one.length.flat)) > 3
    monkeypatch.setattr(dream_batch, "A_THREAD", 7)
    monkeypatch.setattr(dream_batch, "threads_used", lambda: threads)
    other = dream.rollout(policy, theta, 3, 2 * STEPS, 4)
    for known, found in zip(one[:3], other[:3], strict=True):
        np.testing.assert_array_equal(known, found)


@pytest.mark.parametrize("config", [SMALL, RESIDUAL])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.3])
@pytest.mark.parametrize("card", [None, NARROW])
def test_same_numbers_as_stepping_one_at_a_time(config, temperature, card):
    dynamics, initial = make(config, end=-3.0, card=card)
    theta = thetas(3, config)
    found = Dream(dynamics, initial).rollout(policy, theta, 2, STEPS, [5, 0, 9], temperature, trace=True)
    assert found.trace is not None
    for candidate, seed in enumerate([5, 0, 9]):
        for episode in range(2):
            single = Dreams(dynamics, initial, 1, temperature)
            single.reset([seed], episode=episode)
            total, length = 0.0, 0
            for t in range(STEPS):
                np.testing.assert_allclose(single.z[0], found.trace.z[candidate, episode, t], atol=1e-4)
                action = in_numpy(theta[candidate], single.z, single.state.h)
                np.testing.assert_allclose(action[0], found.trace.action[candidate, episode, t], atol=1e-4)
                step = single.step(action)
                np.testing.assert_allclose(
                    step.reward[0], found.trace.reward[candidate, episode, t], atol=1e-4
                )
                np.testing.assert_allclose(
                    step.prediction.end[0], found.trace.end[candidate, episode, t], atol=1e-5
                )
                total, length = total + float(step.reward[0]), length + 1
                if step.ended[0]:
                    break
            assert length == found.length[candidate, episode]
            assert bool(step.ended[0]) == found.ended[candidate, episode]
            np.testing.assert_allclose(total, found.reward[candidate, episode], atol=1e-3)
    assert found.ended.sum() > 0
    if card is not None:
        for edge, name in ((np.less_equal, "high"), (np.greater_equal, "low")):
            limit = np.array(card["latents"][name], np.float32)
            assert edge(found.trace.z, limit).all()
            assert (found.trace.z == limit).any()  # and it is met


def test_batching_changes_no_bit():
    dynamics, initial = make(end=-2.5)
    dream, theta, seeds = Dream(dynamics, initial), thetas(7), list(range(7))
    whole = dream.rollout(policy, theta, 3, 100, seeds)
    assert whole.length.min() < CHUNK < whole.length.max()  # some dropped out
    for part in (slice(0, 1), slice(2, 5), slice(6, 7)):
        again = dream.rollout(policy, theta[part], 3, 100, seeds[part])
        np.testing.assert_array_equal(again.reward, whole.reward[part])
        np.testing.assert_array_equal(again.length, whole.length[part])
    traced = dream.rollout(policy, theta, 3, 100, seeds, trace=True)
    np.testing.assert_array_equal(traced.reward, whole.reward)


def test_the_same_seed_gives_the_same_dreams_and_another_does_not():
    dynamics, initial = make()
    theta = thetas(2)
    one, two = (Dream(dynamics, initial).rollout(policy, theta, 2, 20, 0) for _ in range(2))
    np.testing.assert_array_equal(one.reward, two.reward)
    other = Dream(dynamics, initial).rollout(policy, theta, 2, 20, 1)
    assert not np.array_equal(one.reward, other.reward)
    assert one.reward.shape == one.length.shape == (2, 2)


def test_ends_are_as_frequent_as_predicted():
    dynamics, initial = make()
    parameters = dict(dynamics.parameters)
    parameters["head_end/kernel"] = np.zeros_like(parameters["head_end/kernel"])
    parameters["head_end/bias"] = np.log([0.05 / 0.95]).astype(np.float32)
    dream = Dream(MDNRNN(parameters, SMALL), initial)
    found = dream.rollout(policy, thetas(8), 50, 400, 3)
    assert found.ended.mean() > 0.99
    assert abs(found.length.mean() - 20) < 3


def test_a_dream_that_never_ends_is_cut():
    dynamics, initial = make(end=-60.0, spread=0.05)
    found = Dream(dynamics, initial).rollout(policy, thetas(2), 1, 10, 0)
    assert not found.ended.any()
    np.testing.assert_array_equal(found.length, 10)


def test_an_end_in_the_last_step_is_an_end():
    """Dreams that end in their last step are counted as ended."""
    dream, theta = Dream(*make(end=-2.5)), thetas(9)
    whole = dream.rollout(policy, theta, 4, 300, 11)
    last = int(np.median(whole.length[whole.ended]))
    assert (whole.length == last).any()
    cut = dream.rollout(policy, theta, 4, last, 11)
    np.testing.assert_array_equal(cut.length, np.minimum(whole.length, last))
    np.testing.assert_array_equal(cut.ended, whole.length <= last)


def test_wild_weights_leave_finite_rewards():
    parameters = random_parameters(spread=8.0)
    parameters["head_end/bias"][:] = -1e4
    _, initial = make()
    found = Dream(MDNRNN(parameters, SMALL), initial).rollout(policy, thetas(2), 2, 30, 0, temperature=3.0)
    assert np.isfinite(found.reward).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf"), True])
def test_bad_temperatures(temperature):
    dynamics, initial = make()
    with pytest.raises(ConfigError, match="temperature: expected a finite number more than 0"):
        Dream(dynamics, initial).rollout(policy, thetas(1), 1, 5, 0, temperature)


def test_bad_sizes():
    dynamics, initial = make()
    dream = Dream(dynamics, initial)
    with pytest.raises(ConfigError, match="theta"):
        dream.rollout(policy, thetas(1)[0], 1, 5, 0)
    with pytest.raises(ConfigError, match="episodes"):
        dream.rollout(policy, thetas(1), 0, 5, 0)
    with pytest.raises(ConfigError, match="seed"):
        dream.rollout(policy, thetas(2), 1, 5, [1])


def test_from_a_folder(tmp_path):
    write_mdn_rnn(tmp_path)
    found = WorldModel.load(tmp_path).compiled_dream().rollout(policy, thetas(2), 2, 5, 0)
    assert found.reward.shape == (2, 2)
    with pytest.raises(WeightsError, match="dreamduck train-rnn"):
        WorldModel.load(tmp_path / "nothing").compiled_dream()


def test_the_range_of_the_weights_that_ship_is_no_hindrance():
    """At the default temperature dreams are the same without it, and stay far inside the general limit."""
    dynamics = WorldModel.load(FOLDER).dynamics
    assert dynamics.card["environment"] == describe(RoadConfig())
    assert dynamics.card["weights"] == fingerprint(FOLDER / files.WEIGHTS) == dynamics.weights
    low, high = dynamics.bounds
    assert (low < -1.5).all()
    assert (high > 1.5).all()
    assert np.abs(dynamics.bounds).max() < 10
    initial = WorldModel.load(FOLDER).start_states()
    rows = np.concatenate([initial.mu, WorldModel.load(FOLDER).start_states("midway").mu])
    assert ((rows >= low) & (rows <= high)).all()
    theta = np.zeros((1, 2 * (64 + 512)), np.float32)
    limitless = copy.copy(dynamics)
    limitless.bounds = 100 * dynamics.bounds
    found, free = (Dream(one, initial).rollout(policy, theta, 8, 40, [3]) for one in (dynamics, limitless))
    np.testing.assert_array_equal(found.reward, free.reward)
