import math

import numpy as np
import pytest

from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.physics.collisions import (
    boxes_touch,
    hits_static,
    oriented_box,
    principal_axes,
    robot_box,
    static_boxes,
    static_penalty,
)
from dreamduck.simulator.robot import ROBOT_SAFETY_RADIUS


def box(x, z, heading, width=0.2, length=0.4):
    corners = np.empty((4, 2))
    oriented_box(x, z, heading, width, length, corners)
    return corners


def test_boxes():
    np.testing.assert_allclose(box(1, 2, 0.0), [[0.8, 1.9], [0.8, 2.1], [1.2, 2.1], [1.2, 1.9]], atol=1e-12)
    middle = robot_box(1.0, 2.0, 0.0).mean(axis=0)
    np.testing.assert_allclose(middle, (1.0 - 2 * 0.024, 2.0))


@pytest.mark.parametrize("turn", np.linspace(0.05, 3, 7))
def test_touching_agrees_with_sampling(turn):
    rng = np.random.default_rng(0)
    touched = 0
    for _ in range(60):
        x, z = rng.uniform(-0.6, 0.6, size=2)
        one, two = box(0, 0, 0.3), box(x, z, turn)
        touching = boxes_touch(one, 0.3, two, principal_axes(two))
        u, v = np.meshgrid(np.linspace(0, 1, 41), np.linspace(0, 1, 41))
        inside = two[0] + u[..., None] * (two[1] - two[0]) + v[..., None] * (two[3] - two[0])
        c, s = math.cos(0.3), math.sin(0.3)
        ahead, right = inside @ (c, -s), inside @ (s, c)
        sampled = bool(((np.abs(ahead) <= 0.2) & (np.abs(right) <= 0.1)).any())
        touched += sampled
        if sampled:
            assert touching
        else:  # unless a corner slips in between the samples
            near = bool(((np.abs(ahead) <= 0.21) & (np.abs(right) <= 0.11)).any())
            assert not touching or near
    assert 5 < touched < 55


def test_static_things():
    boxes = static_boxes(load_map("loop_obstacles"))
    k = 4  # the duckiebot that stands there
    x, z = boxes.centers[k]
    assert hits_static(boxes, robot_box(x, z, 0.3), 0.3)
    assert not hits_static(boxes, robot_box(x + 0.5, z, 0.3), 0.3)
    edge = ROBOT_SAFETY_RADIUS + boxes.safety[k]
    assert static_penalty(boxes, x, z - edge - 1e-9) == pytest.approx(0, abs=1e-8)
    assert static_penalty(boxes, x, z - edge + 0.05) == pytest.approx(-0.05)


def test_nothing_to_hit():
    boxes = static_boxes(load_map("small_loop"))
    assert not hits_static(boxes, robot_box(1.0, 1.0, 0.0), 0.0)
    assert static_penalty(boxes, 1.0, 1.0) == 0.0
