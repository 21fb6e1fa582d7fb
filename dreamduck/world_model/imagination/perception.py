"""Real frames seen through the world model: [z, c, h] for each of N cars.

z is the encoder's mean, without noise: the same
frame then always looks the same, and a controller is not shaken by numbers that mean nothing. (The
original drew z from mu and logvar at every frame. In the dream z is drawn, since there chance
stands for what the MDN-RNN does not know.)"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import FrameError, ResetNeeded, WeightsError
from dreamduck.world_model.mdn_rnn import MDNRNN, LSTMState
from dreamduck.world_model.mdn_rnn.mixture import FloatArray


class FrameEncoder(Protocol):
    """What is asked of the VAE; `dreamduck.world_model.vae.VAE` is one."""

    @property
    def z_size(self) -> int:
        """Size of the latent vector."""
        ...

    def encode(self, frames: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Frames (B, 64, 64, 3) uint8 to (mu, logvar), each (B, Z)."""
        ...


class Perception:
    """What N cars make of what they see; keeps the MDN-RNN's state of each.

    Args:
        vision: the world model.
        memory: likewise.
        cars: N.
    Raises:
        WeightsError: the two are of different sizes.
    """

    def __init__(self, vision: FrameEncoder, memory: MDNRNN, cars: int = 1) -> None:
        if vision.z_size != memory.config.z_size:
            raise WeightsError(
                f"weights: the VAE has {vision.z_size} latents, the memory {memory.config.z_size}; "
                "train the memory again with rnn_train.py, on a series that this VAE encoded"
            )
        self.vision, self.memory, self.cars = vision, memory, cars
        self.z: FloatArray = np.zeros((cars, vision.z_size), np.float32)
        self.state = memory.start(cars)
        self._seen = np.zeros(cars, np.bool_)

    @property
    def observation(self) -> FloatArray:
        """(N, Z + 2H) [z, c, h] of all cars, as they last were."""
        return np.concatenate([self.z, self.state.c, self.state.h], axis=1)

    def reset(self, frames: npt.NDArray[np.uint8], cars: npt.NDArray[np.int64] | None = None) -> FloatArray:
        """Episodes begin.

        Args:
            frames: (n, 64, 64, 3), what these cars see.
            cars: (n,) which; all by default.
        Returns:
            (n, Z + 2H) [z, c, h] of these cars; c and h are 0.
        """
        chosen = self._chosen(cars)
        self._look(frames, chosen)
        self.state.h[chosen] = self.state.c[chosen] = 0.0
        self._seen[chosen] = True
        return self.observation[chosen]

    def step(
        self,
        frames: npt.NDArray[np.uint8],
        actions: npt.ArrayLike,
        cars: npt.NDArray[np.int64] | None = None,
    ) -> FloatArray:
        """The cars have acted, and see what came of it.

        Args:
            frames: (n, 64, 64, 3), what they see now.
            actions: (n, 2), what they did before; clipped to [-1, 1] as the world clips them.
            cars: (n,) which; all by default.
        Returns:
            (n, Z + 2H) [z, c, h] of these cars.
        Raises:
            ResetNeeded: a car has not begun.
        """
        chosen = self._chosen(cars)
        if not self._seen[chosen].all():
            raise ResetNeeded("expected a reset of every car before its first step; call reset")
        clipped = np.clip(np.asarray(actions, dtype=np.float32), -1.0, 1.0)
        before = LSTMState(self.state.h[chosen], self.state.c[chosen])
        after = self.memory.advance(self.z[chosen], clipped, before)
        self._look(frames, chosen)
        self.state.h[chosen], self.state.c[chosen] = after
        return self.observation[chosen]

    def get_state(self) -> Any:
        """A snapshot of all cars, never changed afterwards."""
        return self.z.copy(), LSTMState(*(part.copy() for part in self.state)), self._seen.copy()

    def set_state(self, state: Any) -> None:
        """Return to a snapshot of as many cars."""
        z, lstm, seen = state
        self.z, self._seen = z.copy(), seen.copy()
        self.state = LSTMState(*(part.copy() for part in lstm))

    def _look(self, frames: npt.NDArray[np.uint8], chosen: npt.NDArray[np.int64]) -> None:
        if len(frames) != len(chosen):
            raise FrameError(f"frames: expected {len(chosen)}, one a car, got {len(frames)}")
        self.z[chosen] = self.vision.encode(frames)[0]

    def _chosen(self, cars: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
        return np.arange(self.cars) if cars is None else np.asarray(cars, dtype=np.int64)
