"""What the keys of 2019 become."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from dreamduck.common.errors import ConfigError
from dreamduck.rl import algorithms
from dreamduck.rl.arguments import LinearSchedule
from dreamduck.rl.run_plan import Plan, resolve

VECTOR = gym.spaces.Box(-1, 1, (4,), np.float32)
CAMERA = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
STEERING = gym.spaces.Box(-1, 1, (2,), np.float32)
BUTTONS = gym.spaces.Discrete(2)


def planned(
    name: str = "ppo2",
    sees: Any = VECTOR,
    acts: Any = None,
    network: Any = None,
    num_env: int = 1,
    **given: Any,
) -> Plan:
    algorithm = algorithms.find(name)
    acts = acts or (BUTTONS if algorithm.actions == "discrete" else STEERING)
    kind = given.pop("env_type", "")
    return resolve(algorithm, algorithms.defaults(algorithm, kind), given, network, num_env, sees, acts)


def test_defaults_are_those_of_ppo2_in_2019():
    plan = planned(num_env=4)
    assert plan.engine.__name__ == "PPO"
    assert plan.network == "mlp"
    assert plan.arguments == {
        "n_steps": 2048,
        "batch_size": 2048 * 4 // 4,
        "n_epochs": 4,
        "learning_rate": 3e-4,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "clip_range": 0.2,
        "clip_range_vf": 0.2,
        "ent_coef": 0.0,
        "vf_coef": 0.25,  # of the whole square, where 2019 took 0.5 of the half
        "max_grad_norm": 0.5,
    }
    assert plan.log_every == 10


def test_intervals_of_checkpoints_and_log_entries():
    assert planned(save_interval=3, log_interval=7).checkpoint_every == 3
    assert planned(save_interval=3, log_interval=7).log_every == 7
    assert planned().checkpoint_every == 0
    assert planned("sac", checkpoint_freq=50).checkpoint_every == 50
    assert planned("ddpg", num_env=3, nb_epoch_cycles=5, nb_rollout_steps=7).log_every == 105


def test_mujoco_is_normalized_for_every_algorithm():
    for name in ("ppo2", "a2c", "ddpg", "sac"):
        plan = planned(name, env_type="mujoco")
        assert (plan.normalize_observations, plan.normalize_returns, plan.clip_observations) == (
            True,
            True,
            10,
        )
        assert not planned(name, env_type="mujoco", normalize_returns=False).normalize_returns
        assert planned(name).clip_observations == 5


def test_images_get_the_convolutional_network():
    assert planned(sees=CAMERA).network == "cnn"


def test_defaults_of_atari():
    plan = planned(sees=CAMERA, env_type="atari")
    assert plan.arguments["n_steps"] == 128
    assert plan.arguments["learning_rate"] == LinearSchedule(2.5e-4)


def test_keys_win_over_defaults():
    plan = planned(nsteps=256, nminibatches=8, noptepochs=10, lr=1e-3, lam=0.9, cliprange=0.1, num_layers=3)
    wanted = {"n_steps": 256, "batch_size": 32, "n_epochs": 10, "learning_rate": 1e-3, "gae_lambda": 0.9}
    assert {k: plan.arguments[k] for k in wanted} == wanted
    assert plan.network_options == {"num_layers": 3}


def test_names_of_the_engine_are_accepted():
    assert planned(target_kl=0.03).arguments["target_kl"] == 0.03


def test_recurrent_networks_choose_the_recurrent_engine():
    plan = planned(sees=CAMERA, network="cnn_lstm", num_env=8)
    assert plan.engine.__name__ == "RecurrentPPO"
    assert plan.recurrent


@pytest.mark.parametrize("name", sorted(algorithms.ALGORITHMS))
def test_every_algorithm_has_a_plan(name):
    plan = planned(name)
    assert plan.engine.__name__ == plan.algorithm.engine
    assert plan.log_every >= 1


def test_trpo_divides_its_batch_among_environments():
    assert planned("trpo", num_env=4, timesteps_per_batch=1024).arguments["n_steps"] == 256


def test_a2c_has_a_linear_schedule_by_default():
    assert planned("a2c").arguments["learning_rate"] == LinearSchedule(7e-4)
    assert planned("a2c", lrschedule="constant").arguments["learning_rate"] == 7e-4


def test_values_without_effect_are_accepted():
    assert planned("ddpg", popart=False, critic_l2_reg=0.0).arguments == planned("ddpg").arguments
    assert planned("deepq", prioritized_replay=False).arguments == planned("deepq").arguments


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("ppo2", {"nstep": 1}, "did you mean --nsteps"),
        ("ppo2", {"zzz": 1}, "it takes nsteps, lr"),
        ("ppo2", {"model_fn": 1}, "Stable-Baselines3 itself"),
        ("ppo2", {"nminibatches": 3}, "divisor of nsteps x num_env = 2048 x 1"),
        ("ppo2", {"nsteps": 0}, "nsteps: expected a number of at least 1"),
        ("ppo2", {"nsteps": 2.5}, "nsteps: expected an integer"),
        ("ppo2", {"gamma": 1.5}, "gamma: expected a number of at least 0 and at most 1"),
        ("ppo2", {"lr": "fast"}, "lr: expected a number"),
        ("ppo2", {"gamma": LinearSchedule(1.0)}, "gamma: expected a number"),
        ("ppo2", {"value_network": "both"}, "shared or copy"),
        ("ppo2", {"nlstm": 64}, "mlp has no such option"),
        ("ppo2", {"activation": "sine"}, "activation: expected one of"),
        ("ppo2", {"normalize_observations": "maybe"}, "True or False"),
        ("a2c", {"lrschedule": "double_middle_drop"}, "linear or constant"),
        ("ddpg", {"noise_type": "adaptive-param_0.2"}, "--noise_type=normal_0.2"),
        ("ddpg", {"noise_type": "normal"}, "normal_S"),
        ("ddpg", {"noise_type": "normal_x"}, "expected a size"),
        ("ddpg", {"actor_lr": 1e-4}, "one rate"),
        ("ddpg", {"nb_epochs": 5}, "--num_timesteps"),
        ("deepq", {"prioritized_replay": True}, "no prioritized replay"),
        ("deepq", {"hiddens": 256}, "expected a list"),
        ("trpo_mpi", {"ent_coef": 0.1}, "--alg=ppo2"),
    ],
)
def test_what_does_not_fit_is_refused_with_advice(name, given, message):
    with pytest.raises(ConfigError, match=message):
        planned(name, **given)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "resnet"}, "network: expected one of mlp"),
        ({"network": "cnn"}, "cnn needs images"),
        ({"network": "lstm", "name": "a2c"}, "use --alg=ppo2"),
        ({"name": "ddpg", "acts": BUTTONS}, "continuous actions"),
        ({"name": "deepq", "acts": STEERING}, "discrete actions"),
    ],
)
def test_networks_and_environments_must_fit(settings, message):
    with pytest.raises(ConfigError, match=message):
        planned(**settings)


@pytest.mark.parametrize(
    ("name", "message"), [("ppo3", "expected one of ppo2"), ("acer", "use --alg=ppo2")]
)
def test_unavailable_algorithms(name, message):
    with pytest.raises(ConfigError, match=message):
        algorithms.find(name)
