"""The values that train each world, measured; `--recipe` starts from them.

Flow: [recipes] -> algorithms. Keys are those of 2019. What is said on the command line wins over
these, and these over the defaults. `docs/baselines.md` shows the same table with what came of it; a
test holds the two together."""

from __future__ import annotations

from typing import Any

from dreamduck.baselines.arguments import Falling
from dreamduck.errors import ConfigError

# (algorithm, environment id) -> keys; "num_env" and "network" are flags.
RECIPES: dict[tuple[str, str], dict[str, Any]] = {
    ("ppo2", "CartPole-v1"): {
        "nsteps": 256,
        "nminibatches": 8,
        "noptepochs": 10,
        "lr": 1e-3,
    },
    ("ppo2", "Pendulum-v1"): {
        "num_env": 4,
        "nsteps": 1024,
        "nminibatches": 64,
        "noptepochs": 10,
        "lr": 1e-3,
        "gamma": 0.9,
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
    return dict(RECIPES[algorithm, plain])


__all__ = ["RECIPES", "Falling", "recipe"]
