"""Products in bfloat16: near those in float32, and not the same; the weights stay float32."""

import numpy as np
import pytest

from dreamduck.common.backend import FLOAT, MIXED, tf
from dreamduck.world_model.categorical.network import CategoricalNetwork
from dreamduck.world_model.vae.layout import NETWORKS
from dreamduck.world_model.vae.network import VAENetwork
from tests.world_model.categorical.helpers import SMALL, random_parameters
from tests.world_model.vae.helpers import parameters as vae_parameters


def near(one, other):
    one, other = np.asarray(one), np.asarray(other)
    assert one.dtype == other.dtype == np.float32
    assert 0 < np.abs(one - other).max() < 0.1 * np.abs(other).max()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_vae(network):
    given = vae_parameters(seed=7, network=network)
    size = given["dec_fc/kernel"].shape[0]
    images = tf.constant(np.random.default_rng(0).random((3, 64, 64, 3), np.float32))
    found = {}
    for dtype in (FLOAT, MIXED):
        model = VAENetwork(size, network, dtype)
        model.set_parameters(given)
        mu, logvar = model.encode(images)
        found[dtype] = (mu, logvar, model.decode(mu))
        assert all(np.array_equal(array, given[name]) for name, array in model.parameters().items())
    for one, other in zip(*found.values(), strict=True):
        near(one, other)


def test_the_categorical_dynamics_and_their_gradient():
    random = np.random.default_rng(0)
    steps, rows = 4, 6
    shapes = ((steps + 1, rows, SMALL.z_size + 1), (steps, rows, SMALL.action_size))
    seen, action = (tf.constant(random.standard_normal(shape), tf.float32) for shape in shapes)
    uniform = tf.constant(random.random((steps + 1, rows, SMALL.variables)), tf.float32)
    use, prior_uniform = tf.zeros((steps + 1, 0), tf.bool), tf.zeros((steps + 1, 0, SMALL.variables))
    found = []
    for precision in ("float32", "bfloat16"):
        model = CategoricalNetwork(SMALL, precision)
        model.set_parameters(random_parameters())
        with tf.GradientTape() as tape:
            path = model.follow(seen, action, uniform, use, prior_uniform)
            loss = tf.reduce_sum(path.logits[0] ** 2)
        gradient = tape.gradient(loss, [model.posterior.kernel])[0]
        found.append((path.logits[0], gradient))
    for one, other in zip(*found, strict=True):
        near(one, other)
