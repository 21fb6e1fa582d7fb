"""Metrics of an MDN-RNN on held-out episodes."""

import dataclasses
import math

import numpy as np
import pytest

from dreamduck.common.seeding import generator
from dreamduck.world_model.mdn_rnn import MDNRNN, MDNRNNConfig
from dreamduck.world_model.mdn_rnn.mixture import Mixture, expected, log_likelihood, log_softmax, sample
from dreamduck.world_model.mdn_rnn.prediction_metrics import (
    NOISE_KEY,
    correlation,
    one_step_metrics,
    roc_auc,
)
from tests.world_model.mdn_rnn.helpers import SMALL, random_parameters, toy_series


def test_auc_counts_pairs():
    random = np.random.default_rng(0)
    score, truth = random.integers(0, 6, 80).astype(float), random.random(80) < 0.3
    positive, negative = score[truth][:, None], score[~truth][None]
    pairs = ((positive > negative) + 0.5 * (positive == negative)).mean()
    assert roc_auc(score, truth) == pytest.approx(pairs)
    assert roc_auc(np.arange(4.0), np.arange(4) > 2) == 1.0
    assert math.isnan(roc_auc(score, truth & False))


def test_correlation():
    a = np.array([0.0, 1.0, 2.0, 4.0])
    assert correlation(a, 3 * a - 1) == pytest.approx(1.0)
    assert correlation(a, np.array([1.0, 0.0, 3.0, 2.0])) == pytest.approx(
        float(np.corrcoef(a, [1, 0, 3, 2])[0, 1])
    )
    assert math.isnan(correlation(a, np.ones(4)))


def test_figures_do_not_depend_on_the_order_of_episodes():
    dynamics, series = MDNRNN(random_parameters(), SMALL), toy_series(9)
    one, two = (
        one_step_metrics(dynamics, series, range(9)),
        one_step_metrics(dynamics, series, [*range(8, -1, -1)]),
    )
    assert one == pytest.approx(two, rel=1e-5)
    assert one["steps"] == series.offsets[-1]
    assert one["ends"] == series.done.sum()
    assert one["end_rate"] == pytest.approx(series.done.mean())


def test_figures_by_hand():
    """Episode by episode, step by step, with each episode's own draws of its latents."""
    sizes = MDNRNNConfig(z_size=4, action_size=2, hidden_size=9, mixtures=2, residual=True)
    dynamics, series = MDNRNN(random_parameters(sizes), sizes), toy_series(12)
    logvar = np.random.default_rng(1).uniform(-3, -1, series.logvar.shape).astype(np.float32)
    series = dataclasses.replace(series, logvar=logvar)
    chosen = [7, 2, 5, 11]
    nll, rewards, ends = [], [], []
    for number in chosen:
        state = dynamics.start()
        rows = series.rows(number)
        noise = generator(0, NOISE_KEY, int(series.seeds[number]))
        normal = noise.standard_normal((rows.stop - rows.start, 4), dtype=np.float32)
        z = (series.mu[rows] + np.exp(series.logvar[rows] / 2) * normal).astype(np.float32)
        for t, row in enumerate(range(rows.start, rows.stop)):
            state = dynamics.advance(z[t : t + 1], series.action[row : row + 1], state)
            found = dynamics.predict(z[t : t + 1], state)
            if row + 1 < rows.stop:
                nll.append(-log_likelihood(found.mixture, z[t + 1 : t + 2]).mean())
            chance = float(found.end[0])
            ends.append((chance, bool(series.done[row])))
            mean = (1 - chance) * float(found.reward[0]) + chance * float(found.end_reward[0])
            rewards.append((mean, float(series.reward[row])))
    end, done = np.array([e for e, _ in ends]), np.array([d for _, d in ends])
    guess, true = np.array(rewards).T
    assert done.any()
    expected_figures = {
        "nll": np.mean(nll),
        "reward_correlation": np.corrcoef(guess, true)[0, 1],
        "reward_error": ((guess - true) ** 2).mean() / true.var(),
        "end_auc": roc_auc(end, done),
        "end_cross_entropy": -np.log(np.where(done, end, 1 - end)).mean(),
        "end_rate": done.mean(),
        "end_expected": end.mean(),
        "steps": len(done),
        "ends": done.sum(),
    }
    assert one_step_metrics(dynamics, series, chosen) == pytest.approx(expected_figures, rel=1e-4)


@pytest.mark.parametrize("constant", [0.1, -0.3, 7.0])
def test_constant_rewards_have_no_error(constant):
    """Their float32 variance is rounding, by which no error may be divided."""
    sizes = MDNRNNConfig(z_size=4, action_size=2, hidden_size=9, mixtures=2)
    dynamics, series = MDNRNN(random_parameters(sizes), sizes), toy_series(12)
    series = dataclasses.replace(series, reward=np.full_like(series.reward, constant))
    found = one_step_metrics(dynamics, series, [3, 7])
    assert math.isnan(found["reward_error"])
    assert math.isfinite(found["nll"])


def mixture(batch=1, mixtures=3, size=2, seed=0):
    random = np.random.default_rng(seed)
    parts = random.standard_normal((3, batch, mixtures, size)).astype(np.float32)
    return Mixture(log_softmax(parts[0]), parts[1], 0.3 * parts[2])


def test_likelihood_integrates_to_one():
    made = mixture()
    grid = np.linspace(-12, 12, 4001, dtype=np.float32)
    z = np.repeat(grid[:, None], 2, axis=1)
    wide = Mixture(*(np.repeat(part, len(grid), axis=0) for part in made))
    area = np.exp(log_likelihood(wide, z).astype(np.float64)).sum(axis=0) * (grid[1] - grid[0])
    np.testing.assert_allclose(area, 1.0, atol=1e-3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.3])
def test_draws_have_the_mixtures_moments(temperature):
    count = 40_000
    made = Mixture(*(np.repeat(part, count, axis=0) for part in mixture()))
    random = np.random.default_rng(1)
    uniform, normal = random.random((count, 2), np.float32), random.standard_normal((count, 2), np.float32)
    drawn = sample(made, uniform, normal, temperature)
    weights = np.exp(made.logmix[0] / temperature)
    weights /= weights.sum(axis=0)
    mean = (weights * made.mix_mu[0]).sum(axis=0)
    spread = np.exp(2 * made.mix_logstd[0]) * temperature + made.mix_mu[0] ** 2
    variance = (weights * spread).sum(axis=0) - mean**2
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.05)
    if temperature == 1.0:
        np.testing.assert_allclose(expected(made)[0], mean, atol=1e-5)


def test_near_zero_temperature_takes_the_likeliest_mean():
    made = mixture()
    drawn = sample(made, np.full((1, 2), 0.5, np.float32), np.full((1, 2), 3.0, np.float32), 1e-6)
    likeliest = made.logmix[0].argmax(axis=0)
    np.testing.assert_allclose(drawn[0], made.mix_mu[0][likeliest, [0, 1]], atol=1e-2)
