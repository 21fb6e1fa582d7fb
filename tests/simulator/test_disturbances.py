"""Cars that are disturbed after a reset: motors, cameras, pushes."""

import numpy as np
import pytest

from dreamduck.common.config import replace
from dreamduck.simulator.base import SimulatorConfig
from dreamduck.simulator.native import NativeSimulator
from dreamduck.simulator.physics.dynamics import action_of_duties


def cars(count):
    config = replace(SimulatorConfig(), frame_skip=1, start_angle=4.0)
    return NativeSimulator(config, count, threads=1)


def test_motors_that_are_scaled_drive_like_smaller_duties():
    weak, whole = cars(2), cars(2)
    weak.reset([3, 4])
    whole.reset([3, 4])
    factors = np.array([[0.75, 0.75], [0.9, 1.1]])
    weak.scale_motors(*factors.T)
    duties = np.array([[0.3, 0.4], [0.35, 0.3]])
    for _ in range(40):
        one, other = weak.step(action_of_duties(duties)), whole.step(action_of_duties(duties * factors))
    np.testing.assert_allclose(one.pose, other.pose, atol=1e-12)
    weak.reset([3, 4])  # and a reset makes them whole again
    whole.reset([3, 4])
    one, other = weak.step(action_of_duties(duties)), whole.step(action_of_duties(duties))
    np.testing.assert_array_equal(one.pose, other.pose)


def test_cameras_are_mounted_otherwise_until_the_next_reset():
    simulator = cars(2)
    simulator.reset([1, 1])
    plain = simulator.frames()
    np.testing.assert_array_equal(plain[0], plain[1])
    simulator.mount_cameras(np.array([1.0, 1.1]), np.array([0.0, 5.0]))
    seen = simulator.frames()
    np.testing.assert_array_equal(seen[0], plain[0])
    assert np.abs(seen[1].astype(int) - plain[1]).mean() > 3
    appearance = simulator.appearance
    assert appearance.camera_pitch[1] - appearance.camera_pitch[0] == pytest.approx(5.0, abs=1e-5)
    assert appearance.camera_height[1] / appearance.camera_height[0] == pytest.approx(1.1, abs=1e-6)
    simulator.reset([1, 1])
    np.testing.assert_array_equal(simulator.frames(), plain)


def test_a_push_moves_a_car_to_its_left():
    simulator = cars(2)
    before = simulator.reset([1, 2]).pose
    simulator.push(np.array([0.02, -0.01]))
    after = simulator.step(np.zeros((2, 2))).pose
    left = np.stack([-np.sin(before[:, 2]), -np.cos(before[:, 2])], axis=1)  # z points down
    np.testing.assert_allclose(after[:, :2] - before[:, :2], left * [[0.02], [-0.01]], atol=1e-12)
    np.testing.assert_allclose(after[:, 2], before[:, 2], atol=1e-12)
