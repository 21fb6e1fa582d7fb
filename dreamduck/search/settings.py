"""Settings of a search; the names are the original's where it has them."""

from __future__ import annotations

import dataclasses

from dreamduck.common.config import check, option
from dreamduck.common.errors import ConfigError
from dreamduck.search.cma_es import EvolutionConfig
from dreamduck.world_model.dynamics import BEGINNINGS
from dreamduck.world_model.imagination.randomization import (
    ACTION_DELAY,
    DYNAMICS_SPREAD,
    LATENT_SHIFT,
    MOST_DELAY,
    MOST_SPREAD,
    RandomizationConfig,
)

SEED_MODES = ("antithetic", "independent", "common")
# Settings that may differ when a run resumes: they change only its length.
FREE = ("generations", "time_limit")
# Settings that older states do not have; these are the values that those were made with.
NEWER = {"action_delay": 0, "latent_shift": 0.0, "dynamics_spread": 1.0}


@dataclasses.dataclass(frozen=True)
class SearchConfig(EvolutionConfig):
    """Settings of a search; the names are the original's where it has them."""

    num_worker: int = option(64, "workers to count the population by", low=1, flags=("-n",))
    num_worker_trial: int = option(1, "candidates for each of them", low=1, flags=("-t",))
    num_episode: int = option(16, "episodes for each candidate", low=1)
    eval_steps: int = option(25, "generations between evaluations of the mean", low=1)
    seed_start: int = option(111, "seed of the whole run", low=0, flags=("-s",))
    seeds: str = option(
        "antithetic",
        "episodes of candidates i and i + P/2 are the same, each has its own, or all have the same",
        choices=SEED_MODES,
    )
    generations: int = option(100, "stop after this many generations; 0 for no end", low=0)
    time_limit: float = option(0.0, "stop this process after this time; 0 for no end", unit="s", low=0.0)
    max_steps: int = option(1000, "greatest length of an episode [steps]", low=1)
    cap_time: int = option(
        0, "1 cuts episodes at twice the mean length of the generation before", choices=(0, 1)
    )
    block: int = option(0, "candidates evaluated in one call; 0 chooses", low=0)
    end_cost: float = option(
        0.0,
        "return that an end before the step limit costs, for the steps that are lost",
        low=0.0,
    )
    beginning: str = option(
        "midway", "dreams start at the first or at any step of recorded episodes", choices=BEGINNINGS
    )
    pessimism: float = option(
        0.0,
        "reward that a unit of the world model's uncertainty costs in a dreamt step; needs "
        "dreamduck train-ensemble",
        low=0.0,
    )
    action_delay: int = option(
        RandomizationConfig.action_delay, ACTION_DELAY, unit="steps", low=0, high=MOST_DELAY
    )
    dynamics_spread: float = option(
        RandomizationConfig.dynamics_spread, DYNAMICS_SPREAD, above=0.0, high=MOST_SPREAD
    )
    latent_shift: float = option(RandomizationConfig.latent_shift, LATENT_SHIFT, low=0.0, high=10.0)
    components: int = option(0, "number of principal components to search along; 0: every weight", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self)
        if self.population < 2:
            raise ConfigError(
                f"population: expected 2 or more, got {self.num_worker} workers times "
                f"{self.num_worker_trial}; give a greater -n or -t"
            )
        if self.seeds == "antithetic" and self.population % 2:
            raise ConfigError(
                f"population: antithetic seeds need an even number, got {self.population}; "
                "choose another -n or -t, or --seeds independent"
            )

    @property
    def population(self) -> int:
        """P, candidates in a generation."""
        return self.num_worker * self.num_worker_trial
