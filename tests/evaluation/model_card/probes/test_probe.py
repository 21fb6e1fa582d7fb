"""The probes read what they learned from, the same for the same seed, and say how well."""

import dataclasses

import numpy as np
import pytest

from dreamduck.evaluation.model_card.probes.motion_probe import (
    lag_steps,
    motion_rows,
    seen_steps,
    triples,
    true_motion,
)
from dreamduck.evaluation.model_card.probes.probe import (
    defined,
    episode_features,
    fit_probes,
    probe,
    reconstructed,
)
from dreamduck.evaluation.model_card.probes.probe_network import HIDDEN, ProbeNetwork
from tests.evaluation.model_card.helpers import toy_config


@pytest.fixture(scope="module")
def probes(dreams, data):
    return fit_probes(dreams, data, toy_config())


def test_a_network_learns_numbers_and_classes_and_the_same_seed_gives_the_same_bits():
    random = np.random.default_rng(0)
    x = random.normal(3.0, 2.0, (1500, 6)).astype(np.float32)
    numbers = np.stack([0.02 * x[:, 0], 5 * x[:, 1] * (x[:, 2] > 3)], axis=1)
    classes = (x[:, 3] > 3).astype(np.int64)
    outputs = []
    for _ in range(2):
        network = ProbeNetwork(6, (2, 2), seed=1)
        network.fit(x[:1200], numbers[:1200], classes[:1200], epochs=30)
        outputs.append(network(x[1200:]))
    for one, other in zip(*outputs, strict=True):
        np.testing.assert_array_equal(one, other)
    found, likely, hidden = outputs[0]
    for column in range(2):
        assert np.corrcoef(found[:, column], numbers[1200:, column])[0, 1] > 0.9
    assert 0.5 < found[:, 1].std() / numbers[1200:, 1].std() < 1.2
    assert (likely.argmax(axis=1) == classes[1200:]).mean() > 0.85
    np.testing.assert_allclose(likely.sum(axis=1), 1, atol=1e-5)
    assert hidden.shape == (300, HIDDEN[-1])
    np.testing.assert_array_equal(network(x[1300:1302])[0], found[100:102])


def test_the_section_has_the_error_of_each_source(dreams, data, probes):
    found = probe(dreams, data, probes, toy_config())
    for group, real in (("held_out", data.held_out), ("unseen_maps", data.unseen)):
        known = defined(real)
        states = {
            "frame": probes.frame.predict(real.frames),
            "reconstruction": probes.frame.predict(reconstructed(dreams, real.z)),
            "zh": probes.zh.predict(episode_features(dreams, real)),
        }
        for source, state in states.items():
            assert set(found[group][source]) == {"lane_dist", "lane_angle", "speed", "ahead"}
            for name in ("lane_dist", "lane_angle", "speed"):
                true = real.column(name)[known].astype(np.float64)
                error = getattr(state, name)[known] - true
                scores = found[group][source][name]
                assert scores["r2"]["value"] == pytest.approx(1 - (error**2).mean() / true.var(), abs=1e-4)
                assert scores["error"]["value"] == pytest.approx(np.abs(error).mean(), abs=1e-4)
        assert found[group]["motion"]["turn"]["r2"]["n"] == found[group]["episodes"]
    assert found["held_out"]["frame"]["lane_angle"]["r2"]["value"] > 0.3


def test_better_reading_scores_better(dreams, data, probes):
    """What the probe says of its own training frames is nearer than what it says of shuffled ones."""
    state = probes.frame.predict(data.train.frames)
    true = data.train.column("lane_angle")
    assert (
        np.abs(state.lane_angle - true).mean() < 0.6 * np.abs(np.roll(state.lane_angle, 40) - true).mean()
    )
    np.testing.assert_array_equal(probes.frame.predict(data.train.z[:3]).speed, state.speed[:3])


def test_without_telemetry_the_probe_is_left_out(dreams, data):
    blind = data._replace(train=dataclasses.replace(data.train, telemetry=None))
    assert fit_probes(dreams, blind, toy_config()) is None
    assert "telemetry" in probe(dreams, blind, None, toy_config())["left_out"]


def test_states_across_the_lane_or_off_it_are_not_read(data):
    telemetry = data.train.telemetry.copy()
    telemetry[0, 1], telemetry[1, 0], telemetry[2, 1] = 1.5, np.nan, -1.0
    mask = defined(dataclasses.replace(data.train, telemetry=telemetry))
    assert mask[:4].tolist() == [False, False, True, True]


def test_true_motion_of_arcs_and_of_reversing():
    before = np.array([[0.0, 0.0, 0.5], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    moved = [[np.cos(0.5), -np.sin(0.5), 0.0], [0.0, 0.0, 0.4], [-0.3, 0.0, 0.0]]
    after = before + np.array(moved)
    motion = true_motion(before, after)
    np.testing.assert_allclose(motion.turn, [0, 0.4, 0], atol=1e-6)
    np.testing.assert_allclose(motion.advance, [1, 0, -0.3], atol=1e-6)


def test_motion_is_read_within_episodes_from_three_frames(data):
    lag = lag_steps(data.step_time)
    assert lag == 5
    assert seen_steps(lag, 2) == [0, 2, 5, 7, 10]
    rows, motion = motion_rows(data.train, lag)
    assert len(rows) == len(motion) == 10 * 35
    assert (rows % 40 < 35).all()
    z = np.arange(400, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(triples(z, rows[:1] + 3, lag), [[3, 5, 8]])
