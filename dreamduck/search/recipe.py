"""The default search in the dream: its settings, and its command.

Short dreams that begin everywhere, along the principal
components of [z, h]; docs/control.md has the reasons."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from dreamduck.common.config import check, from_mapping, option, options, refuse
from dreamduck.common.config import flags as config_flags
from dreamduck.common.extras import require
from dreamduck.controllers.controller_file import RunFiles
from dreamduck.controllers.factory import ROAD_FIELDS, model_actions
from dreamduck.controllers.policy import FEATURES
from dreamduck.pretrained import FOLDER
from dreamduck.recordings.sources import DRIVING, ActionSpace
from dreamduck.world_model import WorldModel
from dreamduck.world_model.imagination.randomization import ACTION_DELAY, LATENT_SHIFT, MOST_DELAY

MAX_SEED = 90_000  # seeds above are those of evaluations
CMA, PPO = OPTIMIZERS = ("cma", "ppo")
PPO_PACKAGES = ("stable_baselines3", "sb3_contrib")  # of the extra "rl"
PPO_STEPS = 600_000  # training steps by default
ROAD_STEPS = 200  # of an episode on the road at most


# Settings of pipelines that one of the optimizers has, and the other has not.
OWN_SETTINGS = {
    CMA: (
        *("features", "components", "population", "num_episode", "generations", "sigma_init"),
        *("end_cost", "weight_decay", "short_steps", "short_generations", "round_generations"),
        *("improve_population", "improve_episodes", "improve_generations", "improve_sigma"),
    ),
    PPO: ("ppo_steps", "round_ppo_steps", "improve_ppo_steps"),
}


def check_optimizer(optimizer: str, said: set[str]) -> None:
    """Refuse settings of another optimizer, and an optimizer that is not installed.

    Args:
        optimizer: one of `OPTIMIZERS`.
        said: the names of the flags that a command line says.
    Raises:
        ConfigError: names the flags of no effect.
        DependencyError: a package is missing.
    """
    for other, names in OWN_SETTINGS.items():
        if other != optimizer:
            refuse(said & {*names}, f"with --optimizer {optimizer}")
    if optimizer == PPO:
        require("rl", PPO_PACKAGES)


def ppo_files(folder: Path, env: str) -> RunFiles:
    """The files of a training by PPO."""
    return RunFiles(folder / f"{env}.{PPO}")


@dataclasses.dataclass(frozen=True)
class RecipeConfig:
    """Settings of a search in the dream."""

    optimizer: str = option(CMA, "of controllers: CMA-ES, or PPO", choices=OPTIMIZERS)
    ppo_steps: int = option(PPO_STEPS, "training steps of PPO, of all dreams together", low=1)
    features: str = option("zh", "features of the controller", choices=FEATURES)
    components: int = option(64, "principal components to search along; 0: every weight", low=0)
    population: int = option(64, "candidates in a generation", low=2)
    num_episode: int = option(32, "dreams of each candidate", low=1)
    dream_steps: int | None = option(
        None, "longest dream; the default depends on the kind of dynamics", low=1
    )
    generations: int = option(150, "generations of the search", low=1)
    sigma_init: float = option(0.1, "first step size of the search", above=0.0)
    end_cost: float = option(3.0, "return that an end costs, for the steps beyond a short dream", low=0.0)
    weight_decay: float = option(0.05, "weight decay of the search", low=0.0)
    action_delay: int = option(0, ACTION_DELAY, unit="steps", low=0, high=MOST_DELAY)
    latent_shift: float = option(0.0, LATENT_SHIFT, low=0.0, high=10.0)
    seed: int | None = option(
        None,
        "seed of recordings, trainings and searches; by default each command's own",
        low=0,
        high=MAX_SEED,
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def flags(self) -> list[str]:
        """The settings as flags, but for those of another optimizer."""
        skip = [name for other, names in OWN_SETTINGS.items() if other != self.optimizer for name in names]
        return config_flags(from_mapping(RecipeConfig, self._own), skip)

    @property
    def _own(self) -> dict[str, Any]:
        """The settings of this class, without those of a derived one."""
        return {name: getattr(self, name) for name in options(RecipeConfig)}

    @property
    def search_flags(self) -> list[str]:
        """The flags of a search from the beginning."""
        return ["--features", self.features, *self._other_flags]

    @property
    def _other_flags(self) -> list[str]:
        """Those of a search that do not shape the controller."""
        return [
            *("-n", str(self.population), "--num_episode", str(self.num_episode)),
            *("--generations", str(self.generations)),
            *(("--max-steps", str(self.dream_steps)) if self.dream_steps else ()),
            *("--seeds", "common"),
            *("--components", str(self.components)),
            *("--covariance", "full" if self.components else "diagonal"),
            *("--sigma_init", str(self.sigma_init), "--end_cost", str(self.end_cost)),
            *("--weight_decay", str(self.weight_decay), *self.search_seed),
            *self._random_flags,
        ]

    @property
    def sweep_flags(self) -> list[str]:
        """The flags of a sweep over temperatures."""
        if self.optimizer == CMA:
            return self.search_flags
        return ["--optimizer", PPO, *self._ppo_flags, *self.search_seed]

    @property
    def _ppo_flags(self) -> list[str]:
        """Those of a training by PPO, but for its seed."""
        return [
            *("--steps", str(self.ppo_steps)),
            *(("--max-steps", str(self.dream_steps)) if self.dream_steps else ()),
            *self._random_flags,
        ]

    @property
    def _random_flags(self) -> list[str]:
        return [
            *(("--action-delay", str(self.action_delay)) if self.action_delay else ()),
            *(("--latent-shift", str(self.latent_shift)) if self.latent_shift else ()),
        ]

    @property
    def seed_flags(self) -> list[str]:
        """The seed of a recording or a training."""
        return [] if self.seed is None else ["--seed", str(self.seed)]

    @property
    def search_seed(self) -> list[str]:
        """The seed of a search."""
        return [] if self.seed is None else ["--seed_start", str(self.seed)]

    def command(
        self, weights: Path, log: Path, temperature: float | None = None, start: Path | None = None
    ) -> list[str]:
        """The search, or the training by PPO, as a command.

        Args:
            weights: folder of the world model.
            log: where it writes.
            temperature: of the dreams; None: that of a search.
            start: the controller that it begins with, whose form it keeps.
        """
        where = ["rnnenv", "--weights", str(weights), "--log", str(log)]
        where += ["--temp", str(temperature)] if temperature is not None else []
        started = [] if start is None else ["--start", str(start)]
        if self.optimizer == PPO:
            return ["dreamduck", "train-controller", *where, *self._ppo_flags, *self.seed_flags, *started]
        return ["train.py", *where, *(self._other_flags + started if started else self.search_flags)]

    def best(self, log: Path) -> Path:
        """The controller that it leaves."""
        if self.optimizer == PPO:
            return ppo_files(log, "rnnenv").path(".best.json")
        return RunFiles.of(log, "rnnenv", self.num_episode, self.population).path(".best.json")


# Defaults of the search commands; see docs/control.md.
DEFAULTS: dict[str, Any] = {
    "features": RecipeConfig.features,
    "components": RecipeConfig.components,
    "covariance": "full",
    "seeds": "common",
    "end_cost": RecipeConfig.end_cost,
    "weight_decay": RecipeConfig.weight_decay,
}


def weights_folder(arguments: argparse.Namespace) -> Path:
    """The folder of the world model that a command line names."""
    return Path(arguments.weights) if arguments.weights else FOLDER


def add_max_steps(parser: argparse._ActionsContainer) -> None:
    """Add the flag `--max-steps`, whose default `max_steps` gives."""
    parser.add_argument(
        *("--max-steps", "--max_steps"),
        type=int,
        help="of an episode at most (default: in the dream what suits the kind of dynamics, on the road "
        f"{ROAD_STEPS})",
    )


def max_steps(arguments: argparse.Namespace, dream: bool = True) -> int:
    """The steps of an episode at most that a command line asks for.

    Args:
        arguments: as they were parsed.
        dream: whether episodes are dreams.
    Raises:
        WeightsError: the card of the world model is missing or damaged.
    """
    if arguments.max_steps is not None:
        return int(arguments.max_steps)
    return WorldModel.load(weights_folder(arguments)).search_steps if dream else ROAD_STEPS


def adapt_to_environment(arguments: argparse.Namespace, said: set[str]) -> ActionSpace:
    """Settings of a command line for a model of another environment than Duckietown's.

    Args:
        arguments: as they were parsed; the cost of an end becomes 0 unless it is said, since the default
            is in metres.
        said: the names of the flags that the command line says.
    Returns:
        The actions of the world model.
    Raises:
        ConfigError: flags of the road were said.
        WeightsError: the card is missing or damaged.
    """
    actions = model_actions(weights_folder(arguments))
    if actions != DRIVING:
        refuse(said & ROAD_FIELDS, "with a model of another environment than Duckietown's")
        if "end_cost" not in said:
            arguments.end_cost = 0.0
    return actions
