"""The scales of a series, measured before the first step: right, and in little memory."""

import tracemalloc

import numpy as np
import pytest

from dreamduck.world_model.latents import Series
from dreamduck.world_model.mdn_rnn import trainer
from dreamduck.world_model.mdn_rnn.trainer import latent_scale
from tests.world_model.mdn_rnn.helpers import toy_series


@pytest.mark.parametrize("measured", [7, 100_000])
def test_latents_are_measured_as_drawn(monkeypatch, measured):
    monkeypatch.setattr(trainer, "MEASURED", measured)
    series = toy_series(12)
    series.logvar[:] = np.random.default_rng(0).uniform(-6, -1, series.logvar.shape)
    episodes = [1, 2, 5]
    noise = np.concatenate(
        [np.exp(series.logvar[series.rows(e)][:-1].astype(np.float64)) for e in episodes]
    )
    pairs = [series.mu[series.rows(e)].astype(np.float64) for e in episodes]
    now, later = np.concatenate([p[:-1] for p in pairs]), np.concatenate([p[1:] for p in pairs])
    variance = now.var(axis=0) + noise.mean(axis=0)
    share = ((now - now.mean(0)) * (later - now.mean(0))).mean(0) / variance
    found = latent_scale(series, episodes, True)
    np.testing.assert_allclose(found.residual_scale, share, rtol=1e-5)
    np.testing.assert_allclose(found.mean, (1 - share) * now.mean(0), atol=1e-6)
    np.testing.assert_allclose(
        found.spread, np.sqrt(np.maximum(variance * (1 - share**2), 1e-6)), rtol=1e-4
    )
    assert {part.dtype for part in found} == {np.dtype(np.float32)}
    assert not latent_scale(series, episodes, False).residual_scale.any()


def test_measuring_takes_little_memory():
    rows, count = 400_000, 2000
    mu = np.zeros((rows, 16), np.float32)
    flat = np.zeros(rows, np.float32)
    offsets = np.linspace(0, rows, count + 1).astype(np.int64)
    action = np.zeros((rows, 2), np.float32)
    series = Series(mu, mu, action, flat, flat > 0, offsets, np.arange(count))
    tracemalloc.start()
    latent_scale(series, range(count), True)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < mu.nbytes / 2


def test_the_range_covers_the_draws_of_training():
    series = toy_series(12)
    series.logvar[:] = np.random.default_rng(0).uniform(-6, -1, series.logvar.shape)
    episodes = [1, 2, 5]
    rows = np.concatenate([np.arange(*series.offsets[[e, e + 1]]) for e in episodes])
    about = 3 * np.exp(series.logvar[rows] / 2)
    low, high = latent_scale(series, episodes, True).bounds
    np.testing.assert_allclose(low, (series.mu[rows] - about).min(axis=0), rtol=1e-6)
    np.testing.assert_allclose(high, (series.mu[rows] + about).max(axis=0), rtol=1e-6)
    series.mu[rows[-1], 0], series.mu[0, 1] = 70.0, 60.0  # the last row counts, other episodes do not
    low, high = latent_scale(series, episodes, True).bounds
    assert high[0] == 50  # nothing further off is ever drawn
    assert high[1] < 10
