"""Start states of dreams: the starts of recorded episodes (`initial_z.json`), or any step (`midway.npz`).

The first file is in the original's form: a list of mus and a list of
logvars, each value times 10,000 and rounded to an integer. The second holds mu, logvar and the
recurrent state after some real steps: dreams are true for a few seconds, and those that begin
anywhere show a controller everything within that time. Source: WorldModelsExperiments for the first;
Hafner et al. 2020, "Dream to Control", for the second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import WeightsError
from dreamduck.common.readers import JSON_LEGACY_BYTES, to_float32
from dreamduck.common.seeding import generator
from dreamduck.common.storage import PathLike, read_json, read_npz, write_json, write_npz
from dreamduck.world_model.dynamics.interface import Dynamics
from dreamduck.world_model.dynamics.state import DynamicsSizes, FloatArray, RecurrentState
from dreamduck.world_model.latents import Series

FIRST, MIDWAY = BEGINNINGS = ("first", "midway")
INITIAL_FILE, MIDWAY_FILE = "initial_z.json", "midway.npz"
SCALE = 10_000
MOST = 1000  # as many as the original keeps
MIDWAY_STARTS = 1000  # that are kept in `midway.npz`
AT_ONCE = 0.3  # of them at an episode's first step: who cannot start does not come to drive
SEEN = 20  # real steps before such a one, or as many as there are
PLACES = 4  # the stream that chooses them
LOGVAR_LIMIT = 50.0  # beyond it, half of it in an exponential leaves what float32 can hold


class InitialZ(NamedTuple):
    """First latents of N dreams, and the recurrent state before them."""

    mu: FloatArray  # (N, Z)
    logvar: FloatArray  # (N, Z)
    h: FloatArray | None = None  # (N, H); None where episodes begin
    c: FloatArray | None = None  # (N, C)

    def draw(self, uniform: npt.ArrayLike, normal: FloatArray) -> FloatArray:
        """Some of them, each drawn from its Gaussian.

        Args:
            uniform: (...), in [0, 1), chooses the episode.
            normal: (..., Z), standard normal.
        Returns:
            z: (..., Z) float32.
        """
        rows = self._rows(uniform)
        return self.mu[rows] + np.exp(self.logvar[rows] * np.float32(0.5)) * normal

    def recall(self, uniform: npt.ArrayLike, sizes: DynamicsSizes) -> RecurrentState:
        """The recurrent states that belong to the latents which the same numbers draw.

        Args:
            uniform: (...), as `draw` had it.
            sizes: of the dynamics.
        Returns:
            (..., H) and (..., C).
        """
        rows = self._rows(uniform)
        if self.h is None or self.c is None:
            widths = sizes.hidden_size, sizes.cell_size
            return RecurrentState(*(np.zeros((*rows.shape, width), np.float32) for width in widths))
        return RecurrentState(self.h[rows], self.c[rows])

    def _rows(self, uniform: npt.ArrayLike) -> npt.NDArray[np.intp]:
        rows = (np.asarray(uniform, np.float64) * len(self.mu)).astype(np.intp)
        return np.minimum(rows, len(self.mu) - 1)


def read_initial(path: PathLike) -> InitialZ:
    """Read an `initial_z.json`.

    Raises:
        WeightsError: it is missing, damaged or of another form.
    """
    value = read_json(path, WeightsError, most=JSON_LEGACY_BYTES)
    form = "a list of mus and a list of logvars, integers (value x 10,000)"
    if not isinstance(value, list) or len(value) != 2:
        raise WeightsError(f"{path}: expected {form}; write it again with dreamduck train-rnn")
    try:
        mu, logvar = (np.asarray(part, dtype=np.float64) / SCALE for part in value)
    except (TypeError, ValueError, OverflowError) as err:
        raise WeightsError(
            f"{path}: expected {form} ({err}); write it again with dreamduck train-rnn"
        ) from err
    if mu.ndim != 2 or mu.shape != logvar.shape or 0 in mu.shape:
        raise WeightsError(f"{path}: mus {mu.shape} and logvars {logvar.shape}, expected (N, Z) of both")
    narrow = to_float32(mu)
    if not (np.isfinite(narrow).all() and np.abs(logvar).max() <= LOGVAR_LIMIT):
        raise WeightsError(f"{path}: expected finite numbers, and logvars within {LOGVAR_LIMIT:g}")
    return InitialZ(narrow, logvar.astype(np.float32))


def write_initial(path: PathLike, initial: InitialZ, most: int = MOST) -> None:
    """Write an `initial_z.json`.

    Args:
        most: no more than so many, spread evenly over what is given.
    """
    count = len(initial.mu)
    rows = np.arange(count) if count <= most else np.linspace(0, count - 1, most).astype(int)
    parts = (initial.mu, np.clip(initial.logvar, -LOGVAR_LIMIT, LOGVAR_LIMIT))
    values = [np.rint(part[rows].astype(np.float64) * SCALE).astype(int).tolist() for part in parts]
    write_json(path, values, indent=None)


def begin(
    dynamics: Dynamics, initial: InitialZ, uniform: npt.ArrayLike, normal: FloatArray
) -> tuple[FloatArray, RecurrentState]:
    """The first latents and states of N dreams.

    Args:
        dynamics: what is dreamt.
        initial: where dreams begin.
        uniform: (N,), in [0, 1).
        normal: (N, Z), standard normal.
    Returns:
        (N, Z), and the state.
    """
    z = np.clip(initial.draw(uniform, normal), *dynamics.bounds)
    return z, dynamics.observe(z, initial.recall(uniform, dynamics.config))


def find_midway(dynamics: Dynamics, series: Series, episodes: Sequence[int], seed: int = 0) -> InitialZ:
    """Start states from any step but the last of these episodes; some from the first.

    Args:
        dynamics: which have seen the steps before.
        series: of encoded episodes.
        episodes: which.
        seed: chooses the steps.
    """
    random = generator(seed, PLACES)
    lengths = np.maximum(series.lengths[list(episodes)] - 1, 1)
    steps = np.sort(random.integers(lengths.sum(), size=MIDWAY_STARTS))
    number = np.searchsorted(np.cumsum(lengths), steps, "right")
    first = series.offsets[:-1][list(episodes)][number]
    last = first + steps - (np.cumsum(lengths) - lengths)[number]
    last = np.where(random.random(MIDWAY_STARTS) < AT_ONCE, first, last)
    state = dynamics.start(MIDWAY_STARTS)
    for back in range(SEEN, 0, -1):
        rows = np.flatnonzero(last - back >= first)
        if len(rows):
            seen = last[rows] - back
            before = dynamics.observe(series.mu[seen], state.rows(rows))
            state.put(rows, dynamics.advance(series.mu[seen], series.action[seen], before))
    return InitialZ(series.mu[last], series.logvar[last], state.h, state.c)


def write_midway(path: PathLike, initial: InitialZ) -> None:
    """Write a `midway.npz`, at half precision."""
    write_npz(path, {name: np.asarray(part, np.float16) for name, part in initial._asdict().items()})


def read_midway(path: PathLike, sizes: DynamicsSizes) -> InitialZ:
    """Read a `midway.npz` of dynamics of these sizes.

    Raises:
        WeightsError: it is missing, damaged, or of others.
    """
    arrays = read_npz(path, WeightsError)
    widths = {"mu": sizes.z_size, "logvar": sizes.z_size, "h": sizes.hidden_size, "c": sizes.cell_size}
    count = len(arrays["mu"]) if arrays.get("mu", np.zeros(())).ndim else 0
    for name, size in widths.items():
        array = arrays.get(name)
        if array is None or not count or array.shape != (count, size) or array.dtype.kind != "f":
            found = "none" if array is None else f"{array.dtype} {array.shape}"
            raise WeightsError(
                f"{path}: {name}: expected numbers (N, {size}), got {found}; "
                "write it with dreamduck train-rnn"
            )
        arrays[name] = to_float32(array)
        if not np.isfinite(arrays[name]).all():
            raise WeightsError(
                f"{path}: {name} has numbers that are not finite; write it with dreamduck train-rnn"
            )
    return InitialZ(*(arrays[name] for name in InitialZ._fields))
