"""Values of the command line, checked one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dreamduck.common.errors import ConfigError
from dreamduck.rl.arguments import LinearSchedule

# Limits of what people set most, by the engine's names: least, most.
LIMITS: dict[str, tuple[float, float]] = {
    "n_steps": (1, math.inf),
    "batch_size": (1, math.inf),
    "n_epochs": (1, math.inf),
    "learning_rate": (0, math.inf),
    "clip_range": (1e-9, math.inf),
    "gamma": (0, 1),
    "gae_lambda": (0, 1),
    "ent_coef": (0, math.inf),
    "vf_coef": (0, math.inf),
    "max_grad_norm": (0, math.inf),
    "tau": (0, 1),
    "buffer_size": (1, math.inf),
    "learning_starts": (0, math.inf),
    "train_freq": (1, math.inf),
    "gradient_steps": (-1, math.inf),
    "exploration_fraction": (0, 1),
    "exploration_final_eps": (0, 1),
    "target_update_interval": (1, math.inf),
    "target_kl": (0, math.inf),
    "cg_max_steps": (1, math.inf),
    "n_critic_updates": (1, math.inf),
}


def fitting(key: str, name: str, value: Any, default: Any) -> Any:
    """The value, of the kind that the engine's default has, and within its limits.

    Args:
        key: as it was said. name: the engine's.
    Raises:
        ConfigError: it is not.
    """
    low, high = LIMITS.get(name, (-math.inf, math.inf))
    if isinstance(default, bool):
        return truth(key, {key: value})
    if isinstance(value, LinearSchedule):
        if name not in ("learning_rate", "clip_range", "clip_range_vf"):
            raise ConfigError(f"{key}: expected a number, got one that falls")
        return value
    if isinstance(default, str) and isinstance(value, str):
        return value
    if default is None and value is None:
        return None
    if isinstance(default, int):
        return whole(key, value, low, high)
    return number(key, value, low, high)


def number(key: str, value: Any, low: float, high: float) -> float:
    """A finite number within limits.

    Raises:
        ConfigError: it is not.
    """
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not low <= value <= high:
        span = "" if low == -math.inf else f" of at least {low:g}"
        span += "" if high == math.inf else f" and at most {high:g}"
        raise ConfigError(f"{key}: expected a number{span}, got {value!r:.100}")
    return float(value)


def whole(key: str, value: Any, low: float = -math.inf, high: float = math.inf) -> int:
    """An integer within limits; 1e5 is one.

    Raises:
        ConfigError: it is not.
    """
    found = number(key, value, low, high)
    if found != int(found):
        raise ConfigError(f"{key}: expected an integer, got {value!r:.100}")
    return int(found)


def truth(key: str, values: Mapping[str, Any]) -> bool:
    """True or False, as Python or a shell writes them; False where the key is missing.

    Raises:
        ConfigError: it is neither.
    """
    value = values.get(key, False)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value not in (True, False, None):
        raise ConfigError(f"{key}: expected True or False, got {value!r:.100}")
    return bool(value)


def sizes(key: str, value: Any) -> list[int]:
    """A list of integers of at least 1.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{key}: expected a list, as in [256], got {value!r:.100}")
    return [whole(key, size, 1) for size in value]
