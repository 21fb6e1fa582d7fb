"""Where dreams begin: the first latents of recorded episodes, `initial_z.json`.

Flow: series -> [memory] -> dream. The file is in the original's form: a list of mus and a list of
logvars, each value times 10,000 and rounded to a whole number. Source: WorldModelsExperiments."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dreamduck.errors import WeightsError
from dreamduck.memory.layout import FloatArray
from dreamduck.storage import PathLike, read_json, write_json

SCALE = 10_000
MOST = 1000  # as many as the original keeps
LOGVAR_LIMIT = 50.0  # beyond it, half of it in an exponential leaves what float32 can hold


class InitialZ(NamedTuple):
    """First latents of N episodes."""

    mu: FloatArray  # (N, Z)
    logvar: FloatArray  # (N, Z)

    def draw(self, uniform: float, normal: FloatArray) -> FloatArray:
        """One of them, drawn from its Gaussian.

        Args:
            uniform: in [0, 1), chooses the episode. normal: (Z,), standard normal.
        Returns:
            z: (Z,) float32.
        """
        row = min(int(uniform * len(self.mu)), len(self.mu) - 1)
        return self.mu[row] + np.exp(self.logvar[row] * np.float32(0.5)) * normal


def read_initial(path: PathLike) -> InitialZ:
    """Read an `initial_z.json`.

    Raises:
        WeightsError: it is missing, damaged or of another form.
    """
    value = read_json(path, WeightsError)
    form = "a list of mus and a list of logvars, whole numbers (value x 10,000)"
    if not isinstance(value, list) or len(value) != 2:
        raise WeightsError(f"{path}: expected {form}; write it again with rnn_train.py")
    try:
        mu, logvar = (np.asarray(part, dtype=np.float64) / SCALE for part in value)
    except (TypeError, ValueError, OverflowError) as err:
        raise WeightsError(f"{path}: expected {form} ({err}); write it again with rnn_train.py") from err
    if mu.ndim != 2 or mu.shape != logvar.shape or 0 in mu.shape:
        raise WeightsError(f"{path}: mus {mu.shape} and logvars {logvar.shape}, expected (N, Z) of both")
    if not (np.isfinite(mu).all() and np.abs(logvar).max() <= LOGVAR_LIMIT):
        raise WeightsError(f"{path}: expected finite numbers, and logvars within {LOGVAR_LIMIT:g}")
    return InitialZ(mu.astype(np.float32), logvar.astype(np.float32))


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
