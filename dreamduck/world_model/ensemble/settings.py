"""How an ensemble is trained.

No TensorFlow is loaded here."""

from __future__ import annotations

import dataclasses

from dreamduck.common.config import check, option


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How an ensemble is trained."""

    series: str = option("series", "folder with series.npz, or the file")
    weights: str = option("weights", "folder of the world model; the ensemble is written there")
    episodes: int = option(800, "greatest number of episodes to learn from", low=1)
    steps: int = option(3000, "batches to learn from", low=1)
    batch_size: int = option(256, "frames of each head in a batch", low=1)
    learning_rate: float = option(0.002, "learning rate of Adam; falls as a cosine", above=0.0)
    heads: int = option(5, "heads", low=2, high=64)
    units: int = option(64, "hidden units of a head", low=1, high=8192)
    seed: int = option(0, "seed of the first weights, bootstrap samples and batches", low=0)

    def __post_init__(self) -> None:
        check(self)
