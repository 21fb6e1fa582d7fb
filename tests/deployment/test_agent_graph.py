"""Layers of PyTorch as nodes, each kind against PyTorch; agents that the graph cannot hold."""

import numpy as np
import onnxruntime
import pytest

from dreamduck.common.errors import PolicyError
from dreamduck.deployment.agent_graph import layer_output
from dreamduck.deployment.policy_source import read_source
from dreamduck.export.onnx_graph import Graph
from dreamduck.rl.networks import NETWORKS, extractor
from dreamduck.rl.sb3 import th
from tests.rl.agents.test_acting import trained
from tests.rl.agents.test_acting import weights as written_weights

nn = th.nn
weights = written_weights
IMAGES = [name for name, network in NETWORKS.items() if network.images and not network.recurrent]


def by_graph(module, x, opset=13):
    g = Graph("layers", opset)
    g.add("Identity", [layer_output(g, module, "x")], "y")
    session = onnxruntime.InferenceSession(g.bytes({"x": ["N", *x.shape[1:]]}, {"y": ["N", "M"]}))
    return session.run(None, {"x": x})[0]


def randomized(module):
    """No weight keeps the value that it begins with: norms have scales of 1 and shifts of 0."""
    generator = th.Generator().manual_seed(0)
    with th.no_grad():
        for parameter in module.parameters():
            parameter += 0.2 * th.randn(parameter.shape, generator=generator)
    return module


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3, bias=False), nn.ELU()),
        nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.ReLU()),
    ],
    ids=["dense", "layer norm"],
)
def test_dense_layers(layer, opset):
    x = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)
    expected = randomized(layer)(th.as_tensor(x)).detach().numpy()
    np.testing.assert_allclose(by_graph(layer, x, opset), expected, atol=1e-6)


@pytest.mark.parametrize("name", [*IMAGES, "cnn padded"])
def test_convolutional_networks(name):
    import gymnasium as gym

    options = {"pad": "SAME"} if name == "cnn padded" else {}
    kind, settings = extractor(name.split()[0], options)
    network = randomized(kind(gym.spaces.Box(0, 255, (3, 64, 64), np.uint8), **settings))
    x = np.random.default_rng(0).uniform(0, 1, (2, 3, 64, 64)).astype(np.float32)
    expected = network(th.as_tensor(x)).detach().numpy()
    found = by_graph(nn.Sequential(*network.children()), x)
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_other_layers_are_refused():
    with pytest.raises(PolicyError, match="got GELU"):
        layer_output(Graph("layers"), nn.GELU(), "x")


def test_a_recurrent_agent_is_refused(tmp_path, weights):
    words = "--env=DreamDuck-v1 --network=lstm --nlstm=4 --num_timesteps=8"
    path = trained(tmp_path, f'{words} --env_kwargs=\'{{"weights": "{weights}"}}\'')
    with pytest.raises(PolicyError, match="got a recurrent one"):
        read_source(path)


def test_an_agent_of_another_world_model_is_refused(tmp_path, weights, model_folder):
    from dreamduck.common.errors import ControllerError

    words = "--env=DreamDuck-v2 --num_env=2 --num_timesteps=64"
    path = trained(tmp_path, f'{words} --env_kwargs=\'{{"weights": "{weights}"}}\'')
    source = read_source(path)
    assert source.model is not None
    assert source.state_size == source.model.sizes.hidden_size + source.model.sizes.cell_size
    with pytest.raises(ControllerError, match="another world model"):
        read_source(path, str(model_folder))
