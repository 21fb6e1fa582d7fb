"""The algorithms by name, and which keys each of them takes.

No PyTorch is loaded here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from dreamduck.common.errors import ConfigError
from dreamduck.rl.defaults import ALIASES, GONE, NORMALIZED, TABLE, Algorithm

NETWORK_KEYS = ("num_layers", "num_hidden", "activation", "layer_norm", "nlstm", "convs", "pad", "depths")
ON_POLICY_KEYS = ["log_interval", "save_interval", "value_network", "log_std_init"]


def find(name: str) -> Algorithm:
    """The algorithm of that name.

    Raises:
        ConfigError: unknown, or gone.
    """
    plain = name.lower()
    if plain in GONE:
        raise ConfigError(f"alg: {name} is not here: {GONE[plain]}")
    plain = ALIASES.get(plain, plain)
    if plain not in TABLE:
        raise ConfigError(f"alg: expected one of {', '.join(TABLE)}, got {name!r:.100}")
    return TABLE[plain]


def defaults(algorithm: Algorithm, env_type: str) -> dict[str, Any]:
    """What 2019 started from in an environment of that type, by names of 2019."""
    return {**algorithm.defaults, **NORMALIZED.get(env_type, {}), **algorithm.by_type.get(env_type, {})}


def check_keys(algorithm: Algorithm, given: Mapping[str, Any], constructor: Mapping[str, Any]) -> None:
    """Refuse what the algorithm does not take, and say what to use.

    Args:
        given: keys and values from the command line.
        constructor: the names that the engine's constructor takes, with their defaults.
    Raises:
        ConfigError: a key is unknown, or has no counterpart.
    """
    known = known_keys(algorithm, constructor)
    for key, value in given.items():
        if key in algorithm.refused:
            if key in algorithm.harmless and value == algorithm.harmless[key]:
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
