"""Real episodes instead of dreams score at the floor, frozen latents do not."""

import numpy as np
import pytest

from dreamduck.common.errors import ControllerError
from dreamduck.evaluation.model_card.config import SHORT
from dreamduck.evaluation.model_card.dreams import ClosedLoop, Dreams
from dreamduck.evaluation.model_card.driving.collection import road_config
from dreamduck.evaluation.model_card.driving.ranked_policies import RankedPolicy
from dreamduck.evaluation.model_card.figures import COMPARED
from dreamduck.evaluation.model_card.probes.probe import ProbedState, Probes
from dreamduck.evaluation.model_card.sections import distribution
from dreamduck.evaluation.model_card.sections.distribution import (
    compare,
    drive,
    shipped_controller,
)
from dreamduck.world_model import WorldModel
from tests.evaluation.model_card.helpers import toy_config, toy_data

STEPS, LAG, EPISODES = 16, 5, 48
DISTANCES = ("energy", "frechet", "change_energy", "change_frechet", "feature_frechet")
MEASURES = {*DISTANCES, "realism", "sharpness", "flicker"}


class Projection:
    """In the place of a probe: random projections of frames at half their size, or of [z, h]."""

    def __init__(self):
        self._weights = {}

    def read(self, features):
        rows = features.reshape(len(features), -1)
        if features.dtype == np.uint8:
            rows = features.reshape(-1, 32, 2, 32, 2, 3).mean(axis=(2, 4)).reshape(len(features), -1)
        size = rows.shape[1]
        if size not in self._weights:
            self._weights[size] = np.random.default_rng(size).standard_normal((size, 12)) / size**0.5
        found = rows @ self._weights[size]
        return ProbedState(found[:, 0], found[:, 1], found[:, 2], found[:, 3:7]), found

    def predict(self, features):
        return self.read(features)[0]


@pytest.fixture(scope="module")
def dreams():
    return Dreams(WorldModel.load(), 0.5)


@pytest.fixture(scope="module")
def probes():
    return Probes(Projection(), Projection(), None)  # type: ignore[arg-type]


def sizes(monkeypatch, **changes):
    monkeypatch.setattr("dreamduck.evaluation.model_card.config.SHORT", SHORT._replace(**changes))


@pytest.fixture(scope="module")
def driven(dreams):
    """Two lots of episodes of the shipped controller, each with dreams."""
    with pytest.MonkeyPatch.context() as patch:
        sizes(patch, distribution_episodes=EPISODES)
        policy, roads = shipped_controller(dreams, None), [road_config({}, "loop_empty")]  # type: ignore[arg-type]
        return [drive(dreams, policy, roads, toy_config(), STEPS, LAG, seed) for seed in (0, 1)]


def test_the_dreams_start_from_the_roads_first_frames(dreams, driven):
    one = driven[0]
    assert one.road.z.shape == (EPISODES, 4 + STEPS, 64)
    np.testing.assert_array_equal(one.dream.z[:, 0], one.road.z[one.rows, 4])
    np.testing.assert_allclose(one.dream.h[:, 0], one.road.h[one.rows, 4], atol=1e-5)
    np.testing.assert_allclose(one.dream.action[:, 0], one.road.action[one.rows, 4], atol=1e-5)
    assert np.abs(one.dream.z[:, 1] - one.road.z[one.rows, 5]).max() > 1e-3
    assert len(one.rows) > 40


def test_real_episodes_in_the_place_of_dreams_are_at_the_floor(dreams, probes, driven):
    one, other = driven
    parts = (part[other.rows, other.last :] for part in other.road)
    nothing = np.zeros((len(other.rows), STEPS), np.float32)
    length = other.length[other.rows] - other.last
    dream = ClosedLoop(*parts, nothing, nothing, length, length < STEPS)  # type: ignore[call-arg]
    found = compare(dreams, probes, one._replace(dream=dream, rows=other.rows), STEPS - 1, 0)
    assert set(found) > MEASURES
    for name in DISTANCES:
        assert 0.6 < found[name]["value"] < 1.5, name
        assert found[name]["low"] < 1.1
    assert 0.2 < found["realism"]["value"] < 0.65
    assert 0.9 < found["sharpness"]["value"] < 1.1
    assert 0.7 < found["flicker"]["value"] < 1.4


def test_frozen_latents_fail(dreams, probes, driven):
    one = driven[0]
    still = np.repeat(one.dream.z[:, :1], STEPS, axis=1)
    dream = one.dream._replace(z=still, length=np.full(len(still), STEPS))
    found = compare(dreams, probes, one._replace(dream=dream), STEPS - 1, 0)
    for name in ("change_energy", "change_frechet"):
        assert found[name]["low"] > 1.5, name
    assert found["flicker"]["high"] < 0.1


def test_noise_in_the_latents_is_reported(dreams, probes, driven):
    one = driven[0]
    noise = np.random.default_rng(0).standard_normal(one.dream.z.shape).astype(np.float32)
    found = compare(dreams, probes, one._replace(dream=one.dream._replace(z=noise)), STEPS - 1, 0)
    assert found["realism"]["low"] > 0.8
    assert found["flicker"]["low"] > 1.5
    assert found["feature_frechet"]["low"] > 1.5
    assert set(COMPARED) <= set(found)  # what the image shows


def test_few_episodes_are_named(dreams, probes, driven):
    short = driven[0].dream._replace(length=np.full(len(driven[0].rows), 3))
    found = compare(dreams, probes, driven[0]._replace(dream=short), STEPS - 1, 0)
    assert found["dreams"] == 0
    assert "fewer than 16 episodes" in found["left_out"]


def test_a_controller_of_another_model_is_refused_without_the_names_of_folders(model_folder):
    with pytest.raises(ControllerError, match="another world model") as refused:
        shipped_controller(Dreams(WorldModel.load(model_folder), 0.5), None)  # type: ignore[arg-type]
    assert "/" not in str(refused.value)


def test_the_section_without_telemetry(model_folder, monkeypatch):
    sizes(monkeypatch, distribution_episodes=24, distribution_seconds=(0.5,))

    def left_out(dreams, data):
        raise ControllerError("another model")

    ahead = np.array([0.4, 0], np.float32)
    straight = RankedPolicy("straight", "plain", "", lambda z, h: np.tile(ahead, (len(z), 1)))
    makers = {"one": lambda dreams, data: straight, "other": left_out}
    monkeypatch.setattr(distribution, "POLICIES", makers)
    dreams = Dreams(WorldModel.load(model_folder), 0.5)
    found, again = (
        distribution.distribution(dreams, toy_data(dreams.model), None, toy_config()) for _ in range(2)
    )
    assert found == again
    assert found["drivers"]["other"] == {"left_out": "another model"}
    assert set(found["drivers"]["one"]["0.5"]) >= {"realism", "sharpness", "flicker"}
    assert "energy" not in found["drivers"]["one"]["0.5"]
    assert "telemetry" in found["left_out_measures"]
