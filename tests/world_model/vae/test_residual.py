"""The residual network: Keras and numpy give the same numbers, and files name their network."""

import numpy as np
import pytest

from dreamduck.common.backend import tf
from dreamduck.world_model import WorldModel
from dreamduck.world_model.vae import VAE, files
from dreamduck.world_model.vae.inference import NumpyVAE
from dreamduck.world_model.vae.layout import (
    DECODER,
    ENCODER,
    FORMAT,
    NETWORKS,
    RESIDUAL,
    Sizes,
    initial_parameters,
    multiply_adds,
    shapes,
    sizes_of,
)
from dreamduck.world_model.vae.network import VAENetwork
from tests.world_model.vae.helpers import frames, parameters


@pytest.fixture(scope="module")
def weights():
    return parameters(8, seed=1, network=RESIDUAL)


@pytest.fixture(scope="module")
def model(weights):
    made = VAENetwork(8, RESIDUAL)
    made.set_parameters(weights)
    return made


def convolution(p, c, h):
    return tf.nn.conv2d(h, p[f"{c.name}/kernel"], c.stride, "SAME") + p[f"{c.name}/bias"]


def block_of(p, block, h):
    made = h
    for i, c in enumerate(block):
        made = convolution(p, c, tf.nn.relu(made) if i else made)
    return made if len(block) == 1 else h + made


def plain_encode(p, given):
    """The encoder as one would write it with TensorFlow's own operators."""
    h = tf.constant(given / np.float32(255))
    for block in ENCODER:
        h = tf.nn.relu(block_of(p, block, h))
    h = tf.reshape(h, [len(given), -1])
    return [(h @ p[f"{n}/kernel"] + p[f"{n}/bias"]).numpy() for n in ("enc_fc_mu", "enc_fc_log_var")]


def plain_decode(p, z):
    """The decoder, with TensorFlow's own depth-to-space."""
    h = tf.reshape(z @ p["dec_fc/kernel"] + p["dec_fc/bias"], [len(z), 4, 4, -1])
    for block in DECODER:
        h = block_of(p, block, tf.nn.relu(h))
        h = h if len(block) > 1 else tf.nn.depth_to_space(h, 2)
    return tf.sigmoid(h).numpy()


def test_the_encoder_is_that_of_plain_operators(model, weights):
    given = frames(3)
    expected = plain_encode(weights, given)
    assert min(part.std() for part in expected) > 0.05
    for found in (model.encode(given.astype(np.float32) / 255), NumpyVAE(weights).encode(given)):
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_the_decoder_is_that_of_plain_operators(model, weights):
    z = np.random.default_rng(0).normal(size=(11, 8)).astype(np.float32)
    expected = plain_decode(weights, z)
    assert expected.std() > 0.02
    np.testing.assert_allclose(model.decode(z), expected, atol=2e-6)
    np.testing.assert_allclose(NumpyVAE(weights).decode(z), expected, atol=2e-6)


def test_keras_reads_our_file_and_we_read_its(model, weights, tmp_path):
    FORMAT.write(tmp_path / "ours.weights.h5", weights)
    other = VAENetwork(8, RESIDUAL)
    other.load_weights(tmp_path / "ours.weights.h5")
    other.save_weights(tmp_path / "theirs.weights.h5")
    read = files.read_parameters(tmp_path / "theirs.weights.h5")
    assert list(read) == list(shapes(8, RESIDUAL))
    for name, array in weights.items():
        np.testing.assert_array_equal(read[name], array)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_folder_names_its_network(tmp_path, network):
    made = parameters(5, seed=2, network=network)
    files.save(tmp_path, made, {})
    vae = WorldModel.load(tmp_path).vae
    assert sizes_of(vae.parameters) == (5, network)
    assert (vae.card["network"], vae.card["z_size"]) == (network, 5)
    z = np.random.default_rng(0).normal(size=(2, 5))
    np.testing.assert_array_equal(vae.decode(z), VAE(made).decode(z))


def test_the_shipped_form_is_small(weights, tmp_path):
    files.save(tmp_path, files.shipped(weights), {})
    made = WorldModel.load(tmp_path).vae
    z = np.random.default_rng(0).normal(size=(4, 8))
    assert np.abs(made.decode(z).astype(int) - VAE(weights).decode(z)).max() <= 1
    assert sum(a.size for a in made.parameters.values()) == VAENetwork(8, RESIDUAL).count_params()


def test_first_weights_leave_residual_blocks_the_identity():
    made = initial_parameters(4, 0, RESIDUAL)
    h = NumpyVAE(made).encode(frames(2))[0]
    assert 0.01 < h.std() < 10
    for block in (*ENCODER, *DECODER):
        if len(block) > 1:
            assert not made[f"{block[-1].name}/kernel"].any()
            assert made[f"{block[0].name}/kernel"].any()


def test_multiply_adds_are_counted():
    residual = multiply_adds(Sizes(64, RESIDUAL))
    assert residual == (21_774_336, 76_873_728)
