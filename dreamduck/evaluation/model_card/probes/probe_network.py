"""The probes' network: a small regressor from features to numbers and classes.

Keras on TensorFlow, from fixed seeds. Predictions run in batches of one size, so that a row's numbers do
not depend on the rows beside it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.backend import FLOAT, keras, tf
from dreamduck.common.seeding import derive, generator
from dreamduck.world_model.dynamics import FloatArray

HIDDEN = (128, 64)  # units of the layers; the last one's are the probe's features
BATCH, PREDICTED = 128, 512  # rows of a training step, and of a prediction
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-3
CLASS_WEIGHT = 0.3  # of the cross-entropy beside the squared errors
INPUT_NOISE = 0.3  # standard deviation, of the standardized features; training alone
SMALLEST = 1e-3  # standard deviation


class ProbeNetwork:
    """Two hidden layers on standardized features.

    Args:
        inputs: how many features.
        outputs: how many numbers are regressed, and how many classes told apart.
        seed: of weights, noise and batches.
    """

    def __init__(self, inputs: int, outputs: tuple[int, int], seed: int) -> None:
        self.seed, self.outputs = seed, outputs
        rows = keras.Input((inputs,), dtype=FLOAT)
        hidden = keras.layers.GaussianNoise(INPUT_NOISE, seed=derive(seed, 1), dtype=FLOAT)(rows)
        for units in HIDDEN:
            hidden = self._layer(units, "relu")(hidden)
        self._model = keras.Model(rows, [self._layer(sum(outputs), None)(hidden), hidden])
        self._mean, self._std = np.zeros(inputs, np.float32), np.ones(inputs, np.float32)
        self._scale = np.ones(outputs[0], np.float32)
        signature = [tf.TensorSpec((PREDICTED, inputs), tf.float32)]
        self._predict = tf.function(lambda x: self._model(x, training=False), input_signature=signature)

    def _layer(self, units: int, activation: str | None) -> Any:
        initializer = keras.initializers.GlorotUniform(derive(self.seed, 0, units))
        return keras.layers.Dense(units, activation, kernel_initializer=initializer, dtype=FLOAT)

    def __call__(self, features: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The network's predictions for N rows.

        Args:
            features: (N, inputs).
        Returns:
            Numbers (N, outputs) in the units that they were learned in, probabilities of the classes
            (N, classes), and the last hidden layer (N, HIDDEN[-1]).
        """
        count = self.outputs[0]
        out = np.empty((len(features), sum(self.outputs)), np.float32)
        hidden = np.empty((len(features), HIDDEN[-1]), np.float32)
        batch = np.zeros((PREDICTED, features.shape[1]), np.float32)
        for at in range(0, len(features), PREDICTED):
            rows = min(PREDICTED, len(features) - at)
            batch[:rows] = (features[at : at + rows] - self._mean) / self._std
            found = self._predict(tf.constant(batch))
            out[at : at + rows], hidden[at : at + rows] = (part.numpy()[:rows] for part in found)
        likely = np.exp(out[:, count:] - out[:, count:].max(axis=1, keepdims=True, initial=-np.inf))
        total = likely.sum(axis=1, keepdims=True)
        return out[:, :count] * self._scale, likely / total, hidden

    def fit(
        self,
        features: FloatArray,
        numbers: FloatArray,
        classes: npt.NDArray[np.int64] | None,
        epochs: int,
    ) -> None:
        """Learn.

        Args:
            features: (N, inputs).
            numbers: (N, outputs).
            classes: (N,), -1 where the class is not known; None without classes.
            epochs: passes over the rows.
        """
        self._mean = features.mean(axis=0)
        self._std = np.maximum(features.std(axis=0), np.float32(SMALLEST))
        self._scale = np.maximum(numbers.std(axis=0), np.float32(SMALLEST))
        labels = np.full(len(features), -1, np.int64) if classes is None else classes
        columns = ((features - self._mean) / self._std, numbers / self._scale, labels)
        optimizer = keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        optimizer.build(self._model.trainable_variables)
        step = self._training_step(optimizer)
        batches = max(1, len(features) // BATCH)
        for epoch in range(epochs):
            order = generator(self.seed, epoch).permutation(len(features))
            for number in range(batches):
                chosen = order[number * BATCH : (number + 1) * BATCH]
                progress = (epoch * batches + number) / (epochs * batches)
                optimizer.learning_rate.assign(LEARNING_RATE * (1 + math.cos(math.pi * progress)) / 2)
                step(*(tf.constant(column[chosen]) for column in columns))

    def _training_step(self, optimizer: Any) -> Any:
        count, classes = self.outputs
        variables = self._model.trainable_variables

        @tf.function(reduce_retracing=True)
        def step(x: Any, y: Any, label: Any) -> None:
            with tf.GradientTape() as tape:
                out = self._model(x, training=True)[0]
                loss = tf.reduce_mean((out[:, :count] - y) ** 2)
                if classes:
                    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
                        tf.maximum(label, 0), out[:, count:]
                    )
                    loss += CLASS_WEIGHT * tf.reduce_mean(entropy * tf.cast(label >= 0, tf.float32))
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

        return step
