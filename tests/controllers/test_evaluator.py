from __future__ import annotations

import types
from typing import ClassVar

import numpy as np
import pytest

from dreamduck.controllers.evaluator import (
    ControllerPolicy,
    DreamEvaluator,
    EvalBatch,
    Returns,
    RoadEvaluator,
    block_size,
    evaluate_all,
    run_episodes,
    summarize,
)
from dreamduck.controllers.policy import ControllerForm
from tests.controllers.fakes import FakePerception, FakeRoad

FORM = ControllerForm("zch", z_size=3, hidden_size=4)


def thetas(*gains):
    """Controllers at full throttle that steer back by so much of the offset."""
    theta = np.zeros((len(gains), FORM.size), dtype=np.float32)
    theta[:, 0] = 5.0
    theta[:, 2 + 1] = [4.0 * gain for gain in gains]
    return theta


class Fixed:
    needs_frames = False

    def __init__(self, actions):
        self.actions = np.asarray(actions, dtype=np.float64)
        self.started = None

    def start(self, seeds):
        self.started = list(seeds)

    def act(self, state, frames):
        assert frames is None
        return self.actions


class Notes:
    def __init__(self):
        self.steps = []

    def start(self, state):
        self.began = state

    def update(self, step):
        self.steps.append(step)


class AsyncRoad(FakeRoad):
    """A road that steps while others are asked; notes the order."""

    order: ClassVar[list[str]] = []

    def step_async(self, actions):
        self.order.append(f"begin {id(self)}")
        self.wanted = actions

    def step_wait(self):
        self.order.append(f"finish {id(self)}")
        return self.step(self.wanted)


@pytest.mark.parametrize("roads", [1, 2, 3])
def test_roads_that_step_at_the_same_time_give_the_same(roads):
    theta = np.random.default_rng(2).normal(0, 0.4, (5, FORM.size)).astype(np.float32)
    task = EvalBatch(theta, tuple(range(40, 45)), episodes=2, steps=30)
    expected = RoadEvaluator(FakeRoad, FakePerception, FORM, most_cars=2)(task)
    AsyncRoad.order.clear()
    evaluator = RoadEvaluator(AsyncRoad, FakePerception, FORM, most_cars=2, roads=roads)
    for _ in range(2):
        found = evaluator(task)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    calls = [word.split()[0] for word in AsyncRoad.order[: 2 * roads]]
    assert calls == (["begin"] * roads + ["finish", "begin"] * roads)[: 2 * roads]
    assert len({word.split()[1] for word in AsyncRoad.order}) == roads
    evaluator.close()


def test_ended_cars_count_no_more():
    road = FakeRoad(2)
    policy = Fixed([[1.0, 0.0], [1.0, 0.1]])
    notes = Notes()
    scores = run_episodes(road, policy, [3, 4], 40, notes)
    assert policy.started == road.seeds == [3, 4]
    assert scores.length[0, 0] == 40
    assert scores.reward[0, 0] == pytest.approx(40 * 0.05)
    ended = scores.length[1, 0]
    assert ended < 40
    assert scores.reward[1, 0] == pytest.approx(0.05 * ended)
    assert len(notes.steps) == 40
    poses = np.stack([step.state.pose for step in notes.steps])
    np.testing.assert_array_equal(poses[ended:, 1], np.tile(poses[ended - 1, 1], (40 - ended, 1)))
    assert (np.diff(poses[:ended, 1], axis=0) != 0).any(axis=1).all()  # until then it drives
    assert (np.diff(poses[:, 0, 0]) > 0).all()  # the other goes on
    assert notes.began.pose[:, 0].tolist() == [0.0, 0.0]


def test_it_stops_when_all_have_ended():
    notes = Notes()
    scores = run_episodes(FakeRoad(1), Fixed([[1.0, 0.1]]), [0], 1000, notes)
    assert len(notes.steps) == scores.length[0, 0] < 30


def test_a_steering_controller_stays_on_the_road():
    roads = []

    def make_road(cars):
        roads.append(FakeRoad(cars))
        return roads[-1]

    evaluator = RoadEvaluator(make_road, FakePerception, FORM)
    scores = evaluator(EvalBatch(thetas(1.0, -1.0), (5, 6), episodes=3, steps=200))
    assert scores.reward.shape == scores.length.shape == (2, 3)
    assert (scores.length[0] == 200).all()
    assert (scores.length[1] < 100).all()
    again = evaluator(EvalBatch(thetas(1.0, -1.0), (5, 6), episodes=3, steps=200))
    assert np.array_equal(again.reward, scores.reward)
    assert len(roads) == 1
    evaluator(EvalBatch(thetas(1.0), (5,), episodes=3, steps=2))
    assert roads[0].closed
    assert len(roads) == 2


def test_few_cars_drive_as_many_episodes_as_all_together():
    task = EvalBatch(thetas(1.0, -1.0, 0.3), (5, 6, 7), episodes=3, steps=60)
    together = RoadEvaluator(FakeRoad, FakePerception, FORM)(task)
    few = RoadEvaluator(FakeRoad, FakePerception, FORM, most_cars=2)(task)
    np.testing.assert_allclose(few.reward, together.reward, rtol=1e-5)
    assert np.array_equal(few.length, together.length)


def test_candidates_with_one_seed_drive_the_same_episodes():
    roads: list[FakeRoad] = []

    def make_road(cars: int) -> FakeRoad:
        roads.append(FakeRoad(cars))
        return roads[-1]

    evaluator = RoadEvaluator(make_road, FakePerception, FORM)
    evaluator(EvalBatch(thetas(0.0, 0.0), (7, 7), episodes=2, steps=1))
    assert roads[0].seeds[:2] == roads[0].seeds[2:]
    assert roads[0].seeds[0] != roads[0].seeds[1]


def test_perception_gets_the_last_action():
    road, perception = FakeRoad(2), FakePerception(2)
    policy = ControllerPolicy(FORM, thetas(1.0), perception)
    policy.start([0, 1])
    state = road.reset([0, 1])
    first = policy.act(state, road.frames())
    assert perception.resets == 1
    policy.act(road.step(first).state, road.frames())
    np.testing.assert_array_equal(perception.seen[:, 7:9], first)
    assert perception.seen[:, 3].tolist() == [1.0, 1.0]
    policy.start([0, 1])
    policy.act(state, road.frames())
    assert perception.resets == 2


def test_blocks():
    assert block_size(64, 16) == 16
    assert block_size(2, 16) == 2
    assert block_size(64, 16, requested=5) == 5
    assert block_size(4, 1000) == 1


def test_blocks_come_back_in_order_and_without_their_filling():
    seen = []

    def spread(tasks):
        seen.extend(tasks)
        rewards = [np.repeat(task.theta[:, :1], task.episodes, axis=1) for task in tasks]
        return [Returns(reward, np.ones(reward.shape, dtype=np.int64), reward > 1) for reward in rewards]

    theta = np.arange(5, dtype=np.float32)[:, None]
    scores = evaluate_all(theta, [10, 11, 12, 13, 14], 3, 7, 2, spread)
    assert [task.seeds for task in seen] == [(10, 11), (12, 13), (14, 14)]
    np.testing.assert_array_equal(scores.reward, np.repeat(theta, 3, axis=1))
    assert scores.length.shape == (5, 3)
    np.testing.assert_array_equal(scores.ended, scores.reward > 1)


def test_the_dream_is_asked_once_for_a_block():
    calls = []

    class Dream:
        def rollout(self, policy, theta, episodes, steps, seed, temperature):
            calls.append((theta.shape, episodes, steps, seed, temperature))
            flat = np.arange(len(theta) * episodes, dtype=np.float32)
            return types.SimpleNamespace(reward=flat, length=flat.astype(np.int32), ended=flat > 1)

    scores = DreamEvaluator(Dream(), FORM, 1.15)(EvalBatch(thetas(0.0, 1.0), (3, 4), episodes=2, steps=9))
    assert calls == [((2, FORM.size), 2, 9, [3, 4], 1.15)]
    assert scores.reward.tolist() == [[0, 1], [2, 3]]
    assert scores.ended.tolist() == [[False, False], [True, True]]


def test_summaries():
    found = summarize(
        Returns(np.array([[1.0, 3.0]], dtype=np.float32), np.array([[10, 20]]), np.array([[True, False]]))
    )
    assert (found.mean, found.std, found.length, found.episodes) == (2.0, 1.0, 15.0, 2)
