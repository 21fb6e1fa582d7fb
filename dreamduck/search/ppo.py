"""Settings of the training of a controller by PPO."""

from __future__ import annotations

import dataclasses

from dreamduck.common.config import check, option, part
from dreamduck.controllers.factory import ENVS
from dreamduck.search.recipe import MAX_SEED, PPO_STEPS
from dreamduck.world_model.dynamics import BEGINNINGS
from dreamduck.world_model.imagination.randomization import RandomizationConfig

WORLDS = {ENVS[0]: "DreamDuck-v2", ENVS[1]: "DreamDuck-v1"}
# at a time; real ones are heavier than dreams
NUM_ENV = {ENVS[0]: 64, ENVS[1]: 16}


@dataclasses.dataclass(frozen=True)
class PPOConfig:
    """Settings of the training of a controller."""

    steps: int = option(PPO_STEPS, "training steps of all dreams, or environments, together", low=1)
    hidden: int = option(64, "units of the controller's hidden layer", low=1, high=4096)
    num_env: int | None = option(
        None,
        f"dreams or environments at a time (default: {NUM_ENV[ENVS[0]]} dreams, "
        f"{NUM_ENV[ENVS[1]]} environments)",
        low=1,
        high=4096,
    )
    learning_rate: float = option(3e-4, "learning rate at first; falls linearly to 0", above=0.0)
    gamma: float = option(0.99, "discount of a step", above=0.0, high=1.0)
    entropy: float | None = option(
        None, "weight of the entropy (default: 0.01 for discrete actions, else 0)", low=0.0
    )
    max_steps: int | None = option(
        None, "of an episode at most (default: as long as the environment lets it last)", low=1
    )
    beginning: str = option(
        "first", "dreams begin as recorded episodes do, or anywhere in them", choices=BEGINNINGS
    )
    randomization: RandomizationConfig = part(RandomizationConfig)
    seed: int | None = option(None, "seed of everything random", low=0, high=MAX_SEED)

    def __post_init__(self) -> None:
        check(self)
