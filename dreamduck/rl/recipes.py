"""The values that train each world, measured; `--recipe` starts from them.

Keys are those of 2019. What is said on the command line wins over
these, and these over the defaults. `docs/baselines.md` shows the same table with what came of it; a
test holds the two together."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from dreamduck.common.errors import ConfigError
from dreamduck.rl.arguments import LinearSchedule

# (algorithm, environment id) -> keys; "num_env", "network" and "env_kwargs" are flags.
RECIPES: dict[tuple[str, str], dict[str, Any]] = {
    ("ppo2", "CartPole-v1"): {
        "nsteps": 256,
        "nminibatches": 8,
        "noptepochs": 10,
        "lr": 1e-3,
        "value_network": "copy",
        "clip_range_vf": None,
    },
    ("ppo2", "Pendulum-v1"): {
        "num_env": 4,
        "nsteps": 1024,
        "nminibatches": 64,
        "noptepochs": 10,
        "lr": 1e-3,
        "gamma": 0.9,
    },
    ("ppo2", "DreamDuck-v0"): {
        "network": "cnn_small",
        "num_env": 32,
        "nsteps": 128,
        "nminibatches": 8,
        "lr": LinearSchedule(5e-4),
        "log_std_init": -0.7,
        "normalize_returns": True,
        "clip_range_vf": None,
    },
    ("ppo2", "DreamDuck-v2"): {
        "env_kwargs": {"beginning": "midway", "max_episode_steps": 40},
        "network": "mlp",
        "num_env": 128,
        "nsteps": 32,
        "nminibatches": 4,
        "lr": LinearSchedule(1e-4),
        "target_kl": 0.01,
        "log_std_init": -0.7,
        "normalize_observations": True,
        "normalize_returns": True,
        "clip_range_vf": None,
    },
}


def recipe(algorithm: str, env_id: str) -> dict[str, Any]:
    """The values for that world.

    Raises:
        ConfigError: none was measured.
    """
    plain = env_id.rsplit(":", 1)[-1]
    if (algorithm, plain) not in RECIPES:
        known = ", ".join(f"{env} ({alg})" for alg, env in RECIPES)
        raise ConfigError(f"--recipe: none for {algorithm} on {plain}; there are {known}")
    return copy.deepcopy(RECIPES[algorithm, plain])


def words(values: Mapping[str, Any]) -> str:
    """Values as one would say them on the command line."""
    return " ".join(f"--{key}={_word(value)}" for key, value in values.items())


def _word(value: Any) -> str:
    return f"'{json.dumps(value)}'" if isinstance(value, dict) else str(value)
