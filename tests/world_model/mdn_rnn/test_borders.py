"""Episodes do not see one another: not beside, not before, not behind their ends."""

import dataclasses

import numpy as np
import pytest

from dreamduck.common.backend import tf
from dreamduck.world_model.dynamics.start_states import find_midway
from dreamduck.world_model.mdn_rnn import MDNRNN, batches
from dreamduck.world_model.mdn_rnn import network as models
from dreamduck.world_model.mdn_rnn import trainer as trainers
from dreamduck.world_model.mdn_rnn.batches import Batch
from dreamduck.world_model.mdn_rnn.prediction_metrics import one_step_metrics
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig
from dreamduck.world_model.mdn_rnn.trainer import Trainer, latent_scale, reward_scale
from tests.world_model.mdn_rnn.helpers import SMALL, random_parameters, toy_series

STREAMS, LENGTH = 6, 10
STILL = 1e-30  # a learning rate at which no weight moves


def make_trainer(share, learning_rate=STILL, **changes):
    config = TrainingConfig(
        steps=3,  # of which the last two dream
        batch_size=STREAMS,
        sequence=LENGTH,
        hidden_size=12,
        mixtures=2,
        scheduled_sampling=share,
        learning_rate=learning_rate,
        **changes,
    )
    series = toy_series(6)
    scales = reward_scale(series, range(6)), latent_scale(series, range(6), config.residual)
    trainer = Trainer(config, config.sizes(4, 2), *scales)
    trainer.model.set_parameters(random_parameters(trainer.sizes))
    return trainer


def make_batch(seed, cut=LENGTH, carry_state=0.0):
    """Drives that end after `cut` steps, with numbers all their own."""
    random = np.random.default_rng(seed)
    step = np.repeat((np.arange(LENGTH) < cut)[None], STREAMS, 0).astype(np.float32)
    has_next = np.repeat((np.arange(LENGTH) < cut - (cut < LENGTH))[None], STREAMS, 0).astype(np.float32)
    done = np.zeros((STREAMS, LENGTH), np.float32)
    if cut < LENGTH:
        done[:, cut - 1] = 1
    shapes = [(LENGTH + 1, 4), (LENGTH + 1, 4), (LENGTH, 2), (LENGTH,)]
    mu, logvar, action, reward = (
        random.standard_normal((STREAMS, *shape)).astype(np.float32) for shape in shapes
    )
    goes = np.full(STREAMS, carry_state, np.float32)
    return Batch(mu, logvar - 3, action, reward * step, done, step, has_next, goes)


def mixed(one, other, streams):
    """A batch whose streams `streams` are those of another."""
    chosen = np.isin(np.arange(STREAMS), streams)
    return Batch(
        *(np.where(chosen.reshape(-1, *[1] * (a.ndim - 1)), b, a) for a, b in zip(one, other, strict=True))
    )


def states(trainer):
    return np.stack([state.numpy() for state in trainer._states])  # (2, B, H)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_an_episode_begins_with_nothing_of_the_one_before(share):
    found = {}
    for carry_state in (0.0, 1.0):
        for before in (1, 2):
            trainer = make_trainer(share)
            trainer.train(make_batch(before), 1)
            losses = trainer.train(make_batch(3, carry_state=carry_state), 2)
            found[carry_state, before] = losses, states(trainer)
    assert found[0.0, 1][0] == found[0.0, 2][0]
    np.testing.assert_array_equal(found[0.0, 1][1], found[0.0, 2][1])
    assert found[1.0, 1][0] != found[1.0, 2][0]  # where an episode continues, the state is carried
    assert (found[1.0, 1][1] != found[1.0, 2][1]).any(axis=(0, 2)).all()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_an_episode_sees_nothing_of_those_beside_it(share):
    one, other = make_batch(1), make_batch(2)
    kept, changed = [0, 2, 3], [1, 4, 5]
    after = []
    for batch in (one, mixed(one, other, changed)):
        trainer = make_trainer(share)
        trainer.train(batch, 2)
        after.append(states(trainer))
    np.testing.assert_array_equal(after[0][:, kept], after[1][:, kept])
    assert (after[0][:, changed] != after[1][:, changed]).any(axis=(0, 2)).all()


def gradients(trainer, batch):
    """The three losses, and the gradient of their sum by every weight."""
    model, given = trainer.model, Batch(*map(tf.constant, batch))
    zeros = tf.zeros((STREAMS, trainer.sizes.hidden_size))
    with tf.GradientTape() as tape:
        outputs, _, _ = model(given.mu[:, :-1], given.action, zeros, zeros)
        losses = trainer._losses(outputs, given.mu[:, 1:], given)
        nll, reward, end = losses
        total = nll + trainer.config.reward_weight * reward + end
    gradients = tape.gradient(total, model.trainable_variables)
    return [np.array(losses), *(gradient.numpy() for gradient in gradients)]


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("reward_weight", [0.0, 0.3])
def test_a_step_follows_the_gradient_of_the_losses(monkeypatch, gpu, residual, reward_weight):
    for module in (trainers, models):
        monkeypatch.setattr(module, "has_gpu", lambda: gpu)
    trainer = make_trainer(0.0, residual=residual, reward_weight=reward_weight)
    batch = make_batch(1)
    given, zeros = Batch(*map(tf.constant, batch)), tf.zeros((STREAMS, trainer.sizes.hidden_size))
    with tf.GradientTape() as tape:
        heads, _, _ = trainer.model.heads(given.mu[:, :-1], given.action, zeros, zeros)
    losses, by_heads = trainer._compiled_losses(heads, given.mu[:, 1:], given)
    found = tape.gradient(heads, trainer.model.trainable_variables, output_gradients=by_heads)
    known = gradients(trainer, batch)
    for one, other in zip(known, [np.array(losses), *found], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * max(1.0, np.abs(one).max()))
        assert np.abs(one).max() > 1e-4 or not reward_weight


def test_the_gradient_of_an_episode_does_not_depend_on_the_others():
    """Losses and gradients are sums over streams: the effect of one does not depend on the others."""
    trainer = make_trainer(0.0)
    a, b = make_batch(1), make_batch(2)
    first, rest = [0], [1, 2, 3, 4, 5]
    ways = [a, mixed(a, b, first), mixed(a, b, rest), b]
    both, one, others, none = (gradients(trainer, batch) for batch in ways)
    for x, y, z, w in zip(both, one, others, none, strict=True):
        np.testing.assert_allclose(x - y, z - w, atol=1e-5 * max(1.0, np.abs(x).max()))
        assert np.abs(x - y).max() > 1e-4


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_padding_changes_no_weight(share):
    cut = 6
    made = []
    for filler in (0.0, 7.0, -30.0):
        trainer = make_trainer(share, learning_rate=0.01)
        for step in (0, 1, 2):
            batch = make_batch(step, cut)
            batch.mu[:, cut:] = filler
            batch.logvar[:, cut:] = filler / 10
            batch.action[:, cut:] = filler
            losses = trainer.train(batch, step)
            assert losses.finite
        made.append(trainer.model.parameters())
    for name, array in made[0].items():
        np.testing.assert_array_equal(array, made[1][name])
        np.testing.assert_array_equal(array, made[2][name])


def test_figures_of_an_episode_do_not_depend_on_its_neighbours():
    """In the series as it lies on disk, the rows around an episode are changed."""
    series = toy_series(5)
    rows = np.ones(len(series.mu), bool)
    rows[series.rows(2)] = False
    random = np.random.default_rng(0)
    other = dataclasses.replace(
        series,
        **{
            name: np.where(
                rows.reshape(-1, *[1] * (getattr(series, name).ndim - 1)),
                random.standard_normal(getattr(series, name).shape).astype(np.float32),
                getattr(series, name),
            )
            for name in ("mu", "logvar", "action", "reward")
        },
    )
    dynamics = MDNRNN(random_parameters(), SMALL)
    assert one_step_metrics(dynamics, series, [2]) == one_step_metrics(dynamics, other, [2])
    for one, two in zip(find_midway(dynamics, series, [2]), find_midway(dynamics, other, [2]), strict=True):
        np.testing.assert_array_equal(one, two)
    places = batches.plan(series.offsets, np.array([2]), 3, 16, 4, 0)
    for step in range(4):
        for one, two in zip(
            batches.batch(series, places, step, 16), batches.batch(other, places, step, 16), strict=True
        ):
            np.testing.assert_array_equal(one, two)
