"""The shape of the categorical state-space model, and its weights as plain arrays.

Source: Hafner et al. 2021, "Mastering Atari with discrete world models"; 2023, "Mastering diverse domains
through world models". The GRU's gates stand in Keras's order (keep, reset, candidate), with the reset gate
after the product; logits are (variables, classes)."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from dreamduck.common.config import check, option
from dreamduck.common.seeding import generator
from dreamduck.world_model.weights_format import Parameters, WeightsFormat, place_in_layer

KIND = "categorical"  # as a card names it
SIZE_LIMIT = 65_536  # a larger one is a damaged file
CORE = ("kernel", "recurrent_kernel", "bias")
WITHOUT_BIAS = "posterior_state"  # its sum has the bias of the other part


@dataclasses.dataclass(frozen=True)
class CategoricalConfig:
    """The sizes of a categorical state-space model."""

    z_size: int = option(64, "size of the latent vector", low=1, high=SIZE_LIMIT)
    action_size: int = option(2, "numbers in an action", low=1, high=SIZE_LIMIT)
    hidden_size: int = option(512, "units of the GRU", low=1, high=SIZE_LIMIT)
    variables: int = option(32, "categorical variables", low=1, high=1024)
    classes: int = option(16, "classes of each variable", low=2, high=1024)
    units: int = option(512, "units of the layers between", low=2, high=SIZE_LIMIT)

    def __post_init__(self) -> None:
        check(self)

    @property
    def cell_size(self) -> int:
        """Numbers in s: a one-hot vector for each variable."""
        return self.variables * self.classes

    @property
    def policy_cell_size(self) -> int:
        """Numbers of the cell that policies see: none, since the latent is decoded from s."""
        return 0

    @property
    def uniform_size(self) -> int:
        """Numbers in [0, 1) that a draw takes: one chooses the class of each variable."""
        return self.variables

    @property
    def normal_size(self) -> int:
        """Standard normal numbers that a draw takes: none."""
        return 0


def dense_sizes(config: CategoricalConfig) -> dict[str, tuple[int, int]]:
    """Every dense layer's numbers in and out."""
    hidden, cell, units = config.hidden_size, config.cell_size, config.units
    return {
        "core_input": (cell + config.action_size, units),
        "prior_hidden": (hidden, units),
        "prior": (units, cell),
        WITHOUT_BIAS: (hidden, units),
        "posterior_latent": (config.z_size + 1, units),  # and the level of its noise
        "posterior": (units, cell),
        "decoder_hidden": (hidden + cell, units),
        "decoder": (units, config.z_size),
        "head_hidden": (hidden, units // 2),
        "head_reward": (units // 2, 2),
        "head_end": (units // 2, 1),
    }


def shapes(config: CategoricalConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter's name and shape."""
    gates = 3 * config.hidden_size
    found: dict[str, tuple[int, ...]] = {
        "core/kernel": (config.units, gates),
        "core/recurrent_kernel": (config.hidden_size, gates),
        "core/bias": (2, gates),  # of the input's product, of the state's
    }
    for name, size in dense_sizes(config).items():
        found[f"{name}/kernel"] = size
        if name != WITHOUT_BIAS:
            found[f"{name}/bias"] = size[1:]
    return found


def _place(name: str) -> str:
    layer, variable = name.split("/")
    return f"core/cell/vars/{CORE.index(variable)}" if layer == "core" else place_in_layer(name)


FORMAT: WeightsFormat[CategoricalConfig] = WeightsFormat(
    name="rnn",
    title="categorical state-space model",
    command="dreamduck train-rnn --dynamics categorical",
    shapes=shapes,
    place=_place,
    groups=("core/vars", "vars"),
)


def initial_parameters(config: CategoricalConfig, seed: int) -> Parameters:
    """First weights: uniform kernels by the numbers that come in, an orthogonal recurrent one.

    The bias of the gate that keeps the state is 1.
    """
    random, hidden = generator(seed, config.z_size, config.hidden_size), config.hidden_size
    made: Parameters = {}
    for name, shape in shapes(config).items():
        if name.endswith("bias"):
            made[name] = np.zeros(shape, np.float32)
            continue
        limit = 1 / math.sqrt(shape[0])
        made[name] = random.uniform(-limit, limit, shape).astype(np.float32)
    square, _ = np.linalg.qr(random.standard_normal((3 * hidden, hidden)))
    made["core/recurrent_kernel"] = np.ascontiguousarray(square.T, dtype=np.float32)
    made["core/bias"][0, :hidden] = 1.0
    return made
