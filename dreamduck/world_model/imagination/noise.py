"""The random numbers of a dream, by position: dream (seed, episode), step, and their use.

A dream's chance does not depend on which dreams run beside it, nor
on how many steps are drawn at a time, nor on whether TensorFlow or numpy dreams it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import generators

FloatArray = npt.NDArray[np.float32]

DREAM_KEY = 0x6472  # keeps this random stream apart from the seed's others
WORD = 64  # bits
POSITION = (2, 6)  # integers that hold the positions of a dream's random streams
STREAMS = 3  # of a dream: its beginning, the uniform and the normal numbers of its steps


class Noise:
    """The random numbers of one dream, in order.

    Args:
        seed: of the candidate, or of the world's episode.
        episode: which of its dreams.
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
        """The first latent's random numbers: one in [0, 1), (Z,) standard normal; always the same."""
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

    def position(self) -> npt.NDArray[np.uint64]:
        """The positions of the step streams, `POSITION` words."""
        return np.array([_words(stream) for stream in (self._uniform, self._normal)], np.uint64)

    def move_to(self, position: npt.NDArray[np.uint64]) -> None:
        """Continue from a saved `position`."""
        for stream, words in zip((self._uniform, self._normal), position.tolist(), strict=True):
            high, low, step_high, step_low, has_half, half = words
            stream.bit_generator.state = {
                "bit_generator": "PCG64",
                "state": {"state": high << WORD | low, "inc": step_high << WORD | step_low},
                "has_uint32": has_half,
                "uinteger": half,
            }


def _words(stream: np.random.Generator) -> list[int]:
    """The state of a PCG64, as words of 64 bits."""
    state: Mapping[str, Any] = stream.bit_generator.state
    numbers = (state["state"]["state"], state["state"]["inc"])
    halves = [part for number in numbers for part in (number >> WORD, number & (1 << WORD) - 1)]
    return [*halves, state["has_uint32"], state["uinteger"]]


def _streams(dreams: Sequence[tuple[int, int]]) -> list[np.random.Generator]:
    """`STREAMS` generators for each dream (seed, episode)."""
    seeds = [seed for seed, _ in dreams for _ in range(STREAMS)]
    return generators(seeds, [(DREAM_KEY, e, stream) for _, e in dreams for stream in range(STREAMS)])
