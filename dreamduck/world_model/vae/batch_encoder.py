"""Fast encoding of thousands of frames by TensorFlow.

TensorFlow takes
seconds to load, and then half of numpy's time for each frame of a large batch (`benchmarks/vae.py`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from dreamduck.common.backend import tf
from dreamduck.recordings.episode import FRAME_SHAPE
from dreamduck.world_model.vae.layout import FloatArray, Frames, sizes_of
from dreamduck.world_model.vae.network import VAENetwork
from dreamduck.world_model.weights_format import Parameters

SIZE = (
    256  # frames; the batch is always of this size, so that a frame's numbers do not depend on its company
)


class BatchEncoder:
    """Encodes batches of up to `SIZE` frames.

    Args:
        parameters: as `layout.shapes` names them.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._model = VAENetwork(*sizes_of(parameters))
        self._model.set_parameters(parameters)
        signature = [tf.TensorSpec((SIZE, *FRAME_SHAPE), tf.uint8)]
        self._encode = tf.function(self._look, input_signature=signature)

    def __call__(self, frames: Frames) -> tuple[FloatArray, FloatArray]:
        """Frames (B, 64, 64, 3) uint8, B at most `SIZE`, to (mu, logvar), each (B, Z) float32."""
        padded = np.zeros((SIZE, *FRAME_SHAPE), np.uint8)
        padded[: len(frames)] = frames
        mu, logvar = self._encode(tf.constant(padded))
        return mu.numpy()[: len(frames)], logvar.numpy()[: len(frames)]

    def _look(self, frames: Any) -> tuple[Any, Any]:
        return self._model.encode(tf.cast(frames, tf.float32) / 255)
