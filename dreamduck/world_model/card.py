"""The card of a world model: the cards of its two networks, `vae.json` and `rnn.json`, as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dreamduck.simulator.environment import ENVIRONMENT
from dreamduck.world_model.dynamics import DynamicsSizes


@dataclasses.dataclass(frozen=True)
class Card:
    """The cards of a VAE and of dynamics; empty where a network has none.

    Attributes:
        sizes: of the dynamics; their `z_size` is the VAE's.
        fingerprints: of the weights, by network ("vae", "rnn").
        vae: the VAE's card, as the file has it.
        rnn: the dynamics'.
    """

    sizes: DynamicsSizes
    fingerprints: Mapping[str, str]
    vae: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    rnn: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def environment(self) -> dict[str, Any]:
        """The description of the environment that it was trained on; empty where it is unknown."""
        return dict(self.rnn.get(ENVIRONMENT) or self.vae.get(ENVIRONMENT) or {})

    @property
    def data(self) -> dict[str, Any]:
        """The training data of each network."""
        return {"vae": self.vae.get("data", {}), "rnn": self.rnn.get("data", {})}

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics of each network on episodes held out."""
        return {"vae": self.vae.get("metrics", {}), "rnn": self.rnn.get("metrics", {})}
