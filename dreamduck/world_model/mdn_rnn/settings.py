"""How the MDN-RNN is trained.

No TensorFlow is loaded here, so that `dreamduck train-rnn -h`
answers at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from dreamduck.common.config import check, option
from dreamduck.common.errors import ConfigError
from dreamduck.world_model.mdn_rnn.layout import (
    ACTION_SIZE,
    HIDDEN_SIZE,
    MIXTURES,
    TRAINING_STEPS,
    Z_SIZE,
    MDNRNNConfig,
)

ADAPT = "that continues training on logs without rewards; its heads for reward and end are not changed"
START = "that continues training, with all of its weights, on recordings with rewards"


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How the MDN-RNN is trained."""

    series: str = option("series", "folder with series.npz, or the file")
    weights: str = option("weights", "folder that the weights, their card and the checkpoint go to")
    log: str = option("log", "folder for metrics")
    steps: int = option(TRAINING_STEPS, "batches to learn from", low=1)
    batch_size: int = option(64, "episodes side by side", low=1)
    sequence: int = option(50, "steps of each in a batch", low=1)
    learning_rate: float = option(
        0.002, "rate of Adam; rises for 50 steps, then falls as a cosine", above=0.0
    )
    grad_clip: float = option(1.0, "greatest norm of the gradient, over all weights", above=0.0)
    end_weight: float = option(10.0, "weight of a step that ends an episode, relative to others", above=0.0)
    reward_weight: float = option(1.0, "weight of the reward's loss, relative to the latent's", low=0.0)
    scheduled_sampling: float = option(
        0.5,
        "share of a batch's episodes that continue with latents drawn from the model's predictions",
        low=0.0,
        high=1.0,
        flags=("--dreaming",),
    )
    hidden_size: int = option(HIDDEN_SIZE, "units of the LSTM", low=1, high=8192)
    mixtures: int = option(MIXTURES, "Gaussians for each latent", low=1, high=64)
    residual: bool = option(True, "add a learned share of each latent to the prediction of the next")
    seed: int = option(0, "seed of the first weights, order and noise", low=0)
    limit: int | None = option(None, "greatest number of episodes to use", low=1)
    evaluate_every: int = option(200, "steps between evaluations on the held-out episodes", low=1)
    checkpoint_every: int = option(50, "steps between checkpoints", low=1)
    heads_only: str | None = option(
        None,
        "folder of an MDN-RNN, also one of 2019: its weights are kept, and only its heads for reward and "
        "end are trained",
    )
    adapt: str | None = option(
        None,
        f"folder of an MDN-RNN {ADAPT}",
    )
    start: str | None = option(None, f"folder of an MDN-RNN {START}")
    fresh: bool = option(False, "start over, even if there is a checkpoint")

    def __post_init__(self) -> None:
        check(self)
        check_one_source(self, ("heads_only", "adapt", "start"))

    @property
    def source(self) -> str | None:
        """The folder of the MDN-RNN that the training begins with, if there is one."""
        return self.adapt or self.heads_only or self.start

    def arithmetic(self) -> dict[str, Any]:
        """The settings that a resumed run must share with the checkpoint's."""
        free = {"series", "weights", "log", "checkpoint_every", "fresh", "heads_only", "adapt", "start"}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in free}

    def sizes(self, z_size: int = Z_SIZE, action_size: int = ACTION_SIZE) -> MDNRNNConfig:
        """The sizes of the MDN-RNN to train."""
        return MDNRNNConfig(z_size, action_size, self.hidden_size, self.mixtures, self.residual)

    def check_sizes(self, sizes: MDNRNNConfig, source: str) -> None:
        """Refuse flags that do not fit the MDN-RNN that the training begins with.

        Raises:
            ConfigError: a size was given, and is another one.
        """
        check_given(self, sizes, ("hidden_size", "mixtures", "residual"), f"the MDN-RNN in {source}")


def check_one_source(config: Any, names: Collection[str]) -> None:
    """Refuse a training that would begin with two models.

    Args:
        config: the settings.
        names: of the settings that name such a model.
    Raises:
        ConfigError: two of them are given.
    """
    given = [name for name in names if getattr(config, name)]
    if len(given) > 1:
        raise ConfigError(f"{', '.join(given)}: expected one of these, got {len(given)}; leave out others")


def check_given(config: Any, sizes: Any, names: Collection[str], source: str) -> None:
    """Refuse settings that do not fit the dynamics that a training begins with.

    Args:
        config: the settings; what is left at its default asks for nothing.
        sizes: of the dynamics.
        names: of the settings.
        source: what an error message calls the dynamics.
    Raises:
        ConfigError: a size was given, and is another one.
    """
    for field in dataclasses.fields(config):
        if field.name in names:
            given, found = getattr(config, field.name), getattr(sizes, field.name)
            if given not in (field.default, found):
                raise ConfigError(
                    f"{field.name}: expected {found}, as {source} has it, got {given}; "
                    "leave the setting out"
                )
