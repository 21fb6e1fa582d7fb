"""Counterfactual commands: a toy dream that obeys passes, one whose actions are shuffled fails."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from dreamduck.common.config import replace
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.commands import road_responses
from dreamduck.evaluation.model_card.probes.motion_probe import MotionProbe
from dreamduck.evaluation.model_card.sections.steering import (
    LEVELS,
    responses,
    separation,
    spearman,
    steering,
    true_path,
)
from dreamduck.evaluation.model_card.sections.stillness import stillness
from dreamduck.simulator.environment import describe
from dreamduck.simulator.road import RoadConfig
from dreamduck.world_model import WorldModel
from tests.evaluation.model_card.helpers import toy_config, toy_data

ENVIRONMENT = describe(RoadConfig())


class ToyDreams(Dreams):
    """Latents that add up the actions, with a little noise; frames that show them."""

    def open_loop(self, z, action, steps, dreams, seed):
        found = super().open_loop(z, action, steps, dreams, seed)
        taken = np.repeat(action[:, None, -steps:], dreams, axis=1)
        noise = np.random.default_rng(seed).normal(0, 0.02, taken.shape)
        found.z[..., :2] = z[:, None, -1:, :2] * 0 + np.cumsum(0.2 * taken + noise, axis=2)
        return found

    def decode(self, z):
        frames = np.zeros((*z.shape[:-1], 64, 64, 3), np.uint8)
        frames[..., 0, 0, :2] = np.clip(np.rint(128 + 10 * z[..., :2]), 0, 255)
        return frames

    def encode(self, frames):
        z = np.zeros((len(frames), self.sizes[0]), np.float32)
        z[:, :2] = (frames[:, 0, 0, :2].astype(np.float32) - 128) / 10
        return z


class ShuffledActions(ToyDreams):
    """Every dream gets the actions of another one."""

    def open_loop(self, z, action, steps, dreams, seed):
        order = np.random.default_rng(1).permutation(len(action))
        return super().open_loop(z, action[order], steps, dreams, seed)


class Difference:
    """In the place of a network: turn and advance are what the first two latents change by."""

    def __call__(self, features):
        size = features.shape[1] // 3
        moved = features[:, 2 * size : 2 * size + 2] - features[:, :2]
        return moved[:, ::-1], None, None


@pytest.fixture(scope="module")
def model(model_folder):
    return WorldModel.load(model_folder)


@pytest.fixture(scope="module")
def data(model):
    return toy_data(model)._replace(environment=ENVIRONMENT)


def section(dreams, data):
    class Probes:
        motion = MotionProbe(Difference(), dreams.encode)  # type: ignore[arg-type]

    return steering(dreams, data, Probes, toy_config())  # type: ignore[arg-type]


def test_a_dream_that_obeys_passes_and_shuffled_actions_fail(model, data):
    obeys, shuffled = (section(cls(model, 0.1), data) for cls in (ToyDreams, ShuffledActions))
    for test in ("steering", "throttle"):
        for seconds in ("1", "2", "3"):
            good, bad = obeys[test][seconds]["dream"], shuffled[test][seconds]["dream"]
            assert good["spearman"]["value"] > 0.97
            assert abs(bad["spearman"]["value"]) < 0.5
            assert good["separation_over_noise"]["value"] > 5
            assert bad["separation"]["low"] < 0.5 * good["separation"]["value"]
            assert obeys[test][seconds]["road_true"]["spearman"]["value"] == 1
            assert 0 <= obeys[test][seconds]["on_road"] <= 1
    assert obeys["states"] == toy_config().sizes.steering_starts


def test_the_road_turns_left_by_positive_steering_and_advances_by_throttle(model):
    commands = np.array([[0.4, -1], [0.4, 0], [0.4, 1], [-1, 0], [1, 0]], np.float32)
    road = road_responses(
        Dreams(model, 0.1), ENVIRONMENT, ("loop_empty",), 2, commands, 6, [0, 2, 5, 7, 10], 0
    )
    assert road.context.z.shape == (2, 6, 64)
    assert road.context.action.shape == (2, 5, 2)
    assert road.frames.shape == (2, 5, 5, 64, 64, 3)
    np.testing.assert_array_equal(road.pose[:, 0, 0], road.pose[:, 4, 0])
    np.testing.assert_array_equal(model.encode(road.frames[:, 0, 0]), road.context.z[:, -1])
    turn, advance = (true_path(road, motion)[:, :, -1] for motion in ("turn", "advance"))
    assert (turn[:, 0] < turn[:, 1] - 0.3).all()
    assert (turn[:, 1] < turn[:, 2] - 0.3).all()
    assert (advance[:, 3] < 0).all()
    assert (advance[:, 4] > 0.3).all()


def test_equal_responses_share_their_ranks():
    frozen = np.zeros((3, 9, 2))
    np.testing.assert_array_equal(spearman(frozen), 0)
    half = np.maximum(np.linspace(-1, 1, 9), 0)[None, :, None]  # obeys in one direction alone
    np.testing.assert_allclose(spearman(half), spearmanr(half[0, :, 0], np.arange(9)).statistic)


@pytest.mark.parametrize("dreams", [2, 4, 32])
def test_the_noise_does_not_depend_on_the_number_of_dreams(dreams):
    random = np.random.default_rng(1)
    made = np.linspace(0, 1, 9)[None, :, None] + random.normal(0, 0.1, (400, 9, dreams))
    found = responses({"dream": made, "road": made[..., :1]}, 0)["dream"]
    assert found["noise"]["value"] == pytest.approx(0.1, rel=0.06)


@pytest.mark.parametrize(
    ("frame_skip", "expected"), [(3, [0.5, 1, 2, 3]), (6, [0.4, 0.8, 2.0, 3.2]), (12, None)]
)
def test_times_are_told_in_whole_steps(model, data, frame_skip, expected):
    skipping = data._replace(environment=describe(replace(RoadConfig(), frame_skip=frame_skip)))
    found = section(ToyDreams(model, 0.1), skipping)
    if expected is None:
        assert "too long for motion" in found["left_out"]
    else:
        assert [part["seconds"] for part in found["steering"].values()] == pytest.approx(expected)


def test_spearman_and_separation():
    random = np.random.default_rng(0)
    ordered = np.repeat(LEVELS[None, :, None], 3, axis=2) ** 3
    np.testing.assert_allclose(spearman(ordered), 1)
    np.testing.assert_allclose(spearman(-ordered), -1)
    assert abs(spearman(random.normal(size=(50, 9, 4))).mean()) < 0.1
    np.testing.assert_allclose(separation(ordered), 2)
    noisy = ordered[..., :1] + random.normal(0, 0.5, (20, 9, 8))
    found = responses({"dream": noisy, "road": ordered}, 0)
    assert 3 < found["dream"]["separation_over_noise"]["value"] < 5
    assert 0.8 < found["dream"]["of_road"] < 1.2


def test_standing_still_drifts_in_a_dream_that_wanders(model, data):
    class Still(ToyDreams):
        def open_loop(self, z, action, steps, dreams, seed):
            found = Dreams.open_loop(self, z, action, steps, dreams, seed)
            found.z[:] = z[:, None, -1:]
            return found

    class Reader:
        def predict(self, frames):
            first = frames[:, 0, 0].astype(np.float32)
            return type("State", (), {"lane_dist": first[:, 0], "lane_angle": first[:, 1]})

    class Probes:
        frame = Reader()

    still, wanders = (
        stillness(cls(model, 0.1), data, Probes, toy_config())["dream"]  # type: ignore[arg-type]
        for cls in (Still, ToyDreams)
    )
    for seconds in ("2", "5", "10"):
        assert still[seconds]["picture"]["value"] == still[seconds]["lane_dist"]["value"] == 0
    assert wanders["10"]["lane_dist"]["value"] > wanders["2"]["lane_dist"]["value"] >= 0
    assert wanders["10"]["picture"]["value"] > 0


def test_without_telemetry_or_a_known_map_it_is_left_out(model, data):
    dreams = Dreams(model, 0.1)
    assert "telemetry" in steering(dreams, data, None, toy_config())["left_out"]
    elsewhere = data._replace(environment={"id": "CarRacing-v3"})
    assert "native simulator" in stillness(dreams, elsewhere, object(), toy_config())["left_out"]  # type: ignore[arg-type]
