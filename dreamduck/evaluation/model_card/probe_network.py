"""The probes' networks: small regressors from a frame, or from [z, h], to the state of the car.

Keras on TensorFlow, from fixed seeds. Predictions run in batches of one size, so that a row's numbers do
not depend on the rows beside it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.backend import CHANNELS, FLOAT, keras, tf
from dreamduck.common.seeding import derive, generator

FloatArray = npt.NDArray[np.float32]

HIDDEN = 64  # units before the outputs: the probe's features
BATCH, PREDICTED = 128, 512  # rows of a training step, and of a prediction
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-3
CLASS_WEIGHT = 0.3  # of the cross-entropy beside the squared errors
INPUT_NOISE = 0.1  # standard deviation, of the standardized features


class ProbeNetwork:
    """A network, the scale of its inputs, and its training.

    Args:
        layers: from the inputs to `HIDDEN` features.
        inputs: the shape of one row.
        outputs: how many numbers are regressed, and how many classes told apart.
        seed: of weights and batches.
    """

    def __init__(
        self, layers: list[Any], inputs: tuple[int, ...], outputs: tuple[int, int], seed: int
    ) -> None:
        rows = keras.Input(inputs, dtype=FLOAT)
        hidden = rows
        for layer in layers:
            hidden = layer(hidden)
        last = keras.layers.Dense(sum(outputs), kernel_initializer=_initializer(seed, 0), dtype=FLOAT)
        self.seed, self.outputs = seed, outputs
        self.model = keras.Model(rows, [last(hidden), hidden])
        signature = [tf.TensorSpec((PREDICTED, *inputs), tf.float32)]
        self._predict = tf.function(lambda x: self.model(x, training=False), input_signature=signature)

    def __call__(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Outputs (N, outputs) and features (N, HIDDEN) of N rows."""
        outputs = np.empty((len(rows), sum(self.outputs)), np.float32)
        hidden = np.empty((len(rows), HIDDEN), np.float32)
        batch = np.zeros((PREDICTED, *rows.shape[1:]), np.float32)
        for at in range(0, len(rows), PREDICTED):
            count = min(PREDICTED, len(rows) - at)
            batch[:count] = rows[at : at + count]
            found = self._predict(tf.constant(batch))
            outputs[at : at + count], hidden[at : at + count] = (part.numpy()[:count] for part in found)
        return outputs, hidden

    def fit(
        self,
        rows: FloatArray,
        numbers: FloatArray,
        classes: npt.NDArray[np.int64] | None,
        epochs: int,
    ) -> None:
        """Learn.

        Args:
            rows: (N, ...).
            numbers: (N, outputs), about of unit size.
            classes: (N,), -1 where the class is not known; None without classes.
            epochs: passes over the rows.
        """
        optimizer = keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        optimizer.build(self.model.trainable_variables)
        labels = np.full(len(rows), -1, np.int64) if classes is None else classes
        count = self.outputs[0]

        @tf.function
        def step(x: Any, y: Any, label: Any) -> None:
            with tf.GradientTape() as tape:
                out = self.model(x, training=True)[0]
                loss = tf.reduce_mean((out[:, :count] - y) ** 2)
                if classes is not None:
                    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
                        tf.maximum(label, 0), out[:, count:]
                    )
                    loss += CLASS_WEIGHT * tf.reduce_mean(entropy * tf.cast(label >= 0, tf.float32))
            variables = self.model.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

        batches = max(1, len(rows) // BATCH)
        for epoch in range(epochs):
            order = generator(self.seed, epoch).permutation(len(rows))
            for number in range(batches):
                chosen = order[number * BATCH : (number + 1) * BATCH]
                progress = (epoch * batches + number) / (epochs * batches)
                optimizer.learning_rate.assign(LEARNING_RATE * (1 + math.cos(math.pi * progress)) / 2)
                step(*(tf.constant(part[chosen]) for part in (rows, numbers, labels)))


def frame_network(channels: int, outputs: tuple[int, int], seed: int) -> ProbeNetwork:
    """For frames at half their size, (32, 32, channels) in [-1, 1].

    Args:
        channels: 3 for one frame, 6 for two.
        outputs: numbers and classes.
        seed: of weights and batches.
    """
    layers: list[Any] = [
        keras.layers.Conv2D(
            filters,
            3,
            2,
            padding="same",
            activation="relu",
            data_format=CHANNELS,
            kernel_initializer=_initializer(seed, filters),
            dtype=FLOAT,
        )
        for filters in (16, 32, 48)
    ]
    layers += [keras.layers.Flatten(dtype=FLOAT), _dense(HIDDEN, seed)]
    return ProbeNetwork(layers, (32, 32, channels), outputs, seed)


def feature_network(inputs: int, outputs: tuple[int, int], seed: int) -> ProbeNetwork:
    """For standardized features.

    Args:
        inputs: how many there are.
        outputs: numbers and classes.
        seed: of weights, noise and batches.
    """
    noise = keras.layers.GaussianNoise(INPUT_NOISE, seed=derive(seed, 1), dtype=FLOAT)
    layers = [noise, _dense(2 * HIDDEN, seed), _dense(HIDDEN, seed)]
    return ProbeNetwork(layers, (inputs,), outputs, seed)


def _dense(units: int, seed: int) -> Any:
    return keras.layers.Dense(units, "relu", kernel_initializer=_initializer(seed, units), dtype=FLOAT)


def _initializer(seed: int, place: int) -> Any:
    return keras.initializers.GlorotUniform(derive(seed, 0, place))
