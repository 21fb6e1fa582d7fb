"""The 2019 form: read, written, and the original's outputs by TensorFlow 1's own equations."""

import json

import numpy as np
import pytest

from dreamduck.common.backend import tf
from dreamduck.common.errors import WeightsError
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics.start_states import InitialZ, read_initial, write_initial
from dreamduck.world_model.legacy.rnn_json import read_legacy
from dreamduck.world_model.mdn_rnn import MDNRNN, MDNRNNConfig
from tests.world_model.mdn_rnn.helpers import random_parameters
from tests.world_model.mdn_rnn.legacy_files import write_rnn

# z, action, hidden: of Duckietown, and a small one; the two experiments of 2018 are in ../legacy
FORMS = [(64, 2, 512), (3, 1, 7)]


def original_file(path, z_size, action_size, hidden, ends, mixtures=5, seed=0):
    """Arrays as TensorFlow 1 orders them: integers, times 10,000.

    The car racer made its output layer first, then its LSTM; Doom the other way round.
    """
    random = np.random.default_rng(seed)
    width = z_size * mixtures * 3 + ends
    sizes = [(hidden, width), (width,), (z_size + action_size + hidden, 4 * hidden), (4 * hidden,)]
    arrays = [np.rint(random.standard_normal(size) * 1000).astype(int) for size in sizes]
    stored = arrays[2:] + arrays[:2] if ends else arrays
    path.write_text(json.dumps([array.tolist() for array in stored]))
    return [array / 10_000 for array in arrays]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def original_step(arrays, z, action, c, h):
    """`BasicLSTMCell` and the output layer, as written down in the original, in float64."""
    output, output_bias, kernel, bias = arrays
    i, j, f, o = np.split(np.concatenate([z, action, h], 1) @ kernel + bias, 4, axis=1)
    c = c * sigmoid(f + 1.0) + sigmoid(i) * np.tanh(j)
    h = np.tanh(c) * sigmoid(o)
    out = h @ output + output_bias
    logmix, mean, logstd = np.split(out.reshape(-1, 15), 3, axis=1)
    logmix = logmix - np.log(np.exp(logmix).sum(axis=1, keepdims=True))
    return c, h, logmix, mean, logstd


def columns(part):
    """(1, K, Z) as the original's rows (Z, K)."""
    return part[0].T


@pytest.mark.parametrize(("z_size", "action_size", "hidden"), FORMS)
def test_outputs_of_the_original(tmp_path, z_size, action_size, hidden):
    arrays = original_file(tmp_path / "rnn.json", z_size, action_size, hidden, False)
    dynamics = WorldModel.load(tmp_path).dynamics
    assert isinstance(dynamics, MDNRNN)
    sizes = MDNRNNConfig(z_size, action_size, hidden, 5)
    assert dynamics.config == WorldModel.load(tmp_path).sizes == sizes
    random = np.random.default_rng(1)
    c = h = np.zeros((1, hidden))
    state = dynamics.start()
    for _ in range(20):
        z = random.standard_normal((1, z_size)).astype(np.float32)
        action = random.uniform(-1, 1, (1, action_size)).astype(np.float32)
        c, h, logmix, mean, logstd = original_step(arrays, z, action, c, h)
        state = dynamics.advance(z, action, state)
        found = dynamics.predict(z, state)
        np.testing.assert_allclose(state.c, c, atol=1e-4)
        np.testing.assert_allclose(state.h, h, atol=1e-4)
        np.testing.assert_allclose(columns(found.mixture.logmix), logmix, atol=1e-4)
        np.testing.assert_allclose(columns(found.mixture.mix_mu), mean, atol=1e-4)
        np.testing.assert_allclose(columns(found.mixture.mix_logstd), logstd, atol=1e-4)
        np.testing.assert_allclose(found.end, 0.0, atol=1e-4)
        assert not found.reward.any()


def test_outputs_of_tensorflow_1s_own_cell(tmp_path):
    """Against the kernel behind TensorFlow 1's LSTM cells, whose gates are in the order i, j, f, o."""
    z_size, action_size, hidden = 32, 2, 256
    arrays = original_file(tmp_path / "rnn.json", z_size, action_size, hidden, False)
    dynamics = WorldModel.load(tmp_path).dynamics
    random = np.random.default_rng(2)
    state, peepholes = dynamics.start(), tf.zeros(hidden)
    c, h = tf.zeros((1, hidden)), tf.zeros((1, hidden))
    for _ in range(10):
        z = random.standard_normal((1, z_size)).astype(np.float32)
        action = random.uniform(-1, 1, (1, action_size)).astype(np.float32)
        cell = tf.raw_ops.LSTMBlockCell(
            x=np.concatenate([z, action], 1),
            cs_prev=c,
            h_prev=h,
            w=arrays[2].astype(np.float32),
            b=arrays[3].astype(np.float32),
            wci=peepholes,
            wcf=peepholes,
            wco=peepholes,
            forget_bias=1.0,
            cell_clip=-1.0,
        )
        c, h = cell.cs, cell.h
        state = dynamics.advance(z, action, state)
        np.testing.assert_allclose(state.c, c.numpy(), atol=1e-4)
        np.testing.assert_allclose(state.h, h.numpy(), atol=1e-4)


@pytest.mark.parametrize("ends", [False, True])
def test_written_files_read_the_same(tmp_path, ends):
    config = MDNRNNConfig(4, 2, 16, 5)
    made = random_parameters(config)
    write_rnn(tmp_path / "rnn.json", made, config, ends=ends)
    values = json.loads((tmp_path / "rnn.json").read_text())
    output, lstm = [(16, 60 + ends), (60 + ends,)], [(22, 64), (64,)]
    assert [np.shape(v) for v in values] == (lstm + output if ends else output + lstm)
    found, sizes = read_legacy(tmp_path / "rnn.json")
    assert sizes == config
    for name, array in made.items():
        if name.startswith("head_reward") or (name.startswith("head_end") and not ends):
            continue
        np.testing.assert_allclose(found[name], array, atol=0.51e-4)
    write_rnn(tmp_path / "again.json", found, config, ends=ends)
    assert (tmp_path / "again.json").read_text() == (tmp_path / "rnn.json").read_text()


def test_the_two_orders_give_the_same_weights(tmp_path):
    original_file(tmp_path / "rnn.json", 4, 2, 16, True)
    stored = json.loads((tmp_path / "rnn.json").read_text())
    (tmp_path / "other.json").write_text(json.dumps(stored[2:] + stored[:2]))
    (one, config), (two, other) = read_legacy(tmp_path / "rnn.json"), read_legacy(tmp_path / "other.json")
    assert config == other
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name])


@pytest.mark.parametrize("ends", [False, True])
def test_the_orders_are_recognized_where_widths_agree(tmp_path, ends):
    """Here the outputs are four times as many as the LSTM's kernel has rows."""
    z_size, action_size, hidden = 16, 2, 42
    assert 15 * z_size == 4 * (z_size + action_size + hidden)
    original_file(tmp_path / "rnn.json", z_size, action_size, hidden, ends)
    assert read_legacy(tmp_path / "rnn.json")[1] == MDNRNNConfig(z_size, action_size, hidden, 5)


@pytest.mark.parametrize("ends", [False, True])
def test_the_number_of_gaussians_follows_from_first_latents(tmp_path, ends):
    original_file(tmp_path / "rnn.json", 6, 2, 16, ends, mixtures=3)
    with pytest.raises(WeightsError, match="of no MDN-RNN with 5 Gaussians"):
        _ = WorldModel.load(tmp_path).dynamics
    latents = np.zeros((2, 6), np.float32)
    write_initial(tmp_path / "initial_z.json", InitialZ(latents, latents))
    model = WorldModel.load(tmp_path)
    assert model.dynamics.config == model.sizes == MDNRNNConfig(6, 1 if ends else 2, 16, 3)


def test_a_file_with_layer_normalisation_is_refused(tmp_path):
    """Its LSTM has no bias, but a gain and a shift for each of its five parts."""
    arrays = [[[1]], [1], [[1]], *[[1]] * 10]
    (tmp_path / "rnn.json").write_text(json.dumps(arrays))
    with pytest.raises(WeightsError, match="expected a list of 4 arrays"):
        _ = WorldModel.load(tmp_path).dynamics


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]",
        "[[[1]], [1], [[1]], [1]]",
        '[["a"], 1, 2, 3]',
        "[[[1, 2], [3]], [1], [[1]], [1]]",
        "[",
        "[[[1e999]], [1], [[1]], [1]]",
    ],
)
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "rnn.json").write_text(text)
    with pytest.raises(WeightsError, match=r"rnn\.json"):
        _ = WorldModel.load(tmp_path).dynamics


def test_first_latents(tmp_path):
    random = np.random.default_rng(0)
    mu, logvar = (np.rint(random.normal(size=(2, 7, 4)) * 1e4) / 1e4).astype(np.float32)
    write_initial(tmp_path / "initial_z.json", InitialZ(mu, logvar))
    values = json.loads((tmp_path / "initial_z.json").read_text())
    assert len(values) == 2
    assert values[0][3] == np.rint(mu[3] * 1e4).astype(int).tolist()
    found = read_initial(tmp_path / "initial_z.json")
    np.testing.assert_allclose(found.mu, mu, atol=1e-6)
    np.testing.assert_allclose(found.logvar, logvar, atol=1e-6)
    np.testing.assert_allclose(
        found.draw(0.999999, np.ones(4, np.float32)), mu[6] + np.exp(logvar[6] / 2), atol=1e-5
    )
    write_initial(tmp_path / "initial_z.json", InitialZ(mu, logvar), most=3)
    np.testing.assert_allclose(read_initial(tmp_path / "initial_z.json").mu, mu[[0, 3, 6]], atol=1e-6)


@pytest.mark.parametrize(
    "text", ["{}", "[[], []]", "[[[1]], [[1, 2]]]", "[[[1]], [[900000]]]", '[["a"], [1]]']
)
def test_damaged_first_latents(tmp_path, text):
    path = tmp_path / "initial_z.json"
    path.write_text(text)
    with pytest.raises(WeightsError, match=r"initial_z\.json"):
        read_initial(path)


def test_an_mdn_rnn_of_2019_takes_a_step(tmp_path):
    original_file(tmp_path / "rnn.json", 3, 1, 7, False)
    parameters, config = read_legacy(tmp_path / "rnn.json")
    assert MDNRNN(parameters, config).start(2).h.shape == (2, 7)
