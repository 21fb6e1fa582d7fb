from __future__ import annotations

import json

import numpy as np
import pytest

from dreamduck.controllers import factory
from dreamduck.controllers.factory import WorldConfig
from dreamduck.controllers.policy import ControllerForm
from dreamduck.pipeline import record_controller
from dreamduck.pipeline.record_controller import NoisyPolicy, RecordConfig, record_episodes
from dreamduck.recordings.episode import read_episode
from tests.controllers.fakes import FakePerception, FakeRoad
from tests.controllers.test_evaluator import Fixed

FORM = ControllerForm("zch", z_size=3, hidden_size=4)
SETTINGS = RecordConfig(episodes=5, first=100, max_steps=30, noise=0.2)


@pytest.fixture
def controller(tmp_path, monkeypatch):
    monkeypatch.setattr(record_controller, "CARS", 3)
    monkeypatch.setattr(factory, "model_sizes", lambda folder: (3, 4))
    monkeypatch.setattr(record_controller, "road_maker", lambda world: FakeRoad)
    monkeypatch.setattr(record_controller, "perception_maker", lambda world: FakePerception)
    theta = np.zeros(FORM.size)
    theta[0] = 2.0
    path = tmp_path / "c.json"
    path.write_text(json.dumps([theta.tolist()]))
    return path


def test_drives_become_episodes(controller, tmp_path):
    folder = tmp_path / "records"
    assert record_episodes(controller, WorldConfig(), SETTINGS, folder) == 5
    assert sorted(path.name for path in folder.glob("*.npz")) == [f"{100 + i}.npz" for i in range(5)]
    calm, pushed = read_episode(folder / "100.npz"), read_episode(folder / "101.npz")
    assert len(calm) == 30
    np.testing.assert_allclose(calm.action, [[np.tanh(2.0), 0.0]] * 30, rtol=1e-6)
    assert np.std(pushed.action[:, 1]) > 0.05
    np.testing.assert_allclose(calm.reward, 0.05 * np.tanh(2.0), rtol=1e-5)
    assert calm.meta["seed"] == 100
    assert calm.meta["policy"] == "controller"
    assert calm.telemetry is not None
    assert calm.telemetry[0, 3] == 0.0
    assert calm.telemetry[-1, 3] > 1.0


def test_only_what_is_missing_is_driven_and_it_is_the_same(controller, tmp_path):
    folder = tmp_path / "records"
    record_episodes(controller, WorldConfig(), SETTINGS, folder)
    before = {path.name: path.read_bytes() for path in folder.glob("*.npz")}
    (folder / "103.npz").unlink()
    assert record_episodes(controller, WorldConfig(), SETTINGS, folder) == 1
    assert {path.name: path.read_bytes() for path in folder.glob("*.npz")} == before
    assert record_episodes(controller, WorldConfig(), SETTINGS, folder) == 0


def test_an_episode_that_ends_is_reported(controller, tmp_path, monkeypatch):
    theta = np.zeros(FORM.size)
    theta[:2] = 2.0, 0.1
    controller.write_text(json.dumps([theta.tolist()]))
    record_episodes(controller, WorldConfig(), SETTINGS, tmp_path / "records")
    episode = read_episode(tmp_path / "records" / "100.npz")
    assert len(episode) < 30
    assert (episode.meta["end"], episode.meta["seed"]) == ("off-road", 100)
    assert episode.done.tolist() == [False] * (len(episode) - 1) + [True]


def test_pushes_stay_within_what_a_car_takes():
    policy = NoisyPolicy(Fixed([[1.0, -1.0]] * 2), [0, 1], 2.0, 0.5)
    road = FakeRoad(2)
    state = road.reset([0, 1])
    policy.start([0, 1])
    taken = np.stack([policy.act(state, None) for _ in range(50)])
    assert np.abs(taken).max() <= 1.0
    assert (taken[:, 0] == [1.0, -1.0]).all()
    assert taken[:, 1].std() > 0.1
