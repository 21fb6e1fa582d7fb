"""The script that makes the frozen policies, on a small world model."""

import itertools

import gymnasium as gym
import numpy as np
import pytest

from dreamduck.controllers.policy import ControllerForm, act
from dreamduck.evaluation.model_card.driving.ranked_policies import frozen_policies
from dreamduck.world_model import WorldModel
from scripts import make_ranked_policies

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
    theta = make_ranked_policies.actor_theta(agent, venv)
    form = ControllerForm("z", 3, z_size=4, hidden_size=0)
    assert theta.shape == (form.size,)
    seen = np.array([Anywhere().reset(seed=i)[0] for i in range(20)])
    wanted, _ = agent.predict(venv.normalize_obs(seen), deterministic=True)
    assert wanted.std() > 0.01
    np.testing.assert_allclose(act(form, theta[None], seen[None])[0], np.tanh(wanted), atol=1e-5)


@pytest.fixture
def small(monkeypatch):
    settings = {
        **vars(make_ranked_policies.SEARCH),
        "num_worker": 4,
        "num_episode": 2,
        "max_steps": 5,
        "components": 3,
    }
    monkeypatch.setattr(make_ranked_policies, "SEARCH", type(make_ranked_policies.SEARCH)(**settings))
    for name, value in {
        "SEARCHES": (("z", 1), ("zh", 2)),
        "GENERATIONS": (1, 3),
        "PPO_STEPS": (64, 128),
        "PPO_ENVS": 8,
        "PPO_ROLLOUT": 8,
        "PPO_UNITS": 3,
    }.items():
        monkeypatch.setattr(make_ranked_policies, name, value)


@pytest.mark.usefixtures("small")
def test_what_is_finished_is_not_trained_again(weights, tmp_path, monkeypatch, capsys):
    command = ["--folder", str(tmp_path / "work"), "--weights", str(weights), "--out", str(tmp_path), "-q"]
    assert make_ranked_policies.main(command) == 0
    assert "6 policies" in capsys.readouterr().out
    files = [(tmp_path / name).read_bytes() for name in ("ranked_policies.npz", "ranked_policies.json")]
    policies, left_out = frozen_policies(WorldModel.load(weights).card.fingerprints, tmp_path)
    assert not left_out
    assert [policy.kind for policy in policies] == ["cma-es"] * 4 + ["ppo"] * 2
    assert all(policy.trained_in_dream for policy in policies)
    z, h = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    acted = [policy.act(z[:, :4], h) for policy in policies]
    assert all(np.abs(one - other).max() > 1e-3 for one, other in itertools.pairwise(acted))

    def refuse(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(make_ranked_policies, "evolve", refuse)
    monkeypatch.setattr(make_ranked_policies, "train_agent", refuse)
    assert make_ranked_policies.main(command) == 0
    assert [
        (tmp_path / name).read_bytes() for name in ("ranked_policies.npz", "ranked_policies.json")
    ] == files
