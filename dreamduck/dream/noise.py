"""The chance in a dream, by position: dream (seed, episode), step, and what it decides.

Flow: memory -> [dream] -> control. A dream's chance does not depend on which dreams run beside it, nor
on how many steps are drawn at a time, nor on whether TensorFlow or numpy dreams it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dreamduck.seeding import generator

FloatArray = npt.NDArray[np.float32]

DREAM_KEY = 0x6472  # a stream of its own, apart from what else a seed decides
BEGIN, UNIFORM, NORMAL = 0, 1, 2


class Noise:
    """The random numbers of one dream, in order.

    Args:
        seed: of the candidate, or of the world's episode. episode: which of its dreams.
        z_size: Z.
    """

    def __init__(self, seed: int, episode: int, z_size: int) -> None:
        self.z_size = z_size
        self._key = (seed, DREAM_KEY, episode)
        self._uniform = generator(*self._key, UNIFORM)
        self._normal = generator(*self._key, NORMAL)

    def begin(self) -> tuple[float, FloatArray]:
        """What decides the first latent: a number in [0, 1) and (Z,) standard normal."""
        random = generator(*self._key, BEGIN)
        return float(random.random()), random.standard_normal(self.z_size, dtype=np.float32)

    def draw(self, uniform: FloatArray, normal: FloatArray) -> None:
        """Fill in the next T steps.

        Args:
            uniform: (T, Z + 1), in [0, 1): the Gaussian of each latent, and whether the dream ends.
            normal: (T, Z), standard normal.
        """
        self._uniform.random(dtype=np.float32, out=uniform)
        self._normal.standard_normal(dtype=np.float32, out=normal)
