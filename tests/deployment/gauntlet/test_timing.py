import numpy as np
import pytest

from dreamduck.common.config import replace
from dreamduck.common.errors import ConfigError
from dreamduck.deployment.gauntlet.config import Strengths
from dreamduck.deployment.gauntlet.timing import CommandDelay, irregular_steps, regular_steps


def test_frames_come_at_the_rate_of_the_policy():
    assert np.flatnonzero(regular_steps(10, 3)).tolist() == [0, 3, 6, 9]


def test_irregular_frames_come_between_the_two_rates():
    strengths = replace(Strengths(), dropped=0.0)
    comes = irregular_steps(30_000, strengths, 0, 0)
    gaps = np.diff(np.flatnonzero(comes))
    assert comes[0]
    assert set(gaps.tolist()) <= {2, 3, 4}
    expected = np.mean([1 / rate for rate in np.random.default_rng(1).uniform(8, 15, 100_000)])
    assert gaps.mean() / 30 == pytest.approx(expected, rel=0.01)


def test_the_share_of_frames_is_lost():
    whole = irregular_steps(30_000, replace(Strengths(), dropped=0.0), 0, 0)
    some = irregular_steps(30_000, replace(Strengths(), dropped=0.3), 0, 0)
    assert some.sum() / whole.sum() == pytest.approx(0.7, abs=0.02)
    assert not (some & ~whole).any()


def test_steps_follow_from_seed_and_place():
    made = [irregular_steps(300, Strengths(), *place) for place in ((0, 0), (0, 0), (0, 1), (1, 0))]
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()
    assert (made[0] != made[3]).any()


def test_commands_arrive_late_by_each_cars_own_latency():
    delay = CommandDelay([0.0, 0.05, 0.1, 0.25])
    assert delay.delays.tolist() == [0, 2, 3, 8]  # rounded up to 1/30 s
    given = np.random.default_rng(0).uniform(-1, 1, (20, 4, 2))
    arrived = np.stack([delay(commands) for commands in given])
    for car, late in enumerate(delay.delays):
        np.testing.assert_array_equal(arrived[late:, car], given[: 20 - late, car])
        assert not arrived[:late, car].any()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"latency": ("fast",)}, "latency: expected milliseconds"),
        ({"latency": ("5000",)}, "latency: expected 0 to 2000 ms, got 5000"),
        ({"latency": ()}, "latency: expected milliseconds such as 50,100, got none"),
        ({"rate_low": 20.0}, "rate_low: expected at most rate_high"),
        ({"jpeg_quality": 0}, "jpeg_quality"),
    ],
)
def test_bad_strengths_are_refused(bad, message):
    with pytest.raises(ConfigError, match=message):
        replace(Strengths(), **bad)
