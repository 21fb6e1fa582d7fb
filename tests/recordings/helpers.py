"""Made-up episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.recordings import Episode, write_episode


def episode(length: int = 12, seed: int = 0, ends: bool = False, **meta: Any) -> Episode:
    """A drive past a yellow line that moves to and fro."""
    random = np.random.default_rng(seed)
    obs = np.full((length, 64, 64, 3), 90, np.uint8)
    obs[:, :20] = random.integers(120, 250, 3)
    offset = np.cumsum(random.normal(0, 0.01, length))
    for frame, column in zip(obs, np.clip(30 + 100 * offset, 0, 58).astype(int), strict=True):
        frame[20:, column : column + 6] = (220, 200, 40)
    done = np.zeros(length, np.bool_)
    done[-1] = ends
    telemetry = np.zeros((length, 8), np.float32)
    telemetry[:, 0], telemetry[:, 1], telemetry[:, 2] = offset, 0.1 * offset, 0.3
    return Episode(
        obs=obs,
        action=random.uniform(-1, 1, (length, 2)).astype(np.float32),
        reward=random.normal(0.02, 0.01, length).astype(np.float32),
        done=done,
        telemetry=telemetry,
        meta={"map_name": "loop_empty", "seed": seed, "policy": "test", "end": "", **meta},
    )


def folder_of_episodes(folder: Path, lengths: list[int]) -> Path:
    """Episodes 0, 1, ... of these lengths in a folder."""
    for seed, length in enumerate(lengths):
        write_episode(folder / f"{seed}.npz", episode(length, seed))
    return folder
