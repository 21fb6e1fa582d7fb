"""A deployed policy against the library's own, step by step: the same frames, the same actions."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from dreamduck.common.errors import ConfigError
from dreamduck.controllers.policy import Controller
from dreamduck.deployment.folder import write_folder
from dreamduck.deployment.policy import DeployedPolicy
from dreamduck.deployment.policy_graph import OPSETS, WheelConfig
from dreamduck.deployment.policy_source import read_source
from dreamduck.pretrained import FOLDER
from dreamduck.simulator.physics.dynamics import action_of_duties, wheel_duties
from dreamduck.simulator.road import Road, RoadConfig
from dreamduck.simulator.robot import WHEEL_DISTANCE
from dreamduck.world_model import WorldModel
from dreamduck.world_model.imagination.perception import Perception
from tests.deployment.models import controller_of, deployed, write_categorical, write_controller
from tests.world_model.vae.helpers import frames as made_up

CONTROLLER = FOLDER / "controllers" / "rnnenv.cma.32.64.best.json"
AGENTS = [FOLDER / "agents" / "env.ppo2.zip", FOLDER / "agents" / "rnnenv.ppo2.zip"]
STEERING_GAIN = 3.14


def seen_actions(controller, model, frames):
    """The library's actions on frames (T, N, 64, 64, 3)."""
    perception = Perception(model.vae, model.dynamics, frames.shape[1])
    actions: list[np.ndarray] = []
    for step in frames:
        seen = perception.step(step, actions[-1]) if actions else perception.reset(step)
        actions.append(controller(seen))
    return np.array(actions)


def deployed_actions(policy, frames):
    policy.reset(frames.shape[1])
    duties, actions = [], []
    for step in frames:
        duties.append(policy.act(step))
        actions.append(policy.last_action)
    return np.array(duties), np.array(actions)


@pytest.fixture(scope="module")
def some_frames():
    """(T, N, 64, 64, 3)."""
    return np.stack([made_up(3, seed) for seed in range(20)])


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("features", ["z", "zh", "zc", "zch"])
def test_controllers_on_an_mdn_rnn(weights, some_frames, tmp_path, features, opset):
    policy = DeployedPolicy(deployed(tmp_path, weights, features, opset))
    expected = seen_actions(
        controller_of(tmp_path / "test.json", weights), WorldModel.load(weights), some_frames
    )
    _, actions = deployed_actions(policy, some_frames)
    assert np.ptp(expected, axis=(0, 1)).min() > 1e-3
    np.testing.assert_allclose(actions, expected, atol=1e-5, rtol=0)
    assert policy.contract["state_size"] == (0 if features == "z" else 16)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(
    ("features", "form"), [("zh", {}), ("zh", {"hidden": 5}), ("z", {"actions": 1, "bias": False})]
)
def test_controllers_on_categorical_dynamics(some_frames, tmp_path, features, form, opset):
    folder = write_categorical(tmp_path / "model")
    policy = DeployedPolicy(deployed(tmp_path, folder, features, opset, **form))
    expected = seen_actions(
        controller_of(tmp_path / "test.json", folder), WorldModel.load(folder), some_frames
    )
    _, actions = deployed_actions(policy, some_frames)
    np.testing.assert_allclose(actions, expected, atol=1e-5, rtol=0)
    assert np.ptp(actions[..., 1]) > 1e-3


def test_an_agent_on_categorical_dynamics(some_frames, tmp_path):
    from tests.rl.agents.test_acting import trained

    folder = write_categorical(tmp_path / "model")
    words = "--env=DreamDuck-v1 --num_timesteps=8 --normalize_observations=True --num_hidden=8"
    source = read_source(trained(tmp_path, f'{words} --env_kwargs=\'{{"weights": "{folder}"}}\''))
    assert source.model is not None
    assert not isinstance(source.policy, Controller)
    perception, action = Perception(source.model.vae, source.model.dynamics, 3), None
    expected = []
    for step in some_frames:
        seen = perception.reset(step) if action is None else perception.step(step, action)
        expected.append(action := source.policy.act(seen))
    for opset in OPSETS:
        write_folder(source, tmp_path / "robot", WheelConfig(), opset)
        _, actions = deployed_actions(DeployedPolicy(tmp_path / "robot"), some_frames)
        np.testing.assert_allclose(actions, expected, atol=1e-5, rtol=0)
    assert np.ptp(expected, axis=(0, 1)).min() > 1e-4


@pytest.mark.parametrize("steps", [60, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("path", [CONTROLLER, *AGENTS], ids=lambda path: path.name)
def test_what_ships_drives_as_in_python(path, steps, tmp_path):
    source = read_source(path)
    write_folder(source, tmp_path, WheelConfig(), 13)
    policy, road = DeployedPolicy(tmp_path), Road(RoadConfig(), 1)
    road.reset([7])
    policy.reset(1)
    model = source.model
    perception = None if model is None else Perception(model.vae, model.dynamics, 1)
    act: Any = source.policy if isinstance(source.policy, Controller) else source.policy.act
    action, worst = None, 0.0
    for _ in range(steps):
        frames = road.frames()
        if perception is None:
            seen: Any = frames
        else:
            seen = perception.reset(frames) if action is None else perception.step(frames, action)
        action = act(seen)
        policy.act(frames)
        worst = max(worst, float(np.abs(policy.last_action - action).max()))
        assert not road.step(action).terminated[0]
    road.close()
    assert worst < 1e-5


def test_a_policy_of_long_steps_is_refused(weights, tmp_path):
    """The runner would stop the wheels between its frames."""
    source = read_source(write_controller(tmp_path, weights), str(weights))
    slow = dataclasses.replace(
        source, environment={**source.environment, "frame_skip": 9, "step_time": 0.3}
    )
    with pytest.raises(ConfigError, match=r"frame_skip: expected steps of less than 0\.3 s"):
        write_folder(slow, tmp_path / "robot", WheelConfig(), 13)
    assert not (tmp_path / "robot").exists()


def test_duties_are_those_of_the_simulator(weights, some_frames, tmp_path):
    path = write_controller(tmp_path, weights)
    settings = WheelConfig(gain=1.2, trim=-0.1, duty_limit=0.95)
    write_folder(read_source(path, str(weights)), tmp_path / "robot", settings, 13)
    duties, actions = deployed_actions(DeployedPolicy(tmp_path / "robot"), some_frames)
    expected = [
        wheel_duties(float(throttle), STEERING_GAIN * float(steering), WHEEL_DISTANCE, 1.2, -0.1)
        for throttle, steering in actions.reshape(-1, 2)
    ]
    np.testing.assert_allclose(duties.reshape(-1, 2), np.clip(expected, -0.95, 0.95), atol=1e-6)
    limited = np.abs(expected) >= 0.95
    assert limited.any()
    assert not limited.all(axis=0).any()  # each wheel shows its formula and its limit


def test_the_wheels_of_another_robot(weights, some_frames, tmp_path):
    path = write_controller(tmp_path, weights)
    settings = WheelConfig(
        gain=0.8, trim=0.05, motor_constant=31.0, wheel_radius=0.045, wheel_distance=0.14
    )
    write_folder(read_source(path, str(weights)), tmp_path / "robot", settings, 13)
    duties, actions = deployed_actions(DeployedPolicy(tmp_path / "robot"), some_frames)
    throttle, steering = actions.reshape(-1, 2).T
    turn = 0.5 * 0.14 * STEERING_GAIN * steering
    full_speed = 0.045 * 31.0
    left = (throttle - turn) / full_speed * (0.8 - 0.05)
    right = (throttle + turn) / full_speed * (0.8 + 0.05)
    expected = np.stack([left, right], axis=1)
    assert np.abs(expected).max() < 1
    np.testing.assert_allclose(duties.reshape(-1, 2), expected, atol=1e-6)


def test_calibration_can_be_given_when_it_runs(weights, some_frames, tmp_path):
    folder = deployed(tmp_path, weights)
    own = deployed_actions(DeployedPolicy(folder), some_frames)[0]
    given = deployed_actions(DeployedPolicy(folder, calibration=(0.5, 0.25)), some_frames)[0]
    np.testing.assert_allclose(given, own * (0.25, 0.75), atol=1e-6)


def test_actions_come_back_from_duties():
    random = np.random.default_rng(0)
    actions = random.uniform(-1, 1, (50, 2)) * (0.5, 3.0)
    duties = np.array(
        [wheel_duties(throttle, steering, WHEEL_DISTANCE, 1.0, 0.0) for throttle, steering in actions]
    )
    inside = np.abs(duties).max(axis=1) < 1
    assert inside.sum() > 20
    np.testing.assert_allclose(action_of_duties(duties)[inside], actions[inside], atol=1e-12)


def test_a_large_frame_acts_as_its_area_average(weights, tmp_path):
    from dreamduck.common.area_average import area_average

    policy = DeployedPolicy(deployed(tmp_path, weights))
    large = np.random.default_rng(0).integers(0, 256, (2, 480, 640, 3), dtype=np.uint8)
    policy.reset(2)
    found = policy.act(large)
    policy.reset(2)
    np.testing.assert_array_equal(policy.act(area_average(large, 64, 64)), found)
