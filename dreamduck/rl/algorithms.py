"""The algorithms by name: their keys, defaults and recipes, written as on the command line.

Names and defaults are those of June 2019 (the `learn` functions and `defaults.py` files of OpenAI
baselines); what is not here is the engine's own. No PyTorch is loaded here."""

from __future__ import annotations

import dataclasses
import difflib
import json
import shlex
from collections.abc import Mapping
from typing import Any

from dreamduck.common.errors import ConfigError
from dreamduck.rl.arguments import parse_value
from dreamduck.world_model.kinds import KINDS, SHIPPED

NETWORK_KEYS = ("num_layers", "num_hidden", "activation", "layer_norm", "nlstm", "convs", "pad", "depths")
ON_POLICY_KEYS = ("log_interval", "save_interval", "value_network", "log_std_init")
NO_NETWORK_NOISE = "Stable-Baselines3 has no noise on the network's weights; use --noise_type=normal_0.2"
STEPS = "the length of a training is --num_timesteps"
PYTHON = "only for calls from Python; train with Stable-Baselines3 itself (examples/)"
ONE_PROCESS = "one process trains; use --num_env"
NO_PRIORITY = "Stable-Baselines3 has no prioritized replay; leave it out"


def keys(text: str) -> dict[str, Any]:
    """Keys and values of a string such as `--nsteps=128 --lr=linear:5e-4`."""
    pairs = (word.removeprefix("--").partition("=") for word in shlex.split(text))
    return {
        key: json.loads(value) if key == "env_kwargs" else parse_value(value) for key, _, value in pairs
    }


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """One algorithm of the command line.

    Attributes:
        name: as `--alg` has it.
        engine: the class in Stable-Baselines3 or sb3-contrib.
        log_family: whose columns `progress.csv` has: "ppo2", "a2c", "trpo", "ddpg", "deepq" or "generic".
        actions: "any", "continuous" or "discrete".
        on_policy: whether it learns from whole rollouts, without a replay buffer.
        keys: name of 2019 -> name in the engine's constructor.
        defaults: by names of 2019.
        by_type: further defaults for an environment type of 2019.
        refused: name of 2019 without a counterpart -> what to use instead.
        no_effect: of `refused`, values that change nothing and are accepted.
    """

    name: str
    engine: str
    log_family: str
    actions: str = "any"
    on_policy: bool = True
    keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    by_type: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)
    no_effect: Mapping[str, Any] = dataclasses.field(default_factory=dict)


ATARI = keys(
    "nsteps=128 nminibatches=4 noptepochs=4 ent_coef=0.01 lr=linear:2.5e-4 cliprange=linear:0.1 "
    "log_interval=1"
)
PPO2 = Algorithm(
    "ppo2",
    "PPO",
    "ppo2",
    keys=keys("nsteps=n_steps lr=learning_rate noptepochs=n_epochs lam=gae_lambda cliprange=clip_range"),
    defaults=keys(
        "nsteps=2048 nminibatches=4 noptepochs=4 lr=3e-4 gamma=0.99 lam=0.95 cliprange=0.2 ent_coef=0.0 "
        "vf_coef=0.5 max_grad_norm=0.5 log_interval=10 save_interval=0"
    ),
    by_type={
        "atari": ATARI,
        "retro": ATARI,
        "mujoco": keys("nminibatches=32 noptepochs=10 lr=linear:3e-4 log_interval=1 value_network=copy"),
    },
    refused={
        **dict.fromkeys(("eval_env", "model_fn", "update_fn", "init_fn", "policy"), PYTHON),
        **dict.fromkeys(("mpi_rank_weight", "comm"), ONE_PROCESS),
    },
)
A2C = Algorithm(
    "a2c",
    "A2C",
    "a2c",
    keys=keys("nsteps=n_steps epsilon=rms_prop_eps"),
    defaults=keys(
        "nsteps=5 lr=7e-4 lrschedule=linear gamma=0.99 ent_coef=0.01 vf_coef=0.5 max_grad_norm=0.5 "
        "epsilon=1e-5 alpha=0.99 log_interval=100 save_interval=0"
    ),
)
TRPO = Algorithm(
    "trpo_mpi",
    "TRPO",
    "trpo",
    keys=keys(
        "max_kl=target_kl cg_iters=cg_max_steps lam=gae_lambda vf_stepsize=learning_rate "
        "vf_iters=n_critic_updates"
    ),
    defaults=keys(
        "timesteps_per_batch=1024 max_kl=0.001 cg_iters=10 cg_damping=1e-2 gamma=0.99 lam=1.0 "
        "vf_stepsize=3e-4 vf_iters=3 batch_size=64 sub_sampling_factor=5 log_interval=1 save_interval=0"
    ),
    by_type={
        "mujoco": keys(
            "num_hidden=32 max_kl=0.01 cg_damping=0.1 lam=0.98 vf_iters=5 vf_stepsize=1e-3 "
            "normalize_observations=True"
        ),
        "atari": keys("timesteps_per_batch=512 cg_damping=1e-3 lam=1.0 vf_iters=3 vf_stepsize=1e-4"),
    },
    refused={
        **dict.fromkeys(("max_episodes", "max_iters"), STEPS),
        "callback": PYTHON,
        "ent_coef": "sb3-contrib's TRPO has no entropy bonus; use --alg=ppo2 --ent_coef=...",
    },
    no_effect=keys("max_episodes=0 max_iters=0 ent_coef=0.0"),
)
DDPG = Algorithm(
    "ddpg",
    "DDPG",
    "ddpg",
    actions="continuous",
    on_policy=False,
    keys=keys("nb_train_steps=gradient_steps nb_rollout_steps=train_freq memory_limit=buffer_size"),
    defaults=keys(
        "nb_epoch_cycles=20 nb_rollout_steps=100 nb_train_steps=50 noise_type=normal_0.2 "
        "normalize_observations=True critic_lr=1e-3 gamma=0.99 batch_size=64 tau=0.01 "
        "memory_limit=1_000_000 checkpoint_freq=0"
    ),
    refused={
        "nb_epochs": STEPS,
        "nb_eval_steps": "play the agent afterwards with --play",
        "eval_env": PYTHON,
        **dict.fromkeys(("render", "render_eval"), "use --play"),
        "critic_l2_reg": "Stable-Baselines3's DDPG has no weight decay; leave it out",
        "popart": "Stable-Baselines3 has no Pop-Art; use --normalize_returns=True",
        "clip_norm": "Stable-Baselines3's DDPG does not clip gradients; leave it out",
        "param_noise_adaption_interval": NO_NETWORK_NOISE,
    },
    no_effect=keys(
        "nb_epochs=None render=False render_eval=False critic_l2_reg=0.0 popart=False clip_norm=None"
    ),
)
DEEPQ = Algorithm(
    "deepq",
    "DQN",
    "deepq",
    actions="discrete",
    on_policy=False,
    keys=keys("lr=learning_rate target_network_update_freq=target_update_interval"),
    defaults=keys(
        "lr=5e-4 buffer_size=50_000 exploration_fraction=0.1 exploration_final_eps=0.02 train_freq=1 "
        "batch_size=32 learning_starts=1000 gamma=1.0 target_network_update_freq=500 hiddens=[256] "
        "print_freq=100 checkpoint_freq=10_000"
    ),
    by_type={
        "atari": keys(
            "network=conv_only lr=1e-4 buffer_size=10_000 exploration_final_eps=0.01 train_freq=4 "
            "learning_starts=10_000 target_network_update_freq=1000 gamma=0.99"
        )
    },
    refused={
        "prioritized_replay": NO_PRIORITY,
        **{f"prioritized_replay_{name}": NO_PRIORITY for name in ("alpha", "beta0", "beta_iters", "eps")},
        "param_noise": "Stable-Baselines3's DQN explores by epsilon; see --exploration_fraction",
        "dueling": "Stable-Baselines3's DQN has no dueling heads; try --alg=qrdqn",
        "checkpoint_path": "checkpoints are in --log_path",
        "callback": PYTHON,
    },
    no_effect=keys("prioritized_replay=False param_noise=False dueling=False"),
)


def _newer(name: str, engine: str, actions: str) -> Algorithm:
    """An algorithm that 2019's command line did not have: the engine's own names and defaults."""
    rate, freq = {"lr": "learning_rate"}, {"checkpoint_freq": 0}
    return Algorithm(name, engine, "generic", actions, on_policy=False, keys=rate, defaults=freq)


ALGORITHMS = {
    each.name: each
    for each in (
        *(PPO2, A2C, TRPO, DDPG, DEEPQ),
        *(_newer(name.lower(), name, "continuous") for name in ("SAC", "TD3", "TQC", "CrossQ")),
        *(_newer(name.lower(), name, "discrete") for name in ("DQN", "QRDQN")),
    )
}
ALIASES = keys("ppo=ppo2 ppo1=ppo2 recurrent_ppo=ppo2 recurrentppo=ppo2 trpo=trpo_mpi")
REPLACED = {
    "ppo1": "the same algorithm in one process with --num_env, where ppo1 had a process for each",
}
UNAVAILABLE = {
    "acer": "no maintained library has it; use --alg=ppo2 or --alg=qrdqn",
    "acktr": "no maintained library has it; use --alg=trpo_mpi, which is close to it",
    "her": "hindsight replay needs environments with goals; use --alg=sac",
    "gail": "imitation is not here; the package 'imitation' has it",
}
# What 2019 did to every MuJoCo environment, whatever the algorithm: VecNormalize with its defaults.
NORMALIZED = {"mujoco": keys("normalize_observations=True normalize_returns=True clip_observations=10.0")}
# --recipe: values that train an environment, measured. docs/rl.md shows them with their results.
RECIPES = {
    (
        "ppo2",
        "CartPole-v1",
    ): "--nsteps=256 --nminibatches=8 --noptepochs=10 --lr=0.001 --value_network=copy --clip_range_vf=None",
    ("ppo2", "Pendulum-v1"): "--num_env=4 --nsteps=1024 --nminibatches=64 --noptepochs=10 --lr=0.001 "
    "--gamma=0.9",
    ("ppo2", "DreamDuck-v0"): "--network=cnn_small --num_env=32 --nsteps=128 --nminibatches=8 "
    "--lr=linear:0.0005 --log_std_init=-0.7 --normalize_returns=True --clip_range_vf=None",
    (
        "ppo2",
        "DreamDuck-v2",
    ): f"""--env_kwargs='{{"beginning": "midway", "max_episode_steps": {KINDS[SHIPPED].search_steps}, """
    """"dynamics_rand": true, "dynamics_spread": 1.5, "action_delay": 3, "latent_shift": 0.4}' """
    "--network=mlp --num_env=128 --nsteps=32 --nminibatches=4 --lr=linear:0.0001 --target_kl=0.01 "
    "--log_std_init=-0.7 --normalize_observations=True --normalize_returns=True --clip_range_vf=None",
}


def find(name: str) -> Algorithm:
    """The algorithm of that name.

    Raises:
        ConfigError: unknown, or without a counterpart here.
    """
    plain = name.lower()
    if plain in UNAVAILABLE:
        raise ConfigError(f"alg: {name} is not here: {UNAVAILABLE[plain]}")
    plain = ALIASES.get(plain, plain)
    if plain not in ALGORITHMS:
        raise ConfigError(f"alg: expected one of {', '.join(ALGORITHMS)}, got {name!r:.100}")
    return ALGORITHMS[plain]


def defaults(algorithm: Algorithm, env_type: str) -> dict[str, Any]:
    """The defaults of 2019 in an environment of that type, by names of 2019."""
    return {**algorithm.defaults, **NORMALIZED.get(env_type, {}), **algorithm.by_type.get(env_type, {})}


def recipe(algorithm: str, env_id: str) -> dict[str, Any]:
    """The values of `--recipe`; "num_env", "network" and "env_kwargs" are flags, the others keys of 2019.

    Raises:
        ConfigError: none was measured for that environment.
    """
    if (algorithm, env_id) not in RECIPES:
        known = ", ".join(f"{env} ({alg})" for alg, env in RECIPES)
        raise ConfigError(f"--recipe: none for {algorithm} on {env_id}; there are {known}")
    return keys(RECIPES[algorithm, env_id])


def check_keys(algorithm: Algorithm, given: Mapping[str, Any], constructor: Mapping[str, Any]) -> None:
    """Refuse a key that the algorithm does not take.

    Args:
        algorithm: which one.
        given: keys and values from the command line.
        constructor: the names that the engine's constructor takes, with their defaults.
    Raises:
        ConfigError: a key is unknown, or has no counterpart; with what to use.
    """
    known = known_keys(algorithm, constructor)
    for key, value in given.items():
        if key in algorithm.refused:
            if key in algorithm.no_effect and value == algorithm.no_effect[key]:
                continue
            raise ConfigError(f"--{key}: {algorithm.refused[key]}")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
            hint = f"did you mean --{near[0]}?" if near else "it takes " + ", ".join(known)
            raise ConfigError(f"--{key}: {algorithm.name} has no such key; {hint}")


def known_keys(algorithm: Algorithm, constructor: Mapping[str, Any]) -> list[str]:
    """Every key that the algorithm takes, those of 2019 first."""
    run = ["load_path", "network", "normalize_observations", "normalize_returns", "clip_observations"]
    run += ON_POLICY_KEYS if algorithm.on_policy else ["checkpoint_freq"]
    extra = ["actor_lr"] if algorithm.name == "ddpg" else []
    extra += ["noise_type"] if algorithm.actions == "continuous" else []
    extra += ["nminibatches"] if algorithm.engine == "PPO" else []
    names = [*algorithm.keys, *algorithm.defaults, *extra, *run, *NETWORK_KEYS, *constructor]
    return list(dict.fromkeys(names))
