"""The trained heads, in numpy and for graphs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from dreamduck.common.config import check, from_mapping, option, to_dict
from dreamduck.common.errors import ConfigError, WeightsError
from dreamduck.world_model.categorical.equations import silu
from dreamduck.world_model.dynamics import FloatArray
from dreamduck.world_model.weights_format import Parameters, WeightsFormat

MAKE = "train it again with dreamduck train-ensemble"
LIMIT_STEPS = 10  # steps whose mean uncertainty the limit is of


@dataclasses.dataclass(frozen=True)
class EnsembleConfig:
    """The sizes of an ensemble."""

    z_size: int = option(64, "size of the latent vector", low=1, high=65_536)
    hidden_size: int = option(512, "size of the dynamics' h", low=1, high=65_536)
    heads: int = option(5, "heads", low=2, high=64)
    units: int = option(64, "hidden units of a head", low=1, high=8192)

    def __post_init__(self) -> None:
        check(self)


def shapes(config: EnsembleConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter's name and shape; the heads' hidden layers lie side by side."""
    wide = config.heads * config.units
    return {
        "hidden/kernel": (config.hidden_size, wide),
        "hidden/bias": (wide,),
        "latent/kernel": (config.heads, config.units, config.z_size),
        "latent/bias": (config.heads, config.z_size),
    }


FORMAT: WeightsFormat[EnsembleConfig] = WeightsFormat(
    "ensemble", "ensemble", "dreamduck train-ensemble", shapes
)


def guesses(xp: Any, weights: Mapping[str, Any], h: Any) -> list[Any]:
    """Each head's prediction of the next latent, in standard deviations; each (B, Z).

    Args:
        xp: `numpy` or `tensorflow`.
        weights: by the names of `shapes`.
        h: (B, H), of the dynamics after an action.
    """
    hidden = silu(xp, xp.matmul(h, weights["hidden/kernel"]) + weights["hidden/bias"])
    count, units = weights["latent/kernel"].shape[:2]
    return [
        xp.matmul(hidden[:, i * units : (i + 1) * units], weights["latent/kernel"][i])
        + weights["latent/bias"][i]
        for i in range(count)
    ]


def disagreement(xp: Any, weights: Mapping[str, Any], h: Any) -> Any:
    """Standard deviation between the heads (B,), root mean square over the latents; see `guesses`."""
    said = guesses(xp, weights, h)
    mean = sum(said[1:], said[0]) / len(said)
    squared = sum((one - mean) ** 2 for one in said) / len(said)
    average = np.full((squared.shape[1], 1), 1 / squared.shape[1], np.float32)
    return xp.matmul(squared, average)[:, 0] ** 0.5


class Ensemble:
    """A trained ensemble.

    Args:
        parameters: as `shapes` names them.
        config: the sizes.
        card: what is known about the weights.
    Raises:
        WeightsError: the parameters do not fit the sizes.
    """

    def __init__(
        self, parameters: Parameters, config: EnsembleConfig, card: Mapping[str, Any] | None = None
    ) -> None:
        self.config, self.card = config, dict(card or {})
        self.parameters = FORMAT.check(parameters, config, "weights")

    @property
    def dynamics(self) -> str:
        """The fingerprint of the dynamics that it was trained for."""
        return str(self.card.get("dynamics", ""))

    @property
    def limit(self) -> float | None:
        """The mean uncertainty over `LIMIT_STEPS` steps that few recorded episodes exceed.

        None where the card has none.

        Raises:
            WeightsError: the card's value is not a number above 0.
        """
        found = self.card.get("limit")
        if found is not None and not (isinstance(found, int | float) and 0 < found < math.inf):
            raise WeightsError(
                f"{FORMAT.card}: limit: expected a number above 0, got {found!r:.40}; {MAKE}"
            )
        return found

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The ensemble in a folder.

        Raises:
            WeightsError: there is none, or it is damaged.
        """
        sizes = FORMAT.read_card(folder).get("sizes") or {}
        try:
            config = from_mapping(EnsembleConfig, sizes)
        except (ConfigError, TypeError) as err:
            raise WeightsError(f"{folder / FORMAT.card}: sizes: {err}; {MAKE}") from err
        parameters, card, _ = FORMAT.load(folder, config, config)
        return cls(parameters, config, card)

    def save(self, folder: Path) -> None:
        """Write weights and card into a folder."""
        FORMAT.save(folder, self.parameters, {**self.card, "sizes": to_dict(self.config)})

    def uncertainty(self, h: FloatArray) -> FloatArray:
        """The disagreement of the heads after an action.

        Args:
            h: (B, H), of the dynamics after it.
        Returns:
            (B,), in standard deviations of a latent.
        """
        return np.asarray(disagreement(np, self.parameters, h), np.float32)

    def graph_uncertainty(self, xp: Any) -> Callable[[Any], Any]:
        """The same in another array library, with these weights."""
        weights = {name: xp.constant(array) for name, array in self.parameters.items()}
        return lambda h: disagreement(xp, weights, h)
