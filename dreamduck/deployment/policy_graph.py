"""A policy as one ONNX graph: a camera's frame and a recurrent state in, the duty of two wheels out."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
from onnx import TensorProto

from dreamduck.common.config import check, option
from dreamduck.controllers.policy import CRUISE_THROTTLE, Controller, split
from dreamduck.deployment.camera_graph import camera_input
from dreamduck.deployment.contract import METADATA
from dreamduck.deployment.policy_source import PolicySource
from dreamduck.export import categorical_graphs, mdn_rnn_graphs, vae_graphs
from dreamduck.export.onnx_graph import Array, Graph
from dreamduck.simulator.robot import DUTY_LIMIT, MOTOR_CONSTANT, WHEEL_DISTANCE, WHEEL_RADIUS
from dreamduck.world_model import WorldModel
from dreamduck.world_model.categorical import CategoricalDynamics

OPSETS = (13, 18)


@dataclasses.dataclass(frozen=True)
class WheelConfig:
    """From throttle and steering to the duty of two wheels: a robot's own numbers."""

    gain: float = option(1.0, "factor of both motors' speed", above=0.0, high=4.0)
    trim: float = option(
        0.0, "added to the gain of the right motor and subtracted from that of the left", low=-1.0, high=1.0
    )
    motor_constant: float = option(MOTOR_CONSTANT, "speed of a wheel at full duty", unit="rad/s", above=0.0)
    wheel_radius: float = option(WHEEL_RADIUS, "radius of a wheel", unit="m", above=0.0)
    wheel_distance: float = option(WHEEL_DISTANCE, "distance between the wheels", unit="m", above=0.0)
    duty_limit: float = option(DUTY_LIMIT, "greatest duty of a wheel", above=0.0, high=1.0)

    def __post_init__(self) -> None:
        check(self)


def policy_graph(source: PolicySource, wheels: WheelConfig, opset: int, contract: dict[str, Any]) -> bytes:
    """The file's content; see `contract.describe` for its inputs and outputs.

    Args:
        source: the policy and what it needs.
        wheels: of the robot.
        opset: one of `OPSETS`.
        contract: put into the file.
    """
    g = Graph("policy", opset)
    image = camera_input(g, "frame", *source.frame_size)
    action, state_next = _policy(g, source, image)
    low, high = _number(g, -1.0), _number(g, 1.0)
    action = Array(g, g.add("Clip", [action.name, low, high], "action"), (1, 2))
    g.add("Identity", [state_next(action)], "state_next")
    g.constant("calibration", np.array([wheels.gain, wheels.trim], np.float32))
    duty = wheel_duty(g, wheels, action, source.environment["steering_gain"])
    limits = _number(g, -wheels.duty_limit), _number(g, wheels.duty_limit)
    g.add("Clip", [duty, *limits], "duty")
    size = contract["state_size"]
    return g.bytes(
        {"frame": ["N", "H", "W", 3], "state": ["N", size], "calibration": [2]},
        {"duty": ["N", 2], "action": ["N", 2], "state_next": ["N", size]},
        {"frame": TensorProto.UINT8},
        {METADATA: json.dumps(contract, allow_nan=False)},
    )


def wheel_duty(g: Graph, wheels: WheelConfig, action: Array, steering_gain: float) -> str:
    """The duty (N, 2) of the left and the right wheel, without limits; see `physics.wheel_duties`."""
    turn = 0.5 * steering_gain * wheels.wheel_distance
    scale = wheels.wheel_radius * wheels.motor_constant
    mixing = np.array([[1.0, 1.0], [-turn, turn]]) / scale  # (throttle, steering) to (left, right)
    speeds = g.dense(action, mixing.astype(np.float32))
    signs = np.array([[1.0, 1.0], [-1.0, 1.0]], np.float32)  # gain - trim, gain + trim
    factors = g.add("MatMul", ["calibration", g.fresh_constant(signs).name])
    return g.add("Mul", [speeds.name, factors])


def _policy(g: Graph, source: PolicySource, image: str) -> tuple[Array, Any]:
    """The action, and a function from the clipped action to the name of the next state."""
    if source.model is None:
        from dreamduck.deployment.agent_graph import agent_action

        assert not isinstance(source.policy, Controller)
        return agent_action(g, source.policy, image), lambda action: "state"
    model = source.model
    z = vae_graphs.encoder(g, model.vae, image)
    if not source.recurrent:
        assert isinstance(source.policy, Controller)
        return controller_action(g, source.policy, {"z": z}), lambda action: "state"
    h, c = _seen(g, model, z)
    features = {"z": z, "c": c, "h": h}
    if isinstance(model.dynamics, CategoricalDynamics):
        features = {"z": categorical_graphs.decode(g, model.dynamics, h, c), "h": h}
    if isinstance(source.policy, Controller):
        action = controller_action(g, source.policy, features)
    else:
        from dreamduck.deployment.agent_graph import agent_action

        action = agent_action(g, source.policy, g.concat(list(features.values()), 1).name)
    return action, lambda action: _advanced(g, model, z, action, h, c)


def controller_action(g: Graph, controller: Controller, features: dict[str, Array]) -> Array:
    """A controller's action (N, 2); see `controllers.policy.act`."""
    form = controller.form
    x = g.concat([features[name] for name in form.features], 1)
    for bias, weight in split(form, controller.theta[None]):
        x = g.tanh(g.dense(x, weight[0], None if bias is None else bias[0, 0]))
    if form.actions == 1:
        throttle = x * 0.0 + CRUISE_THROTTLE
        x = g.concat([throttle, x], 1)
    return x


def _seen(g: Graph, model: WorldModel, z: Array) -> tuple[Array, Array]:
    """The recurrent state when the frame's latent is known; the file has it as [h, c]."""
    sizes = model.sizes
    state = Array(g, "state", (1, sizes.hidden_size + sizes.cell_size))
    h, c = state[:, : sizes.hidden_size], state[:, sizes.hidden_size :]
    if isinstance(model.dynamics, CategoricalDynamics):
        c = categorical_graphs.observe(g, model.dynamics, z, h)
    return h, c


def _advanced(g: Graph, model: WorldModel, z: Array, action: Array, h: Array, c: Array) -> str:
    """The state after the action."""
    dynamics: Any = model.dynamics
    if isinstance(dynamics, CategoricalDynamics):
        return g.concat([categorical_graphs.advance(g, dynamics, action, h, c), c], 1).name
    return g.concat(list(mdn_rnn_graphs.lstm(g, dynamics, z, action, h, c)), 1).name


def _number(g: Graph, value: float) -> str:
    return g.fresh_constant(np.array(value, np.float32)).name
