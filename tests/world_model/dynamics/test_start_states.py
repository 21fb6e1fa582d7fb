"""Dreams that begin in the midst of recorded episodes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dreamduck.common.errors import WeightsError
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import InitialZ
from dreamduck.world_model.dynamics.start_states import (
    AT_ONCE,
    MIDWAY_STARTS,
    SEEN,
    find_midway,
    read_midway,
    write_midway,
)
from dreamduck.world_model.mdn_rnn import MDNRNN, files
from dreamduck.world_model.mdn_rnn.layout import MDNRNNConfig, initial_parameters
from tests.world_model.mdn_rnn.helpers import toy_series

SIZES = MDNRNNConfig(z_size=4, hidden_size=6, mixtures=2)


@pytest.fixture(scope="module")
def dynamics():
    return MDNRNN(initial_parameters(SIZES, 3), SIZES)


@pytest.fixture(scope="module")
def series():
    return toy_series(12)


@pytest.fixture(scope="module")
def midway(dynamics, series):
    return find_midway(dynamics, series, range(len(series.lengths)))


def test_midway_states_follow_the_steps_before(dynamics, series, midway):
    """Each state is that of running over the steps before it, at most `SEEN` of them."""
    rows = {mu.tobytes(): row for row, mu in enumerate(series.mu)}
    starts = series.offsets[:-1]
    for k in range(0, MIDWAY_STARTS, 37):
        row = rows[midway.mu[k].tobytes()]
        first = starts[starts <= row].max()
        state = dynamics.start(1)
        for t in range(max(first, row - SEEN), row):
            state = dynamics.advance(series.mu[t : t + 1], series.action[t : t + 1], state)
        np.testing.assert_allclose(midway.h[k], state.h[0], atol=1e-5)
        np.testing.assert_allclose(midway.c[k], state.c[0], atol=1e-5)


def test_some_begin_at_once(midway):
    at_once = (np.abs(midway.h).sum(axis=1) == 0).mean()
    assert AT_ONCE - 0.05 < at_once < AT_ONCE + 0.15


def test_no_beginning_is_an_episodes_last_step(series, midway):
    longer = series.lengths > 1
    last = {mu.tobytes() for mu in series.mu[series.offsets[1:][longer] - 1]}
    assert not last & {mu.tobytes() for mu in midway.mu}


def test_the_seed_decides(dynamics, series, midway):
    episodes = range(len(series.lengths))
    assert np.array_equal(find_midway(dynamics, series, episodes).mu, midway.mu)
    assert not np.array_equal(find_midway(dynamics, series, episodes, seed=1).mu, midway.mu)


def test_draws_and_what_belongs_to_them(midway):
    row = 123
    uniform = (row + 0.5) / MIDWAY_STARTS
    assert np.array_equal(midway.draw(uniform, np.zeros(4, np.float32)), midway.mu[row])
    state = midway.recall(uniform, SIZES)
    assert np.array_equal(state.h, midway.h[row])
    assert np.array_equal(state.c, midway.c[row])
    nothing = InitialZ(midway.mu, midway.logvar).recall(uniform, SIZES)
    assert not nothing.h.any()
    assert not nothing.c.any()


def test_round_trip(tmp_path, midway):
    write_midway(tmp_path / "midway.npz", midway)
    found = read_midway(tmp_path / "midway.npz", SIZES)
    for name in InitialZ._fields:
        made, read = (np.asarray(getattr(one, name)) for one in (midway, found))
        np.testing.assert_allclose(read, made, rtol=1e-3, atol=1e-4)


def test_what_does_not_fit_is_refused(tmp_path, midway):
    path = tmp_path / "midway.npz"
    files.save(tmp_path, initial_parameters(SIZES, 3), SIZES, {})
    with pytest.raises(WeightsError, match="--beginning first"):
        WorldModel.load(tmp_path).start_states("midway")
    write_midway(path, midway)
    with pytest.raises(WeightsError, match=r"h: expected numbers \(N, 7\)"):
        read_midway(path, dataclasses.replace(SIZES, hidden_size=7))
    write_midway(path, midway._replace(c=midway.c * np.float32(np.nan)))
    with pytest.raises(WeightsError, match="not finite"):
        read_midway(path, SIZES)
    np.savez(path, mu=midway.mu)
    with pytest.raises(WeightsError, match="logvar: expected"):
        read_midway(path, SIZES)
    path.write_bytes(b"PK nothing")
    with pytest.raises(WeightsError, match=r"midway\.npz"):
        read_midway(path, SIZES)
