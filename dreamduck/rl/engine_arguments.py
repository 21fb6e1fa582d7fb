"""The arguments of Stable-Baselines3's algorithms, from keys and values of 2019, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dreamduck.common.errors import ConfigError
from dreamduck.rl.algorithms import Algorithm
from dreamduck.rl.arguments import LinearSchedule

# Lowest and highest values of common settings, by the engine's names.
LIMITS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("n_steps", "batch_size", "n_epochs", "buffer_size", "train_freq"), (1, math.inf)),
    **dict.fromkeys(("target_update_interval", "cg_max_steps", "n_critic_updates"), (1, math.inf)),
    **dict.fromkeys(("learning_rate", "ent_coef", "vf_coef", "max_grad_norm"), (0, math.inf)),
    **dict.fromkeys(("learning_starts", "target_kl"), (0, math.inf)),
    **dict.fromkeys(("gamma", "gae_lambda", "tau"), (0, 1)),
    **dict.fromkeys(("exploration_fraction", "exploration_final_eps"), (0, 1)),
    "clip_range": (1e-9, math.inf),
    "gradient_steps": (-1, math.inf),
}


def engine_arguments(
    algorithm: Algorithm, merged: Mapping[str, Any], constructor: Mapping[str, Any], num_env: int
) -> dict[str, Any]:
    """The engine's arguments; 2019's are converted.

    Args:
        algorithm: which one.
        merged: defaults and given values, by names of 2019.
        constructor: the names that the engine's constructor takes, with their defaults.
        num_env: environments stepped together.
    Raises:
        ConfigError: a value does not fit.
    """
    found: dict[str, Any] = {}
    for key, value in merged.items():
        name = algorithm.keys.get(key, key)
        if name in constructor:
            found[name] = engine_value(key, name, value, constructor[name])
    if algorithm.engine == "PPO":
        _ppo(merged, found, num_env)
    elif algorithm.name == "a2c":
        _a2c(merged, found)
    elif algorithm.name == "trpo_mpi":
        batch = integer("timesteps_per_batch", merged["timesteps_per_batch"], 1)
        found.setdefault("n_steps", max(batch // num_env, 1))
    elif algorithm.name == "ddpg":
        rate = number("critic_lr", merged["critic_lr"], 0, math.inf)
        if merged.get("actor_lr", rate) != rate:
            raise ConfigError(
                "--actor_lr: Stable-Baselines3 has one rate for actor and critic; use --critic_lr"
            )
        found.setdefault("learning_rate", rate)
    return found


def _ppo(merged: Mapping[str, Any], found: dict[str, Any], num_env: int) -> None:
    batch = found["n_steps"] * num_env
    if "batch_size" not in found:
        pieces = integer("nminibatches", merged["nminibatches"], 1)
        if batch % pieces:
            raise ConfigError(
                f"nminibatches: expected a divisor of nsteps x num_env = {found['n_steps']} x {num_env} = "
                f"{batch}, got {pieces}"
            )
        found["batch_size"] = batch // pieces
    if found["batch_size"] < 2:
        raise ConfigError(
            f"nsteps x num_env / nminibatches: expected at least 2, got {found['batch_size']}"
        )
    # 2019 halved the squared error before it took vf_coef of it, Stable-Baselines3 does not.
    found["vf_coef"] = found["vf_coef"] / 2
    # And it clipped the value by cliprange, too.
    found.setdefault("clip_range_vf", found["clip_range"])


def _a2c(merged: Mapping[str, Any], found: dict[str, Any]) -> None:
    rate = merged.get("lr", merged.get("learning_rate"))
    schedule = merged["lrschedule"]
    if schedule not in ("linear", "constant"):
        raise ConfigError(f"lrschedule: expected linear or constant, got {schedule!r:.100}")
    if isinstance(rate, LinearSchedule):
        found["learning_rate"] = rate
    else:
        given = number("lr", rate, 0, math.inf)
        found["learning_rate"] = LinearSchedule(given) if schedule == "linear" else given


def engine_value(key: str, name: str, value: Any, default: Any) -> Any:
    """A value of the type that the engine's default has, within its limits.

    Args:
        key: the name on the command line.
        name: the engine's.
        value: from the command line.
        default: the engine's.
    Raises:
        ConfigError: another type, or outside the limits.
    """
    low, high = LIMITS.get(name, (-math.inf, math.inf))
    if isinstance(default, bool):
        return boolean(key, {key: value})
    if isinstance(value, LinearSchedule):
        if name not in ("learning_rate", "clip_range", "clip_range_vf"):
            raise ConfigError(f"{key}: expected a number, got a linear schedule")
        return value
    if isinstance(default, str) and isinstance(value, str):
        return value
    if default is None and value is None:
        return None
    if isinstance(default, int):
        return integer(key, value, low, high)
    return number(key, value, low, high)


def number(key: str, value: Any, low: float, high: float) -> float:
    """A finite number within limits.

    Raises:
        ConfigError: something else.
    """
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not low <= value <= high:
        span = "" if low == -math.inf else f" of at least {low:g}"
        span += "" if high == math.inf else f" and at most {high:g}"
        raise ConfigError(f"{key}: expected a number{span}, got {value!r:.100}")
    return float(value)


def integer(key: str, value: Any, low: float = -math.inf, high: float = math.inf) -> int:
    """An integer within limits; 1e5 is one.

    Raises:
        ConfigError: something else.
    """
    found = number(key, value, low, high)
    if found != int(found):
        raise ConfigError(f"{key}: expected an integer, got {value!r:.100}")
    return int(found)


def boolean(key: str, values: Mapping[str, Any]) -> bool:
    """True or False, as Python or a shell writes them; False where the key is missing.

    Raises:
        ConfigError: something else.
    """
    value = values.get(key, False)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value not in (True, False, None):
        raise ConfigError(f"{key}: expected True or False, got {value!r:.100}")
    return bool(value)


def layer_sizes(key: str, value: Any) -> list[int]:
    """A list of integers of at least 1.

    Raises:
        ConfigError: something else.
    """
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{key}: expected a list, as in [256], got {value!r:.100}")
    return [integer(key, size, 1) for size in value]
