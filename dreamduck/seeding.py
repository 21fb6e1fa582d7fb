"""Seeds by position: a random stream for each place in the work.

A result then does not depend on how many processes computed it, nor in which order. 0 is a
valid seed."""

from __future__ import annotations

import numpy as np


def sequence(seed: int, *key: int) -> np.random.SeedSequence:
    """The seed sequence at the place `key`, for example (generation, candidate, episode)."""
    return np.random.SeedSequence(seed, spawn_key=key)


def generator(seed: int, *key: int) -> np.random.Generator:
    """A numpy generator for the place `key` under `seed`."""
    return np.random.default_rng(sequence(seed, *key))


def derive(seed: int, *key: int) -> int:
    """An integer seed in [0, 2**31) for the place `key`, for libraries that take only that."""
    return int(sequence(seed, *key).generate_state(1)[0] >> 1)
