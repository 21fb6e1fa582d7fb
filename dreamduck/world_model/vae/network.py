"""The two VAEs of `layout` in Keras.

The transposed convolutions of 2019's network are computed in a quicker form (the first is a dense layer,
the others are 3 x 3 convolutions and depth-to-space), with the same numbers; kernels stay in the paper's
layout."""

from __future__ import annotations

from typing import Any

from dreamduck.common.backend import CHANNELS, FLOAT, keras
from dreamduck.recordings.episode import FRAME_SHAPE
from dreamduck.world_model.trainer import Network
from dreamduck.world_model.vae.layout import (
    CONVOLUTIONS,
    DECODER,
    ENCODER,
    FORMAT,
    HIDDEN,
    PAPER,
    SMALLEST,
    TRANSPOSED,
    Z_SIZE,
    Block,
    Sizes,
)

ops = keras.ops
Tensor = Any


class TransposedConv(keras.layers.Layer):
    """A transposed convolution of stride 2, without padding.

    Args:
        filters: channels out.
        kernel_size: 5 or 6.
        activation: applied to the result.
    """

    def __init__(
        self, filters: int, kernel_size: int, activation: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": FLOAT, **kwargs})
        self.filters, self.kernel_size = filters, kernel_size
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights; the kernel is (k, k, out, in), as TensorFlow 1 had it."""
        channels, k = input_shape[-1], self.kernel_size
        self.kernel = self.add_weight(
            name="kernel", shape=(k, k, self.filters, channels), initializer="glorot_uniform"
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, inputs: Tensor) -> Tensor:
        """(B, n, n, in) to (B, 2n - 2 + k, 2n - 2 + k, out)."""
        size, channels, k = inputs.shape[1], inputs.shape[3], self.kernel_size
        if size == 1:  # every output pixel hears the one input pixel through its own tap
            matrix = ops.reshape(ops.transpose(self.kernel, (3, 0, 1, 2)), (channels, -1))
            flat = ops.matmul(ops.reshape(inputs, (-1, channels)), matrix)
            found = ops.reshape(flat, (-1, k, k, self.filters))
        else:
            padded = ops.pad(inputs, ((0, 0), (2, 2), (2, 2), (0, 0)))
            phases = ops.conv(padded, self._phase_kernel(channels), padding="valid", data_format=CHANNELS)
            out = 2 * (size - 1) + k
            found = depth_to_space(phases)[:, :out, :out]
        return self.activation(found + self.bias)

    def _phase_kernel(self, channels: int) -> Tensor:
        """`layout.phase_kernel`, differentiable."""
        extra = 6 - self.kernel_size
        padded = ops.pad(self.kernel, ((0, extra), (0, extra), (0, 0), (0, 0))) if extra else self.kernel
        taps = ops.flip(ops.reshape(padded, (3, 2, 3, 2, self.filters, channels)), axis=(0, 2))
        return ops.reshape(ops.transpose(taps, (0, 2, 5, 1, 3, 4)), (3, 3, channels, 4 * self.filters))

    def get_config(self) -> dict[str, Any]:
        """The layer's arguments."""
        made = {"filters": self.filters, "kernel_size": self.kernel_size}
        return {**super().get_config(), **made, "activation": keras.activations.serialize(self.activation)}


def depth_to_space(features: Tensor) -> Tensor:
    """(B, n, n, 4 C) to (B, 2n, 2n, C): four channels are 2 x 2 pixels."""
    n, channels = features.shape[1], features.shape[3] // 4
    blocks = ops.transpose(ops.reshape(features, (-1, n, n, 2, 2, channels)), (0, 1, 3, 2, 4, 5))
    return ops.reshape(blocks, (-1, 2 * n, 2 * n, channels))


class VAENetwork(Network):
    """Encoder and decoder.

    Args:
        z_size: size of the latent vector.
        network: one of `layout.NETWORKS`.
        dtype: `FLOAT`, or `MIXED`.
    """

    weights_format = FORMAT

    def __init__(
        self, z_size: int = Z_SIZE, network: str = PAPER, dtype: str = FLOAT, **kwargs: Any
    ) -> None:
        super().__init__(dtype=dtype, **kwargs)
        layers = keras.layers
        self.z_size, self.sizes = z_size, Sizes(z_size, network)
        self._paper = network == PAPER
        form = {"data_format": CHANNELS, "dtype": dtype}
        # An attribute for each layer, since Keras names them so in a weights file.
        if self._paper:
            for name, k, _, units in CONVOLUTIONS:
                setattr(
                    self, name, layers.Conv2D(units, k, strides=2, activation="relu", **form, name=name)
                )
        else:
            self._add_blocks(ENCODER, form)
        self.enc_fc_mu = layers.Dense(z_size, dtype=dtype, name="enc_fc_mu")
        self.enc_fc_log_var = layers.Dense(z_size, dtype=dtype, name="enc_fc_log_var")
        hidden = HIDDEN if self._paper else SMALLEST**2 * DECODER[0][0].inputs
        self.dec_fc = layers.Dense(hidden, dtype=dtype, name="dec_fc")
        if self._paper:
            for name, k, _, units in TRANSPOSED:
                activation = "sigmoid" if units == 3 else "relu"
                setattr(self, name, TransposedConv(units, k, activation, dtype=dtype, name=name))
        else:
            self._add_blocks(DECODER, form)
        self.build((None, *FRAME_SHAPE))

    def _add_blocks(self, blocks: tuple[Block, ...], form: dict[str, str]) -> None:
        for c in (c for block in blocks for c in block):
            layer = keras.layers.Conv2D(c.outputs, c.kernel_size, c.stride, "same", **form, name=c.name)
            setattr(self, c.name, layer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make every layer's weights."""
        if not getattr(self, "built", False):
            self.call(keras.KerasTensor((1, *FRAME_SHAPE)))
            self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Images (B, 64, 64, 3) in [0, 1] to their reconstructions through mu."""
        return self.decode(self.encode(inputs)[0])

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 64, 64, 3) in [0, 1] to (mu, logvar), each (B, Z)."""
        h = images
        if self._paper:
            for name, *_ in CONVOLUTIONS:
                h = getattr(self, name)(h)
        else:
            for block in ENCODER:
                h = ops.relu(self._block(block, h))
        h = ops.reshape(h, (-1, h.shape[1] * h.shape[2] * h.shape[3]))
        return ops.cast(self.enc_fc_mu(h), FLOAT), ops.cast(self.enc_fc_log_var(h), FLOAT)

    def decode(self, z: Tensor) -> Tensor:
        """Latents (B, Z) to images (B, 64, 64, 3) in [0, 1]."""
        if self._paper:
            h = ops.reshape(self.dec_fc(z), (-1, 1, 1, HIDDEN))
            for name, *_ in TRANSPOSED:
                h = getattr(self, name)(h)
            return ops.cast(h, FLOAT)
        h = ops.reshape(self.dec_fc(z), (-1, SMALLEST, SMALLEST, DECODER[0][0].inputs))
        for block in DECODER:
            h = self._block(block, ops.relu(h))
            h = h if len(block) > 1 else depth_to_space(h)
        return ops.sigmoid(ops.cast(h, FLOAT))

    def _block(self, block: Block, given: Tensor) -> Tensor:
        """A convolution, or a residual block, before the last relu."""
        h = given
        for c in block[:-1]:
            h = ops.relu(getattr(self, c.name)(h))
        h = getattr(self, block[-1].name)(h)
        return h if len(block) == 1 else given + h

    def get_config(self) -> dict[str, Any]:
        """The model's arguments."""
        return self.sizes._asdict()
