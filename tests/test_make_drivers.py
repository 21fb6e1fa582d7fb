"""The script that makes the frozen drivers, on a small world model."""

import itertools

import gymnasium as gym
import numpy as np
import pytest

from dreamduck.controllers.policy import ControllerForm, act
from dreamduck.evaluation.model_card.driving.drivers import frozen_drivers
from dreamduck.world_model import WorldModel
from scripts import make_drivers

pytest.importorskip("stable_baselines3")


class Anywhere(gym.Env):
    """Observations of four numbers, of very different sizes."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    action_space = gym.spaces.Box(-5, 5, (2,), np.float32)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return self._seen(), {}

    def step(self, action):
        return self._seen(), float(-np.abs(action).sum()), False, False, {}

    def _seen(self):
        return (self.np_random.normal(size=4) * (0.01, 1, 5, 1) + (0, 3, 0, -1)).astype(np.float32)


def test_a_theta_acts_as_the_agent_does():
    from dreamduck.rl.sb3 import DummyVecEnv, VecNormalize, sb3

    venv = VecNormalize(DummyVecEnv([Anywhere]), clip_obs=1e6)
    agent = sb3.PPO(
        *("MlpPolicy", venv),
        n_steps=64,
        batch_size=32,
        seed=0,
        policy_kwargs={"net_arch": {"pi": [3], "vf": [5]}},
    )
    agent.learn(640)
    theta = make_drivers.actor_theta(agent, venv)
    form = ControllerForm("z", 3, z_size=4, hidden_size=0)
    assert theta.shape == (form.size,)
    seen = np.array([Anywhere().reset(seed=i)[0] for i in range(20)])
    wanted, _ = agent.predict(venv.normalize_obs(seen), deterministic=True)
    assert wanted.std() > 0.01
    np.testing.assert_allclose(act(form, theta[None], seen[None])[0], np.tanh(wanted), atol=1e-5)


@pytest.fixture
def small(monkeypatch):
    settings = {
        **vars(make_drivers.SEARCH),
        "num_worker": 4,
        "num_episode": 2,
        "max_steps": 5,
        "components": 3,
    }
    monkeypatch.setattr(make_drivers, "SEARCH", type(make_drivers.SEARCH)(**settings))
    for name, value in {
        "SEARCHES": (("z", 1), ("zh", 2)),
        "GENERATIONS": (1, 3),
        "PPO_STEPS": (64, 128),
        "PPO_ENVS": 8,
        "PPO_ROLLOUT": 8,
        "PPO_UNITS": 3,
    }.items():
        monkeypatch.setattr(make_drivers, name, value)


@pytest.mark.usefixtures("small")
def test_what_is_finished_is_not_trained_again(weights, tmp_path, monkeypatch, capsys):
    command = ["--folder", str(tmp_path / "work"), "--weights", str(weights), "--out", str(tmp_path), "-q"]
    assert make_drivers.main(command) == 0
    assert "6 drivers" in capsys.readouterr().out
    files = [(tmp_path / name).read_bytes() for name in ("drivers.npz", "drivers.json")]
    drivers, left_out = frozen_drivers(WorldModel.load(weights).card.fingerprints, tmp_path)
    assert not left_out
    assert [driver.kind for driver in drivers] == ["cma-es"] * 4 + ["ppo"] * 2
    assert all(driver.trained_in_dream for driver in drivers)
    z, h = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    acted = [driver.policy(z[:, :4], h) for driver in drivers]
    assert all(np.abs(one - other).max() > 1e-3 for one, other in itertools.pairwise(acted))

    def refuse(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(make_drivers, "evolve", refuse)
    monkeypatch.setattr(make_drivers, "train_agent", refuse)
    assert make_drivers.main(command) == 0
    assert [(tmp_path / name).read_bytes() for name in ("drivers.npz", "drivers.json")] == files
