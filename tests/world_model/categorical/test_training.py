"""Training the categorical state-space model: it learns, resumes bit for bit, is dreamt in."""

import dataclasses

import numpy as np
import pytest

from dreamduck.common.backend import tf
from dreamduck.common.errors import CheckpointError, TrainingError, WeightsError
from dreamduck.common.training_log import TrainingLog, read_training_log
from dreamduck.controllers.evaluator import DreamEvaluator, EvalBatch
from dreamduck.controllers.factory import FormConfig, model_sizes
from dreamduck.envs.rnnenv import DreamEnv
from dreamduck.world_model import WorldModel, train_rnn
from dreamduck.world_model.categorical import CategoricalDynamics, end_bias, files, windows
from dreamduck.world_model.categorical.layout import initial_parameters
from dreamduck.world_model.categorical.network import CategoricalNetwork
from dreamduck.world_model.categorical.settings import TrainingConfig
from dreamduck.world_model.categorical.trainer import Trainer, latent_spread
from dreamduck.world_model.latents import write_series
from dreamduck.world_model.mdn_rnn import batches
from dreamduck.world_model.mdn_rnn.prediction_metrics import predicted_ends
from dreamduck.world_model.mdn_rnn.trainer import reward_scale
from tests.world_model.categorical.helpers import SMALL, random_dynamics, random_parameters
from tests.world_model.interruption import assert_same_training, train_killed_and_resumed
from tests.world_model.mdn_rnn.helpers import ENVIRONMENT, toy_series, write_toy


@pytest.fixture(autouse=True)
def without_curves(monkeypatch):
    monkeypatch.setattr(TrainingLog, "draw", lambda self: None)  # they take longer than these trainings


def config(folder, **changes):
    given = {
        "series": str(folder),
        "weights": str(folder / "weights"),
        "log": str(folder / "log"),
        "steps": 12,
        "batch_size": 8,
        "sequence": 12,
        "hidden_size": 8,
        "variables": 3,
        "classes": 4,
        "units": 10,
        "standing_rows": 0.125,
        "evaluate_every": 5,
        "checkpoint_every": 4,
    }
    return TrainingConfig(**{**given, **changes})


def test_the_best_weights_are_chosen_with_the_end_as_it_will_be(tmp_path, monkeypatch):
    """Not by how little its bias is to be corrected."""
    monkeypatch.setattr(end_bias, "FEWEST", 2)
    written = []
    save = train_rnn.CategoricalFit.save_weights

    def save_weights(self, parameters, card):
        ends = predicted_ends(
            CategoricalDynamics(parameters, self.sizes), self.data.series, self.data.quick
        )
        written.append([float(column.mean()) for column in ends])
        save(self, parameters, card)

    monkeypatch.setattr(train_rnn.CategoricalFit, "save_weights", save_weights)
    write_toy(tmp_path)
    train_rnn.train(config(tmp_path))
    assert written
    for expected, rate in written:
        assert expected == pytest.approx(rate, rel=0.05)
    rows = [row for row in read_training_log(tmp_path / "log" / "rnn.jsonl") if "held_out/kl" in row]
    assert len(rows) == 3
    for row in rows:
        assert row["held_out/ends"] >= 2
        assert row["held_out/end_expected"] == pytest.approx(row["held_out/end_rate"], rel=0.05)


def test_it_learns(tmp_path):
    write_toy(tmp_path, episodes=120)
    sizes = {"hidden_size": 32, "units": 32, "variables": 8, "classes": 8}
    made = config(
        tmp_path, steps=220, batch_size=16, sequence=16, evaluate_every=55, learning_rate=0.004, **sizes
    )
    card = train_rnn.train(made, "rnn_train.py --this")
    found = card["metrics"]["held_out"]
    rows = [row for row in read_training_log(tmp_path / "log" / "rnn.jsonl") if "held_out/kl" in row]
    assert found["reconstruction"] < 0.6 * toy_series(120).mu.var(axis=0).mean()
    assert 0.05 < found["kl"] < 8 * np.log(8)
    assert found["reward_error"] < rows[0]["held_out/reward_error"]
    assert found["reward_correlation"] > 0.5
    assert found["end_auc"] > 0.6
    # ends are counted ten times in the loss; their probability is nevertheless about right
    assert 0.3 * found["end_rate"] < found["end_expected"] < 3 * found["end_rate"]
    assert card["kind"] == "categorical"
    assert card["environment"] == ENVIRONMENT


def test_trained_weights_are_dreamt_in(tmp_path):
    """From the series to the world and to compiled dreams, from both beginnings."""
    write_toy(tmp_path)
    train_rnn.train(config(tmp_path))
    model = WorldModel.load(tmp_path / "weights")
    assert isinstance(model.dynamics, CategoricalDynamics)
    assert (model.sizes.hidden_size, model.sizes.cell_size) == (8, 12)
    env = DreamEnv(model=model)
    seen, _ = env.reset(seed=1)
    assert seen.shape == (4 + 8,)
    assert env.dreams.state.c.sum() == 3
    assert np.isfinite(env.step([0.5, 0.1])[0]).all()
    form = FormConfig(features="zh").form(*model_sizes(model.folder))
    theta = np.random.default_rng(0).normal(0, 0.3, (2, form.size)).astype(np.float32)
    for beginning in ("first", "midway"):
        evaluator = DreamEvaluator(model.compiled_dream(beginning), form, 1.0)
        found = evaluator(EvalBatch(theta, (5, 6), episodes=2, steps=5))
        assert np.isfinite(found.reward).all()
        assert found.length.max() > 1


def test_a_stopped_training_continues_bit_for_bit(tmp_path, monkeypatch):
    write_toy(tmp_path)
    whole = config(tmp_path, weights=str(tmp_path / "whole"), steps=9)
    train_rnn.train(whole)
    parts = dataclasses.replace(whole, weights=str(tmp_path / "parts"), log=str(tmp_path / "log2"))
    train_killed_and_resumed(monkeypatch, Trainer, 6, parts)
    assert_same_training(tmp_path / "whole", tmp_path / "parts")
    with pytest.raises(CheckpointError, match="of another training"):
        train_rnn.train(dataclasses.replace(whole, seed=1))


def test_no_number_stops_it(tmp_path, monkeypatch):
    write_toy(tmp_path)
    plain = Trainer.train

    def train(self, batch, number):
        return plain(self, batch._replace(reward=np.full_like(batch.reward, np.nan)), number)

    monkeypatch.setattr(Trainer, "train", train)
    with pytest.raises(TrainingError, match=r"step 0: .* not finite.*--fresh"):
        train_rnn.train(config(tmp_path))


def test_padding_changes_nothing(tmp_path):
    """Weights after a step do not depend on numbers in rows that are padding."""
    series = toy_series(6)
    places = windows.plan(series.offsets, np.arange(6), 4, 40, 3, 0)
    made = config(tmp_path, batch_size=4, sequence=40)
    states = []
    for filler in (0.0, 5.0):
        trainer = Trainer(
            made, made.sizes(4, 2), reward_scale(series, range(6)), latent_spread(series, range(6))
        )
        for step in range(3):
            batch = batches.batch(series, places, step, 40)
            pad = batch.step == 0
            assert pad.any()
            behind = np.concatenate([np.zeros((4, 1), bool), batch.has_next == 0], axis=1)
            batch.mu[behind] += filler
            batch.action[pad] += filler
            trainer.train(batch, step)
        states.append(trainer.model.parameters())
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name])


def test_windows_are_within_episodes():
    series = toy_series(20)
    chosen = np.array([3, 7, 11])
    places = windows.plan(series.offsets, chosen, 500, 12, 20, 0)
    again = windows.plan(series.offsets, chosen, 500, 12, 20, 1)
    assert (places.start != again.start).any()
    lengths = series.lengths
    for episode in chosen:
        here = places.stop == series.offsets[episode + 1]
        expected = (lengths[episode] + 11) / (lengths[chosen] + 11).sum()
        assert here.mean() == pytest.approx(expected, abs=0.02)
        starts = places.start[here] - series.offsets[episode]
        assert (starts.min(), starts.max()) == (0, lengths[episode] - 12)
    with pytest.raises(TrainingError, match="got none"):
        windows.plan(series.offsets, np.array([], np.int64), 4, 12, 2, 0)


def test_the_last_step_of_an_episode_is_in_as_many_windows_as_any_other():
    offsets, length = np.array([0, 30, 35]), 12
    places = windows.plan(offsets, np.array([0, 1]), 500, length, 40, 0)
    rows = places.start[..., None] + np.arange(length)
    seen = np.bincount(rows[rows < places.stop[..., None]], minlength=35) / (places.start.size / (41 + 16))
    inner = seen[length : 30 - length]
    np.testing.assert_allclose(inner, length, rtol=0.05)
    assert seen[29] == pytest.approx(length, rel=0.05)
    assert seen[0] == pytest.approx(length, rel=0.05)
    assert seen.min() > 0.9 * length
    assert seen.max() < 2.1 * length


def resting_series():
    """Two episodes: one drives, stops at step 20 and, at step 35, something else moves; one is short."""
    series = toy_series(9)
    action = np.ones((60, 2), np.float32)
    action[20:50] = 0
    mu = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    mu[22:50] = mu[22]
    mu[35] += 0.5
    mu[36:50] += 0.001
    return dataclasses.replace(
        series,
        mu=mu,
        logvar=np.full((60, 4), -2.0, np.float32),
        action=action,
        reward=np.ones(60, np.float32),
        done=np.zeros(60, bool),
        offsets=np.array([0, 52, 60]),
        seeds=np.arange(2),
    )


def test_where_a_car_is_at_rest():
    found = windows.at_rest(resting_series(), np.array([0, 1]), np.ones(4, np.float32))
    assert found.tolist() == [0, 30, 37, 52]
    assert windows.at_rest(resting_series(), np.array([1]), np.ones(4, np.float32)).tolist() == [52]


def test_some_cars_stand():
    series = toy_series(9)
    places = windows.plan(series.offsets, np.arange(9), 6, 60, 2, 0)
    plain = batches.batch(series, places, 0, 60)
    frames = np.array([3, 40])
    found = windows.standing(plain, series, frames, 2, 0, 0)
    for name, part in plain._asdict().items():
        np.testing.assert_array_equal(getattr(found, name)[2:], part[2:])
    assert all((found.mu[row] == found.mu[row, 0]).all() for row in (0, 1))
    assert all((found.mu[row, 0] == series.mu[frames]).all(axis=1).any() for row in (0, 1))
    assert not np.stack([found.reward[:2], found.done[:2]]).any()
    assert not found.action[:2].any()
    assert found.step[:2].all()
    assert found.has_next[:2].all()


def test_no_row_stands_in_other_environments(tmp_path):
    """Unless it is asked for; there an action of zeros may be no standstill."""
    given = config(tmp_path, batch_size=100)
    assert given.for_environment(False) == given.for_environment(True) == given
    plain = config(tmp_path, batch_size=100, standing_rows=None)
    assert plain.for_environment(True).standing == plain.standing == 10
    series = toy_series(9)
    for name, rows in (("DreamDuck-v0", 10), ("CarRacing-v3", 0)):
        meta = {**series.meta, "environment": {"id": name}}
        (tmp_path / name).mkdir()
        write_series(tmp_path / name, dataclasses.replace(series, meta=meta))
        training = train_rnn.CategoricalFit(dataclasses.replace(plain, series=str(tmp_path / name)))
        assert training.settings.standing == rows


def test_standing_cars_continue_with_draws_of_the_prior(tmp_path, monkeypatch):
    """Until their window ends; the rows after them for ten steps, the others never."""
    series = toy_series(6)
    made = config(tmp_path, batch_size=16, sequence=40, standing_rows=0.25, prior_rows=0.25)
    trainer = Trainer(
        made, made.sizes(4, 2), reward_scale(series, range(6)), latent_spread(series, range(6))
    )
    used = []
    follow = trainer.model.follow

    def watched(*given):
        used.append(given[3])
        return follow(*given)

    monkeypatch.setattr(trainer.model, "follow", watched)
    places = windows.plan(series.offsets, np.arange(6), 16, 40, 1, 0)
    batch = batches.batch(series, places, 0, 40)
    trainer._follow(batches.Batch(*map(tf.constant, batch)), tf.constant([0, 0]))
    (use,) = used
    assert use.shape == (41, 8)
    use = use.numpy()
    assert not use[0].any()
    assert use[-1, :4].all()
    assert use[:, 4:].sum(axis=0).max() == 10
    assert all((np.diff(column.astype(int)) > 0).sum() == 1 for column in use.T)


def test_the_spread_of_latents():
    series = toy_series(7)
    rows = np.concatenate([np.arange(*series.offsets[[e, e + 1]]) for e in (1, 5)])
    np.testing.assert_allclose(latent_spread(series, [1, 5]), series.mu[rows].std(axis=0), rtol=1e-5)


def test_a_series_of_single_frames(tmp_path):
    series = toy_series(8)
    short = dataclasses.replace(
        series,
        **{name: getattr(series, name)[:8] for name in ("mu", "logvar", "action", "reward")},
        done=np.zeros(8, bool),
        offsets=np.arange(9),
    )
    write_series(tmp_path, short)
    found = train_rnn.train(config(tmp_path, steps=2))["metrics"]["held_out"]
    assert found["kl"] is None
    assert WorldModel.load(tmp_path / "weights").dynamics


def test_files_round_trip_and_keras_reads_them(tmp_path):
    made = random_dynamics()
    made.save(tmp_path, {"note": "kept"})
    found = WorldModel.load(tmp_path).dynamics
    assert isinstance(found, CategoricalDynamics)
    assert found.config == WorldModel.load(tmp_path).sizes == SMALL
    assert found.card["note"] == "kept"
    assert found.card["weights"] == found.weights
    model = CategoricalNetwork(SMALL)
    model.load_weights(tmp_path / files.WEIGHTS)
    for name, array in random_parameters().items():
        np.testing.assert_array_equal(found.parameters[name], array)
        np.testing.assert_array_equal(model.parameters()[name], array)
    (tmp_path / files.CARD).write_text('{"kind": "categorical", "sizes": {"classes": 1}}')
    with pytest.raises(WeightsError, match="classes: expected at least 2"):
        _ = WorldModel.load(tmp_path).dynamics


def test_first_weights():
    made = initial_parameters(SMALL, 0)
    recurrent = made["core/recurrent_kernel"]
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(6), atol=1e-6)
    np.testing.assert_array_equal(made["core/bias"][0, :6], 1.0)
    assert (initial_parameters(SMALL, 1)["prior/kernel"] != made["prior/kernel"]).any()
