"""The choice of a Gaussian, compiled; here alone, so that an edit elsewhere does not compile it again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.compiled import njit

FloatArray = npt.NDArray[np.float32]


@njit(nogil=True)
def choose(weights: FloatArray, means: FloatArray, logstds: FloatArray, uniform: FloatArray) -> FloatArray:
    """`equations.choose` in one call: for one car numpy's seventeen take a tenth of a step.

    Args:
        weights: (B, K, Z).
        means: (B, K, Z).
        logstds: (B, K, Z).
        uniform: (B, Z).
    Returns:
        Mean and log standard deviation, (2, B, Z).
    """
    rows, mixtures, size = weights.shape
    chosen = np.empty((2, rows, size), means.dtype)
    for row in range(rows):
        for i in range(size):
            total = weights[row, 0, i]
            for k in range(1, mixtures):
                total += weights[row, k, i]
            point, step, choice = uniform[row, i] * total, weights[row, 0, i], 0
            for k in range(1, mixtures):
                if point > step:
                    choice = k
                step += weights[row, k, i]
            chosen[0, row, i], chosen[1, row, i] = means[row, choice, i], logstds[row, choice, i]
    return chosen
