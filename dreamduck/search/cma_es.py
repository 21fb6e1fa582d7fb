"""CMA-ES by pycma, with a state of plain arrays that continues bit for bit.

Random numbers are drawn by position (seed, generation), so the start and the returns determine
everything else: a saved search is asked and told again from its start, in the time that pycma took before.
Source: Hansen 2016, "The CMA Evolution Strategy: A Tutorial"; pycma 4."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common import seeding
from dreamduck.common.config import check, option
from dreamduck.common.errors import CheckpointError, TrainingError

log = logging.getLogger(__name__)

Vector = npt.NDArray[np.float64]
COVARIANCES = ("full", "diagonal")
SAMPLING = 0  # index of the sampler's random stream under a run's seed


@dataclasses.dataclass(frozen=True)
class EvolutionConfig:
    """Settings of the strategy itself."""

    sigma_init: float = option(0.1, "step size at the start", above=0.0)
    covariance: str = option("diagonal", "learn all covariances, or variances alone", choices=COVARIANCES)
    weight_decay: float = option(
        0.01, "return that a unit of a candidate's mean squared weight costs", low=0.0
    )

    def __post_init__(self) -> None:
        check(self)


class Evolution:
    """A population of thetas: ask for candidates, tell their returns.

    Args:
        size: n, the length of theta.
        population: P, candidates a generation, 2 or more.
        config: settings of the strategy.
        seed: of the whole run.
        start: (n,) the first mean; zeros by default.

    Raises:
        TrainingError: fewer than two candidates or two parameters.
    """

    def __init__(
        self,
        size: int,
        population: int,
        config: EvolutionConfig,
        seed: int = 0,
        start: npt.ArrayLike | None = None,
    ) -> None:
        if population < 2:
            raise TrainingError(f"population: expected 2 candidates or more, got {population}")
        if size < 2:
            raise TrainingError(f"theta: expected 2 parameters or more, got {size}")
        self.size, self.population, self.config, self.seed = size, population, config, seed
        self._es: Any
        self._solutions: Vector | None
        mean = np.zeros(size) if start is None else np.asarray(start, dtype=np.float64)
        self._begin(mean, np.full(size, config.sigma_init), 0)

    def ask(self) -> Vector:
        """The candidates of the next generation, (P, n)."""
        self._stream = seeding.generator(self.seed, SAMPLING, self.generation)
        self._solutions = np.asarray(self._es.ask(), dtype=np.float64)
        return self._solutions.copy()

    def tell(self, rewards: npt.ArrayLike) -> None:
        """Learn from the candidates' returns.

        Args:
            rewards: (P,) mean return of each candidate asked for; more is better.

        Raises:
            TrainingError: a return is not finite, or `ask` did not come before.
        """
        if self._solutions is None:
            raise TrainingError("tell: expected ask before it")
        values = np.array(rewards, dtype=np.float64)
        if values.shape != (self.population,) or not np.isfinite(values).all():
            raise TrainingError(
                f"tell: expected {self.population} finite returns, got {values.tolist()}; "
                "the world model may have diverged"
            )
        cost = self.config.weight_decay * np.mean(self._solutions**2, axis=1) - values
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on options, printed in every generation
            self._es.tell(list(self._solutions), cost.tolist())
        self._solutions = None
        self._told.append(values)
        self.generation += 1

    @property
    def mean(self) -> Vector:
        """(n,) the mean of the search distribution, the best guess under noise."""
        return np.array(self._es.mean)

    @property
    def deviations(self) -> Vector:
        """(n,) the standard deviation of each parameter."""
        return np.array(self._es.stds)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Every number that later generations depend on, as arrays without objects."""
        mean, deviations, first = self._start
        return {
            "seed": np.asarray(self.seed),
            "covariance": np.asarray(self.config.covariance),
            "first": np.asarray(first),
            "start_mean": mean,
            "start_deviations": deviations,
            "returns": np.array(self._told).reshape(-1, self.population),
            "mean": self.mean,
            "deviations": self.deviations,
        }

    def restore(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Continue from what `state` gave.

        Where another processor or pycma rounds differently, the earlier candidates are not reproduced; the
        search then continues from its last mean and deviations, and learns correlations again.

        Raises:
            CheckpointError: the state is of another size or kind of strategy.
        """
        try:
            start = state["start_mean"], state["start_deviations"], int(state["first"])
            returns, mean, deviations = state["returns"], state["mean"], state["deviations"]
            seed, covariance = int(state["seed"]), str(state["covariance"])
        except KeyError as err:
            raise CheckpointError(f"state: {err} is missing; start again with --fresh") from err
        for vector in (*start[:2], mean, deviations):
            if vector.shape != (self.size,):
                raise CheckpointError(f"state: expected {self.size} parameters, got {vector.shape}")
        sound = returns.shape[1:] == (self.population,) and np.isfinite(returns).all()
        if not (sound and np.isfinite(mean).all() and (np.stack([start[1], deviations]) > 0).all()):
            raise CheckpointError("state: expected finite returns and positive deviations; use --fresh")
        if covariance != self.config.covariance:
            raise CheckpointError(
                f"state: expected a {self.config.covariance} covariance, got {covariance}"
            )
        self.seed = seed
        self._begin(*start)
        for rewards in returns:
            self.ask()
            self.tell(rewards)
        if not (np.array_equal(self.mean, mean) and np.array_equal(self.deviations, deviations)):
            log.warning(
                "warning: this machine or pycma rounds differently than the one before; "
                "the search continues from its last mean and step sizes, without correlations"
            )
            self._begin(mean, deviations, self.generation)

    def _begin(self, mean: Vector, deviations: Vector, generation: int) -> None:
        """A new strategy with a mean, deviations and a step size."""
        import cma

        self.generation, self._start = generation, (mean.copy(), deviations.copy(), generation)
        self._told: list[Vector] = []
        self._stream = seeding.generator(self.seed, SAMPLING, generation)
        self._solutions = None
        sigma = float(deviations[0])
        options = {
            "popsize": self.population,
            "verbose": -9,
            "seed": np.nan,  # pycma then leaves numpy's global generator alone
            "randn": lambda *shape: self._stream.standard_normal(shape),
            "CMA_diagonal": self.config.covariance == "diagonal",
            # Above 300 parameters pycma prefers to compare two samples for its step size, which
            # fails with noisy returns; 2019's code used the path length.
            "AdaptSigma": cma.sigma_adaptation.CMAAdaptSigmaCSA,
        }
        if (deviations != sigma).any():
            options["CMA_stds"] = deviations / sigma
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._es = cma.CMAEvolutionStrategy(mean, sigma, options)
