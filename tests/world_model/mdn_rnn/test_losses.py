"""The losses of the MDN-RNN, against their formulas in numpy."""

import numpy as np
import pytest

from dreamduck.common.backend import tf
from dreamduck.world_model.mdn_rnn.batches import Batch
from tests.world_model.mdn_rnn.test_borders import LENGTH, STREAMS, make_batch, make_trainer, mixed

END_WEIGHT = 3.0


def test_the_losses_are_their_formulas():
    trainer = make_trainer(0.0, end_weight=END_WEIGHT)
    batch = mixed(make_batch(1), make_batch(2, cut=6), [1, 4])  # two streams end, and are padded
    zeros = tf.zeros((STREAMS, trainer.sizes.hidden_size))
    outputs, _, _ = trainer.model(tf.constant(batch.mu[:, :-1]), tf.constant(batch.action), zeros, zeros)
    found = trainer._losses(outputs, tf.constant(batch.mu[:, 1:]), Batch(*map(tf.constant, batch)))

    out = type(outputs)(*(np.asarray(part, np.float64) for part in outputs))
    assert batch.done.sum() == 2 < STREAMS * LENGTH - batch.step.sum()
    deviation = np.exp(out.mix_logstd)
    density = np.exp(-0.5 * ((batch.mu[:, 1:, None] - out.mix_mu) / deviation) ** 2)
    density /= deviation * np.sqrt(2 * np.pi)
    nll = -np.log((np.exp(out.logmix) * density).sum(axis=2)).mean(axis=-1)
    (mean, mean_end), (spread, spread_end) = trainer.scale
    continues = ((batch.reward - mean) / spread - out.reward[..., 0]) ** 2
    ends = ((batch.reward - mean_end) / spread_end - out.reward[..., 1]) ** 2
    p = 1 / (1 + np.exp(-out.end_logit))
    reward = end = 0.0
    for where in np.argwhere(batch.step == 1):
        at = tuple(where)
        reward += END_WEIGHT * ends[at] if batch.done[at] else continues[at]
        end += -END_WEIGHT * np.log(p[at]) if batch.done[at] else -np.log(1 - p[at])
    steps = batch.step.sum()
    known = (nll * batch.has_next).sum() / batch.has_next.sum(), reward / steps, end / steps
    assert [float(value) for value in found] == pytest.approx(known, rel=1e-4)
