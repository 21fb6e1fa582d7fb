"""The episodes of a card: recorded for it, or read from a folder."""

import numpy as np
import pytest

from dreamduck.common.errors import ConfigError, RecordError
from dreamduck.evaluation.model_card.config import SHORT, ModelCardConfig
from dreamduck.evaluation.model_card.driving import collection
from dreamduck.evaluation.model_card.driving.collection import collect
from dreamduck.evaluation.model_card.driving.data import POSE, encode
from dreamduck.evaluation.model_card.driving.road_ahead import road_ahead
from dreamduck.recordings import held_out, write_episode
from dreamduck.simulator.base import SimulatorConfig
from dreamduck.simulator.environment import describe
from dreamduck.simulator.road import RoadConfig
from dreamduck.world_model import WorldModel
from tests.recordings.helpers import episode, folder_of_episodes

TINY = SHORT._replace(train_episodes=3, held_out_episodes=2, unseen_episodes=2, episode_steps=8)


def load_real(model, config):
    return encode(collect([model], config), model)


@pytest.fixture(scope="module")
def model(model_folder):
    return WorldModel.load(model_folder)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr("dreamduck.evaluation.model_card.config.SHORT", TINY)


@pytest.mark.usefixtures("tiny")
def test_a_card_records_its_own_episodes(model):
    data = load_real(model, ModelCardConfig(short=True))
    assert data.unseen is not None
    assert data.unseen.ahead is not None
    assert data.unseen.telemetry is not None
    assert data.held_out.telemetry is not None
    assert (len(data.train), len(data.held_out), len(data.unseen)) == (3, 2, 2)
    assert set(data.held_out.maps) == {"loop_empty"}
    assert set(data.unseen.maps) == {"udem1", "small_loop"}
    assert data.held_out.telemetry.shape == (len(data.held_out.z), 8)
    for number, name in enumerate(data.unseen.maps):
        rows = data.unseen.rows(number)
        ahead = road_ahead(name, data.unseen.telemetry[rows, POSE])
        np.testing.assert_array_equal(data.unseen.ahead[rows], ahead)
    assert data.unseen.ahead.max() >= 0
    np.testing.assert_array_equal(data.held_out.z[:2], model.encode(data.held_out.frames[:2]))
    again = collect([model], ModelCardConfig(short=True))
    assert again.source["fingerprint"] == data.source["fingerprint"]
    other = collect([model], ModelCardConfig(short=True, seed=1))
    assert other.source["fingerprint"] != data.source["fingerprint"]
    assert not np.array_equal(data.train.frames[0], data.held_out.frames[0])


def test_recordings_are_dealt_out(model, tmp_path):
    folder_of_episodes(tmp_path, [5, 6, 7, 8, 9])
    data = load_real(model, ModelCardConfig(records=str(tmp_path), short=True))
    assert len(data.train) == 3
    assert len(data.held_out) == 2
    assert data.unseen is None
    assert sorted([*data.train.lengths, *data.held_out.lengths]) == [5, 6, 7, 8, 9]
    assert data.held_out.rows(1) == slice(int(data.held_out.offsets[1]), len(data.held_out.z))


def test_recordings_of_maps_that_the_model_never_saw_stand_apart(model, tmp_path, monkeypatch):
    monkeypatch.setattr(collection, "maps_of", lambda model: ("loop_empty",))
    for seed in range(8):
        write_episode(
            tmp_path / f"{seed}.npz", episode(5, seed, map_name="udem1" if seed % 2 else "loop_empty")
        )
    data = load_real(model, ModelCardConfig(records=str(tmp_path), short=True))
    assert set(data.train.maps) == set(data.held_out.maps) == {"loop_empty"}
    assert data.unseen is not None
    assert set(data.unseen.maps) == {"udem1"}


def test_recordings_that_a_model_learned_from_keep_their_held_out_episodes(model, tmp_path, monkeypatch):
    folder_of_episodes(tmp_path, [5] * 30)
    monkeypatch.setattr(collection, "data_fingerprint", lambda recordings: "abc")
    card = {"data": {"fingerprint": "abc"}}
    monkeypatch.setattr(model.vae, "card", card)
    data = load_real(model, ModelCardConfig(records=str(tmp_path), short=True))
    out = held_out(range(30))
    assert (len(data.train), len(data.held_out)) == ((~out).sum(), out.sum())
    assert data.source["learned_from"]


def test_recordings_without_telemetry_are_taken_without_it(model, tmp_path):
    folder_of_episodes(tmp_path, [5, 6, 7])
    made = episode(5, 3)
    write_episode(tmp_path / "3.npz", type(made)(made.obs, made.action, made.reward, made.done))
    data = load_real(model, ModelCardConfig(records=str(tmp_path), short=True))
    assert (data.train.telemetry is None) != (data.held_out.telemetry is None)
    assert (data.train.ahead is None) == (data.train.telemetry is None)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_episodes_are_refused(model, tmp_path, count):
    folder_of_episodes(tmp_path, [5] * count)
    with pytest.raises(RecordError, match=f"expected at least 4 episodes.* got {count}"):
        load_real(model, ModelCardConfig(records=str(tmp_path)))


def test_recordings_of_another_environment_are_refused(model, tmp_path, monkeypatch):
    learned = describe(RoadConfig(SimulatorConfig(frame_skip=3)))
    monkeypatch.setattr(model.dynamics, "card", {"environment": learned})
    for seed in range(4):
        write_episode(
            tmp_path / f"{seed}.npz",
            episode(5, seed, environment=describe(RoadConfig(SimulatorConfig(frame_skip=1)))),
        )
    with pytest.raises(RecordError, match="frame_skip: expected 3, got 1"):
        load_real(model, ModelCardConfig(records=str(tmp_path)))


def test_a_model_of_another_world_needs_recordings(model, monkeypatch):
    monkeypatch.setattr(model.dynamics, "card", {"environment": {"id": "CarRacing-v3"}})
    with pytest.raises(ConfigError, match="--records"):
        collect([model], ModelCardConfig())


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="at least 4"):
        ModelCardConfig(episodes=1)
    assert ModelCardConfig(episodes=7).sizes.held_out_episodes == 7
