"""The shape of the MDN-RNN, and its weights as plain arrays.

Source: Ha & Schmidhuber 2018, App. A.2. The LSTM's gates stand in Keras's order (input,
forget, candidate, output); the mixture's columns are (3, K, Z):
log weights, means, log standard deviations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.config import check, option
from dreamduck.common.seeding import generator
from dreamduck.world_model.weights_format import Parameters, WeightsFormat, place_in_layer

KIND = "mdn-rnn"  # as a card names it
Z_SIZE, ACTION_SIZE, HIDDEN_SIZE, MIXTURES = 64, 2, 512, 5
TRAINING_STEPS = 20_000  # after 4,000 batches it is chance whether controllers from the dream drive
SIZE_LIMIT = 65_536  # a larger one is a damaged file
ALIVE, ENDED = 0, 1  # the reward head's columns
REWARD_AND_END = ("head_reward/", "head_end/")  # what the names of these heads' weights begin with


@dataclasses.dataclass(frozen=True)
class MDNRNNConfig:
    """The sizes of an MDN-RNN, and whether it has residual means."""

    z_size: int = option(Z_SIZE, "size of the latent vector", low=1, high=SIZE_LIMIT)
    action_size: int = option(ACTION_SIZE, "numbers in an action", low=1, high=SIZE_LIMIT)
    hidden_size: int = option(HIDDEN_SIZE, "units of the LSTM", low=1, high=SIZE_LIMIT)
    mixtures: int = option(MIXTURES, "Gaussians for each latent", low=1, high=1024)
    residual: bool = option(False, "a learned share of each latent that went in is added to its means")

    def __post_init__(self) -> None:
        check(self)

    @property
    def cell_size(self) -> int:
        """Numbers in the LSTM's cell."""
        return self.hidden_size

    @property
    def policy_cell_size(self) -> int:
        """How many of these policies see: all."""
        return self.cell_size

    @property
    def uniform_size(self) -> int:
        """Numbers in [0, 1) that a draw takes: one chooses the Gaussian of each latent."""
        return self.z_size

    @property
    def normal_size(self) -> int:
        """Standard normal numbers that a draw takes."""
        return self.z_size

    @property
    def input_size(self) -> int:
        """Numbers that go into the LSTM: [z, action]."""
        return self.z_size + self.action_size

    @property
    def mixture_size(self) -> int:
        """Numbers that describe the mixture: 3 K Z."""
        return 3 * self.mixtures * self.z_size


def shapes(config: MDNRNNConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter's name and shape."""
    hidden = config.hidden_size
    scale: dict[str, tuple[int, ...]] = {"head_share/kernel": (config.z_size,)} if config.residual else {}
    return {
        "core/kernel": (config.input_size, 4 * hidden),
        "core/recurrent_kernel": (hidden, 4 * hidden),
        "core/bias": (4 * hidden,),
        "head_mixture/kernel": (hidden, config.mixture_size),
        "head_mixture/bias": (config.mixture_size,),
        "head_reward/kernel": (hidden, 2),
        "head_reward/bias": (2,),
        "head_end/kernel": (hidden, 1),
        "head_end/bias": (1,),
        **scale,
    }


def _place(name: str) -> str:
    layer, variable = name.split("/")
    if layer != "core":
        return place_in_layer(name)
    return f"core/cell/vars/{('kernel', 'recurrent_kernel', 'bias').index(variable)}"


FORMAT: WeightsFormat[MDNRNNConfig] = WeightsFormat(
    name="rnn",
    title="MDN-RNN",
    command="dreamduck train-rnn",
    shapes=shapes,
    place=_place,
    groups=("core/vars", "vars"),
    older={"head_share/kernel": 1.0},
)


def initial_parameters(config: MDNRNNConfig, seed: int) -> Parameters:
    """First weights: Glorot's uniform kernels, an orthogonal recurrent one, forget biases of 1.

    The heads begin near zero, and the mixture's means spread over [-1, 1], so that no latent begins
    with K equal Gaussians.
    """
    random = generator(seed, config.z_size, config.hidden_size)
    made: Parameters = {}
    for name, shape in shapes(config).items():
        if len(shape) == 1:
            made[name] = np.full(shape, 1.0 if name.startswith("head_share") else 0.0, np.float32)
            continue
        limit = math.sqrt(6 / sum(shape)) * (0.1 if name.startswith("head") else 1.0)
        made[name] = random.uniform(-limit, limit, shape).astype(np.float32)
    hidden = config.hidden_size
    square, _ = np.linalg.qr(random.standard_normal((4 * hidden, hidden)))
    made["core/recurrent_kernel"] = np.ascontiguousarray(square.T, dtype=np.float32)
    made["core/bias"][hidden : 2 * hidden] = 1.0
    means = made["head_mixture/bias"].reshape(3, config.mixtures, config.z_size)[1]
    means[:] = np.linspace(-1, 1, config.mixtures)[:, None] if config.mixtures > 1 else 0.0
    return made


def check_parameters(
    arrays: Mapping[str, npt.NDArray[Any]], config: MDNRNNConfig, source: str = "weights"
) -> Parameters:
    """See `WeightsFormat.check`."""
    return FORMAT.check(arrays, config, source)
