"""The ensemble: it learns, doubts what it never saw, and its doubt comes with every dream."""

import dataclasses
import logging
from typing import Any

import numpy as np
import pytest

from dreamduck.cli.train_networks import train_ensemble as command
from dreamduck.common.backend import tf
from dreamduck.common.errors import ConfigError, WeightsError
from dreamduck.controllers.evaluator import DreamEvaluator, EvalBatch
from dreamduck.controllers.factory import FormConfig, model_sizes
from dreamduck.controllers.policy import Controller
from dreamduck.envs.rnnenv import DreamEnv, DreamVectorEnv
from dreamduck.world_model import WorldModel, train_ensemble
from dreamduck.world_model.dynamics.start_states import INITIAL_FILE, InitialZ, write_initial
from dreamduck.world_model.ensemble import LIMIT_STEPS, Ensemble, EnsembleConfig
from dreamduck.world_model.ensemble.heads import disagreement, guesses, shapes
from dreamduck.world_model.ensemble.settings import TrainingConfig
from dreamduck.world_model.latents import write_series
from dreamduck.world_model.mdn_rnn.batches import split
from tests.world_model.categorical.helpers import SMALL, random_dynamics
from tests.world_model.mdn_rnn.helpers import toy_series, write_mdn_rnn

SIZES = EnsembleConfig(z_size=4, hidden_size=6, heads=3, units=5)


def random_ensemble(dynamics: str = "", seed: int = 0) -> Ensemble:
    random = np.random.default_rng(seed)
    parameters = {
        name: random.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes(SIZES).items()
    }
    return Ensemble(parameters, SIZES, {"dynamics": dynamics})


@pytest.fixture
def folder(tmp_path):
    """Dynamics with random weights whose dreams last, a series and first latents."""
    dynamics = random_dynamics()
    dynamics.parameters["head_end/bias"][:] = -3.0
    dynamics.save(tmp_path, {"latents": dynamics.card["latents"]})
    mu = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
    write_initial(tmp_path / INITIAL_FILE, InitialZ(mu, np.full_like(mu, -3.0)))
    write_series(tmp_path, toy_series(60))
    return tmp_path


@pytest.fixture
def model(folder):
    random_ensemble(WorldModel.load(folder).dynamics.weights).save(folder)
    return WorldModel.load(folder)


def config(folder, **changes):
    given = {"series": str(folder), "weights": str(folder), "steps": 250, "batch_size": 64, "heads": 3}
    return TrainingConfig(**{**given, "units": 16, "learning_rate": 0.01, **changes})


def test_a_series_of_another_model_is_refused(folder):
    game = {"id": "Game-v1", "frame_skip": 4}
    dynamics = WorldModel.load(folder).dynamics
    dynamics.save(folder, {**dynamics.card, "environment": game})
    series = dataclasses.replace(toy_series(20), meta={"environment": game})
    for changes, text in (
        ({"meta": {"environment": {**game, "id": "Game-v2"}}}, "id: expected Game-v1, got Game-v2"),
        ({"action": np.tile(series.action, (1, 2))[:, :3]}, "actions of 2 numbers, .* actions of 3"),
    ):
        given: dict[str, Any] = changes
        write_series(folder, dataclasses.replace(series, **given))
        with pytest.raises(WeightsError, match=text):
            train_ensemble.train(config(folder))
    vae = folder / "vae.weights.h5"
    vae.write_bytes(b"another")
    write_series(folder, dataclasses.replace(series, meta={**series.meta, "vision": "0123456789abcdef"}))
    with pytest.raises(WeightsError, match=r"expected latents of the VAE in .*vae\.weights\.h5"):
        train_ensemble.train(config(folder))


def test_heads_agree_where_there_were_frames(folder):
    ensemble = train_ensemble.train(config(folder))
    found = ensemble.card["metrics"]["held_out"]
    assert found["squared_error"] < 0.9  # of the variance
    series = toy_series(60)
    states = train_ensemble.follow(WorldModel.load(folder).dynamics, series, split(series)[0])
    h = states.h.astype(np.float32)
    strange = np.random.default_rng(0).permuted(h, axis=0) + np.float32(1.5)
    assert ensemble.uncertainty(strange).mean() > 2 * ensemble.uncertainty(h).mean()
    again = WorldModel.load(folder).ensemble
    assert again is not None
    np.testing.assert_array_equal(again.uncertainty(h), ensemble.uncertainty(h))
    assert again.dynamics == WorldModel.load(folder).dynamics.weights
    means = [
        np.convolve(
            again.uncertainty(h[states.episode == e]), np.full(LIMIT_STEPS, 1 / LIMIT_STEPS), "valid"
        )
        for e in np.unique(states.episode)
    ]
    above = np.mean([mean.max() > again.limit for mean in means])
    assert above < 0.5
    assert again.uncertainty(strange).mean() > again.limit > np.concatenate(means).mean()


def test_the_limit_is_of_whole_seconds_of_whole_episodes():
    """Of 20 episodes one is uncertain for a second: the limit lies between it and the others."""
    ensemble, random = random_ensemble(), np.random.default_rng(3)
    episode = np.tile(np.arange(20), 30)  # side by side, as `follow` gives them
    h = 0.3 * random.standard_normal((600, 6))
    odd = (episode == 7) & (np.repeat(np.arange(30), 20) < LIMIT_STEPS)
    h[odd] *= 20
    states = train_ensemble.States(h.astype(np.float16), np.zeros((600, 4), np.float32), episode)
    found = train_ensemble.limit(ensemble, states)
    doubt = ensemble.uncertainty(states.h.astype(np.float32))
    others = max(
        doubt[episode == e].reshape(3, LIMIT_STEPS).mean(axis=1).max() for e in range(20) if e != 7
    )
    assert others * 0.8 < found < doubt[odd].mean()
    short = train_ensemble.States(states.h[:20], states.z[:20], episode[:20])
    assert train_ensemble.limit(ensemble, short) == pytest.approx(np.quantile(doubt[:20], 0.95))


def test_what_it_learns_from(folder):
    """h after each action, beside the latent that came next, for episodes of different lengths."""
    series, dynamics = toy_series(8), WorldModel.load(folder).dynamics
    states = train_ensemble.follow(dynamics, series, np.array([5, 2, 7]))
    assert len(states.h) == (series.lengths[[5, 2, 7]] - 1).sum()
    for place, episode in enumerate((5, 2, 7)):
        rows = series.rows(episode)
        mu, action = series.mu[rows], series.action[rows]
        state = dynamics.observe(mu[:1], dynamics.start())
        mine = states.episode == place
        assert np.abs(states.z[mine] - mu[1:]).max() == 0
        for t in range(1, len(mu)):
            state = dynamics.advance(mu[t - 1 : t], action[t - 1 : t], state)
            np.testing.assert_allclose(states.h[mine][t - 1], state.h[0], atol=2e-3)
            state = dynamics.observe(mu[t : t + 1], state)


def test_bootstrap_samples_are_of_whole_episodes():
    episode = np.repeat(np.arange(30), np.arange(30) + 1)
    samples = train_ensemble.bootstrap(episode, 3, 0)
    for sample in samples:
        counts = np.bincount(sample, minlength=len(episode))
        assert all(len(set(counts[episode == e])) == 1 for e in range(30))
        assert 0.45 < np.mean([counts[episode == e][0] > 0 for e in range(30)]) < 0.8
    assert not np.array_equal(samples[0], samples[1])


def test_disagreement_in_numpy_and_in_a_graph():
    ensemble, h = random_ensemble(), np.random.default_rng(2).standard_normal((7, 6)).astype(np.float32)
    said = np.stack(guesses(np, ensemble.parameters, h))
    assert said.shape == (3, 7, 4)
    expected = np.sqrt(said.var(axis=0).mean(axis=1))
    np.testing.assert_allclose(ensemble.uncertainty(h), expected, rtol=1e-5)
    np.testing.assert_allclose(ensemble.graph_uncertainty(tf)(h).numpy(), expected, rtol=1e-4)
    same = {name: array.copy() for name, array in ensemble.parameters.items()}
    for name in ("latent/kernel", "latent/bias"):
        same[name][:] = same[name][0]
    kernel = same["hidden/kernel"].reshape(6, 3, 5)
    kernel[:] = kernel[:, :1]
    same["hidden/bias"].reshape(3, 5)[:] = same["hidden/bias"][:5]
    assert np.abs(disagreement(np, same, h)).max() < 1e-6


def test_every_step_has_its_uncertainty(model):
    state = model.start([3, 4])
    state, _, _ = model.step(state, [[0.4, 0.1], [0.2, -0.3]])
    found = model.uncertainty(state)
    np.testing.assert_array_equal(found, model.ensemble.uncertainty(state.h))
    env, many = DreamEnv(model=model), DreamVectorEnv(2, model=model)
    assert env.reset(seed=3)[1]["uncertainty"] == 0
    many.reset(seed=[3, 4])
    assert env.step([0.4, 0.1])[4]["uncertainty"] == pytest.approx(found[0])
    shown = many.step(np.array([[0.4, 0.1], [0.2, -0.3]], np.float32))[4]["uncertainty"]
    np.testing.assert_allclose(shown, found, rtol=1e-6)


def test_pessimism_takes_it_off_the_reward(model):
    """Compiled dreams, against dreams step by step."""
    form = FormConfig(features="zh").form(*model_sizes(model.folder))
    theta = np.random.default_rng(2).normal(0, 0.3, (2, form.size)).astype(np.float32)
    batch = EvalBatch(theta, (5, 6), episodes=1, steps=30)
    dream = model.compiled_dream()
    plain, priced = (DreamEvaluator(dream, form, 1.0, price)(batch) for price in (0.0, 0.25))
    np.testing.assert_array_equal(plain.length, priced.length)
    for row, seed in enumerate((5, 6)):
        controller, state, doubt = Controller(form, theta[row]), model.start([seed]), 0.0
        for _ in range(plain.length[row, 0]):
            action = controller(np.concatenate([state.z, state.h], axis=1))
            state, _, _ = model.step(state, action, 1.0)
            doubt += float(model.uncertainty(state)[0])
        assert doubt > 0.1
        expected = plain.reward[row, 0] - 0.25 * doubt
        assert priced.reward[row, 0] == pytest.approx(expected, abs=1e-3)


def test_without_one(folder, caplog):
    model = WorldModel.load(folder)
    assert model.ensemble is None
    assert "uncertainty" not in DreamEnv(model=model).reset(seed=1)[1]
    state = model.start([1])
    with pytest.raises(WeightsError, match=r"expected ensemble.weights.h5, got none; .*train-ensemble"):
        model.uncertainty(state)
    form = FormConfig().form(*model_sizes(folder))
    batch = EvalBatch(np.zeros((2, form.size), np.float32), (5, 6), episodes=1, steps=3)
    with pytest.raises(ConfigError, match="pessimism: expected 0 without an ensemble"):
        DreamEvaluator(model.compiled_dream(), form, 1.0, 0.5)(batch)
    random_ensemble("others").save(folder)
    with caplog.at_level(logging.WARNING):
        assert WorldModel.load(folder).ensemble is None
    assert "made for other dynamics" in caplog.text


def test_other_kinds_and_other_latents(folder, tmp_path):
    write_mdn_rnn(tmp_path / "mdn-rnn")
    sizes = WorldModel.load(tmp_path / "mdn-rnn").sizes
    assert sizes.z_size == SMALL.z_size
    made = train_ensemble.train(config(folder, weights=str(tmp_path / "mdn-rnn"), steps=2))
    assert made.config.hidden_size == sizes.hidden_size != SMALL.hidden_size
    series = toy_series(4)
    wide = dataclasses.replace(
        series, mu=np.repeat(series.mu, 2, axis=1), logvar=np.repeat(series.logvar, 2, axis=1)
    )
    write_series(tmp_path / "wide", wide)
    with pytest.raises(WeightsError, match="latents of 4 numbers, but the series has latents of 8"):
        train_ensemble.train(config(folder, series=str(tmp_path / "wide")))


def test_the_command(folder, capsys):
    arguments = ["--series", str(folder), "--weights", str(folder), "--steps", "3", "--heads", "2", "-q"]
    assert command(arguments) == 0
    assert "of a latent's variance: squared error" in capsys.readouterr().out
    found = WorldModel.load(folder).ensemble
    assert found is not None
    assert found.config.heads == 2
