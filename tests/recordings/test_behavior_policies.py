"""Behaviour policies: each its own way, the same for the same seed."""

import numpy as np
import pytest

from dreamduck.common.errors import ConfigError
from dreamduck.common.seeding import generator
from dreamduck.recordings.behavior_policies import (
    DEFAULT_MIX,
    POLICIES,
    Crash,
    OrnsteinUhlenbeck,
    make_policy,
    parse_mix,
)

EXPERT = np.array([0.5, 0.1])


def drive(policy, seed, steps=200):
    policy = make_policy(policy, generator(seed), steps)
    frames = np.random.default_rng(0).integers(0, 255, (steps, 64, 64, 3)).astype(np.uint8)
    return np.array([policy.act(step, frame, EXPERT) for step, frame in enumerate(frames)])


@pytest.mark.parametrize("policy", POLICIES)
def test_the_seed_decides_the_drive(policy):
    one, again, other = drive(policy, 1), drive(policy, 1), drive(policy, 2)
    assert one.shape == (200, 2)
    assert np.isfinite(one).all()
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_walks_are_smooth_and_wide():
    actions = np.concatenate([drive("walk", seed) for seed in range(40)])
    assert actions[:, 1].min() < -0.8
    assert actions[:, 1].max() > 0.8
    assert actions[:, 0].min() < -0.2  # it reverses too
    assert np.abs(np.diff(drive("walk", 3), axis=0)).mean() < 0.25


def test_the_noise_has_its_std_and_time_constant():
    noise = OrnsteinUhlenbeck(generator(0), 10, (0.5, 2.0))
    values = np.array([noise() for _ in range(40_000)])
    np.testing.assert_allclose(values.std(axis=0), [0.5, 2.0], rtol=0.1)
    lagged = [np.corrcoef(values[:-10, i], values[10:, i])[0, 1] for i in range(2)]
    np.testing.assert_allclose(lagged, np.exp(-1), atol=0.06)


def test_the_reckless_come_back_to_the_expert():
    actions = np.concatenate([drive("reckless", seed) for seed in range(20)])
    wild = np.abs(actions[:, 1] - EXPERT[1]) > 0.6
    assert 0.03 < wild.mean() < 0.5


def test_a_crash_begins_at_some_moment_and_does_not_end():
    for seed in range(20):
        policy = Crash(generator(seed), 150)
        actions = np.array(
            [policy.act(step, np.zeros((64, 64, 3), np.uint8), EXPERT) for step in range(150)]
        )
        assert (actions[-20:] == actions[-1]).all()
        assert actions[-1, 0] >= 0.3


def test_standing_is_no_command_to_the_end():
    drives = [drive("stand", seed, 150) for seed in range(40)]
    assert all((actions[75:] == 0).all() for actions in drives)
    from_the_first = np.mean([(actions == 0).all() for actions in drives])
    assert 0.3 < from_the_first < 0.7


def test_stops_are_no_command_and_end():
    stands = np.array([(drive("stop", seed) == 0).all(axis=1) for seed in range(20)])
    assert 0.3 < stands.mean() < 0.7
    changes = np.abs(np.diff(stands.astype(int), axis=1)).sum(axis=1)
    assert (changes >= 3).all()


def test_creeping_is_slow():
    actions = np.concatenate([drive("creep", seed) for seed in range(20)])
    assert 0.02 < actions[:, 0].mean() < 0.35 * EXPERT[0]
    assert actions[:, 0].max() < 0.3


def test_reversing_is_now_and_then():
    backwards = np.array([drive("reverse", seed)[:, 0] <= -0.2 for seed in range(20)])
    assert 0.3 < backwards.mean() < 0.7
    assert backwards.any(axis=1).all()


def test_the_random_controller_sees():
    policy = make_policy("random", generator(0), 10)
    dark, half = np.zeros((2, 64, 64, 3), np.uint8)
    half[:, :32] = 255
    assert not np.array_equal(policy.act(0, dark, EXPERT), policy.act(0, half, EXPERT))


def test_a_mix_is_read():
    assert parse_mix(("expert=3", "walk")) == {"expert": 0.75, "walk": 0.25}
    assert set(parse_mix(DEFAULT_MIX)) <= set(POLICIES)


@pytest.mark.parametrize(
    "mix",
    [
        (),
        ("pilot",),
        ("walk=0",),
        ("walk=-1",),
        ("walk=x",),
        ("walk=nan",),
        ("walk=inf",),
        ("walk", "walk=2"),
    ],
)
def test_another_mix_is_refused(mix):
    with pytest.raises(ConfigError, match="policies: expected"):
        parse_mix(mix)
