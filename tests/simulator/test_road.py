import dataclasses

import numpy as np
import pytest

from dreamduck.common.config import replace
from dreamduck.common.errors import ActionError, ConfigError
from dreamduck.simulator import road as road_module
from dreamduck.simulator.base import END_COLLISION, END_NONE, END_OFF_ROAD, CarState
from dreamduck.simulator.road import Road, RoadConfig, car_info, progress_reward

DT = 0.1


def state_of(**rows):
    """One car, standing in the middle of a lane along +x, by default."""
    values = dict(
        pose=[[1.0, 2.0, 0.0]],
        speed=[0.0],
        lane_dist=[0.0],
        lane_angle=[0.0],
        lane_tangent=[[1.0, 0.0]],
        tile=[[1, 3]],
        simulator_reward=[1.2],
        proximity_penalty=[0.0],
        end=[END_NONE],
    )
    values.update(rows)
    kinds = {"tile": np.int64, "end": np.int8}
    return CarState(**{k: np.asarray(v, dtype=kinds.get(k, np.float64)) for k, v in values.items()})


class FakeSimulator:
    """Moves along x by throttle / 10 and keeps the actions that it was given."""

    def __init__(self, config, num_cars):
        self.config, self.num_cars = config, num_cars
        self.x = np.zeros(num_cars)
        self.actions = None

    def state(self):
        rows = [dataclasses.asdict(state_of(pose=[[x, 2.0, 0.0]])) for x in self.x]
        return CarState(**{k: np.concatenate([r[k] for r in rows]) for k in rows[0]})

    def reset(self, seeds, starts=None, cars=None, variations=None):
        self.x[slice(None) if cars is None else cars] = seeds
        return self.state()

    def step(self, actions):
        self.actions = actions
        self.x += actions[:, 0] / 10
        return self.state()

    def close(self):
        pass


@pytest.fixture
def road(monkeypatch):
    monkeypatch.setattr(
        road_module, "make_simulator", lambda name, config, num_cars, **_: FakeSimulator(config, num_cars)
    )
    return lambda num_cars=2, **settings: Road(replace(RoadConfig(), **settings), num_cars)


def test_steering_is_scaled_and_actions_are_clipped(road):
    cars = road(steering_gain=2.0)
    cars.reset([0, 0])
    cars.step([[0.5, 0.25], [7.0, -3.0]])
    np.testing.assert_array_equal(cars.simulator.actions, [[0.5, 0.5], [1.0, -2.0]])


def test_progress_is_paid_in_metres(road):
    cars = road()
    cars.reset([0, 5])
    step = cars.step([[1.0, 0.0], [-0.5, 0.0]])
    np.testing.assert_allclose(step.reward, [0.1, -0.05], rtol=1e-6)
    assert step.reward.dtype == np.float32
    assert not step.terminated.any()


def test_a_reset_is_no_progress_and_leaves_the_other_car_alone(road):
    cars = road()
    cars.reset([0, 5])
    cars.step([[1.0, 0.0], [1.0, 0.0]])
    cars.reset([50], cars=np.array([0]))
    step = cars.step([[1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(step.reward, [0.1, 0.1], rtol=1e-6)


def test_the_simulators_own_reward_can_be_chosen(road):
    cars = road(reward="simulator")
    cars.reset([0, 0])
    np.testing.assert_allclose(cars.step(np.zeros((2, 2))).reward, 1.2)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([0.0, 0.0], r"expected shape \(2, 2\).*got \(2,\)"),
        ([[0.0, np.nan], [0.0, 0.0]], "expected finite numbers"),
        ([["a", "b"], [0, 0]], "expected numbers"),
        ([[0.0] * 3] * 2, r"got \(2, 3\)"),
    ],
)
def test_bad_actions_are_refused_before_anything_moves(road, action, message):
    cars = road()
    cars.reset([0, 0])
    with pytest.raises(ActionError, match=message):
        cars.step(action)
    assert cars.simulator.actions is None


def reward_of(moved, **rows):
    return float(progress_reward(state_of(**rows), np.array([moved]), DT)[0])


def test_standing_still_in_the_lane_earns_nothing():
    assert reward_of([0.0, 0.0]) == 0.0


def test_driving_earns_the_distance_along_the_lane():
    assert reward_of([0.07, 0.01]) == pytest.approx(0.07)


def test_leaving_the_lane_costs_and_earns_nothing():
    inside, outside = reward_of([0.07, 0.0]), reward_of([0.07, 0.0], lane_dist=[0.15])
    assert outside < 0 < inside


def test_off_every_lane_is_the_worst_place():
    nowhere = dict(lane_dist=[np.nan], lane_angle=[np.nan], lane_tangent=[[np.nan, np.nan]])
    assert reward_of([0.07, 0.0], **nowhere) < reward_of([0.07, 0.0], lane_dist=[0.15])


@pytest.mark.parametrize("end", [END_OFF_ROAD, END_COLLISION])
def test_a_crash_costs_a_metre(end):
    assert reward_of([0.05, 0.0], end=[end]) == pytest.approx(0.05 - 1.0)


def test_circling_on_the_spot_does_not_pay():
    """The lane's direction turns with the car, so progress alone would pay for tight circles."""
    speed, radius = 0.165, 0.117  # the tightest circle between two lanes, at full steering
    total = 0.0
    for phase in np.linspace(0, 2 * np.pi, 360, endpoint=False):
        along = np.sign(np.cos(phase)) or 1.0
        total += reward_of(
            [speed * DT * np.cos(phase), speed * DT * np.sin(phase)],
            lane_tangent=[[along, 0.0]],
            lane_angle=[np.arcsin(np.sin(phase)) * along],
            lane_dist=[radius * (1 - abs(np.cos(phase)))],
        )
    assert total < 0


def test_info_of_one_car():
    info = car_info(state_of(end=[END_OFF_ROAD], lane_dist=[0.2]))
    assert info["pose"] == (1.0, 2.0, 0.0)
    assert info["tile"] == (1, 3)
    assert info["end"] == "off-road"
    assert info["in_lane"] is False
    assert info["simulator_reward"] == 1.2
    assert set(info) == {
        "lane_dist",
        "lane_angle",
        "in_lane",
        "speed",
        "pose",
        "tile",
        "simulator_reward",
        "proximity_penalty",
        "end",
    }


@pytest.mark.parametrize(
    "bad",
    [
        {"reward": "money"},
        {"simulator": "carla"},
        {"frame_skip": 0},
        {"camera_width": 4},
        {"steering_gain": 0.0},
        {"map_name": ""},
    ],
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        replace(RoadConfig(), **bad)


def test_the_length_of_a_step():
    assert replace(RoadConfig(), frame_skip=3).step_time == pytest.approx(0.1)
