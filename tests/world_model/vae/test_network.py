"""The Keras model: the paper's numbers, whichever way they are computed."""

import numpy as np
import pytest

from dreamduck.common.backend import keras, tf
from dreamduck.common.errors import WeightsError
from dreamduck.world_model.legacy.vae_json import read_legacy
from dreamduck.world_model.vae import files
from dreamduck.world_model.vae.inference import NumpyVAE
from dreamduck.world_model.vae.layout import CONVOLUTIONS, FORMAT, TRANSPOSED, shapes
from dreamduck.world_model.vae.losses import losses, pyramid_distance
from dreamduck.world_model.vae.network import VAENetwork
from tests.world_model.vae.helpers import frames, parameters, write_legacy


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    made = VAENetwork(8)
    made.set_parameters(parameters(z_size=8))
    return made


def paper_encode(p, images):
    """The encoder as the paper's code writes it."""
    h = tf.constant(images, tf.float32)
    for name, *_ in CONVOLUTIONS:
        h = tf.nn.relu(tf.nn.conv2d(h, p[f"{name}/kernel"], 2, "VALID") + p[f"{name}/bias"])
    h = tf.reshape(h, [-1, 1024])
    return (h @ p[f"{n}/kernel"] + p[f"{n}/bias"] for n in ("enc_fc_mu", "enc_fc_log_var"))


def paper_decode(p, z):
    """The decoder as the paper's code writes it, with TensorFlow's own transposed convolution."""
    h = tf.reshape(z @ p["dec_fc/kernel"] + p["dec_fc/bias"], [-1, 1, 1, 1024])
    for name, k, _, units in TRANSPOSED:
        out = 2 * (h.shape[1] - 1) + k
        shape = (len(z), out, out, units)
        h = tf.nn.conv2d_transpose(h, p[f"{name}/kernel"], shape, 2, "VALID") + p[f"{name}/bias"]
        h = tf.sigmoid(h) if units == 3 else tf.nn.relu(h)
    return h.numpy()


def test_parameters_have_the_papers_names_order_and_shapes(model):
    assert {n: a.shape for n, a in model.parameters().items()} == shapes(8)
    assert model.count_params() == sum(int(np.prod(s)) for s in shapes(8).values())
    assert VAENetwork(32).count_params() == 4_348_547  # the figure in the paper


def test_encoder_gives_the_papers_numbers(model):
    given = frames(3)
    images = given.astype(np.float32) / 255
    expected = [a.numpy() for a in paper_encode(model.parameters(), images)]
    for found in (model.encode(images), NumpyVAE(model.parameters()).encode(given)):
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_decoder_gives_the_papers_numbers(model):
    z = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    expected = paper_decode(model.parameters(), z)
    assert expected.std() > 0.02  # not a flat image, in which any mistake would hide
    np.testing.assert_allclose(model.decode(z), expected, atol=2e-6)
    np.testing.assert_allclose(NumpyVAE(model.parameters()).decode(z), expected, atol=2e-6)


def test_decoder_has_the_papers_gradients(model):
    z = tf.constant(np.random.default_rng(1).normal(size=(2, 8)), tf.float32)
    p = {name: tf.Variable(array) for name, array in model.parameters().items()}
    with tf.GradientTape() as tape:
        h = tf.reshape(z @ p["dec_fc/kernel"] + p["dec_fc/bias"], [-1, 1, 1, 1024])
        for name, k, _, units in TRANSPOSED:
            out = 2 * (h.shape[1] - 1) + k
            h = tf.nn.conv2d_transpose(h, p[f"{name}/kernel"], (2, out, out, units), 2, "VALID")
            h = tf.sigmoid(h + p[f"{name}/bias"]) if units == 3 else tf.nn.relu(h + p[f"{name}/bias"])
        loss = tf.reduce_sum(tf.square(h))
    names = [n for n in p if n.startswith("dec_")]
    expected = tape.gradient(loss, [p[n] for n in names])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model.decode(z)))
    variables = {"/".join(v.path.split("/")[-2:]): v.value for v in model.weights}
    for name, ours, theirs in zip(
        names, tape.gradient(loss, [variables[n] for n in names]), expected, strict=True
    ):
        np.testing.assert_allclose(
            ours, theirs, atol=1e-4 * float(tf.reduce_max(tf.abs(theirs))), err_msg=name
        )


def test_keras_reads_our_file_and_we_read_its(model, tmp_path):
    FORMAT.write(tmp_path / "ours.weights.h5", model.parameters())
    other = VAENetwork(8)
    other.load_weights(tmp_path / "ours.weights.h5")
    other.save_weights(tmp_path / "theirs.weights.h5")
    read = files.read_parameters(tmp_path / "theirs.weights.h5")
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(read[name], array)


def test_the_2019_form_gives_the_same_outputs(model, tmp_path):
    write_legacy(tmp_path / "vae.json", model.parameters())
    read = read_legacy(tmp_path / "vae.json")
    write_legacy(tmp_path / "again.json", read)
    assert (tmp_path / "vae.json").read_bytes() == (tmp_path / "again.json").read_bytes()
    z = np.random.default_rng(2).normal(size=(2, 8)).astype(np.float32)
    np.testing.assert_allclose(NumpyVAE(read).decode(z), paper_decode(read, z), atol=1e-5)


def test_losses_are_the_papers():
    random = np.random.default_rng(0)
    x, y = random.random((2, 4, 64, 64, 3), np.float32)
    mu, logvar = random.normal(size=(2, 4, 6)).astype(np.float32)
    mu[0] = logvar[0] = 0.01  # below the tolerance
    squared, divergence = (float(v) for v in losses(x, y, mu, logvar, 0.5))
    each = [-0.5 * (1 + lv - m**2 - np.exp(lv)).sum() for m, lv in zip(mu, logvar, strict=True)]
    assert each[0] < 3
    assert squared == pytest.approx(((x - y) ** 2).sum() / 4, rel=1e-5)
    assert divergence == pytest.approx(np.mean([max(e, 3.0) for e in each]), rel=1e-5)


def test_weights_of_another_size_are_refused(model):
    with pytest.raises(WeightsError, match="missing or unknown"):
        model.set_parameters({"enc_fc_mu/kernel": np.zeros((1024, 8), np.float32)})


def test_the_pyramid_separates_edges_from_shades():
    random = np.random.default_rng(1)
    error = random.normal(0, 0.1, (2, 64, 64, 3)).astype(np.float32)

    def expected(e):
        total, level = 0.0, 1
        while e.shape[1] > 8:
            small = e.reshape(2, e.shape[1] // 2, 2, e.shape[1] // 2, 2, 3).mean((2, 4))
            total += level * np.abs(e - tf.image.resize(small, e.shape[1:3]).numpy()).sum()
            e, level = small, 2 * level
        return (total + level * np.abs(e).sum()) / 2

    assert float(pyramid_distance(tf.constant(error))) == pytest.approx(expected(error), rel=1e-5)
    mu = np.zeros((2, 6), np.float32)
    plain, edges = (
        float(losses(error, 0 * error, mu, mu, 0.5, loss)[0]) for loss in ("squared", "pyramid")
    )
    assert plain == pytest.approx((error**2).sum() / 2, rel=1e-5)
    assert edges == pytest.approx(4 * plain + 2 * expected(error), rel=1e-5)


def test_the_focal_loss_weights_a_pixel_by_its_error():
    error = np.random.default_rng(2).normal(0, 0.2, (3, 64, 64, 3)).astype(np.float32)
    mu = np.zeros((3, 6), np.float32)
    found = float(losses(error, 0 * error, mu, mu, 0.5, "focal")[0])
    weights = 1 + (error.astype(float) ** 2).mean(3, keepdims=True) / 0.1**2
    assert found == pytest.approx(4 * (weights * error**2).sum() / 3, rel=1e-5)
