"""The networks' sizes and what they compute."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from dreamduck.common.errors import ConfigError
from dreamduck.rl.networks import NATURE, NETWORKS, Cnn, ImpalaCnn, Mlp, extractor
from dreamduck.rl.policies import LayerNormLSTM, build
from dreamduck.rl.sb3 import sb3, th
from tests.rl.test_run_plan import planned
from tests.rl.toys import Dot

CAMERA = gym.spaces.Box(0, 255, (3, 64, 64), np.uint8)  # channels first, as the engine hands it over


def size(module: th.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_dense_network_has_two_layers_of_64():
    net = Mlp(gym.spaces.Box(-1, 1, (4,)))
    assert size(net) == 4 * 64 + 64 + 64 * 64 + 64
    assert net(th.zeros(5, 4)).shape == (5, 64)
    assert th.all(net(th.full((1, 4), 1e6)).abs() <= 1)  # tanh


def built(name: str = "ppo2", network: str = "mlp", **given: Any) -> Any:
    """The policy of an agent that has not learned."""
    venv = sb3.common.vec_env.DummyVecEnv([Dot])
    sees, acts = venv.observation_space, venv.action_space
    plan = planned(name, sees, acts, network, **given)
    return build(plan, venv, 0).policy


def test_the_dense_network_has_the_options_of_the_command():
    for activation, kind in (("relu", th.nn.ReLU), ("elu", th.nn.ELU), ("tf.tanh", th.nn.Tanh)):
        options: dict[str, Any] = {"num_layers": 3, "num_hidden": 5, "activation": activation}
        net = built(**options).features_extractor
        assert size(net) == 1 * 5 + 5 + 2 * (5 * 5 + 5)
        assert [type(layer) for layer in net.layers[1:]] == [th.nn.Linear, kind] * 3
        normalised = built(**options, layer_norm=True).features_extractor
        assert size(normalised) == size(net) + 3 * 2 * 5
        assert [type(layer) for layer in normalised.layers[1:]] == [th.nn.Linear, th.nn.LayerNorm, kind] * 3
    assert size(built(num_layers=1).features_extractor) == 64 + 64


def test_the_value_has_its_own_network_where_it_is_a_copy():
    dense, heads = 2 * 64 + 64 * 64 + 64, 2 * (64 + 1) + 1  # one action, one value, one spread
    for name in ("ppo2", "a2c"):
        for value_network in (None, "shared"):
            shared = built(name, value_network=value_network)
            assert size(shared) == dense + heads
            assert shared.vf_features_extractor is shared.pi_features_extractor
    own_networks: list[dict[str, Any]] = [{"value_network": "copy"}, {"name": "trpo_mpi"}]
    for settings in own_networks:
        copy = built(**settings)
        assert size(copy) == 2 * dense + heads
        own, other = copy.vf_features_extractor, copy.pi_features_extractor
        assert not any(a is b for a in own.parameters() for b in other.parameters())
    assert size(built("trpo_mpi", value_network="shared")) == dense + heads


def test_the_value_of_a_recurrent_network():
    lstm, heads = 4 * 8 * (1 + 8 + 2), 2 * (8 + 1) + 1
    shared = built(network="lstm", nlstm=8, value_network="shared")
    assert shared.lstm_critic is None
    assert size(shared) == lstm + heads
    for value_network in (None, "copy"):
        copy = built(network="lstm", nlstm=8, value_network=value_network)
        assert size(copy) == 2 * lstm + heads
        same = copy.vf_features_extractor is copy.pi_features_extractor
        assert same == (value_network is None)


@pytest.mark.parametrize(
    ("name", "features", "weights"),
    [
        # 64x64: 15x15 after the first layer, 6x6 after the second, 4x4 after the third
        ("cnn", 512, 32 * 3 * 64 + 32 + 64 * 32 * 16 + 64 + 64 * 64 * 9 + 64 + 1024 * 512 + 512),
        ("cnn_small", 128, 8 * 3 * 64 + 8 + 16 * 8 * 16 + 16 + 16 * 36 * 128 + 128),
        ("conv_only", 64 * 8 * 8, 32 * 3 * 64 + 32 + 64 * 32 * 16 + 64 + 64 * 64 * 9 + 64),
        ("impala_cnn", 256, None),
    ],
)
def test_image_networks(name, features, weights):
    kind, settings = extractor(name, {})
    net = kind(CAMERA, **settings)
    assert net(th.rand(2, 3, 64, 64)).shape == (2, features) == (2, net.features_dim)
    if weights is not None:
        assert size(net) == weights


def test_impala_halves_the_image_three_times():
    net = ImpalaCnn(CAMERA)
    dense = [m for m in net.modules() if isinstance(m, th.nn.Linear)]
    assert dense[0].in_features == 32 * 8 * 8
    assert sum(isinstance(m, th.nn.Conv2d) for m in net.modules()) == 3 * (1 + 4)


def test_same_padding_keeps_ceil_of_length_by_stride():
    small = gym.spaces.Box(0, 255, (3, 30, 50), np.uint8)
    net = Cnn(small, NATURE, hidden=0, pad="SAME")
    assert net.features_dim == 64 * 4 * 7
    assert net(th.rand(1, 3, 30, 50)).shape == (1, net.features_dim)


def test_an_image_that_is_too_small_is_refused():
    with pytest.raises(ConfigError, match="too small"):
        Cnn(gym.spaces.Box(0, 255, (3, 20, 20), np.uint8))


def test_layer_normalised_lstm_by_hand():
    th.manual_seed(0)
    lstm = LayerNormLSTM(3, 4)
    x, h, c = th.randn(2, 5, 3), th.randn(1, 5, 4), th.randn(1, 5, 4)
    out, (h2, c2) = lstm(x, (h, c))
    assert out.shape == (2, 5, 4)

    def norm(v, layer):
        spread = ((v - v.mean(-1, keepdim=True)) ** 2).mean(-1, keepdim=True)
        return (v - v.mean(-1, keepdim=True)) / th.sqrt(spread + layer.eps) * layer.weight + layer.bias

    hh, cc = h[0], c[0]
    for t in range(2):
        gates = norm(x[t] @ lstm.from_input.weight.T, lstm.norm_input)
        gates = gates + norm(hh @ lstm.from_state.weight.T, lstm.norm_state)
        i, f, o, u = gates[:, :4], gates[:, 4:8], gates[:, 8:12], gates[:, 12:]
        cc = th.sigmoid(f) * cc + th.sigmoid(i) * th.tanh(u)
        hh = th.sigmoid(o) * th.tanh(norm(cc, lstm.norm_cell))
        th.testing.assert_close(out[t], hh)
    th.testing.assert_close(h2[0], hh)
    th.testing.assert_close(c2[0], cc)


def test_the_table_names_options_that_exist():
    for name, network in NETWORKS.items():
        if network.images is not None:
            kind, settings = extractor(name, {})
            assert kind is not None
            assert isinstance(settings, dict)
