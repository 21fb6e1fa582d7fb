"""The LSTM with a gradient of its own, against Keras's."""

import numpy as np
import pytest

from dreamduck.common.backend import keras, tf
from dreamduck.world_model.mdn_rnn import graph

BATCH, STEPS, INPUTS, UNITS = 3, 7, 5, 4


def given(steps=STEPS):
    random = np.random.default_rng(0)
    layer = keras.layers.LSTM(UNITS, return_sequences=True, return_state=True)
    layer.build((None, None, INPUTS))
    for weight in layer.weights:
        weight.assign(random.normal(0, 0.7, weight.shape))
    shapes = [(BATCH, steps, INPUTS), (BATCH, UNITS), (BATCH, UNITS)]
    parts = [tf.constant(random.standard_normal(shape), tf.float32) for shape in shapes]
    gradients = [
        tf.constant(random.standard_normal(s), tf.float32) for s in ((BATCH, steps, UNITS), *shapes[1:])
    ]
    return layer, parts, gradients


def with_gradient(run, layer, parts, gradients):
    with tf.GradientTape() as tape:
        tape.watch(parts)
        found = run(*parts)
    wanted = [*parts, *layer.trainable_variables]
    return [*found, *tape.gradient(found, wanted, output_gradients=gradients)]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("steps", [1, STEPS])
def test_it_is_the_layer_of_keras(compiled, steps):
    layer, parts, gradients = given(steps)

    def theirs(x, h, c):
        return layer(x, initial_state=[h, c])

    def ours(x, h, c):
        return graph.lstm(x, h, c, *layer.weights)

    known = with_gradient(theirs, layer, parts, gradients)
    found = with_gradient(tf.function(ours) if compiled else ours, layer, parts, gradients)
    assert len(known) == 3 + 3 + 3
    for one, other in zip(known, found, strict=True):
        assert np.abs(one).max() > 0.01
        np.testing.assert_allclose(one, other, atol=3e-6)


def test_shapes_that_are_not_known_beforehand():
    layer, parts, _ = given()
    signature = [tf.TensorSpec([None, None, INPUTS]), *[tf.TensorSpec([None, UNITS])] * 2]
    run = tf.function(lambda x, h, c: graph.lstm(x, h, c, *layer.weights), input_signature=signature)
    for one, other in zip(run(*parts), layer(parts[0], initial_state=parts[1:]), strict=True):
        np.testing.assert_allclose(one, other, atol=3e-6)
