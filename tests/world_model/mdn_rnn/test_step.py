"""The numpy step: the same numbers as the Keras model, for any batch."""

import numpy as np
import pytest

from dreamduck.common.backend import keras, tf
from dreamduck.common.errors import WeightsError
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import RecurrentState
from dreamduck.world_model.mdn_rnn import MDNRNN, MDNRNNConfig, files
from dreamduck.world_model.mdn_rnn.layout import FORMAT, initial_parameters, shapes
from dreamduck.world_model.mdn_rnn.mixture import log_likelihood
from dreamduck.world_model.mdn_rnn.network import MDNRNNNetwork, negative_log_likelihood
from tests.world_model.mdn_rnn.helpers import SMALL, random_parameters, write_mdn_rnn

# Computed in float64, with equations written down apart from the library
GOLDEN = {
    "h": [-0.010722, 0.2468, -0.08602],
    "logmix": [-1.875194, -1.155496, -0.166439, -0.378192],
    "mix_mu": [-0.989336, -0.01521, 0.993256, -0.240741],
    "reward, end_reward, end": [0.001151, 0.608335, 0.725859],
}
CONFIGS = [
    SMALL,
    MDNRNNConfig(z_size=5, action_size=3, hidden_size=8, mixtures=1, residual=True),
    MDNRNNConfig(z_size=3, action_size=2, hidden_size=7, mixtures=4, residual=True),
]


def sequence(config, episodes=3, steps=12, seed=0):
    random = np.random.default_rng(seed)
    z = random.standard_normal((episodes, steps + 1, config.z_size)).astype(np.float32)
    return z, random.uniform(-1, 1, (episodes, steps, config.action_size)).astype(np.float32)


@pytest.mark.parametrize("config", CONFIGS)
def test_numpy_is_keras(config):
    parameters = random_parameters(config)
    dynamics, model = MDNRNN(parameters, config), MDNRNNNetwork(config)
    model.set_parameters(parameters)
    z, action = sequence(config)
    state = dynamics.start(3)
    outputs, h, c = model(z[:, :-1], action, tf.constant(state.h), tf.constant(state.c))
    nll = negative_log_likelihood(outputs, z[:, 1:]).numpy()
    for t in range(action.shape[1]):
        state = dynamics.advance(z[:, t], action[:, t], state)
        found = dynamics.predict(z[:, t], state)
        for mine, theirs in (
            (found.mixture.logmix, outputs.logmix),
            (found.mixture.mix_mu, outputs.mix_mu),
            (found.mixture.mix_logstd, outputs.mix_logstd),
            (np.stack([found.reward, found.end_reward], 1), outputs.reward),
            (found.end, tf.sigmoid(outputs.end_logit)),
        ):
            np.testing.assert_allclose(mine, theirs.numpy()[:, t], atol=2e-5)
        mine = -log_likelihood(found.mixture, z[:, t + 1]).mean(axis=1)
        np.testing.assert_allclose(mine, nll[:, t], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(state.h, h.numpy(), atol=1e-5)
    np.testing.assert_allclose(state.c, c.numpy(), atol=1e-5)


def test_a_batch_is_its_rows():
    dynamics = MDNRNN(random_parameters(), SMALL)
    z, action = sequence(SMALL)
    state = dynamics.start(3)
    for t in range(4):
        after = dynamics.advance(z[:, t], action[:, t], state)
        for row in range(3):
            before = RecurrentState(state.h[row : row + 1], state.c[row : row + 1])
            alone = dynamics.advance(z[row : row + 1, t], action[row : row + 1, t], before)
            np.testing.assert_allclose(alone.h[0], after.h[row], atol=1e-6)
        state = after


def test_golden_numbers():
    """Written down once, from weights that are a formula; a changed order of gates or columns shows."""
    config = MDNRNNConfig(z_size=2, action_size=1, hidden_size=3, mixtures=2)
    parameters = {
        name: (np.sin(np.arange(np.prod(shape)) * 1.7 + i).reshape(shape) * 0.8).astype(np.float32)
        for i, (name, shape) in enumerate(shapes(config).items())
    }
    dynamics = MDNRNN(parameters, config)
    state = dynamics.start()
    for t in range(3):
        z = np.array([[0.3, -0.2 * t]], np.float32)
        state = dynamics.advance(z, [[0.5]], state)
    found = dynamics.predict(z, state)
    np.testing.assert_allclose(state.h[0], GOLDEN["h"], atol=1e-5)
    np.testing.assert_allclose(found.mixture.logmix[0].ravel(), GOLDEN["logmix"], atol=1e-5)
    np.testing.assert_allclose(found.mixture.mix_mu[0].ravel(), GOLDEN["mix_mu"], atol=1e-5)
    np.testing.assert_allclose(
        [found.reward[0], found.end_reward[0], found.end[0]], GOLDEN["reward, end_reward, end"], atol=1e-5
    )


def test_files_round_trip_and_keras_reads_them(tmp_path):
    parameters = random_parameters()
    made = write_mdn_rnn(tmp_path, parameters=parameters)
    found = WorldModel.load(tmp_path).dynamics
    assert found.config == WorldModel.load(tmp_path).sizes == SMALL
    assert found.card["weights"] == found.weights
    for name, array in parameters.items():
        np.testing.assert_array_equal(found.parameters[name], array)
    model = MDNRNNNetwork(SMALL)
    model.load_weights(tmp_path / files.WEIGHTS)
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(made.parameters[name], array)
    model.save_weights(tmp_path / "again.weights.h5")
    for name, array in FORMAT.read(tmp_path / "again.weights.h5", SMALL, SMALL).items():
        np.testing.assert_array_equal(parameters[name], array)
    keras.backend.clear_session()


def test_rounded_weights_are_nearly_the_same_and_small(tmp_path):
    config = MDNRNNConfig()
    parameters = initial_parameters(config, 0)
    files.save(tmp_path, files.rounded(parameters), config, {})
    assert (tmp_path / files.WEIGHTS).stat().st_size < 4e6
    whole, small = MDNRNN(parameters, config), WorldModel.load(tmp_path).dynamics
    z, action = sequence(config, 1, 20)
    one, two = whole.start(), small.start()
    for t in range(20):
        one, two = whole.advance(z[:, t], action[:, t], one), small.advance(z[:, t], action[:, t], two)
    np.testing.assert_allclose(one.h, two.h, atol=2e-3)


def test_wrong_files(tmp_path):
    write_mdn_rnn(tmp_path)
    other = MDNRNNConfig(z_size=4, hidden_size=17, mixtures=3)
    with pytest.raises(WeightsError, match=r"core/cell/vars/0: expected \(6, 68\), got \(6, 64\)"):
        FORMAT.read(tmp_path / files.WEIGHTS, other, other)
    (tmp_path / files.CARD).write_text('{"sizes": {"z_size": 0}}')
    with pytest.raises(WeightsError, match="z_size: expected at least 1"):
        _ = WorldModel.load(tmp_path).dynamics
    (tmp_path / files.CARD).write_text('{"kind": "vae"}')
    with pytest.raises(WeightsError, match="'sizes'"):
        _ = WorldModel.load(tmp_path).dynamics
    with pytest.raises(WeightsError, match="no such file"):
        _ = WorldModel.load(tmp_path / "nothing").dynamics


def test_weights_that_are_no_numbers():
    parameters = random_parameters()
    parameters["core/bias"][3] = np.nan
    with pytest.raises(WeightsError, match="core/bias has numbers that are not finite"):
        MDNRNN(parameters, SMALL)
    with pytest.raises(WeightsError, match="missing or unknown: core/bias"):
        MDNRNN({k: v for k, v in random_parameters().items() if k != "core/bias"}, SMALL)


def test_no_latent_leaves_the_range_on_the_card():
    low, high = [-0.5, -1.0, 0.1, -3.0], [0.25, 1.0, 0.1, 2.0]
    dynamics = MDNRNN(random_parameters(spread=2.0), SMALL, {"latents": {"low": low, "high": high}})
    free = MDNRNN(random_parameters(spread=2.0), SMALL)
    random = np.random.default_rng(0)
    z, state = np.zeros((50, 4), np.float32), dynamics.start(50)
    state = dynamics.advance(z, random.uniform(-1, 1, (50, 2)), state)
    prediction = dynamics.predict(z, state)
    uniform, normal = random.random((50, 4), np.float32), random.standard_normal((50, 4)).astype(np.float32)
    for temperature in (0.0, 0.1, 1.0):
        drawn, wide = (m.draw(prediction, state, uniform, normal, temperature).z for m in (dynamics, free))
        np.testing.assert_array_equal(drawn, np.clip(wide, *np.array([low, high], np.float32)))
        assert (drawn != wide).any()
        assert (drawn == wide).any()


@pytest.mark.parametrize(
    "latents",
    [
        [],
        {"low": [0.0] * 4},
        {"low": [0.0] * 3, "high": [1.0] * 3},
        {"low": [1.0] * 4, "high": [0.0] * 4},
        {"low": ["a"] * 4, "high": [1.0] * 4},
        {"low": [0.0] * 4, "high": [float("inf")] * 4},
    ],
)
def test_a_range_that_is_none_is_refused(latents):
    with pytest.raises(WeightsError, match="card: latents: expected"):
        MDNRNN(random_parameters(), SMALL, {"latents": latents})
