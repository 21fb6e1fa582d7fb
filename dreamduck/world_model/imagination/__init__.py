"""Dreams: episodes in the world model alone, with no simulator.

`rollout` runs many episodes in compiled batches, with the controllers inside; `stepper` goes step by step
in numpy, for the environments; both give the same numbers. `perception` encodes real frames with the same
model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dreamduck.world_model.dynamics import Dynamics

__all__ = ["DREAM_END", "no_heads"]

DREAM_END = "dream-end"  # how a dream ends, where the worlds say how


def no_heads(dynamics: Dynamics) -> str:
    """The predictions that an MDN-RNN of 2019 lacks, and the remedy; "" where nothing is missing."""
    if not dynamics.lacks:
        return ""
    return (
        f"an MDN-RNN of 2019, which predicts {dynamics.lacks}: every reward of its dream is 0 and no dream "
        "ends; expected one with heads for both; fit them with dreamduck train-rnn --heads-only"
    )
