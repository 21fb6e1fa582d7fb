"""Environments that are observed as [z, c, h], the latents and the state of a world model."""

from __future__ import annotations

import abc

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from dreamduck.envs.base import Cars, SingleEnv
from dreamduck.simulator.environment import ENVIRONMENT, STEP_TIME
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import Dynamics
from dreamduck.world_model.imagination.perception import Perception
from dreamduck.world_model.imagination.stepper import Dreams

OBSERVATION_LIMIT = 50.0  # the original's


class LatentCars(Cars):
    """N cars that are observed through a world model.

    Attributes:
        model: the world model.
    """

    model: WorldModel

    @property
    @abc.abstractmethod
    def latent_cars(self) -> Perception | Dreams:
        """The latents and the states of the dynamics, of all cars."""

    def expect(self, actions: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """The latents that most likely follow from here, (N, Z); nothing is stepped.

        Args:
            actions: (N, A), vectors.
        """
        return self.model.dynamics.likeliest(self.latent_cars.z, actions, self.latent_cars.state)

    def _observe(self) -> npt.NDArray[np.float32]:
        return clipped(self.latent_cars.observation)


class LatentEnv(LatentCars, SingleEnv):
    """One car that is observed through a world model."""

    @property
    def latents(self) -> npt.NDArray[np.float32]:
        """(Z,) as they are now; call `observe_latents` after writing to them."""
        return self.latent_cars.z[0]

    def observe_latents(self) -> None:
        """Continue as if a frame with these latents were seen."""
        cars = self.latent_cars
        cars.state = self.model.dynamics.observe(cars.z, cars.state)


def observation_space(model: WorldModel) -> spaces.Box:
    """[z, c, h] of a world model."""
    sizes = model.dynamics.config
    size = sizes.z_size + sizes.policy_cell_size + sizes.hidden_size
    return spaces.Box(-OBSERVATION_LIMIT, OBSERVATION_LIMIT, (size,), dtype=np.float32)


def clipped(observation: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Observations (N, Z + C + H), inside the space."""
    return np.clip(observation, -OBSERVATION_LIMIT, OBSERVATION_LIMIT)


def step_time(dynamics: Dynamics) -> float:
    """Duration of one step of what the dynamics learned from [s]."""
    learned = dynamics.card.get(ENVIRONMENT)
    found = learned.get("step_time") if isinstance(learned, dict) else None
    return float(found) if isinstance(found, (int, float)) and found > 0 else STEP_TIME
