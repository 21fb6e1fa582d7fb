import numpy as np
import pytest

from dreamduck.common.errors import ConfigError
from dreamduck.evaluation.metrics import EpisodeMeter, Measures, summarize
from dreamduck.simulator.base import END_COLLISION, END_NONE, END_OFF_ROAD, CarState


def state(x, dist=0.0, angle=0.0, end=END_NONE):
    """Two cars on a lane along +x; the second is always well."""
    return CarState(
        pose=np.array([[x, 0.0, 0.0], [2 * x, 0.0, 0.0]]),
        speed=np.zeros(2),
        lane_dist=np.array([dist, 0.0]),
        lane_angle=np.array([angle, 0.0]),
        lane_tangent=np.array([[1.0, 0.0], [1.0, 0.0]]),
        tile=np.zeros((2, 2), dtype=np.int64),
        simulator_reward=np.zeros(2),
        proximity_penalty=np.zeros(2),
        end=np.array([end, END_NONE], dtype=np.int8),
    )


def test_measures_by_hand():
    meter = EpisodeMeter(state(0.0), step_time=0.1)
    meter.update(state(0.02, dist=0.05, angle=-0.2))
    meter.update(state(0.05, dist=-0.2, angle=0.1))  # out of the lane: no distance, no deviation
    meter.update(state(0.03, dist=-0.2, angle=0.1))  # and backwards
    alive = meter.update(state(0.06, dist=np.nan, angle=np.nan, end=END_COLLISION))
    assert alive.tolist() == [False, True]
    meter.update(state(5.0))  # the first car is no longer measured
    m = meter.measures
    np.testing.assert_allclose(m.survival_time, [0.4, 0.5])
    np.testing.assert_allclose(m.distance, [0.02 - 0.02, 10.0], atol=1e-12)
    np.testing.assert_allclose(m.lateral_deviation, [0.005, 0.0])
    np.testing.assert_allclose(m.heading_deviation, [0.04, 0.0])
    np.testing.assert_allclose(m.out_of_lane_time, [0.3, 0.0])
    np.testing.assert_allclose(m.collisions, [1, 0])


def test_leaving_the_road_is_no_collision():
    meter = EpisodeMeter(state(0.0), 0.1)
    meter.update(state(0.1, end=END_OFF_ROAD))
    assert meter.measures.collisions.tolist() == [0, 0]


def test_summary():
    rng = np.random.default_rng(0)
    values = rng.normal(10, 2, size=400)
    measures = Measures(*[values * k for k in range(1, 7)])
    summary = summarize(measures, seed=0)
    assert list(summary) == list(Measures._fields)
    for name, column in measures._asdict().items():
        assert summary[name].median == np.median(column)
        assert summary[name].low < summary[name].median < summary[name].high
    # The interval of a normal median is about 1.25 standard errors of the mean wide, each way twice.
    width = summary["survival_time"].high - summary["survival_time"].low
    assert 0.3 < width < 0.8
    assert summarize(measures, seed=0) == summary
    assert summarize(measures, seed=1) != summary


def test_one_episode_and_none():
    one = Measures(*[np.array([3.0])] * 6)
    assert summarize(one)["distance"] == (3.0, 3.0, 3.0)
    with pytest.raises(ConfigError, match="at least one episode"):
        summarize(Measures(*[np.zeros(0)] * 6))
