"""The variational autoencoder: a frame becomes a small vector, and back.

Encoding and decoding need no TensorFlow (`inference`); training loads it (`network`, `trainer`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import FrameError
from dreamduck.recordings.episode import FRAME_SHAPE
from dreamduck.world_model.vae.inference import NumpyVAE
from dreamduck.world_model.vae.layout import FloatArray, Frames
from dreamduck.world_model.weights_format import Parameters

__all__ = ["VAE"]


class VAE:
    """A trained VAE; the same input gives the same output.

    Args:
        parameters: as `layout.shapes` names them.
        card: what is known about the weights.
        weights: their fingerprint.
    """

    def __init__(
        self, parameters: Parameters, card: dict[str, Any] | None = None, weights: str = ""
    ) -> None:
        self.parameters = parameters
        self._network = NumpyVAE(parameters)
        self.parameters = parameters
        self.card = card or {}
        self.weights = weights

    @property
    def z_size(self) -> int:
        """Size of the latent vector."""
        return self._network.z_size

    def encode(self, frames: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """The encoder's outputs for frames.

        Args:
            frames: (B, 64, 64, 3) uint8, RGB.
        Returns:
            mu and logvar, each (B, Z) float32.
        Raises:
            FrameError: another shape or type.
        """
        given = np.asarray(frames)
        if given.dtype != np.uint8 or given.ndim != 4 or given.shape[1:] != FRAME_SHAPE:
            raise FrameError(f"frames: expected uint8 (B, 64, 64, 3), got {given.dtype} {given.shape}")
        return self._network.encode(given)

    def decode(self, z: npt.ArrayLike) -> Frames:
        """The images that latents stand for.

        Args:
            z: (B, Z).
        Returns:
            (B, 64, 64, 3) uint8, RGB.
        Raises:
            FrameError: another shape, or a number that is not finite.
        """
        given = np.asarray(z, dtype=np.float32)
        if given.ndim != 2 or given.shape[1] != self.z_size:
            raise FrameError(f"z: expected (B, {self.z_size}), got {given.shape}")
        if not np.isfinite(given).all():
            raise FrameError("z: expected finite numbers")
        return np.rint(self._network.decode(given) * 255).astype(np.uint8)
