"""CMA-ES by pycma, with a state that can be saved and taken up again bit for bit.

pycma offers a pickle of its object; here every number
that its next generation depends on is read out into plain arrays instead. Random numbers are drawn
by position (seed, generation), so that the random state is a number of the state as well.
Source: Hansen 2016, "The CMA Evolution Strategy: A Tutorial"; pycma 4."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common import seeding
from dreamduck.common.config import check, option
from dreamduck.common.errors import CheckpointError, TrainingError

Vector = npt.NDArray[np.float64]
COVARIANCES = ("full", "diagonal")
SAMPLING = 0  # the place of the sampler's random stream under a run's seed

# Where pycma (4.x) keeps what lasts from one generation to the next. Attributes that one kind of
# strategy has and another lacks are saved where they are there.
PATHS = (
    *("countiter", "countevals", "itereigenupdated", "sigma", "_sigma_old", "number_of_injections"),
    *("number_of_injections_delivered", "_isotropic_mean_shift_iteration", "_isotropic_mean_shift"),
    *("mean", "mean_old", "mean_old_old", "mean_after_tell", "pc", "pc2", "pc_neg", "dC"),
    *("pop_sorted", "pop_injection_directions", "_mirrormethod1_done"),
    "_indices_of_selective_mirrors",
    *("sigma_vec.scaling", "sigma_vec.dim", "sigma_vec.is_identity"),
    *("sm.C", "sm.B", "sm.D", "sm.last_update", "sm.count_tell", "sm.count_eigen"),
    *("sm._corr_condition", "sm._corr_condition_count_eigen", "sm._beta_diagonal_acceleration"),
    "sm.standard_deviations",
    *("adapt_sigma.ps", "adapt_sigma.delta", "adapt_sigma._ps_updated_iteration"),
    "adapt_sigma._last_multiplier",
    *(
        "fit.fit",
        "fit.idx",
        "fit.hist",
        "fit.histbest",
        "fit.histmedian",
        "fit.median",
        "fit.median0",
        "fit.median_min",
    ),
    *("fit.median_previous", "fit.median_got_worse", "fit.flatfit_iterations"),
    *("best.f", "best.x", "best.x_geno", "best.evals", "best.evalsall", "best.compared"),
    *("best.last.f", "best.last.x", "_stoptolxstagnation.x"),
    *("_stoptolxstagnation.count", "_stoptolxstagnation.count_x"),
)


@dataclasses.dataclass(frozen=True)
class EvolutionConfig:
    """Settings of the strategy itself."""

    sigma_init: float = option(0.1, "step size at the start", above=0.0)
    covariance: str = option("diagonal", "learn all covariances, or variances alone", choices=COVARIANCES)
    weight_decay: float = option(
        0.01, "taken off a candidate's return for each unit of its mean squared weight", low=0.0
    )

    def __post_init__(self) -> None:
        check(self)


class Evolution:
    """A population of thetas: ask for candidates, tell their returns.

    Args:
        size: n, the length of theta.
        population: P, candidates a generation, 2 or more.
        seed: of the whole run.
        start: (n,) the first mean; zeros by default.
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
        self.generation = 0
        self._stream = seeding.generator(seed, SAMPLING, 0)
        self._solutions: Vector | None = None
        mean = np.zeros(size) if start is None else np.asarray(start, dtype=np.float64)
        self._es = self._make(mean)

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
        values = np.asarray(rewards, dtype=np.float64)
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
        state: dict[str, npt.NDArray[Any]] = {
            "generation": np.asarray(self.generation),
            "seed": np.asarray(self.seed),
        }
        for path in PATHS:
            holder, name = _find(self._es, path)
            value = getattr(holder, name, _ABSENT)
            if value is not _ABSENT and value is not None:
                state[_key(path, value)] = np.asarray(value)
        return state

    def restore(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Go on from what `state` gave.

        Raises:
            CheckpointError: the state is of another size or kind of strategy.
        """
        try:
            if state["array:mean"].shape != (self.size,):
                raise CheckpointError(
                    f"state: expected {self.size} parameters, got {state['array:mean'].shape[0]}"
                )
            if ("array:sm.C" in state) != (self.config.covariance == "full"):
                raise CheckpointError(f"state: expected a {self.config.covariance} covariance, got another")
            self.generation, self.seed = int(state["generation"]), int(state["seed"])
        except KeyError as err:
            raise CheckpointError(f"state: {err} is missing; start anew with --fresh") from err
        self._solutions = None
        self._es = self._make(np.zeros(self.size))
        for path in PATHS:
            holder, name = _find(self._es, path)
            if name in vars(holder) and isinstance(vars(holder)[name], np.ndarray):
                delattr(holder, name)  # what was absent then must be absent now
        for key, array in state.items():
            kind, _, path = key.partition(":")
            if path and path not in PATHS:
                raise CheckpointError(f"state: unknown {key[:40]!r}; start anew with --fresh")
            if path:
                holder, name = _find(self._es, path)
                setattr(holder, name, _value(kind, array))
        self._es._updateBDfromSM(self._es.sm)
        if self.generation:
            self._es.timer = _timer()  # pycma makes it at the first ask only

    def _make(self, mean: Vector) -> Any:
        import cma

        options = {
            "popsize": self.population,
            "verbose": -9,
            "seed": np.nan,  # pycma then leaves numpy's global generator alone
            "randn": lambda *shape: self._stream.standard_normal(shape),
            "CMA_diagonal": self.config.covariance == "diagonal",
            # Above 300 parameters pycma prefers to compare two samples for its step size, which
            # noise in the returns leads astray; the path length is what the original used.
            "AdaptSigma": cma.sigma_adaptation.CMAAdaptSigmaCSA,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return cma.CMAEvolutionStrategy(mean, self.config.sigma_init, options)


_ABSENT = object()


def _timer() -> Any:
    from cma.utilities.utils import ElapsedWCTime

    return ElapsedWCTime()


def _find(root: Any, path: str) -> tuple[Any, str]:
    """The object that holds the last name of a dotted path, and that name."""
    *parents, name = path.split(".")
    for parent in parents:
        root = getattr(root, parent)
    return root, name


def _key(path: str, value: Any) -> str:
    """A name for the array, with the kind that it must come back as."""
    if isinstance(value, np.ndarray):
        return f"array:{path}"
    if isinstance(value, (list, range)):
        rows = bool(value) and isinstance(value[0], np.ndarray)
        return f"{'rows' if rows else 'list'}:{path}"
    plain = isinstance(value, (bool, int, float)) and not isinstance(value, np.generic)
    return f"{'plain' if plain else 'value'}:{path}"


def _value(kind: str, array: npt.NDArray[Any]) -> Any:
    if kind == "rows":
        return [row.copy() for row in array]
    if kind == "list":
        return array.tolist()
    if kind == "plain":
        return array.item()
    # The memory order decides how BLAS sums, hence the last bits: it is kept.
    return array.copy(order="K") if kind == "array" else array[()]
