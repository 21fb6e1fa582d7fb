"""How the VAE is trained.

No TensorFlow is loaded here, so that
`dreamduck train-vae -h` answers at once."""

from __future__ import annotations

import dataclasses
from typing import Any

from dreamduck.common.config import check, option
from dreamduck.common.precision import PRECISION_HELP, PRECISIONS, SINGLE
from dreamduck.world_model.vae import files
from dreamduck.world_model.vae.frame_stream import BUFFER_FRAMES
from dreamduck.world_model.vae.layout import LOSSES, NETWORKS, PAPER, PYRAMID, RESIDUAL, SQUARED, Z_SIZE


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How the VAE is trained."""

    records: str = option("records", "folder of recorded episodes")
    weights: str = option("weights", "folder that the weights, their card and the checkpoint go to")
    log: str = option("log", "folder for metrics and images")
    unseen: str | None = option(
        None, "folder of episodes on a map that is not among the records, to report on"
    )
    epochs: int = option(10, "passes over all frames", low=1)
    max_steps: int | None = option(None, "stop after this many steps", low=1)
    batch_size: int = option(100, "frames in a step", low=1)
    learning_rate: float = option(0.0001, "learning rate of Adam", above=0.0)
    schedule: str = option(
        "constant",
        "learning rate; cosine ends at a fiftieth",
        choices=("constant", "cosine"),
    )
    kl_tolerance: float = option(0.5, "divergence below this, times the latent's size, is free", low=0.0)
    network: str = option(RESIDUAL, "2019's, or one with residual blocks", choices=NETWORKS)
    loss: str = option(
        PYRAMID,
        "the squared error of a frame, as in 2019; also differences in a Laplacian pyramid, which keep "
        "edges; or squared errors of which large ones count for more, which keep small bright things",
        choices=LOSSES,
    )
    z_size: int = option(Z_SIZE, "size of the latent vector", low=1, high=files.Z_LIMIT)
    precision: str = option(SINGLE, PRECISION_HELP, choices=PRECISIONS)
    seed: int = option(0, "seed of the first weights, order and noise", low=0)
    limit: int | None = option(None, "greatest number of episodes to use", low=1)
    checkpoint_every: int = option(500, "steps between checkpoints, besides one an epoch", low=1)
    buffer_frames: int = option(BUFFER_FRAMES, "frames shuffled together; each takes 12 KB, twice", low=1)
    fresh: bool = option(False, "start over, even if there is a checkpoint")

    def __post_init__(self) -> None:
        check(self)

    def arithmetic(self) -> dict[str, Any]:
        """The settings that a resumed run must share with the checkpoint's."""
        names = ["batch_size", "learning_rate", "schedule", "kl_tolerance", "z_size", "seed"]
        names += ["limit", "buffer_frames"]
        for name, older in (("network", PAPER), ("loss", SQUARED), ("precision", SINGLE)):
            if getattr(self, name) != older:  # older checkpoints do not name them
                names.append(name)
        if self.schedule == "cosine":  # its length shapes every step
            names += ["epochs", "max_steps"]
        return {name: getattr(self, name) for name in names}
