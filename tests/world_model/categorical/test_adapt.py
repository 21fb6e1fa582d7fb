"""A categorical model whose training continues on logs without rewards."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from dreamduck.common.errors import ConfigError, RecordError, WeightsError
from dreamduck.common.training_log import TrainingLog
from dreamduck.world_model import WorldModel, train_rnn
from dreamduck.world_model.categorical import CategoricalDynamics
from dreamduck.world_model.categorical.divergence import reconstruction_and_kl
from dreamduck.world_model.categorical.trainer import Trainer
from dreamduck.world_model.latents import write_series
from dreamduck.world_model.mdn_rnn.prediction_metrics import one_step_metrics
from tests.world_model.categorical.helpers import SMALL, random_parameters
from tests.world_model.categorical.test_training import config
from tests.world_model.interruption import assert_equal_arrays, train_killed_and_resumed
from tests.world_model.mdn_rnn.helpers import toy_series, write_mdn_rnn
from tests.world_model.mdn_rnn.test_adapt import log_series

HEADS = ("head_reward/", "head_end/", "head_hidden/")


@pytest.fixture(autouse=True)
def without_curves(monkeypatch):
    monkeypatch.setattr(TrainingLog, "draw", lambda self: None)


@pytest.fixture
def old(tmp_path):
    dynamics = CategoricalDynamics(random_parameters(SMALL), SMALL)
    dynamics.save(tmp_path / "old", {})
    series = log_series(20)
    write_series(tmp_path, dataclasses.replace(series, meta={**series.meta, "records": "0f1e2d"}))
    return WorldModel.load(tmp_path / "old").dynamics


@pytest.fixture
def settings(tmp_path):
    sizes = {name: getattr(SMALL, name) for name in ("hidden_size", "variables", "classes", "units")}

    def made(name="new", **changes):
        places = {"weights": str(tmp_path / name), "log": str(tmp_path / f"{name}-log")}
        return config(tmp_path, **{"adapt": str(tmp_path / "old"), **sizes, **places, **changes})

    return made


def loss_on(series, dynamics):
    found = one_step_metrics(dynamics, series, list(range(10)), measure=reconstruction_and_kl(dynamics))
    return found["reconstruction"]


def test_the_dynamics_learn_and_the_heads_stay(tmp_path, settings, old):
    card = train_rnn.train(settings(steps=60, learning_rate=0.02))
    new = WorldModel.load(tmp_path / "new").dynamics
    for name, array in new.parameters.items():
        assert np.array_equal(array, old.parameters[name]) == name.startswith(HEADS), name
    series = log_series(12, seed=2)
    assert loss_on(series, new) < 0.9 * loss_on(series, old)
    assert card["adapted_from"] == old.weights
    assert card["data"]["records"] == "0f1e2d"


def test_killed_and_resumed_is_as_never_stopped_whatever_the_rewards(tmp_path, settings, old, monkeypatch):
    train_rnn.train(settings("whole"))
    series = log_series(20)
    changed: dict[str, Any] = {"reward": series.reward + 7.0 * series.action[:, 0]}
    (tmp_path / "others").mkdir()
    write_series(tmp_path / "others", dataclasses.replace(series, **changed))
    parts = settings("parts", series=str(tmp_path / "others"))
    train_killed_and_resumed(monkeypatch, Trainer, 6, parts)
    one, two = (WorldModel.load(tmp_path / name).dynamics.parameters for name in ("whole", "parts"))
    assert_equal_arrays(one, two)


def test_a_continued_training_begins_where_the_model_was(tmp_path, settings, old):
    """Without a step of any length nothing changes but the end's rate, which is measured."""
    series = toy_series(40, seed=3)
    more: dict[str, Any] = {"reward": 3.0 * series.reward - 2.0}
    write_series(tmp_path, dataclasses.replace(series, **more))
    given = {"adapt": None, "start": str(tmp_path / "old"), "end_weight": 3.0}
    card = train_rnn.train(settings(steps=1, learning_rate=1e-12, **given))
    new = WorldModel.load(tmp_path / "new")
    assert card["started_from"] == new.continued_from == old.weights
    for name, array in new.dynamics.parameters.items():
        if name != "head_end/bias":
            np.testing.assert_allclose(array, old.parameters[name], rtol=4e-3, atol=1e-4, err_msg=name)
    train_rnn.train(settings("more", steps=20, learning_rate=0.02, **given))
    for name, array in WorldModel.load(tmp_path / "more").dynamics.parameters.items():
        assert not np.allclose(array, old.parameters[name], rtol=1e-3), name
    with pytest.raises(ConfigError, match="adapt, start: expected one of these, got 2"):
        settings(start="there")


def test_rewards_that_weights_do_not_hold_are_refused(tmp_path, settings, old):
    series = log_series(20)
    series.reward[7] = -1e6
    write_series(tmp_path, series)
    with pytest.raises(RecordError, match=r"rewards within ±60000, which half precision holds, got 1e\+06"):
        train_rnn.train(settings())


def test_what_does_not_fit_is_refused(tmp_path, settings, old):
    write_mdn_rnn(tmp_path / "other")
    with pytest.raises(WeightsError, match="kind 'categorical', got 'mdn-rnn'; give --dynamics mdn-rnn"):
        train_rnn.train(settings(adapt=str(tmp_path / "other")))
    with pytest.raises(ConfigError, match=r"units: expected .*, as the categorical model in .* has it"):
        train_rnn.train(settings(units=SMALL.units + 1))
    old.save(tmp_path / "game", {"environment": {"id": "Game-v1", "frame_skip": 4, "version": "game 2"}})
    for described, text in (
        ({"id": "Game-v1", "frame_skip": 2, "version": "game 3"}, "frame_skip: expected 4, got 2"),
        ({"id": "Game-v2", "frame_skip": 4}, "id: expected Game-v1, got Game-v2"),
    ):
        series = log_series(20)
        write_series(tmp_path, dataclasses.replace(series, meta={**series.meta, "environment": described}))
        with pytest.raises(WeightsError, match=rf"of another environment than .* \({text}\)"):
            train_rnn.train(settings(adapt=str(tmp_path / "game")))
    road = {"id": "DreamDuck-v0", "frame_skip": 3, "steering_gain": 3.1, "distortion": False}
    old.save(tmp_path / "road", {"environment": road})
    for changed, text in (
        ({"frame_skip": 6}, "frame_skip"),
        ({"steering_gain": 1.4}, "steering_gain"),
        ({"distortion": True}, ""),
    ):
        described = {**series.meta, "environment": {**road, **changed}}
        write_series(tmp_path, dataclasses.replace(series, meta=described))
        if not text:  # other images are what it adapts to
            assert train_rnn.train(settings(adapt=str(tmp_path / "road")))
            continue
        with pytest.raises(WeightsError, match=rf"of another environment than .* \({text}: expected"):
            train_rnn.train(settings(adapt=str(tmp_path / "road")))
    with pytest.raises(ConfigError, match="weights: expected another folder than"):
        train_rnn.train(settings("old"))
