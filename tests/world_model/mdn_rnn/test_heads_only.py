"""Heads for reward and end that are fitted to an MDN-RNN which stays unchanged."""

import dataclasses
import json

import numpy as np
import pytest

from dreamduck.common.errors import CheckpointError, ConfigError, WeightsError
from dreamduck.common.storage import fingerprint
from dreamduck.world_model import WorldModel, train_rnn
from dreamduck.world_model.latents import write_series
from dreamduck.world_model.mdn_rnn import MDNRNNConfig, files
from dreamduck.world_model.mdn_rnn.trainer import Trainer, latent_scale, reward_scale
from tests.world_model.interruption import assert_same_training, train_killed_and_resumed
from tests.world_model.mdn_rnn.helpers import random_parameters, toy_series, write_mdn_rnn, write_toy
from tests.world_model.mdn_rnn.legacy_files import write_rnn
from tests.world_model.mdn_rnn.test_training import config

SIZES = MDNRNNConfig(z_size=4, action_size=2, hidden_size=24, mixtures=5)
HEADS = ("head_reward/", "head_end/")


@pytest.fixture
def legacy(tmp_path):
    """A folder as the code of 2019 wrote it: a VAE, and an MDN-RNN without rewards and ends."""
    folder = tmp_path / "of2019"
    folder.mkdir()
    write_rnn(folder / "rnn.json", random_parameters(SIZES), SIZES)
    (folder / "vae.json").write_text("[[1]]")
    return folder


def heads_config(tmp_path, source, **changes):
    return config(tmp_path, **{"heads_only": str(source), "hidden_size": 512, "mixtures": 5, **changes})


def test_an_mdn_rnn_of_2019_learns_rewards_and_ends(tmp_path, legacy):
    write_toy(tmp_path, episodes=150)
    before = {path.name: path.read_bytes() for path in legacy.iterdir()}
    old = WorldModel.load(legacy).dynamics
    made = heads_config(tmp_path, legacy, steps=300, batch_size=16, learning_rate=0.01, evaluate_every=50)
    card = train_rnn.train(made, "the command")
    dynamics = WorldModel.load(tmp_path / "weights").dynamics
    for name, array in old.parameters.items():
        if not name.startswith(HEADS):
            np.testing.assert_array_equal(dynamics.parameters[name], array, err_msg=name)
        else:
            assert (dynamics.parameters[name] != array).any(), name
    assert dynamics.config == old.config == SIZES
    found = card["metrics"]["held_out"]
    assert found["reward_correlation"] > 0.8
    assert found["end_auc"] > 0.7
    assert 0.3 * found["end_rate"] < found["end_expected"] < 3 * found["end_rate"]
    assert card["heads_of"] == old.weights
    assert card["command"] == "the command"
    assert (tmp_path / "weights" / "vae.json").read_bytes() == before["vae.json"]
    assert {path.name: path.read_bytes() for path in legacy.iterdir()} == before


@pytest.mark.parametrize("residual", [True, False])
def test_heads_of_our_own_mdn_rnn_are_fitted_anew(tmp_path, residual):
    write_toy(tmp_path)
    sizes = MDNRNNConfig(4, 2, 12, 2, residual)
    old = write_mdn_rnn(tmp_path / "old", sizes, random_parameters(sizes, 5))
    settings = {"hidden_size": 12, "mixtures": 2, "residual": residual}
    train_rnn.train(heads_config(tmp_path, tmp_path / "old", steps=5, **settings))
    dynamics = WorldModel.load(tmp_path / "weights").dynamics
    for name, array in dynamics.parameters.items():
        assert np.array_equal(array, old.parameters[name]) == (not name.startswith(HEADS)), name


def test_killed_and_resumed_is_as_never_stopped(tmp_path, legacy, monkeypatch):
    write_toy(tmp_path)
    whole = heads_config(tmp_path, legacy, weights=str(tmp_path / "whole"))
    train_rnn.train(whole)
    parts = heads_config(tmp_path, legacy, weights=str(tmp_path / "parts"), log=str(tmp_path / "log2"))
    train_killed_and_resumed(monkeypatch, Trainer, 18, parts)
    assert_same_training(tmp_path / "whole", tmp_path / "parts")


def test_heads_of_another_mdn_rnn_do_not_resume(tmp_path, legacy):
    write_toy(tmp_path)
    train_rnn.train(heads_config(tmp_path, legacy, steps=5))
    write_rnn(legacy / "rnn.json", random_parameters(SIZES, 1), SIZES)
    with pytest.raises(CheckpointError, match="of another training"):
        train_rnn.train(heads_config(tmp_path, legacy, steps=5))


def test_only_the_heads_are_steps_of_the_optimizer(tmp_path, legacy):
    made = heads_config(tmp_path, legacy)
    series = toy_series(4)
    frozen = WorldModel.load(legacy).dynamics.parameters
    trainer = Trainer(
        made, SIZES, reward_scale(series, range(4)),
        latent_scale(series, range(4), False),
        {n: a for n, a in frozen.items() if not n.startswith(HEADS)},
    )  # fmt: skip
    assert sorted(v.path.split("/")[-2] for v in trainer.model.trainable_variables) == [
        "head_end", "head_end", "head_reward", "head_reward",
    ]  # fmt: skip


@pytest.mark.parametrize("fresh", [True, False])
def test_the_source_stays_as_it_is(tmp_path, legacy, fresh):
    write_toy(tmp_path)
    with pytest.raises(ConfigError, match="weights: expected another folder than"):
        train_rnn.train(heads_config(tmp_path, legacy, weights=str(legacy / ".." / "of2019"), fresh=fresh))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"hidden_size": 100}, "hidden_size: expected 24, as the MDN-RNN in .* has it, got 100"),
        ({"mixtures": 3}, "mixtures: expected 5"),
    ],
)
def test_settings_of_another_form_are_refused(tmp_path, legacy, changes, match):
    write_toy(tmp_path)
    with pytest.raises(ConfigError, match=match):
        train_rnn.train(heads_config(tmp_path, legacy, **changes))


def test_a_series_of_other_latents_is_refused(tmp_path, legacy):
    write_toy(tmp_path, z_size=6)
    (legacy / "initial_z.json").write_text(json.dumps([[[1, 2, 3, 4]], [[1, 2, 3, 4]]]))
    with pytest.raises(WeightsError, match="latents of 4 numbers, but the series has latents of 6"):
        train_rnn.train(heads_config(tmp_path, legacy))


def test_a_series_of_another_vae_is_refused(tmp_path, legacy):
    here = {"vision": fingerprint(legacy / "vae.json")}
    write_series(tmp_path, dataclasses.replace(toy_series(), meta=here))
    train_rnn.train(heads_config(tmp_path, legacy, steps=2))
    write_series(tmp_path, dataclasses.replace(toy_series(), meta={"vision": "0123456789abcdef"}))
    with pytest.raises(WeightsError, match=r"expected latents of the VAE in .*vae\.json.*dreamduck encode"):
        train_rnn.train(heads_config(tmp_path, legacy, steps=2))


def test_the_error_without_dynamics_names_the_command(tmp_path):
    write_toy(tmp_path)
    with pytest.raises(WeightsError, match=rf"{files.CARD}: no such file.*dreamduck train-rnn"):
        train_rnn.train(heads_config(tmp_path, tmp_path / "nowhere"))
