"""The chance in a dream, by position: dream (seed, episode), step, and what it decides.

A dream's chance does not depend on which dreams run beside it, nor
on how many steps are drawn at a time, nor on whether TensorFlow or numpy dreams it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import generators

FloatArray = npt.NDArray[np.float32]

DREAM_KEY = 0x6472  # a stream of its own, apart from what else a seed decides
STREAMS = 3  # of a dream: its beginning, the uniform and the normal numbers of its steps


class Noise:
    """The random numbers of one dream, in order.

    Args:
        seed: of the candidate, or of the world's episode. episode: which of its dreams.
        z_size: Z.
        streams: where its numbers come from, if they are made already.
    """

    def __init__(
        self, seed: int, episode: int, z_size: int, streams: Sequence[np.random.Generator] = ()
    ) -> None:
        self.z_size = z_size
        self._begin, self._uniform, self._normal = streams or _streams([(seed, episode)])
        self._begun: tuple[float, FloatArray] | None = None

    @classmethod
    def of(cls, dreams: Sequence[tuple[int, int]], z_size: int) -> list[Noise]:
        """Of many dreams (seed, episode) at once, which takes less time than one by one."""
        streams = _streams(dreams)
        return [
            cls(*dream, z_size, streams[STREAMS * i : STREAMS * (i + 1)]) for i, dream in enumerate(dreams)
        ]

    def begin(self) -> tuple[float, FloatArray]:
        """What decides the first latent: a number in [0, 1) and (Z,) standard normal; always the same."""
        if self._begun is None:
            random = self._begin
            self._begun = random.random(), random.standard_normal(self.z_size, dtype=np.float32)
        return self._begun

    def draw(self, uniform: FloatArray, normal: FloatArray) -> None:
        """Fill in the next T steps.

        Args:
            uniform: (T, Z + 1), in [0, 1): the Gaussian of each latent, and whether the dream ends.
            normal: (T, Z), standard normal.
        """
        self._uniform.random(dtype=np.float32, out=uniform)
        self._normal.standard_normal(dtype=np.float32, out=normal)


def _streams(dreams: Sequence[tuple[int, int]]) -> list[np.random.Generator]:
    """`STREAMS` generators for each dream (seed, episode)."""
    seeds = [seed for seed, _ in dreams for _ in range(STREAMS)]
    return generators(seeds, [(DREAM_KEY, e, stream) for _, e in dreams for stream in range(STREAMS)])
