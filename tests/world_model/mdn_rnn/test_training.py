"""Training the MDN-RNN: it learns, resumes bit for bit after a kill, and stops at non-finite numbers."""

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import dreamduck
from dreamduck.common.backend import tf
from dreamduck.common.errors import CheckpointError, SeriesError, TrainingError
from dreamduck.common.storage import write_npz
from dreamduck.common.training_log import read_training_log
from dreamduck.world_model import WorldModel, fit, train_rnn
from dreamduck.world_model.dynamics import RecurrentState
from dreamduck.world_model.latents import write_series
from dreamduck.world_model.mdn_rnn import MDNRNN, batches
from dreamduck.world_model.mdn_rnn.mixture import sample
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig
from dreamduck.world_model.mdn_rnn.trainer import SAMPLING_KEYS, Trainer, latent_scale, reward_scale
from tests.world_model.interruption import (
    Killed,
    assert_same_training,
    contents,
    kill_at,
    train_killed_and_resumed,
)
from tests.world_model.mdn_rnn.helpers import ENVIRONMENT, random_parameters, toy_series, write_toy

SCRIPT = Path(dreamduck.__file__).parent / "envs" / "rnn_train.py"


def config(folder, **changes):
    given = {
        "series": str(folder),
        "weights": str(folder / "weights"),
        "log": str(folder / "log"),
        "steps": 30,
        "batch_size": 8,
        "sequence": 12,
        "hidden_size": 12,
        "mixtures": 2,
        "evaluate_every": 10,
        "checkpoint_every": 7,
    }
    return TrainingConfig(**{**given, **changes})


def test_it_learns(tmp_path):
    write_toy(tmp_path, episodes=150)
    made = config(
        tmp_path, steps=250, hidden_size=32, batch_size=16, evaluate_every=50, learning_rate=0.004
    )
    card = train_rnn.train(made, "rnn_train.py --this")
    found = card["metrics"]["held_out"]
    rows = [row for row in read_training_log(tmp_path / "log" / "rnn.jsonl") if "held_out/nll" in row]
    assert found["nll"] < rows[0]["held_out/nll"] - 0.2
    assert found["reward_correlation"] > 0.5
    assert found["end_auc"] > 0.75
    # ends are counted ten times in the loss; their probability is nevertheless about right
    assert 0.3 * found["end_rate"] < found["end_expected"] < 3 * found["end_rate"]
    assert card["command"] == "rnn_train.py --this"
    assert card["data"]["fingerprint"]
    dynamics = WorldModel.load(tmp_path / "weights").dynamics
    assert dynamics.card == card
    assert card["environment"] == ENVIRONMENT
    low, high = dynamics.bounds
    learned = np.concatenate([toy_series(150).mu[toy_series(150).rows(e)] for e in range(150)])
    assert (high - low > 0.5 * np.ptp(learned, axis=0)).all()
    assert (high - low < np.ptp(learned, axis=0) + 7 * np.exp(-2.5)).all()
    initial = WorldModel.load(tmp_path / "weights").start_states()
    series = toy_series(150)
    assert np.abs(initial.mu[0] - series.mu[series.offsets[:-1]]).sum(axis=1).min() < 1e-3


@pytest.mark.parametrize("step", [1, 7, 10, 25])
def test_a_killed_training_ends_where_the_other_does(tmp_path, monkeypatch, step):
    write_toy(tmp_path)
    whole = config(tmp_path, weights=str(tmp_path / "whole"))
    train_rnn.train(whole)
    parts = dataclasses.replace(whole, weights=str(tmp_path / "parts"), log=str(tmp_path / "log2"))
    train_killed_and_resumed(monkeypatch, Trainer, step, parts)
    assert_same_training(tmp_path / "whole", tmp_path / "parts")
    rows = [
        [
            {k: v for k, v in row.items() if k != "time"}
            for row in read_training_log(tmp_path / log / "rnn.jsonl")
        ]
        for log in ("log", "log2")
    ]
    assert rows[0] == rows[1]


def test_a_finished_training_is_not_done_again(tmp_path, monkeypatch):
    write_toy(tmp_path)
    card = train_rnn.train(config(tmp_path, steps=5))
    kill_at(monkeypatch, Trainer, 0)
    assert train_rnn.train(config(tmp_path, steps=5)) == card
    with pytest.raises(Killed):
        train_rnn.train(config(tmp_path, steps=5, fresh=True))


def test_the_checkpoint_of_another_training_is_refused(tmp_path):
    write_toy(tmp_path)
    train_rnn.train(config(tmp_path, steps=5))
    with pytest.raises(CheckpointError, match="of another training"):
        train_rnn.train(config(tmp_path, steps=5, seed=1))
    write_toy(tmp_path, seed=1)
    with pytest.raises(CheckpointError, match="of another training"):
        train_rnn.train(config(tmp_path, steps=5))
    (tmp_path / "weights" / train_rnn.CHECKPOINT).write_bytes(b"PK nothing")
    with pytest.raises(CheckpointError, match=r"rnn\.checkpoint\.npz"):
        train_rnn.train(config(tmp_path, steps=5))


def test_no_number_stops_it_and_the_last_good_checkpoint_stays(tmp_path, monkeypatch):
    write_toy(tmp_path)
    plain = Trainer.train

    def train(self, batch, number):
        non_finite = np.full_like(batch.reward, np.nan) if number == 12 else batch.reward
        return plain(self, batch._replace(reward=non_finite), number)

    monkeypatch.setattr(Trainer, "train", train)
    with pytest.raises(TrainingError, match=r"step 12: .* not finite.*stays in .*--fresh"):
        train_rnn.train(config(tmp_path))
    arrays, _ = contents(tmp_path / "weights")
    assert arrays["position/step"] == 7
    assert all(
        np.isfinite(array).all() for name, array in arrays.items() if name not in ("run", "position/best")
    )
    assert WorldModel.load(tmp_path / "weights").dynamics.config.hidden_size == 12  # the best of step 10


def test_padding_and_what_lies_behind_an_episode_change_nothing(tmp_path):
    """Weights after a step do not depend on numbers in rows that are padding."""
    series = toy_series(6)
    places = batches.plan(series.offsets, np.arange(6), 4, 16, 8, 0)
    made = config(tmp_path, batch_size=4, sequence=16)
    states = []
    for filler in (0.0, 5.0):
        trainer = Trainer(
            made, made.sizes(4, 2), reward_scale(series, range(6)), latent_scale(series, range(6), True)
        )
        for step in range(8):
            batch = batches.batch(series, places, step, 16)
            pad = batch.step == 0
            behind = np.concatenate([np.zeros((4, 1), bool), pad], axis=1)
            behind[:, 1:] |= batch.has_next == 0
            batch.mu[behind] += filler
            batch.action[pad] += filler
            trainer.train(batch, step)
        states.append(trainer.model.parameters())
    assert any((batches.batch(series, places, step, 16).step == 0).any() for step in range(8))
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name])


@pytest.mark.parametrize("residual", [True, False])
def test_scheduled_sampling_draws_from_the_model(tmp_path, residual):
    """Half of the streams continue with draws of their own mixtures; the other half sees the recording."""
    made = config(tmp_path, batch_size=8, scheduled_sampling=0.5, residual=residual)
    series = toy_series(6)
    scales = reward_scale(series, range(6)), latent_scale(series, range(6), residual)
    trainer = Trainer(made, made.sizes(4, 2), *scales)
    trainer.model.set_parameters(random_parameters(trainer.sizes))
    random = np.random.default_rng(0)
    z, action = (random.standard_normal((8, 20, n)).astype(np.float32) for n in (4, 2))
    h, c = (random.uniform(-1, 1, (8, 12)).astype(np.float32) for _ in "hc")
    seed = tf.constant([3, 4])
    seen = trainer.sample_inputs(
        tf.constant(z), tf.constant(action), tf.constant(h), tf.constant(c), seed
    ).numpy()
    dreamt = ~(seen == z).all(axis=(1, 2))
    assert dreamt.sum() == 4

    chance = [tf.random.experimental.stateless_fold_in(seed, key) for key in SAMPLING_KEYS]
    stream = tf.argsort(tf.random.stateless_uniform((8,), chance[0])).numpy()[:4]
    uniform = tf.random.stateless_uniform((4, 20, 4), chance[2]).numpy()
    normal = tf.random.stateless_normal((4, 20, 4), chance[3]).numpy()
    dynamics = MDNRNN(trainer.model.parameters(), trainer.sizes)
    state = RecurrentState(h[stream], c[stream])
    begun = np.zeros(4, bool)
    for t in range(19):
        state = dynamics.advance(seen[stream, t], action[stream, t], state)
        drawn = sample(
            dynamics.predict(seen[stream, t], state).mixture,
            uniform[:, t],
            normal[:, t],
            1.0,
            trainer.latents.bounds,
        )
        real = (seen[stream, t + 1] == z[stream, t + 1]).all(axis=1)
        assert not (begun & real).any()  # who dreams does not wake up
        begun |= ~real
        np.testing.assert_allclose(seen[stream, t + 1][begun], drawn[begun], rtol=1e-4, atol=1e-5)
    assert begun.any()


def test_no_row_is_sampled_without_scheduled_sampling(tmp_path):
    """Without dreams a step is the plain one."""
    series = toy_series(6)
    places = batches.plan(series.offsets, np.arange(6), 8, 12, 2, 0)
    weights = []
    for share in (0.0, 0.05, 0.2):  # 0.05 of 8 rows is none, 0.2 are two
        made = config(tmp_path, scheduled_sampling=share)
        trainer = Trainer(
            made, made.sizes(4, 2), reward_scale(series, range(6)), latent_scale(series, range(6), True)
        )
        trainer.train(batches.batch(series, places, 0, 12), 20)  # in the part of the training that dreams
        weights.append(trainer.model.parameters())
    for name, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][name])
    assert any((array != weights[2][name]).any() for name, array in weights[0].items())


def test_series_without_ends_and_very_short_ones(tmp_path):
    series = toy_series(8)
    short = dataclasses.replace(
        series,
        **{name: getattr(series, name)[:8] for name in ("mu", "logvar", "action", "reward")},
        done=np.zeros(8, bool),
        offsets=np.arange(9),
    )
    write_series(tmp_path, short)
    found = train_rnn.train(config(tmp_path, steps=3))["metrics"]["held_out"]
    assert found["nll"] is None  # no episode has a second frame
    assert found["end_auc"] is None
    assert WorldModel.load(tmp_path / "weights").dynamics


def test_no_series(tmp_path):
    with pytest.raises(SeriesError, match=r"dreamduck encode"):
        train_rnn.train(config(tmp_path))


@pytest.mark.slow
def test_a_real_kill(tmp_path):
    write_toy(tmp_path)
    flags = (
        "--steps 400 --batch-size 8 --sequence 12 --hidden-size 24 --evaluate-every 50 --checkpoint-every 5"
    )
    for name in ("whole", "parts"):
        command = [sys.executable, str(SCRIPT), "-q", "--dynamics", "mdn-rnn"]
        command += ["--series", str(tmp_path), *flags.split()]
        command += ["--weights", str(tmp_path / name), "--log", str(tmp_path / f"log-{name}")]
        checkpoint = tmp_path / name / train_rnn.CHECKPOINT
        for kill in range(3 if name == "parts" else 0):
            process = subprocess.Popen(command)
            before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
            while process.poll() is None:
                if checkpoint.exists() and checkpoint.stat().st_mtime_ns != before:
                    break
                time.sleep(0.01)
            time.sleep(0.05 * kill)
            os.kill(process.pid, signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        subprocess.run(command, check=True)
    assert_same_training(tmp_path / "whole", tmp_path / "parts")


def test_a_full_disk_at_a_checkpoint_loses_nothing(tmp_path, monkeypatch):
    write_toy(tmp_path)
    whole = config(tmp_path, steps=12, checkpoint_every=4, weights=str(tmp_path / "whole"))
    train_rnn.train(whole)
    parts = dataclasses.replace(whole, weights=str(tmp_path / "parts"), log=str(tmp_path / "log2"))
    writes = []

    def full(path, arrays, compress=True):
        writes.append(path)
        if len(writes) == 3:  # the empty one, that of step 4, that of step 8
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_npz(path, arrays, compress)

    with monkeypatch.context() as patch:
        patch.setattr(fit, "write_npz", full)
        with pytest.raises(OSError, match="No space left"):
            train_rnn.train(parts)
    assert contents(tmp_path / "parts", card=False)[0]["position/step"] == 4
    train_rnn.train(parts)
    assert_same_training(tmp_path / "whole", tmp_path / "parts")


def test_one_episode_is_for_training_and_evaluation(tmp_path):
    write_toy(tmp_path, episodes=1)
    card = train_rnn.train(config(tmp_path, steps=3))
    assert card["data"]["episodes"] == card["data"]["held_out_episodes"] == 1
    assert np.isfinite(card["metrics"]["held_out"]["nll"])
