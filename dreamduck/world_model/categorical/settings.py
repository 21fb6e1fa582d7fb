"""How the categorical state-space model is trained.

No TensorFlow is loaded here, so that `dreamduck train-rnn -h` answers at once."""

from __future__ import annotations

import dataclasses
from typing import Any

from dreamduck.common.config import check, option
from dreamduck.common.precision import PRECISION_HELP, PRECISIONS, SINGLE
from dreamduck.world_model.categorical.layout import CategoricalConfig
from dreamduck.world_model.mdn_rnn.settings import ADAPT, START, check_given, check_one_source

STANDING_ROWS = 0.1


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How the categorical state-space model is trained."""

    series: str = option("series", "folder with series.npz, or the file")
    weights: str = option("weights", "folder that the weights, their card and the checkpoint go to")
    log: str = option("log", "folder for metrics")
    steps: int = option(5_000, "batches to learn from", low=1)
    batch_size: int = option(64, "windows of episodes in a batch", low=1)
    sequence: int = option(100, "steps of a window", low=1)
    learning_rate: float = option(0.001, "of Adam; rises for 100 steps, then falls as a cosine", above=0.0)
    grad_clip: float = option(100.0, "greatest norm of the gradient, over all weights", above=0.0)
    end_weight: float = option(10.0, "weight of a step that ends an episode, relative to others", above=0.0)
    reward_weight: float = option(1.0, "weight of the reward's loss, relative to the others", low=0.0)
    noise_level: float = option(
        0.5, "greatest noise on the input latents, in standard deviations of each", low=0.0
    )
    prior_rows: float = option(
        0.25,
        "share of a batch that continues for 10 steps with draws of the prior; "
        "standing cars do so until their window ends",
        low=0.0,
        high=1.0,
    )
    standing_rows: float | None = option(
        None,
        f"share of a batch with a standing car, in which nothing changes; by default {STANDING_ROWS} in "
        "Duckietown, 0 where an action of zeros may not stop the car",
        low=0.0,
        high=1.0,
    )
    hidden_size: int = option(512, "units of the GRU", low=1, high=8192)
    variables: int = option(32, "categorical variables", low=1, high=1024)
    classes: int = option(16, "classes of each variable", low=2, high=1024)
    units: int = option(512, "units of the dense layers", low=2, high=8192)
    precision: str = option(SINGLE, PRECISION_HELP, choices=PRECISIONS)
    seed: int = option(0, "seed of the first weights, windows and noise", low=0)
    limit: int | None = option(None, "greatest number of episodes to use", low=1)
    evaluate_every: int = option(200, "steps between evaluations on the held-out episodes", low=1)
    checkpoint_every: int = option(50, "steps between checkpoints", low=1)
    adapt: str | None = option(None, f"folder of a categorical model {ADAPT}")
    start: str | None = option(None, f"folder of a categorical model {START}")
    fresh: bool = option(False, "start over, even if there is a checkpoint")

    def __post_init__(self) -> None:
        check(self)
        check_one_source(self, ("adapt", "start"))

    @property
    def standing(self) -> int:
        """Rows of a batch in which a car stands, the first ones."""
        rows = STANDING_ROWS if self.standing_rows is None else self.standing_rows
        return round(rows * self.batch_size)

    def for_environment(self, duckietown: bool) -> TrainingConfig:
        """The same, with the share of standing cars that suits the environment, where none is given."""
        if self.standing_rows is not None:
            return self
        return dataclasses.replace(self, standing_rows=STANDING_ROWS if duckietown else 0.0)

    @property
    def source(self) -> str | None:
        """The folder of the model that the training begins with, if there is one."""
        return self.adapt or self.start

    def arithmetic(self) -> dict[str, Any]:
        """The settings that a resumed run must share with the checkpoint's."""
        free = {"series", "weights", "log", "checkpoint_every", "fresh", "adapt", "start"}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in free}

    def sizes(self, z_size: int, action_size: int) -> CategoricalConfig:
        """The sizes of the model to train."""
        return CategoricalConfig(
            z_size, action_size, self.hidden_size, self.variables, self.classes, self.units
        )

    def check_sizes(self, sizes: CategoricalConfig, source: str) -> None:
        """Refuse flags that do not fit the model that the training begins with.

        Raises:
            ConfigError: a size was given, and is another one.
        """
        names = ("hidden_size", "variables", "classes", "units")
        check_given(self, sizes, names, f"the categorical model in {source}")
