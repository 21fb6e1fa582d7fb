"""Batches: no state crosses an episode's border, none begins in mid-episode, padding counts nothing."""

import numpy as np
import pytest

from dreamduck.common.errors import TrainingError
from dreamduck.world_model.mdn_rnn import batches
from tests.world_model.mdn_rnn.helpers import toy_series

LENGTH, STREAMS = 8, 5


def test_every_lane_follows_one_episode_after_another():
    series = toy_series(30)
    episodes, _ = batches.split(series)
    places = batches.plan(series.offsets, episodes, STREAMS, LENGTH, 60, 0)
    first_rows = set(series.offsets[episodes].tolist())
    for stream in range(STREAMS):
        for step in range(60):
            start, stop = places.start[step, stream], places.stop[step, stream]
            assert stop in series.offsets
            if places.carry_state[step, stream]:
                assert start == places.start[step - 1, stream] + LENGTH < stop
                assert stop == places.stop[step - 1, stream]
            else:
                assert start in first_rows
                if step:
                    assert places.start[step - 1, stream] + LENGTH >= places.stop[step - 1, stream]


def test_each_episode_comes_once_before_any_comes_again():
    series = toy_series(12)
    places = batches.plan(series.offsets, np.arange(12), 3, LENGTH, 60, 0)
    order = places.start[~places.carry_state]
    np.testing.assert_array_equal(np.sort(order[:12]), series.offsets[:-1])
    np.testing.assert_array_equal(np.sort(order[12:24]), series.offsets[:-1])
    assert not np.array_equal(order[:12], order[12:24])


def test_every_step_is_there_and_padding_is_marked():
    series = toy_series(12)
    places = batches.plan(series.offsets, np.arange(12), 1, LENGTH, 200, 0)
    rows, ends = 0, 0.0
    for step in range(200):
        batch = batches.batch(series, places, step, LENGTH)
        count = int(batch.step.sum())
        assert (batch.step[0, :count] == 1).all()
        last = places.start[step, 0] + count == places.stop[step, 0]
        assert batch.has_next.sum() == count - last
        here = slice(places.start[step, 0], places.start[step, 0] + count)
        np.testing.assert_array_equal(batch.mu[0, :count], series.mu[here])
        np.testing.assert_array_equal(batch.action[0, :count], series.action[here])
        np.testing.assert_array_equal(batch.reward[0, :count], series.reward[here])
        assert not batch.reward[0, count:].any()
        assert not batch.done[0, count:].any()
        if not last:
            np.testing.assert_array_equal(batch.mu[0, count], series.mu[here.stop])
        rows, ends = rows + count, ends + float(batch.done.sum())
        if rows == series.offsets[-1]:
            break
    assert rows == series.offsets[-1]
    assert ends == series.done.sum()


def test_a_longer_plan_begins_the_same():
    series = toy_series(12)
    short, long = (batches.plan(series.offsets, np.arange(12), 3, LENGTH, n, 4) for n in (10, 30))
    np.testing.assert_array_equal(short.start, long.start[:10])


def test_held_out_episodes_are_not_learned_from():
    series = toy_series(40)
    learning, testing = batches.split(series)
    assert len(testing)
    assert not set(learning) & set(testing)
    assert len(learning) + len(testing) == 40


def test_nothing_to_learn_from():
    with pytest.raises(TrainingError, match="expected recorded episodes"):
        batches.plan(np.array([0, 3]), np.array([], np.int64), 1, 2, 3, 0)
