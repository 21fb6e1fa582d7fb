"""Real frames seen through the world model: [z, c, h] for each of N cars.

z is the encoder's mean, without noise: the same
frame then always looks the same, and a controller is not shaken by numbers that mean nothing. (The
original drew z from mu and logvar at every frame. In the dream z is drawn, since there chance
stands for what the dynamics do not know.)"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import FrameError, ResetNeeded, WeightsError
from dreamduck.world_model.dynamics import Dynamics, FloatArray, RecurrentState


class FrameEncoder(Protocol):
    """The encoder's interface; `dreamduck.world_model.vae.VAE` has it."""

    @property
    def z_size(self) -> int:
        """Size of the latent vector."""
        ...

    def encode(self, frames: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Frames (B, 64, 64, 3) uint8 to (mu, logvar), each (B, Z)."""
        ...


class Perception:
    """Observations of N cars through the world model; keeps the recurrent state of each.

    Args:
        vae: of the world model.
        dynamics: likewise.
        cars: N.
    Raises:
        WeightsError: the two are of different sizes.
    """

    def __init__(self, vae: FrameEncoder, dynamics: Dynamics, cars: int = 1) -> None:
        if vae.z_size != dynamics.config.z_size:
            raise WeightsError(
                f"weights: the VAE has {vae.z_size} latents, the dynamics {dynamics.config.z_size}; "
                "train the dynamics again with dreamduck train-rnn, on a series that this VAE encoded"
            )
        self.vae, self.dynamics, self.cars = vae, dynamics, cars
        self.z: FloatArray = np.zeros((cars, vae.z_size), np.float32)
        self.state = dynamics.start(cars)
        self._seen = np.zeros(cars, np.bool_)

    @property
    def observation(self) -> FloatArray:
        """(N, Z + C + H) [z, c, h] of all cars, as they last were."""
        return self.dynamics.features(self.perceived, self.state)

    @property
    def perceived(self) -> FloatArray:
        """(N, Z) the latents as policies see them."""
        return self.dynamics.perceived(self.z, self.state)

    def reset(self, frames: npt.NDArray[np.uint8], cars: npt.NDArray[np.int64] | None = None) -> FloatArray:
        """Episodes begin.

        Args:
            frames: (n, 64, 64, 3), what these cars see.
            cars: (n,) which; all by default.
        Returns:
            (n, Z + C + H) [z, c, h] of these cars; h is 0.
        """
        chosen = self._chosen(cars)
        self._look(frames, chosen, self.dynamics.start(len(chosen)))
        self._seen[chosen] = True
        return self.observation[chosen]

    def step(
        self,
        frames: npt.NDArray[np.uint8],
        actions: npt.ArrayLike,
        cars: npt.NDArray[np.int64] | None = None,
    ) -> FloatArray:
        """Update the state by the cars' actions and their next frames.

        Args:
            frames: (n, 64, 64, 3), what they see now.
            actions: (n, 2), what they did before; clipped to [-1, 1] as the world clips them.
            cars: (n,) which; all by default.
        Returns:
            (n, Z + C + H) [z, c, h] of these cars.
        Raises:
            ResetNeeded: a car has not begun.
        """
        chosen = self._chosen(cars)
        if not self._seen[chosen].all():
            raise ResetNeeded("expected a reset of every car before its first step; call reset")
        clipped = np.clip(np.asarray(actions, dtype=np.float32), -1.0, 1.0)
        state = self.dynamics.advance(self.z[chosen], clipped, self.state.rows(chosen))
        self._look(frames, chosen, state)
        return self.observation[chosen]

    def get_state(self) -> Any:
        """A snapshot of all cars, never changed afterwards."""
        return self.z.copy(), self.state.copy(), self._seen.copy()

    def set_state(self, state: Any) -> None:
        """Return to a snapshot of as many cars."""
        z, recurrent, seen = state
        self.z, self.state, self._seen = z.copy(), recurrent.copy(), seen.copy()

    def _look(
        self, frames: npt.NDArray[np.uint8], chosen: npt.NDArray[np.int64], state: RecurrentState
    ) -> None:
        if len(frames) != len(chosen):
            raise FrameError(f"frames: expected {len(chosen)}, one a car, got {len(frames)}")
        self.z[chosen] = z = self.vae.encode(frames)[0]
        self.state.put(chosen, self.dynamics.observe(z, state))

    def _chosen(self, cars: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
        return np.arange(self.cars) if cars is None else np.asarray(cars, dtype=np.int64)
