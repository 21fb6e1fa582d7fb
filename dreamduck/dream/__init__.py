"""Driving in what the memory expects, with no simulator.

Flow: memory -> [dream] -> control. `rollout` dreams many episodes in compiled batches, with the
controllers inside; `stepper` dreams step by step in numpy, for the Gym worlds; both give the same
numbers. `perception` is the other half: real frames, seen through the same model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dreamduck.storage import PathLike

if TYPE_CHECKING:
    from dreamduck.dream.rollout import Dream

__all__ = ["DREAM_END", "TEMPERATURE", "load_dream"]

DREAM_END = "dream-end"  # how a dream ends, where the worlds say how
TEMPERATURE = 0.1  # of a dream unless told otherwise: where it is truest, see README.md


def load_dream(folder: PathLike, beginning: str = "first") -> Dream:
    """The dream of the world model in a folder; loads TensorFlow.

    Args:
        beginning: where dreams begin, see `memory.load_initial`.

    Raises:
        WeightsError: a file is missing or damaged.
    """
    from dreamduck import memory
    from dreamduck.dream.rollout import Dream

    mind = memory.load(folder)
    return Dream(mind, memory.load_initial(folder, mind.config, beginning))
