"""The losses of the categorical model, and the divergence on episodes held out, against their formulas."""

from typing import Any

import numpy as np
import pytest

from dreamduck.common.backend import tf
from dreamduck.world_model.categorical import equations, trainer
from dreamduck.world_model.categorical.divergence import reconstruction_and_kl
from dreamduck.world_model.categorical.graph import Path
from dreamduck.world_model.categorical.settings import TrainingConfig
from dreamduck.world_model.dynamics import RecurrentState
from dreamduck.world_model.mdn_rnn.batches import Batch
from dreamduck.world_model.mdn_rnn.trainer import RewardScale
from tests.world_model.categorical.helpers import SMALL, random_dynamics, random_parameters, random_states
from tests.world_model.mdn_rnn.test_borders import STREAMS, make_batch, mixed

END_WEIGHT = 3.0
SCALE = RewardScale(np.array([0.2, -0.9], np.float32), np.array([0.7, 1.6], np.float32))
BATCH = mixed(make_batch(1), make_batch(2, cut=6), [1, 4])  # two streams end, and are padded


def make_trainer():
    config = TrainingConfig(steps=3, batch_size=STREAMS, end_weight=END_WEIGHT)
    made = trainer.Trainer(config, SMALL, SCALE, np.ones(SMALL.z_size, np.float32))
    made.model.set_parameters(random_parameters())
    return made


def make_path():
    random = np.random.default_rng(8)
    frames = BATCH.mu.shape[1]
    normal = [
        random.standard_normal((frames, STREAMS, n)).astype(np.float32)
        for n in (SMALL.hidden_size, SMALL.cell_size)
    ]
    chosen = np.eye(SMALL.classes, dtype=np.float32)[
        random.integers(SMALL.classes, size=(frames, STREAMS, SMALL.variables))
    ]
    return Path(normal[0], chosen.reshape(frames, STREAMS, -1), normal[1])


def likely(logits):
    """The probabilities of every class, with the uniform share."""
    shaped = np.exp(logits.reshape(*logits.shape[:-1], SMALL.variables, SMALL.classes).astype(np.float64))
    return 0.99 * shaped / shaped.sum(axis=-1, keepdims=True) + 0.01 / SMALL.classes


def numpy_layers(made):
    return {
        name: lambda x, f=layer: f(tf.constant(x)).numpy() for name, layer in made.model.dense().items()
    }


def test_the_losses_are_their_formulas():
    made, path = make_trainer(), make_path()
    batch = Batch(*map(tf.constant, BATCH))
    found = [float(value) for value in made._losses(Path(*map(tf.constant, path)), batch)]

    dense = numpy_layers(made)
    decoded = np.stack([equations.decode(np, dense, *at) for at in zip(path.h, path.s, strict=True)])
    prior = likely(np.stack([equations.prior(np, dense, h) for h in path.h]))
    posterior = likely(path.logits)
    kl = (posterior * np.log(posterior / prior)).sum(axis=(2, 3))
    heads = [equations.rewards_and_end_logit(np, dense, h) for h in path.h[1:]]
    squared, divergences, rewards, ends = [], [], [], []
    for stream in range(STREAMS):
        for t in range(len(path.h)):
            if t == 0 or BATCH.has_next[stream, t - 1]:
                squared.append(((decoded[t, stream] - BATCH.mu[stream, t]) ** 2).sum())
            if t and BATCH.has_next[stream, t - 1]:
                divergences.append(kl[t, stream])
            if t and BATCH.step[stream, t - 1]:
                done = int(BATCH.done[stream, t - 1])
                reward, logit = heads[t - 1][0][stream, done], heads[t - 1][1][stream]
                scaled = (BATCH.reward[stream, t - 1] - SCALE.mean[done]) / SCALE.spread[done]
                rewards.append((END_WEIGHT if done else 1) * (scaled - reward) ** 2)
                p = 1 / (1 + np.exp(-logit))
                ends.append(-END_WEIGHT * np.log(p) if done else -np.log(1 - p))
    assert len(rewards) == BATCH.step.sum() > len(divergences)
    known = (
        np.mean(squared) / 2,
        np.mean(divergences),
        np.mean(divergences),
        np.mean(rewards),
        np.mean(ends),
    )
    assert found == pytest.approx(known, rel=1e-4)


def gradients(monkeypatch):
    """What the optimizer gets, by the names of the weights."""
    made = make_trainer()
    kept: list[Any] = []
    monkeypatch.setattr(made.optimizer, "apply_gradients", kept.extend)
    monkeypatch.setattr(tf, "clip_by_global_norm", lambda gradients, limit: (gradients, 0.0))
    made._train_step(*map(tf.constant, BATCH), tf.constant(1))
    return {variable.path: np.asarray(gradient) for gradient, variable in kept}


def test_the_prior_learns_four_times_as_fast_from_the_divergence_as_the_posterior(monkeypatch):
    own = gradients(monkeypatch)
    monkeypatch.setattr(trainer, "PRIOR_WEIGHT", 0.2)
    monkeypatch.setattr(trainer, "POSTERIOR_WEIGHT", 0.8)
    swapped = gradients(monkeypatch)
    for name in ("prior/kernel", "prior_hidden/kernel"):  # they learn from the divergence alone
        np.testing.assert_allclose(own[name], 4 * swapped[name], rtol=1e-3, atol=1e-5)
        assert np.abs(own[name]).max() > 0.1
    assert np.abs(own["posterior/kernel"] - swapped["posterior/kernel"]).max() > 0.01


def test_the_measure_on_frames_held_out():
    dynamics = random_dynamics()
    z, _, h, s = random_states(SMALL, 5)
    state = RecurrentState(h, s)
    mu = (z + 0.3).astype(np.float32)
    prediction = dynamics.predict(z, state)
    found = reconstruction_and_kl(dynamics)(prediction, state, z, mu)
    posterior, prior = dynamics.posterior(z, state), prediction.probabilities
    for row in range(5):
        classes = posterior[row].argmax(axis=1)
        one_hot = np.eye(SMALL.classes, dtype=np.float32)[classes].reshape(1, -1)
        error = dynamics.decode(RecurrentState(h[row : row + 1], one_hot))[0] - mu[row]
        assert found["reconstruction"][row] == pytest.approx(np.mean(error**2), rel=1e-4)
        kl = sum(p * np.log(p / q) for p, q in zip(posterior[row].ravel(), prior[row].ravel(), strict=True))
        assert found["kl"][row] == pytest.approx(kl, rel=1e-4)
