"""Agents of Stable-Baselines3 as part of an ONNX graph: the layers of the actor, in their order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import PolicyError
from dreamduck.envs.latent import OBSERVATION_LIMIT
from dreamduck.export.onnx_graph import Array, Graph
from dreamduck.rl.agents.acting import AgentPolicy
from dreamduck.rl.networks import Residual
from dreamduck.rl.sb3 import RecurrentActorCriticPolicy, VecNormalize, sb3, th

nn = th.nn
ACTIVATIONS = {nn.ReLU: "Relu", nn.Tanh: "Tanh", nn.Sigmoid: "Sigmoid", nn.ELU: "Elu"}


def check_agent(agent: AgentPolicy, source: str) -> None:
    """Refuse an agent whose network the graph cannot hold.

    Args:
        agent: loaded.
        source: its file, for the message.
    Raises:
        PolicyError: recurrent, off-policy, or with frames that are normalized.
    """
    policy = agent.model.policy
    found = ""
    if isinstance(policy, RecurrentActorCriticPolicy):
        found = "a recurrent one"
    elif not isinstance(policy, sb3.common.policies.ActorCriticPolicy):
        found = f"one of {type(agent.model).__name__}"
    elif policy.squash_output:
        found = "one whose actions are squashed"
    elif agent.about.sees_frames and agent.normalize is not None and agent.normalize.norm_obs:
        found = "one that normalizes frames"
    if found:
        raise PolicyError(
            f"{source}: expected an agent with a dense or convolutional actor (ppo2, a2c, trpo), "
            f"got {found}; train one with python -m baselines.run --alg=ppo2"
        )


def agent_action(g: Graph, agent: AgentPolicy, observation: str) -> Array:
    """The deterministic action (N, 2), not clipped.

    Args:
        g: the graph.
        agent: as `check_agent` lets it pass.
        observation: name of (N, 3, H, W) bytes as float32, or of (N, Z + C + H) [z, c, h].
    """
    policy: Any = agent.model.policy
    if agent.about.sees_frames:
        observation = g.add("Div", [observation, _number(g, 255)])
    else:
        observation = _clip(g, observation, OBSERVATION_LIMIT)
        if agent.normalize is not None and agent.normalize.norm_obs:
            observation = _normalized(g, agent.normalize, observation)
    layers = [*policy.pi_features_extractor.children(), policy.mlp_extractor.policy_net, policy.action_net]
    for layer in layers:
        observation = layer_output(g, layer, observation)
    return Array(g, observation, (1, 2))


def _normalized(g: Graph, normalize: VecNormalize, observation: str) -> str:
    """See `VecNormalize.normalize_obs`."""
    rms: Any = normalize.obs_rms
    shifted = g.add("Sub", [observation, _constant(g, rms.mean)])
    scaled = g.add("Div", [shifted, _constant(g, np.sqrt(rms.var + normalize.epsilon))])
    return _clip(g, scaled, normalize.clip_obs)


def layer_output(g: Graph, layer: Any, x: str) -> str:
    """What a layer of PyTorch gives.

    Args:
        g: the graph.
        layer: a module.
        x: name of its input.
    Raises:
        PolicyError: a kind that the graph cannot hold.
    """
    if isinstance(layer, nn.Sequential):
        for inner in layer:
            x = layer_output(g, inner, x)
        return x
    if isinstance(layer, Residual):
        return g.add("Add", [x, layer_output(g, layer.layers, x)])
    if isinstance(layer, nn.Flatten):
        return g.add("Flatten", [x], axis=1)
    if isinstance(layer, nn.Linear):
        weights = _numbers(layer.weight).T
        bias = None if layer.bias is None else _numbers(layer.bias)
        return g.dense(Array(g, x, (1, layer.in_features)), weights, bias).name
    if isinstance(layer, nn.LayerNorm):
        return _layer_norm(g, layer, x)
    if type(layer) in ACTIVATIONS:
        return g.add(ACTIVATIONS[type(layer)], [x])
    return _image_layer(g, layer, x)


def _image_layer(g: Graph, layer: Any, x: str) -> str:
    if isinstance(layer, nn.ZeroPad2d):
        left, right, top, bottom = layer.padding
        return g.add("Pad", [x, g.integers(0, 0, top, left, 0, 0, bottom, right)])
    if isinstance(layer, nn.MaxPool2d):
        size, stride, pad = layer.kernel_size, layer.stride, layer.padding
        return g.add("MaxPool", [x], kernel_shape=[size] * 2, strides=[stride] * 2, pads=[pad] * 4)
    if isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.bias is not None:
        weights = [_constant(g, _numbers(layer.weight)), _constant(g, _numbers(layer.bias))]
        pads = list(layer.padding) * 2
        kernel, strides = list(layer.kernel_size), list(layer.stride)
        return g.add("Conv", [x, *weights], kernel_shape=kernel, strides=strides, pads=pads)
    raise PolicyError(
        f"agent: expected dense, convolutional and pooling layers, got {type(layer).__name__}; train one "
        "with another --network"
    )


def _layer_norm(g: Graph, layer: Any, x: str) -> str:
    """Written out, as ONNX has it from opset 17 on; means as products with a column."""
    (size,) = layer.normalized_shape
    column = _constant(g, np.full((size, 1), 1 / size))
    centred = g.add("Sub", [x, g.add("MatMul", [x, column])])
    variance = g.add("MatMul", [g.add("Mul", [centred, centred]), column])
    spread = g.add("Sqrt", [g.add("Add", [variance, _number(g, layer.eps)])])
    scaled = g.add("Mul", [g.add("Div", [centred, spread]), _constant(g, _numbers(layer.weight))])
    return g.add("Add", [scaled, _constant(g, _numbers(layer.bias))])


def _clip(g: Graph, x: str, limit: float) -> str:
    return g.add("Clip", [x, _number(g, -limit), _number(g, limit)])


def _number(g: Graph, value: float) -> str:
    return g.fresh_constant(np.array(value, np.float32)).name


def _constant(g: Graph, array: npt.NDArray[Any]) -> str:
    return g.fresh_constant(np.asarray(array, np.float32)).name


def _numbers(tensor: Any) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = tensor.detach().cpu().numpy()
    return found
