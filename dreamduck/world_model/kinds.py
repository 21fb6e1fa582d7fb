"""The kinds of dynamics, by the names that cards give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dreamduck.common.errors import WeightsError
from dreamduck.world_model.categorical import CategoricalDynamics
from dreamduck.world_model.categorical.settings import TrainingConfig as CategoricalConfig
from dreamduck.world_model.dynamics import Dynamics
from dreamduck.world_model.mdn_rnn import MDNRNN
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig as MDNRNNConfig

KINDS: dict[str, type[Dynamics]] = {kind.kind: kind for kind in (MDNRNN, CategoricalDynamics)}
TRAINING: dict[str, type[MDNRNNConfig] | type[CategoricalConfig]] = {
    MDNRNN.kind: MDNRNNConfig,
    CategoricalDynamics.kind: CategoricalConfig,
}  # their settings
SHIPPED = CategoricalDynamics.kind  # comes with the package; the default of trainings
OLDER_NAMES = {"memory": MDNRNN.kind}  # of cards before there was a second kind


def kind_of(card: Mapping[str, Any], source: str) -> type[Dynamics]:
    """The class of the dynamics that a card is of; an MDN-RNN where it names no kind.

    Args:
        card: of a folder.
        source: what an error message calls it.
    Raises:
        WeightsError: an unknown kind.
    """
    name = card.get("kind", MDNRNN.kind)
    found = KINDS.get(OLDER_NAMES.get(name, name)) if isinstance(name, str) else None
    if found is None:
        raise WeightsError(
            f"{source}: kind: expected one of {', '.join(KINDS)}, got {str(name)[:40]!r}; "
            "install a newer dreamduck, or train it again with dreamduck train-rnn"
        )
    return found
