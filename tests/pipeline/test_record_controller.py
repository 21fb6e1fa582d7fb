from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from dreamduck.cli import record
from dreamduck.common.config import flags as flags_of
from dreamduck.common.errors import ConfigError, RecordError
from dreamduck.controllers import factory
from dreamduck.controllers.factory import RealWorld, WorldConfig
from dreamduck.controllers.policy import Controller, ControllerForm
from dreamduck.pipeline import record_controller
from dreamduck.pipeline.record_controller import NoisyController, RecordConfig, record_episodes
from dreamduck.recordings.episode import read_episode
from dreamduck.recordings.sources import DRIVING
from dreamduck.recordings.sources.gym_vector import GymVector
from dreamduck.world_model import WorldModel
from tests.controllers.fakes import FakePerception, FakeRoad
from tests.envs.test_gymenv import write_gym_model

FORM = ControllerForm("zch", z_size=3, hidden_size=4)
SETTINGS = RecordConfig(episodes=5, first=100, max_steps=30, noise=0.2)


@pytest.fixture
def controller(tmp_path, monkeypatch):
    monkeypatch.setattr(record_controller, "CARS", 3)
    monkeypatch.setattr(factory, "model_sizes", lambda folder: (3, 4))
    monkeypatch.setattr(
        record_controller, "real_world", lambda world: RealWorld(FakeRoad, FakePerception, None)
    )
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


def test_what_is_there_is_this_controllers_and_whole(controller, tmp_path, caplog):
    folder = tmp_path / "records"
    record_episodes(controller, WorldConfig(), SETTINGS, folder)
    whole = (folder / "101.npz").read_bytes()
    (folder / "101.npz").write_bytes(whole[: len(whole) // 2])
    assert record_episodes(controller, WorldConfig(), SETTINGS, folder) == 1
    assert (folder / "101.npz").read_bytes() == whole
    assert "101.npz" in caplog.text
    for changes, text in (({"noise": 0.7}, "noise 0.7, got"), ({"max_steps": 47}, "max_steps 47, got")):
        other = dataclasses.replace(SETTINGS, **changes)
        with pytest.raises(RecordError, match=rf"100\.npz: expected an episode of {text} .*--first"):
            record_episodes(controller, WorldConfig(), other, folder)
    controller.write_text(json.dumps([(np.zeros(FORM.size) + 0.25).tolist()]))
    with pytest.raises(RecordError, match=r"expected an episode of controller [0-9a-f]+, got [0-9a-f]+"):
        record_episodes(controller, WorldConfig(), SETTINGS, folder)


def test_an_episode_that_ends_is_reported(controller, tmp_path, monkeypatch):
    theta = np.zeros(FORM.size)
    theta[:2] = 2.0, 0.1
    controller.write_text(json.dumps([theta.tolist()]))
    record_episodes(controller, WorldConfig(), SETTINGS, tmp_path / "records")
    episode = read_episode(tmp_path / "records" / "100.npz")
    assert len(episode) < 30
    assert (episode.meta["end"], episode.meta["seed"]) == ("off-road", 100)
    assert episode.done.tolist() == [False] * (len(episode) - 1) + [True]


def test_noise_stays_within_bounds_and_reaches_the_world_model():
    theta = np.zeros(FORM.size, np.float32)
    theta[:2] = 2.0, -3.0  # biases
    perception = FakePerception(2)
    policy = NoisyController(Controller(FORM, theta), perception, DRIVING, 2.0, 0.5)
    road = FakeRoad(2)
    state = road.reset([6, 9])
    policy.start([6, 9])
    taken, seen = [], []
    for _ in range(50):
        taken.append(policy.act(state, road.frames()))
        seen.append(perception.seen[:, 7:9].copy())
    actions = np.stack(taken)
    assert np.abs(actions).max() == 1.0
    np.testing.assert_allclose(actions[:, 0], np.tanh([[2.0, -3.0]] * 50), rtol=1e-6)
    assert (actions[:, 1].std(axis=0) > 0.1).all()
    np.testing.assert_array_equal(np.stack(seen[1:]), actions[:-1])


def test_noise_has_its_spread_and_its_correlation():
    policy = NoisyController(
        Controller(FORM, np.zeros(FORM.size, np.float32)), FakePerception(3), DRIVING, 0.1, 0.8
    )
    road = FakeRoad(3)
    state = road.reset([4, 7, 9])
    policy.start([4, 7, 9])
    actions = np.stack([policy.act(state, road.frames()) for _ in range(2000)])
    assert not actions[:, 0].any()  # an even seed has none
    for noise in np.moveaxis(actions[:, 1:], 0, -1).reshape(4, 2000):
        assert noise.mean() == pytest.approx(0.0, abs=0.03)
        assert noise.std() == pytest.approx(0.1, rel=0.15)
        assert np.corrcoef(noise[:-1], noise[1:])[0, 1] == pytest.approx(0.8, abs=0.05)


def test_the_correlation_is_of_a_time(controller, tmp_path, monkeypatch):
    given = []

    class Noted(NoisyController):
        def __init__(self, *arguments):
            given.append(arguments[-2:])
            super().__init__(*arguments)

    monkeypatch.setattr(record_controller, "NoisyController", Noted)
    settings = dataclasses.replace(SETTINGS, episodes=1, noise_time=0.25)
    record_episodes(controller, WorldConfig(), settings, tmp_path / "records")
    step_time = read_episode(tmp_path / "records" / "100.npz").meta["environment"]["step_time"]
    assert step_time == pytest.approx(0.1)
    assert given == [(0.2, pytest.approx(np.exp(-step_time / 0.25)))]


def test_episodes_of_another_environment(tmp_path):
    """The same as its own recordings have them, from which a world model learns on."""
    weights = write_gym_model(tmp_path, "discrete")
    model = WorldModel.load(weights)
    sizes, space = model.sizes, model.actions
    form = ControllerForm("zh", 0, space.size, sizes.z_size, sizes.hidden_size, action_kind=space.kind)
    theta = np.random.default_rng(5).normal(0, 0.4, form.size)
    (tmp_path / "c.json").write_text(json.dumps([theta.tolist()]))
    flags = ["--weights", str(weights), "--out", str(tmp_path / "new"), "-q", "--max-steps", "70"]
    with pytest.raises(ConfigError, match="of no effect with a model of another environment"):
        record_controller.main([str(tmp_path / "c.json"), *flags, "--map-name", "loop_empty"])
    many = ["--episodes", "6", "--first", "40", "--noise", "1.5"]
    record_controller.main([str(tmp_path / "c.json"), *flags, *many])
    assert model.gym_environment is not None
    recorded = ["--records", str(tmp_path / "old"), f"--log={tmp_path / 'log'}", "--max-trials", "2", "-q"]
    record.main([*flags_of(model.gym_environment), *recorded])
    old = read_episode(tmp_path / "old" / "0.npz")
    env = GymVector(model.gym_environment, 1)
    for number in range(40, 46):
        made = read_episode(tmp_path / "new" / f"{number}.npz")
        assert made.telemetry is None
        assert made.meta["environment"] == old.meta["environment"]
        assert set(made.action.sum(axis=1)) == {1.0}
        env.reset([number])
        for t in range(len(made)):
            np.testing.assert_array_equal(made.obs[t], env.frames()[0])
            step = env.step(made.action[t : t + 1])
            assert made.reward[t] == step.reward[0]
        assert made.done[-1] == step.terminated[0]
        end = "terminated" if step.terminated[0] else "truncated" if step.truncated[0] else "time"
        assert made.meta["end"] == end
    env.close()
