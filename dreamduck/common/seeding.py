"""Seeds by position: a random stream for each place in the work.

A result then does not depend on how many processes computed it, nor in which order. 0 is a
valid seed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random.bit_generator import ISeedSequence

Words = npt.NDArray[np.uint32]

WORD = 2**32
FEW = 21  # places; fewer are quicker one by one
POOL = 4  # words that a seed sequence mixes all others into
STATE = 8  # words that a PCG64 is started with
HASH_IN = (0x43B0D7E5, 0x931E8875)  # first constant and its multiplier, of what is mixed in
HASH_OUT = (0x8B51F9DD, 0x58F38DED)  # and of what is read out
MIX = (0xCA01F9DD, 0x4973F715)


def sequence(seed: int, *key: int) -> np.random.SeedSequence:
    """The seed sequence at the place `key`, for example (generation, candidate, episode)."""
    return np.random.SeedSequence(seed, spawn_key=key)


def generator(seed: int, *key: int) -> np.random.Generator:
    """A numpy generator for the place `key` under `seed`."""
    return np.random.default_rng(sequence(seed, *key))


def generators(seeds: Sequence[int], keys: Sequence[Sequence[int]]) -> list[np.random.Generator]:
    """`generator(seeds[i], *keys[i])` for each i; many of them in a fraction of the time.

    They draw the same numbers, but those that are made together cannot `spawn` others.

    Args:
        seeds: N of them.
        keys: N of them, all of the same length, 1 or more.
    Raises:
        TypeError: as `generator` does; or the lengths differ.
        ValueError: likewise.
    """
    if len(seeds) < FEW or not _fit_words(seeds) or not _fit_words(itertools.chain.from_iterable(keys)):
        return [generator(seed, *key) for seed, key in zip(seeds, keys, strict=True)]
    words = np.asarray(keys, np.uint32)
    entropy = np.zeros((POOL + words.shape[1], len(seeds)), np.uint32)
    entropy[0], entropy[POOL:] = seeds, words.T
    states = np.ascontiguousarray(_read_out(_mixed(entropy)).T).view(np.uint64)
    # numpy takes any ISeedSequence, its type hints only its own
    streams = (np.random.PCG64(_State(state)) for state in states)  # type: ignore[arg-type]
    return [np.random.Generator(stream) for stream in streams]


def _fit_words(numbers: Iterable[int]) -> bool:
    """Whether each is an integer of one word."""
    return all(isinstance(number, (int, np.integer)) and 0 <= number < WORD for number in numbers)


def derive(seed: int, *key: int) -> int:
    """An integer seed in [0, 2**31) for the place `key`, for libraries that take only that."""
    return int(sequence(seed, *key).generate_state(1)[0] >> 1)


class _State(ISeedSequence):
    """A seed sequence whose words are known."""

    def __init__(self, state: npt.NDArray[np.uint64]) -> None:
        self._state = state

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> npt.NDArray[np.uint64]:
        return self._state


def _hash(constant: int, multiplier: int) -> Callable[[Words], Words]:
    """Numpy's hash of words; each call continues with other constants."""

    def hashed(words: Words) -> Words:
        nonlocal constant
        words = words ^ np.uint32(constant)
        constant = constant * multiplier % WORD
        words = words * np.uint32(constant)
        return words ^ (words >> np.uint32(16))

    return hashed


def _mixed(entropy: Words) -> list[Words]:
    """The pools of N seed sequences, (N,) each, of their entropy (POOL or more, N)."""
    hashed = _hash(*HASH_IN)
    pool = [hashed(words) for words in entropy[:POOL]]

    def mix_in(place: int, words: Words) -> None:
        mixed = np.uint32(MIX[0]) * pool[place] - np.uint32(MIX[1]) * hashed(words)
        pool[place] = mixed ^ (mixed >> np.uint32(16))

    for source in range(POOL):
        for place in range(POOL):
            if place != source:
                mix_in(place, pool[source])
    for words in entropy[POOL:]:
        for place in range(POOL):
            mix_in(place, words)
    return pool


def _read_out(pool: list[Words]) -> Words:
    """The words that generators are started with, (STATE, N)."""
    hashed = _hash(*HASH_OUT)
    return np.stack([hashed(pool[i % POOL]) for i in range(STATE)])
