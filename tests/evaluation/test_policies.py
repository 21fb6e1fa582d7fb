from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dreamduck.common.errors import ActionError
from dreamduck.controllers.evaluator import run_episodes
from dreamduck.evaluation.policies import (
    DriveStraight,
    FramePolicy,
    ModelPolicy,
    PurePursuit,
    Random,
    StandStill,
)
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.road import Road, RoadConfig
from tests.controllers.fakes import FakePerception, FakeRoad


def test_no_action_and_straight_on():
    state = FakeRoad(3).reset([0, 1, 2])
    assert StandStill().act(state, None).tolist() == [[0.0, 0.0]] * 3
    straight = DriveStraight().act(state, None)
    assert (straight[:, 0] > 0).all()
    assert (straight[:, 1] == 0).all()


def test_chance_depends_on_the_cars_seed_alone():
    state = FakeRoad(2).reset([0, 1])
    policy = Random()
    policy.start([5, 6])
    first = [policy.act(state, None) for _ in range(3)]
    policy.start([6, 5])
    second = [policy.act(state, None) for _ in range(3)]
    np.testing.assert_array_equal(np.array(first)[:, 0], np.array(second)[:, 1])
    assert np.abs(first).max() <= 1


def test_the_expert_keeps_the_lane():
    road = Road(RoadConfig(), num_cars=4)
    try:
        scores = run_episodes(road, PurePursuit(load_map("loop_empty"), 3.14), [0, 1, 2, 3], 100)
    finally:
        road.close()
    assert (scores.length == 100).all()
    assert scores.reward.min() > 1.0


def test_a_policy_sees_frames():
    starts: list[Any] = []
    policy = FramePolicy(lambda frames: frames[:, 0, 0, :2] / 255.0, starts.append)
    scores = run_episodes(FakeRoad(2), policy, [0, 1], 5)
    assert starts == [[0, 1]]
    assert (scores.reward > 0).all()


def test_a_policy_that_gives_something_else_is_refused():
    with pytest.raises(ActionError, match=r"policy: expected actions of shape \(2, 2\), got \(2,\)"):
        run_episodes(FakeRoad(2), FramePolicy(lambda frames: np.zeros(2)), [0, 1], 5)


def test_a_policy_on_what_the_model_knows():
    calls = []

    def predict(seen):
        calls.append(seen.copy())
        return np.stack([np.full(2, 0.5), seen[:, 0]], axis=1)

    restarts: list[int] = []
    policy = ModelPolicy(predict, FakePerception(2), lambda seeds: restarts.extend(seeds))
    run_episodes(FakeRoad(2), policy, [3, 4], 5)
    assert restarts == [3, 4]
    assert [call[0, 3] for call in calls] == [0, 1, 2, 3, 4]  # the memory went a step at a time
    np.testing.assert_allclose(calls[1][:, 8], calls[0][:, 0])  # and knows the action before
    run_episodes(FakeRoad(2), policy, [5, 6], 1)
    assert calls[-1][0, 3] == 0  # a new episode, and nothing remembered


def test_a_policy_with_other_actions_is_refused():
    policy = ModelPolicy(lambda seen: np.zeros(2), FakePerception(3))
    with pytest.raises(ActionError, match=r"shape \(3, 2\), got \(2,\)"):
        run_episodes(FakeRoad(3), policy, [0, 1, 2], 1)
