"""An MDN-RNN whose training continues on logs without rewards."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from dreamduck.common.errors import ConfigError, WeightsError
from dreamduck.world_model import WorldModel, train_rnn
from dreamduck.world_model.latents import write_series
from dreamduck.world_model.mdn_rnn.prediction_metrics import negative_log_likelihood, one_step_metrics
from dreamduck.world_model.mdn_rnn.trainer import Trainer
from tests.world_model.interruption import (
    assert_equal_arrays,
    assert_same_training,
    train_killed_and_resumed,
)
from tests.world_model.mdn_rnn.helpers import toy_series, write_toy
from tests.world_model.mdn_rnn.test_training import config

HEADS = ("head_reward/", "head_end/")
SIZES = {"hidden_size": 16, "mixtures": 2}


def log_series(episodes=60, seed=1):
    """The toy world with its latents turned round and larger, in logs without rewards."""
    made = toy_series(episodes, seed=seed)
    changed: dict[str, Any] = {
        "mu": -1.5 * made.mu,
        "reward": np.zeros_like(made.reward),
        "done": np.zeros_like(made.done),
    }
    return dataclasses.replace(made, **changed, meta={**made.meta, "rewards": False})


def loss_on(series, dynamics):
    found = one_step_metrics(dynamics, series, list(range(20)), measure=negative_log_likelihood)
    return found["nll"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A trained model in `old`, and logs of another world in `logs`."""
    folder = tmp_path_factory.mktemp("world")
    write_toy(folder)
    train_rnn.train(config(folder, **SIZES, weights=str(folder / "old"), steps=40, learning_rate=0.01))
    (folder / "logs").mkdir()
    write_series(folder / "logs", log_series())
    return folder


@pytest.fixture
def old(world):
    return WorldModel.load(world / "old").dynamics


@pytest.fixture
def settings(world, tmp_path):
    """Settings that adapt the model, with changes."""

    def made(name="new", **changes):
        given = {"series": str(world / "logs"), "adapt": str(world / "old"), **SIZES}
        places = {"weights": str(tmp_path / name), "log": str(tmp_path / f"{name}-log")}
        return config(tmp_path, **{**given, **places, **changes})

    return made


def test_the_dynamics_learn_and_the_heads_stay(tmp_path, settings, old):
    card = train_rnn.train(settings(steps=40, learning_rate=0.01))
    new = WorldModel.load(tmp_path / "new").dynamics
    for name, array in new.parameters.items():
        assert np.array_equal(array, old.parameters[name]) == name.startswith(HEADS), name
    series = log_series(20, seed=2)
    assert loss_on(series, new) < loss_on(series, old) - 0.5
    assert card["adapted_from"] == old.weights
    assert "heads_of" not in card
    assert (new.bounds[0] <= old.bounds[0] + 1e-4).all()
    assert (new.bounds[1] >= old.bounds[1] - 1e-4).all()
    assert new.bounds[1].max() > old.bounds[1].max()  # of what the logs show, too


def test_it_begins_where_the_model_was(tmp_path, settings, old):
    """Without a step of any length nothing changes but what half precision rounds."""
    train_rnn.train(settings(steps=1, learning_rate=1e-12))
    new = WorldModel.load(tmp_path / "new").dynamics
    for name, array in new.parameters.items():
        np.testing.assert_allclose(array, old.parameters[name], rtol=2e-3, atol=1e-6, err_msg=name)


def test_the_rewards_of_the_logs_do_not_count(tmp_path, settings):
    """The weights do not depend on the values of rewards and ends."""
    train_rnn.train(settings(steps=5))
    series = log_series()
    changed: dict[str, Any] = {
        "reward": series.reward + 7.0 * series.action[:, 0],
        "done": toy_series(60, seed=1).done,
    }
    (tmp_path / "others").mkdir()
    write_series(tmp_path / "others", dataclasses.replace(series, **changed))
    train_rnn.train(settings("new2", steps=5, series=str(tmp_path / "others")))
    one, two = (WorldModel.load(tmp_path / name).dynamics.parameters for name in ("new", "new2"))
    assert_equal_arrays(one, two)


def test_killed_and_resumed_is_as_never_stopped(tmp_path, settings, monkeypatch):
    train_rnn.train(settings("whole", steps=20))
    parts = settings("parts", steps=20)
    train_killed_and_resumed(monkeypatch, Trainer, 12, parts)
    assert_same_training(tmp_path / "whole", tmp_path / "parts")


def test_logs_without_rewards_are_for_adapting_alone(tmp_path):
    write_series(tmp_path, log_series(8))
    with pytest.raises(
        ConfigError, match=r"series: expected rewards, got logs that have none.*--adapt FOLDER"
    ):
        train_rnn.train(config(tmp_path, **SIZES))


def test_a_continued_training_begins_where_the_model_was(tmp_path, world, settings, old):
    """Without a step of any length nothing changes but what half precision rounds."""
    found = train_rnn.train(continued(world, settings, steps=1, learning_rate=1e-12))
    new = WorldModel.load(tmp_path / "new").dynamics
    for name, array in new.parameters.items():
        np.testing.assert_allclose(array, old.parameters[name], rtol=4e-3, atol=1e-5, err_msg=name)
    assert found["started_from"] == old.weights
    assert WorldModel.load(tmp_path / "new").continued_from == old.weights


def test_a_continued_training_learns_everything(tmp_path, world, settings, old):
    train_rnn.train(continued(world, settings, steps=20, learning_rate=0.01))
    new = WorldModel.load(tmp_path / "new").dynamics
    for name, array in new.parameters.items():
        assert not np.allclose(array, old.parameters[name], rtol=1e-3), name


def test_latents_of_another_vae_than_the_one_beside_are_refused(tmp_path):
    """Also where training begins anew."""
    write_series(tmp_path, dataclasses.replace(toy_series(20), meta={"vision": "0123456789abcdef"}))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "vae.weights.h5").write_bytes(b"another")
    with pytest.raises(WeightsError, match=r"expected latents of the VAE in .*dreamduck encode --weights"):
        train_rnn.train(config(tmp_path, weights=str(tmp_path / "weights"), **SIZES))


def continued(world, settings, **changes):
    """Settings that continue the model's training on recordings of the same world, with other rewards."""
    (world / "more").mkdir(exist_ok=True)
    series = toy_series(80, seed=3)
    more: dict[str, Any] = {"reward": 3.0 * series.reward - 2.0}
    write_series(world / "more", dataclasses.replace(series, **more))
    given = {"adapt": None, "start": str(world / "old"), "series": str(world / "more")}
    return settings(**given, end_weight=3.0, **changes)


def test_one_source_alone(tmp_path):
    with pytest.raises(ConfigError, match="heads_only, adapt: expected one of these, got 2"):
        config(tmp_path, adapt="a", heads_only="b")
    with pytest.raises(ConfigError, match="adapt, start: expected one of these, got 2"):
        config(tmp_path, adapt="a", start="b")


def test_the_model_stays_as_it_is(world, settings):
    with pytest.raises(ConfigError, match="weights: expected another folder than"):
        train_rnn.train(settings(weights=str(world / "old")))
