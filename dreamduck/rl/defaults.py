"""Every algorithm of the command line, with its names and defaults of June 2019.

Data alone. Where Stable-Baselines3 calls the same thing by
another name, `keys` says so; `refused` holds the keys that have no counterpart, with what to use
instead. Source: the `learn` functions and `defaults.py` files of OpenAI baselines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dreamduck.rl.arguments import LinearSchedule

NO_NETWORK_NOISE = "Stable-Baselines3 has no noise on the network's weights; use --noise_type=normal_0.2"
STEPS = "the length of a training is --num_timesteps"
INSIDE = "belongs to calls from Python; train with Stable-Baselines3 itself (examples/)"


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """One algorithm of the command line.

    Attributes:
        name: as `--alg` has it. engine: the class in Stable-Baselines3 or sb3-contrib.
        logs: whose columns `progress.csv` has: "ppo2", "a2c", "trpo", "ddpg", "deepq" or "generic".
        actions: "any", "continuous" or "discrete".
        keys: name of 2019 -> name in the engine's constructor.
        defaults: by names of 2019; what is not here is the engine's own.
        by_type: further defaults for an environment type of 2019.
        refused: name of 2019 -> what to use instead. With `harmless`, a value that changes
            nothing is taken all the same.
    """

    name: str
    engine: str
    logs: str
    actions: str = "any"
    on_policy: bool = True
    keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    by_type: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)
    harmless: Mapping[str, Any] = dataclasses.field(default_factory=dict)


ATARI = {
    "nsteps": 128,
    "nminibatches": 4,
    "noptepochs": 4,
    "ent_coef": 0.01,
    "lr": LinearSchedule(2.5e-4),
    "cliprange": LinearSchedule(0.1),
    "log_interval": 1,
}
PPO2 = Algorithm(
    "ppo2",
    "PPO",
    "ppo2",
    keys={
        "nsteps": "n_steps",
        "lr": "learning_rate",
        "noptepochs": "n_epochs",
        "lam": "gae_lambda",
        "cliprange": "clip_range",
    },
    defaults={
        "nsteps": 2048,
        "nminibatches": 4,
        "noptepochs": 4,
        "lr": 3e-4,
        "gamma": 0.99,
        "lam": 0.95,
        "cliprange": 0.2,
        "ent_coef": 0.0,
        "vf_coef": 0.5,
        "max_grad_norm": 0.5,
        "log_interval": 10,
        "save_interval": 0,
    },
    by_type={
        "atari": ATARI,
        "retro": ATARI,
        "mujoco": {
            "nminibatches": 32,
            "noptepochs": 10,
            "lr": LinearSchedule(3e-4),
            "log_interval": 1,
            "value_network": "copy",
        },
    },
    refused={
        **dict.fromkeys(("eval_env", "model_fn", "update_fn", "init_fn", "policy"), INSIDE),
        "mpi_rank_weight": "one process trains; use --num_env",
        "comm": "one process trains; use --num_env",
    },
)
A2C = Algorithm(
    "a2c",
    "A2C",
    "a2c",
    keys={"nsteps": "n_steps", "epsilon": "rms_prop_eps"},
    defaults={
        "nsteps": 5,
        "lr": 7e-4,
        "lrschedule": "linear",
        "gamma": 0.99,
        "ent_coef": 0.01,
        "vf_coef": 0.5,
        "max_grad_norm": 0.5,
        "epsilon": 1e-5,
        "alpha": 0.99,
        "log_interval": 100,
        "save_interval": 0,
    },
)
TRPO = Algorithm(
    "trpo_mpi",
    "TRPO",
    "trpo",
    keys={
        "max_kl": "target_kl",
        "cg_iters": "cg_max_steps",
        "lam": "gae_lambda",
        "vf_stepsize": "learning_rate",
        "vf_iters": "n_critic_updates",
    },
    defaults={
        "timesteps_per_batch": 1024,
        "max_kl": 0.001,
        "cg_iters": 10,
        "cg_damping": 1e-2,
        "gamma": 0.99,
        "lam": 1.0,
        "vf_stepsize": 3e-4,
        "vf_iters": 3,
        "batch_size": 64,
        "sub_sampling_factor": 5,
        "log_interval": 1,
        "save_interval": 0,
    },
    by_type={
        "mujoco": {
            "num_hidden": 32,
            "max_kl": 0.01,
            "cg_damping": 0.1,
            "lam": 0.98,
            "vf_iters": 5,
            "vf_stepsize": 1e-3,
            "normalize_observations": True,
        },
        "atari": {
            "timesteps_per_batch": 512,
            "cg_damping": 1e-3,
            "lam": 1.0,
            "vf_iters": 3,
            "vf_stepsize": 1e-4,
        },
    },
    refused={
        "max_episodes": STEPS,
        "max_iters": STEPS,
        "callback": INSIDE,
        "ent_coef": "sb3-contrib's TRPO has no entropy bonus; use --alg=ppo2 --ent_coef=...",
    },
    harmless={"max_episodes": 0, "max_iters": 0, "ent_coef": 0.0},
)
DDPG = Algorithm(
    "ddpg",
    "DDPG",
    "ddpg",
    actions="continuous",
    on_policy=False,
    keys={
        "nb_train_steps": "gradient_steps",
        "nb_rollout_steps": "train_freq",
        "memory_limit": "buffer_size",
    },
    defaults={
        "nb_epoch_cycles": 20,
        "nb_rollout_steps": 100,
        "nb_train_steps": 50,
        "noise_type": "normal_0.2",
        "normalize_observations": True,
        "critic_lr": 1e-3,
        "gamma": 0.99,
        "batch_size": 64,
        "tau": 0.01,
        "memory_limit": 1_000_000,
        "checkpoint_freq": 0,
    },
    refused={
        "nb_epochs": STEPS,
        "nb_eval_steps": "play the agent afterwards with --play",
        "eval_env": INSIDE,
        "render": "use --play",
        "render_eval": "use --play",
        "critic_l2_reg": "Stable-Baselines3's DDPG has no weight decay; leave it out",
        "popart": "Stable-Baselines3 has no Pop-Art; use --normalize_returns=True",
        "clip_norm": "Stable-Baselines3's DDPG does not clip gradients; leave it out",
        "param_noise_adaption_interval": NO_NETWORK_NOISE,
    },
    harmless={
        "nb_epochs": None,
        "render": False,
        "render_eval": False,
        "critic_l2_reg": 0.0,
        "popart": False,
        "clip_norm": None,
    },
)
DEEPQ = Algorithm(
    "deepq",
    "DQN",
    "deepq",
    actions="discrete",
    on_policy=False,
    keys={"lr": "learning_rate", "target_network_update_freq": "target_update_interval"},
    defaults={
        "lr": 5e-4,
        "buffer_size": 50_000,
        "exploration_fraction": 0.1,
        "exploration_final_eps": 0.02,
        "train_freq": 1,
        "batch_size": 32,
        "learning_starts": 1000,
        "gamma": 1.0,
        "target_network_update_freq": 500,
        "hiddens": [256],
        "print_freq": 100,
        "checkpoint_freq": 10_000,
    },
    by_type={
        "atari": {
            "network": "conv_only",
            "lr": 1e-4,
            "buffer_size": 10_000,
            "exploration_final_eps": 0.01,
            "train_freq": 4,
            "learning_starts": 10_000,
            "target_network_update_freq": 1000,
            "gamma": 0.99,
        }
    },
    refused={
        "prioritized_replay": "Stable-Baselines3 has no prioritised replay; leave it out",
        "prioritized_replay_alpha": "Stable-Baselines3 has no prioritised replay; leave it out",
        "prioritized_replay_beta0": "Stable-Baselines3 has no prioritised replay; leave it out",
        "prioritized_replay_beta_iters": "Stable-Baselines3 has no prioritised replay; leave it out",
        "prioritized_replay_eps": "Stable-Baselines3 has no prioritised replay; leave it out",
        "param_noise": "Stable-Baselines3's DQN explores by epsilon; see --exploration_fraction",
        "dueling": "Stable-Baselines3's DQN has no dueling heads; try --alg=qrdqn",
        "checkpoint_path": "checkpoints are in --log_path",
        "callback": INSIDE,
    },
    harmless={"prioritized_replay": False, "param_noise": False, "dueling": False},
)
NEWER = {
    "sac": ("SAC", "continuous"),
    "td3": ("TD3", "continuous"),
    "tqc": ("TQC", "continuous"),
    "crossq": ("CrossQ", "continuous"),
    "dqn": ("DQN", "discrete"),
    "qrdqn": ("QRDQN", "discrete"),
}
TABLE: dict[str, Algorithm] = {
    **{entry.name: entry for entry in (PPO2, A2C, TRPO, DDPG, DEEPQ)},
    **{
        name: Algorithm(
            name,
            engine,
            "generic",
            actions=actions,
            on_policy=False,
            keys={"lr": "learning_rate"},
            defaults={"checkpoint_freq": 0},
        )
        for name, (engine, actions) in NEWER.items()
    },
}
ALIASES = {
    "ppo": "ppo2",
    "ppo1": "ppo2",
    "recurrent_ppo": "ppo2",
    "recurrentppo": "ppo2",
    "trpo": "trpo_mpi",
}
INSTEAD = {
    "ppo1": "the same algorithm in one process with --num_env, where ppo1 had a process for each",
}
# What 2019 did to every MuJoCo environment, whatever the algorithm: VecNormalize with its defaults.
NORMALIZED = {
    "mujoco": {"normalize_observations": True, "normalize_returns": True, "clip_observations": 10.0}
}
GONE = {
    "acer": "no maintained library has it; use --alg=ppo2 or --alg=qrdqn",
    "acktr": "no maintained library has it; use --alg=trpo_mpi, which is near to it",
    "her": "replay of hindsight goals wants goal worlds; use --alg=sac",
    "gail": "imitation is not here; the package 'imitation' has it",
}
