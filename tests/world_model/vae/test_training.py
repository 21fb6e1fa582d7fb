"""Training the VAE: it learns, stops, resumes, and gives the same weights each time."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import dreamduck.envs
from dreamduck.common.config import replace
from dreamduck.common.errors import CheckpointError, RecordError, TrainingError
from dreamduck.common.storage import read_npz
from dreamduck.common.training_log import read_training_log
from dreamduck.recordings import write_episode
from dreamduck.simulator.environment import describe, shared
from dreamduck.simulator.road import RoadConfig
from dreamduck.world_model import WorldModel
from dreamduck.world_model.train_vae import CHECKPOINT, train
from dreamduck.world_model.vae.settings import TrainingConfig
from dreamduck.world_model.vae.trainer import Trainer
from tests.recordings.helpers import episode, folder_of_episodes

SCRIPT = Path(dreamduck.envs.__file__).parent / "vae_train.py"


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> TrainingConfig:
    """Eight steps an epoch, 16 steps."""
    folder = tmp_path_factory.mktemp("base")
    folder_of_episodes(folder / "records", [12] * 8)
    (folder / "records" / "77.npz").write_bytes(b"half a file")
    return TrainingConfig(
        records=str(folder / "records"),
        weights=str(folder / "weights"),
        log=str(folder / "log"),
        epochs=2,
        batch_size=9,
        learning_rate=0.001,
        z_size=6,
        checkpoint_every=4,
        buffer_frames=30,
    )


@pytest.fixture(scope="module")
def whole(base) -> TrainingConfig:
    """A training that nothing disturbed."""
    config = dataclasses.replace(base, unseen=base.records)
    card = train(config, "the command")
    assert card["command"] == "the command"
    return config


def test_the_card_names_the_environment_where_recordings_agree(base, whole, tmp_path):
    environments = [describe(replace(RoadConfig(), frame_skip=skip, distortion=True)) for skip in (4, 6)]
    for seed, one in enumerate((environments[0], environments[1], environments[0])):
        write_episode(tmp_path / "records" / f"{seed}.npz", episode(12, seed, environment=one))
    config = dataclasses.replace(elsewhere(base, tmp_path), records=str(tmp_path / "records"), epochs=1)
    card = train(config)
    assert card["environment"] == shared(environments)
    assert (card["environment"]["distortion"], card["environment"]["camera"]) == (True, [64, 64, 3])
    assert "environment" not in WorldModel.load(whole.weights).vae.card  # its recordings name none


def elsewhere(base: TrainingConfig, folder: Path) -> TrainingConfig:
    return dataclasses.replace(base, weights=str(folder / "weights"), log=str(folder / "log"))


def assert_same_result(one: TrainingConfig, other: TrainingConfig) -> None:
    states = [read_npz(Path(c.weights) / CHECKPOINT) for c in (one, other)]
    assert set(states[0]) == set(states[1])
    for name, array in states[0].items():
        if name != "position/seconds":
            np.testing.assert_array_equal(array, states[1][name], err_msg=name)
    assert WorldModel.load(one.weights).vae.weights == WorldModel.load(other.weights).vae.weights
    rows = [
        [
            {k: v for k, v in row.items() if k != "time"}
            for row in read_training_log(Path(c.log) / "vae.jsonl")
        ]
        for c in (one, other)
    ]
    assert rows[0] == rows[1]


def test_it_learns_and_logs(whole):
    rows = read_training_log(Path(whole.log) / "vae.jsonl")
    judged = [row for row in rows if "held_out/loss" in row]
    assert len(judged) == 2
    assert judged[1]["held_out/loss"] < judged[0]["held_out/loss"] < rows[0]["loss"]
    assert [p.name for p in sorted((Path(whole.log) / "vae").iterdir())] == [
        "epoch-001.png",
        "epoch-002.png",
        "unseen.png",
    ]
    assert list((Path(whole.log) / "tensorboard" / "vae").iterdir())


def test_the_card_holds_settings_and_data(whole):
    vision = WorldModel.load(whole.weights).vae
    card = vision.card
    assert vision.z_size == card["z_size"] == 6
    assert card["data"]["episodes"] == 8
    assert card["data"]["frames"] == 96
    assert card["data"]["map_name"] == {"loop_empty": 8}
    assert card["data"]["held_out_episodes"] == 2
    assert card["config"]["batch_size"] == 9
    assert card["steps"] == 16
    assert card["weights"] == vision.weights
    assert set(card["metrics"]) == {"held_out", "unseen"}
    assert card["metrics"]["held_out"]["psnr"] > 5
    assert set(card["versions"]) == {"dreamduck", "python", "numpy", "tensorflow", "keras"}


@pytest.mark.parametrize("stop", [6, 8])  # in an epoch, and between two
def test_stopped_and_resumed_is_as_never_stopped(whole, tmp_path, monkeypatch, stop):
    config = elsewhere(whole, tmp_path)
    learn = Trainer.train

    def stopping(self, frames, step):
        if step == stop:
            raise KeyboardInterrupt
        return learn(self, frames, step)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert int(read_npz(Path(config.weights) / CHECKPOINT)["position/step"]) <= stop
    train(config)
    assert_same_result(whole, config)


def test_killed_and_resumed_is_as_never_stopped(whole, tmp_path):
    config = elsewhere(whole, tmp_path)
    names = ["records", "weights", "log", "unseen", "epochs", "batch_size", "learning_rate", "z_size"]
    names += ["checkpoint_every", "buffer_frames"]
    flags = [f"--{name.replace('_', '-')}={getattr(config, name)}" for name in names]
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "-q", *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        seen: set[int] = set()
        checkpoint, until = Path(config.weights) / CHECKPOINT, time.monotonic() + 120
        while len(seen) < 2 and process.poll() is None and time.monotonic() < until:
            if checkpoint.exists():
                seen.add(checkpoint.stat().st_mtime_ns)
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    assert seen, process.stderr
    assert process.returncode == -signal.SIGKILL
    train(config)
    assert_same_result(whole, config)


def test_a_finished_training_stays_as_it_is(whole):
    before = WorldModel.load(whole.weights).vae
    card = train(whole)
    assert card["weights"] == before.weights
    assert card["best_step"] == before.card["best_step"]


def test_a_checkpoint_of_another_training_is_refused(base, whole):
    with pytest.raises(CheckpointError, match="--fresh"):
        train(dataclasses.replace(whole, batch_size=8))
    with pytest.raises(CheckpointError, match="--fresh"):
        train(dataclasses.replace(whole, limit=5))


def test_a_damaged_checkpoint_is_refused(base, tmp_path):
    config = elsewhere(base, tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / CHECKPOINT).write_bytes(b"PK half")
    with pytest.raises(CheckpointError, match=r"vae\.checkpoint\.npz"):
        train(config)


def test_non_finite_numbers_stop_and_keep_the_last_good_checkpoint(base, tmp_path, monkeypatch):
    config = elsewhere(dataclasses.replace(base, epochs=1), tmp_path)
    learn = Trainer.train

    def spoiling(self, frames, step):
        if step == 6:  # a relu makes 0 of nan, so that the loss alone would not show it
            self.model.weights[0].assign(self.model.weights[0] * np.nan)
        return learn(self, frames, step)

    monkeypatch.setattr(Trainer, "train", spoiling)
    with pytest.raises(TrainingError, match=r"step 6: .* not finite; .*lower --learning-rate"):
        train(config)
    state = read_npz(tmp_path / "weights" / CHECKPOINT)
    assert int(state["position/step"]) == 4
    assert all(np.isfinite(a).all() for n, a in state.items() if n.startswith(("weight", "optimizer")))


def test_the_error_without_records_names_the_command(tmp_path):
    records, weights, log = (str(tmp_path / name) for name in ("records", "weights", "log"))
    config = TrainingConfig(records=records, weights=weights, log=log)
    with pytest.raises(RecordError, match=r"dreamduck record"):
        train(config)
    (tmp_path / "records").mkdir()
    with pytest.raises(RecordError, match=r"got none; record some with dreamduck record"):
        train(config)


def test_the_cosine_schedule_ends_low():
    config = TrainingConfig(schedule="cosine", learning_rate=0.001, z_size=2)
    trainer = Trainer(config, 100)
    rates = [trainer.learning_rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.001)
    assert (np.diff(rates) < 0).all()
    assert rates[-1] < 0.00003
