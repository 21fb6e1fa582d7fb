"""The LSTM over a sequence in TensorFlow, with a gradient of its own.

`benchmarks/mdn_rnn.py` shows what it gains; tests hold it to Keras's layer and to the equations."""

from __future__ import annotations

from typing import Any

from dreamduck.common.backend import tf
from dreamduck.world_model.mdn_rnn import equations

Tensor = Any


def lstm(
    x: Tensor, h: Tensor, c: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """An LSTM over T steps, with a gradient of its own; float32.

    Keras's layer gives the same and takes longer on processors: it multiplies each step's gradient with a
    transposed matrix, and adds it to those of all weights. Here the matrix is transposed once, and the
    weights' gradient is one product over all steps.

    Args:
        x: (B, T, I).
        h: (B, H), the state before the first step.
        c: likewise.
        kernel: (I, 4H).
        recurrent: (H, 4H).
        bias: (4H,); as `keras.layers.LSTM` keeps them.
    Returns:
        The output of every step (B, T, H), and h and c after the last, (B, H).
    """
    weights = map(tf.convert_to_tensor, (kernel, recurrent, bias))  # of variables: what they hold
    hidden, h, c = _lstm(x, h, c, *weights)
    return tf.ensure_shape(hidden, (*x.shape[:2], recurrent.shape[0])), h, c


@tf.custom_gradient
def _lstm(x: Tensor, h: Tensor, c: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor) -> Any:
    units, first = recurrent.shape[0], h
    halves, weights = equations.gate_halves(units), tf.concat([kernel, recurrent], 0)
    halved, halved_bias = weights * halves, bias * halves
    width, steps = kernel.shape[0], tf.shape(x)[1]
    x = tf.transpose(x, (1, 0, 2))

    def rows() -> Any:
        return tf.TensorArray(tf.float32, steps, clear_after_read=False)

    def forward(t: Tensor, h: Tensor, c: Tensor, kept: tuple[Any, ...]) -> tuple[Any, ...]:
        gates = tf.tanh(tf.matmul(tf.concat([x[t], h], 1), halved) + halved_bias)
        write, keep, new, show = equations.opened(gates)
        after = keep * c + write * new
        bent = tf.tanh(after)
        h = show * bent
        kept = tuple(row.write(t, part) for row, part in zip(kept, (gates, c, bent, h), strict=True))
        return t + 1, h, after, kept

    start = (tf.constant(0), h, c, tuple(rows() for _ in range(4)))
    _, h, c, (gates, before, bent, hidden) = tf.while_loop(
        lambda t, *_: t < steps, forward, start, parallel_iterations=1
    )
    hidden = hidden.stack()

    def gradient(d_hidden: Tensor, d_h: Tensor, d_c: Tensor) -> tuple[Tensor, ...]:
        d_hidden = tf.transpose(d_hidden, (1, 0, 2))
        back = tf.transpose(recurrent)

        def backward(t: Tensor, d_h: Tensor, d_c: Tensor, gradients: Any) -> tuple[Any, ...]:
            now, curve = gates.read(t), bent.read(t)
            write, keep, new, show = equations.opened(now)
            d_h = d_h + d_hidden[t]
            d_c = d_c + d_h * show * (1 - curve * curve)
            opened = tf.concat([d_c * new, d_c * before.read(t), d_c * write, d_h * curve], 1)
            # the derivative of sigmoid(x) is (1 - tanh(x/2)^2) / 4
            slope = opened * ((1 - now * now) * (halves * halves))
            return t - 1, tf.matmul(slope, back), d_c * keep, gradients.write(t, slope)

        start = (steps - 1, d_h, d_c, rows())
        _, d_h, d_c, gradients = tf.while_loop(lambda t, *_: t >= 0, backward, start, parallel_iterations=1)
        flat = tf.reshape(gradients.stack(), (-1, 4 * units))
        inputs = tf.concat([x, tf.concat([first[None], hidden[:-1]], 0)], 2)
        by_weight = tf.matmul(tf.reshape(inputs, (-1, width + units)), flat, transpose_a=True)
        by_input = tf.reshape(tf.matmul(flat, kernel, transpose_b=True), tf.shape(x))
        by_input = tf.transpose(by_input, (1, 0, 2))
        return by_input, d_h, d_c, by_weight[:width], by_weight[width:], tf.reduce_sum(flat, 0)

    return (tf.transpose(hidden, (1, 0, 2)), h, c), gradient
