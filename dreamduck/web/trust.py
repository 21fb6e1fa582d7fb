"""How long a dream can be trusted: while its uncertainty is no greater than that of recorded episodes.

The measure is the disagreement of the model's ensemble, where it has one."""

from __future__ import annotations

from typing import NamedTuple

from dreamduck.world_model.ensemble import LIMIT_STEPS


class Trust(NamedTuple):
    """How far a dream has come, and until when it was to be trusted.

    Attributes:
        steps: since the dream began.
        recent: uncertainties of its last steps, at most `LIMIT_STEPS`.
        until: steps after which it was not to be trusted any more; None: it still is.
    """

    steps: int = 0
    recent: tuple[float, ...] = ()
    until: int | None = None

    def after(self, uncertainty: float, limit: float) -> Trust:
        """The same after one more step.

        Args:
            uncertainty: of the step, see `Ensemble`.
            limit: of the mean over `LIMIT_STEPS` steps, see `Ensemble.limit`.
        """
        steps, recent = self.steps + 1, (*self.recent, uncertainty)[-LIMIT_STEPS:]
        until = self.until
        if until is None and len(recent) == LIMIT_STEPS and sum(recent) / LIMIT_STEPS > limit:
            until = steps - LIMIT_STEPS
        return Trust(steps, recent, until)
