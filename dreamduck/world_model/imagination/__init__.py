"""Driving in what the memory expects, with no simulator.

`rollout` dreams many episodes in compiled batches, with the
controllers inside; `stepper` dreams step by step in numpy, for the Gym worlds; both give the same
numbers. `perception` is the other half: real frames, seen through the same model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dreamduck.common.storage import PathLike

if TYPE_CHECKING:
    from dreamduck.world_model.imagination.rollout import Dream
    from dreamduck.world_model.mdn_rnn import MDNRNN

__all__ = ["DREAM_END", "TEMPERATURE", "load_dream", "no_heads"]

DREAM_END = "dream-end"  # how a dream ends, where the worlds say how
TEMPERATURE = 0.1  # of a dream unless told otherwise: where it is truest, see README.md


def no_heads(memory: MDNRNN) -> str:
    """What a memory of 2019 does not predict, and what to do about it; "" where nothing is missing."""
    if not memory.lacks:
        return ""
    rewards = "every reward of its dream is 0" + ("" if memory.begins else " and no dream ends")
    return (
        f"a memory of 2019, which predicts {memory.lacks}: {rewards}; expected one with heads for both; "
        "fit them on recordings with rnn_train.py --heads-only"
    )


def load_dream(folder: PathLike, beginning: str = "first") -> Dream:
    """The dream of the world model in a folder; loads TensorFlow.

    Args:
        beginning: where dreams begin, see `memory.load_initial`.

    Raises:
        WeightsError: a file is missing or damaged.
    """
    from dreamduck.world_model import mdn_rnn as memory
    from dreamduck.world_model.imagination.rollout import Dream

    rnn = memory.load(folder)
    return Dream(rnn, memory.load_initial(folder, rnn.config, beginning))
