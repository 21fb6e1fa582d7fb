"""The part of both trainings below the loop: a network's weights as arrays, an optimizer, a step."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy.typing as npt

from dreamduck.common.backend import keras
from dreamduck.world_model.weights_format import Parameters, WeightsFormat

Arrays = dict[str, npt.NDArray[Any]]

COSINE_END = 0.02  # of the learning rate
PREFIX = "weight/"


class Network(keras.Model):
    """A network whose weights are arrays by the names of its format.

    Attributes:
        weights_format: which names them.
        sizes: of the network, as the format takes them.
    """

    weights_format: ClassVar[WeightsFormat[Any]]
    sizes: Any

    def parameters(self) -> Parameters:
        """The weights as arrays."""
        found = {name: keras.ops.convert_to_numpy(variable) for name, variable in self._named().items()}
        return {name: found[name] for name in self.weights_format.shapes(self.sizes)}

    def set_parameters(self, parameters: Parameters) -> None:
        """Take weights over from arrays.

        Raises:
            WeightsError: they do not fit.
        """
        checked = self.weights_format.check(parameters, self.sizes, "weights")
        for name, variable in self._named().items():
            variable.assign(checked[name])

    def _named(self) -> dict[str, Any]:
        return {f"{layer.name}/{v.name}": v for layer in self.layers for v in layer.weights}


class StepLosses(Protocol):
    """The losses of a training step."""

    @property
    def finite(self) -> bool:
        """Whether the losses, and the weights that were checked after the step, are finite."""
        ...

    @property
    def metrics(self) -> dict[str, float]:
        """Losses by name, for the log."""
        ...


class Trainer(abc.ABC):
    """A network, its optimizer, and what else a training step carries on.

    Args:
        model: a network with `parameters` and `set_parameters`; what is to be frozen is frozen.
        learning_rate: of Adam.
    """

    def __init__(self, model: Any, learning_rate: float) -> None:
        self.model = model
        self.optimizer = keras.optimizers.Adam(learning_rate)
        self.optimizer.build(model.trainable_variables)

    @abc.abstractmethod
    def learning_rate(self, step: int) -> float:
        """Of a step, by the schedule."""

    @abc.abstractmethod
    def train(self, batch: Any, step: int) -> StepLosses:
        """Learn from one batch; returns the losses before the step."""

    def carried(self) -> dict[str, Any]:
        """Variables that a step hands to the next, by their names in a checkpoint."""
        return {f"optimizer/{i}": variable for i, variable in enumerate(self.optimizer.variables)}

    def state(self) -> Arrays:
        """Weights and carried variables, as arrays."""
        arrays: Arrays = {PREFIX + name: array for name, array in self.model.parameters().items()}
        return arrays | {
            name: keras.ops.convert_to_numpy(variable) for name, variable in self.carried().items()
        }

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `state` gave.

        Raises:
            WeightsError: it does not fit.
            KeyError: likewise.
            ValueError: likewise.
        """
        weights = {n.removeprefix(PREFIX): a for n, a in arrays.items() if n.startswith(PREFIX)}
        self.model.set_parameters(weights)
        for name, variable in self.carried().items():
            variable.assign(arrays[name])


def cosine(step: int, total: int, end: float = COSINE_END) -> float:
    """The share of the learning rate that a cosine leaves at a step, from 1 to `end`."""
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * step / total))
