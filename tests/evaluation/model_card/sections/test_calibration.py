"""Calibration of ends and returns, on made-up outcomes and on a model of random weights."""

from types import SimpleNamespace

import numpy as np
import pytest

from dreamduck.common.seeding import derive
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.data import RealEpisodes
from dreamduck.evaluation.model_card.sections.calibration import (
    KEY,
    Outcome,
    calibration,
    calibration_error,
    continued,
    dreamt_outcomes,
    find_windows,
    known_outcomes,
    measures,
)
from dreamduck.world_model import WorldModel
from tests.evaluation.model_card.helpers import toy_config


@pytest.fixture(scope="module")
def dreams(model_folder):
    return Dreams(WorldModel.load(model_folder), 0.5)


def outcome(bias, episodes=60, windows=5):
    """Ends that come as often as a model says, less `bias`."""
    random = np.random.default_rng(0)
    count = episodes * windows
    said = random.uniform(0, 1, count)
    value = random.standard_normal(count)
    return Outcome(
        np.repeat(np.arange(episodes), windows),
        said,
        random.uniform(0, 1, count) < np.clip(said - bias, 0, 1),
        value + 0.5,
        value + 0.1 * random.standard_normal(count),
    )


def test_a_calibrated_model_has_a_small_error_and_a_biased_one_a_large_one():
    good, bad = measures(outcome(0.0), 0), measures(outcome(0.3), 0)
    assert good["end"]["calibration_error"]["value"] < 0.1 < 0.2 < bad["end"]["calibration_error"]["low"]
    assert good["end"]["brier"]["value"] < good["end"]["brier_of_base_rate"]["value"]
    assert good["end"]["brier"]["value"] < bad["end"]["brier"]["value"]
    assert good["end"]["auc"]["low"] > 0.75
    assert good["return"]["correlation"]["low"] > 0.95
    assert good["return"]["bias"]["low"] < 0.5 < good["return"]["bias"]["high"]
    assert sum(one["windows"] for one in good["end"]["reliability"]) == good["windows"] == 300


def test_the_calibration_error_of_known_bins():
    found = Outcome(
        np.arange(4),
        np.array([0.05, 0.05, 1.0, 1.0]),
        np.array([False, True, True, False]),
        np.zeros(4),
        np.zeros(4),
    )
    assert calibration_error(found) == pytest.approx((2 * 0.45 + 2 * 0.5) / 4)


def test_windows_are_the_episodes_frames(data):
    real = data.held_out
    windows = find_windows(real, 5, 20, 0)
    assert (windows.z.shape[1:], windows.action.shape[1:]) == ((5, 64), (24, 2))
    assert (np.bincount(windows.episode) == 2).all()  # 40 steps: from 0 and from 30
    late = 1  # of the first episode, from its step 30
    np.testing.assert_array_equal(windows.z[late], real.z[30:35])
    assert windows.left[late] == 40 - 34
    np.testing.assert_array_equal(windows.action[late, :10], real.action[30:40])
    others = [e for e in range(len(real)) if e and real.policies[e] == real.policies[0]]
    rows = np.concatenate([real.action[real.rows(e)] for e in others])
    assert all((rows == action).all(axis=1).any() for action in windows.action[late, 10:])
    np.testing.assert_array_equal(windows.reward[late], [*real.reward[34:40], *[0] * 14])


@pytest.mark.parametrize("steps", [5, 33])
@pytest.mark.parametrize("cuts", [(60, 60), (60, 90)])
@pytest.mark.parametrize("least", [1, 12])
def test_what_is_known_of_a_horizon_is_as_often_an_end_as_is_true(steps, cuts, least):
    """Episodes that end by chance, are cut, and are recorded again where they are short."""
    random, chance = np.random.default_rng(3), 0.03
    truth = random.geometric(chance, 5000)
    truth = truth[truth >= least][:3000]
    cut = random.choice(cuts, len(truth))
    lengths = np.minimum(truth, cut)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    total = int(offsets[-1])
    done = np.zeros(total, np.bool_)
    done[offsets[1:] - 1] = truth <= cut
    real = RealEpisodes(
        z=np.zeros((total, 2), np.float32),
        action=np.zeros((total, 2), np.float32),
        frames=np.zeros((total, 1), np.uint8),
        reward=np.zeros(total, np.float32),
        done=done,
        offsets=offsets,
        telemetry=None,
        maps=("",) * len(truth),
        ahead=None,
        policies=("",) * len(truth),
        least_steps=least,
    )
    windows = find_windows(real, 4, steps, 0)
    zeros = np.zeros(len(windows.episode))
    found = known_outcomes(windows, zeros, zeros, steps)
    assert found.ended.mean() == pytest.approx(1 - (1 - chance) ** steps, abs=0.04)


def test_actions_behind_an_end_say_nothing_of_it():
    """They are those of other episodes by the same policy, whatever ended this one."""
    lengths = [6, 9, 7, 8]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    kinds = np.repeat([0.0, 1.0, 0.0, 1.0], lengths)
    action = np.stack([kinds, np.arange(len(kinds))], axis=1).astype(np.float32)
    real = SimpleNamespace(
        action=action,
        policies=("a", "b", "a", "b"),
        rows=lambda e: slice(offsets[e], offsets[e + 1]),
    )
    made = continued(action[3:6], real, 0, 30, np.random.default_rng(0))  # type: ignore[arg-type]
    np.testing.assert_array_equal(made[:3], action[3:6])
    assert len(made) == 30
    assert set(made[3:, 1].astype(int)) == set(range(15, 22))


def test_a_calibrated_model_has_an_error_by_chance():
    few, many = (measures(outcome(0.0, episodes), 0)["end"] for episodes in (10, 300))
    for found in (few, many):
        chance = found["calibration_error_by_chance"]
        assert chance["low"] < found["calibration_error"]["value"] < chance["high"]
    assert few["calibration_error_by_chance"]["value"] > 3 * many["calibration_error_by_chance"]["value"]


def test_horizons_behind_the_cut_are_left_out(data):
    windows = find_windows(data.held_out, 5, 60, 0)
    zeros = np.zeros(len(windows.episode))
    assert windows.ended.any()
    assert len(known_outcomes(windows, zeros, zeros, 60).ended) == 0


def test_the_expected_return_is_that_of_dreams_that_end(dreams, data):
    windows = find_windows(data.held_out, 5, 6, 0)
    ended, value = dreamt_outcomes(dreams, windows, 2, 0)
    assert ended.shape == value.shape == (len(windows.episode), 6)
    assert (np.diff(ended, axis=1) >= 0).all()
    found = dreams.open_loop(windows.z[:32], windows.action[:32], 6, 2, derive(0, 0))
    first = (1 - found.end[..., 0]) * found.reward[..., 0] + found.end[..., 0] * found.end_reward[..., 0]
    np.testing.assert_allclose(ended[:, 0], found.end[..., 0].mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(value[:, 0], first.mean(axis=1), rtol=1e-6)
    second = (1 - found.end[..., 1]) * found.reward[..., 1] + found.end[..., 1] * found.end_reward[..., 1]
    both = first + (1 - found.end[..., 0]) * second
    np.testing.assert_allclose(value[:, 1], both.mean(axis=1), rtol=1e-5)


def test_the_section(dreams, data):
    found = calibration(dreams, data, None, toy_config())
    assert list(found["horizons"]) == ["1", "5", "10"]
    assert found == calibration(dreams, data, None, toy_config())
    windows, seed = find_windows(data.held_out, 5, 100, derive(0, KEY)), derive(0, KEY)
    ended, value = dreamt_outcomes(dreams, windows, 2, seed)
    assert found["windows"] == len(windows.episode)
    outcome = known_outcomes(windows, ended[:, 9], value[:, 9], 10)  # of steps of 0.1 s
    said, one = outcome.probability.mean(), found["horizons"]["1"]
    assert 0.01 < said < 0.99
    assert one["end"]["expected"]["value"] == pytest.approx(said, abs=1e-4)
    assert one["end"]["observed"]["value"] == pytest.approx(outcome.ended.mean(), abs=1e-4)
    assert "left_out" in calibration(dreams, data, None, toy_config(warmup=50))
