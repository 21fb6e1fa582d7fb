"""Settings of the evaluation card, and the sample sizes of the full and the short card."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from dreamduck.common.config import check, option
from dreamduck.common.errors import ConfigError

VERSION = 2  # of `card/model.json`
HORIZONS = (0.5, 1.0, 2.0, 3.0, 5.0)  # [s], of the state
LAG = 0.5  # [s] over which motion is read
MIN_EPISODES = 4


class Sizes(NamedTuple):
    """Sample sizes of a card.

    Attributes:
        train_episodes: that the probes learn from.
        held_out_episodes: that the sections measure on.
        unseen_episodes: likewise, on maps never recorded.
        episode_steps: longest episode that the card records.
        probe_epochs: passes over the probes' training frames.
        horizon_windows: dreamt parts of each held-out episode, at most.
        steering_starts: states that commands start from.
        steering_dreams: dreams of each start and command.
        still_starts: states that standing still starts from.
        distribution_episodes: of each policy whose frames are compared.
        distribution_seconds: at which they are compared [s].
        ranking_episodes: of each policy in the ranking, on the road and in the dream.
        ranking_seconds: after which these are cut [s].
    """

    train_episodes: int
    held_out_episodes: int
    unseen_episodes: int
    episode_steps: int
    probe_epochs: int
    horizon_windows: int
    steering_starts: int
    steering_dreams: int
    still_starts: int
    distribution_episodes: int
    distribution_seconds: tuple[float, ...]
    ranking_episodes: int
    ranking_seconds: float


FULL = Sizes(
    train_episodes=200,
    held_out_episodes=80,
    unseen_episodes=40,
    episode_steps=150,
    probe_epochs=12,
    horizon_windows=2,
    steering_starts=24,
    steering_dreams=4,
    still_starts=48,
    distribution_episodes=144,
    distribution_seconds=(1.0, 5.0, 10.0, 30.0, 60.0),
    ranking_episodes=100,
    ranking_seconds=30.0,
)
SHORT = Sizes(
    train_episodes=96,
    held_out_episodes=24,
    unseen_episodes=12,
    episode_steps=120,
    probe_epochs=8,
    horizon_windows=1,
    steering_starts=8,
    steering_dreams=2,
    still_starts=12,
    distribution_episodes=48,
    distribution_seconds=(1.0, 5.0, 10.0, 30.0),
    ranking_episodes=10,
    ranking_seconds=20.0,
)


@dataclasses.dataclass(frozen=True)
class ModelCardConfig:
    """The model, the episodes and the sample sizes of the card."""

    weights: str = option("", "folder of the world model; the one that ships by default", flags=("-w",))
    records: str = option("", "folder of recorded episodes; by default the card records its own")
    out: str = option("card", "folder for model.json, model.md and the figures")
    compare: tuple[str, ...] = option((), "folders of world models to put side by side")
    short: bool = option(False, "smaller samples: minutes instead of a quarter of an hour")
    seed: int = option(0, "seed of the recorded episodes and of all dreams", low=0, high=2**31 - 1)
    temperature: float | None = option(
        None,
        "uncertainty of the dream; by default what suits its kind of dynamics",
        above=0.0,
        flags=("--temp",),
    )
    episodes: int = option(0, "held-out episodes to measure on; 0: as many as the card's size", low=0)
    dreams: int = option(16, "dreams of each held-out episode", low=2)
    warmup: int = option(20, "real frames before a dream", unit="frames", low=1)

    def __post_init__(self) -> None:
        check(self)
        if 0 < self.episodes < MIN_EPISODES:
            raise ConfigError(f"episodes: expected at least {MIN_EPISODES}, got {self.episodes}")

    @property
    def sizes(self) -> Sizes:
        """The sample sizes."""
        found = SHORT if self.short else FULL
        return found._replace(held_out_episodes=self.episodes) if self.episodes else found
