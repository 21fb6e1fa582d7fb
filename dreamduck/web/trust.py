"""Until when a dream was true: while the mean of an error over the last second stays below a limit.

Beside the road the error is measured: how far the dream is from it across the lane. In the dream alone
nothing measures it; where the model has an ensemble, its disagreement stands for it."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from dreamduck.world_model.ensemble import LIMIT_STEPS


class Trust(NamedTuple):
    """How far a dream has come, and until when it was true.

    Attributes:
        steps: since the dream began.
        recent: errors of its last steps, at most `LIMIT_STEPS`.
        until: steps after which it was not true any more; None: it still is.
    """

    steps: int = 0
    recent: tuple[float, ...] = ()
    until: int | None = None

    def after(self, error: float, limit: float) -> Trust:
        """The same after one more step.

        Args:
            error: of the step; infinite where the dream has ended, and was not to.
            limit: of the mean over `LIMIT_STEPS` steps.
        """
        steps, recent = self.steps + 1, (*self.recent, error)[-LIMIT_STEPS:]
        until = self.until
        if until is None and error == inf:
            until = self.steps
        elif until is None and len(recent) == LIMIT_STEPS and sum(recent) / LIMIT_STEPS > limit:
            until = steps - LIMIT_STEPS
        return Trust(steps, recent, until)
