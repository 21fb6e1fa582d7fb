"""The dream as a world to drive in: `DreamDuck-v2`.

What is drawn at a step depends on the seed and on the step's number,
so that going back and doing the same gives the same, and doing something else gives something else."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError
from dreamduck.simulator.environment import ENVIRONMENT
from dreamduck.web.model_session import ModelSession, ModelState
from dreamduck.web.session import CONTROLLER, PERSON, Action, Frame, Outcome
from dreamduck.web.share_link import Start
from dreamduck.world_model.imagination import DREAM_END


class DreamWorld:
    """The world model alone.

    Args:
        start: how the dream begins.
        mind: dreams.
    Raises:
        ConfigError: the first latents are not as many as the model has.
    """

    simulator: str = "dream"

    def __init__(self, start: Start, rnn: ModelSession) -> None:
        z = np.array(start.z, np.float32) if start.z else rnn.first()
        if z.shape != (rnn.model.z_size,):
            raise ConfigError(
                f"z: expected {rnn.model.z_size} latents, got {len(z)}; other weights made them"
            )
        self.start = dataclasses.replace(start, z=tuple(map(float, z)))
        self.drivers: tuple[str, ...] = (PERSON, CONTROLLER) if rnn.controller else (PERSON,)
        self.environment: dict[str, Any] | None = rnn.model.memory.card.get(ENVIRONMENT)
        self._mind = rnn
        self._steps = 0
        rnn.begin(z)

    def step(self, action: Action, temperature: float) -> Outcome:
        """Dream one step on."""
        self._steps += 1
        self._mind.thought = thought = self._mind.foresee(action, self._steps, temperature)
        prediction = thought.prediction
        assert prediction is not None
        # At temperature 0 the likelier of the two comes, as with everything else.
        chance = self._mind.chance(self._steps)[0][-1] if temperature > 0 else 0.5
        ended = chance < prediction.end[0]
        reward = prediction.end_reward if ended else prediction.reward
        return Outcome(float(reward[0]), DREAM_END if ended else "")

    def mark(self) -> tuple[int, ModelState]:
        """What `back` needs to return to this moment."""
        return self._steps, self._mind.thought

    def back(self, mark: tuple[int, ModelState], actions: npt.NDArray[np.float32]) -> None:
        """Return to a moment."""
        self._steps, self._mind.thought = mark

    def act(self, driver: str) -> Action:
        """What the controller would do now."""
        return self._mind.act()

    def pull(self, latent: int, value: float) -> None:
        """Set one latent; the dream goes on from there."""
        self._mind.pull(latent, value)

    def frame(self) -> Frame:
        """The picture of this moment."""
        return self._mind.picture()

    def look(self, ahead: Action, temperature: float) -> tuple[dict[str, Frame], dict[str, Any]]:
        """The dream, and what would most likely come next."""
        coming = self._mind.foresee(ahead, self._steps + 1, 0.0)
        pictures = {"dream": self.frame(), "next": self._mind.picture(coming.z)}
        return pictures, self._mind.facts()

    def close(self) -> None:
        """Nothing is held."""
