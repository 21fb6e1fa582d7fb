"""The expert, imitated from the features of a world model."""

import dataclasses

import numpy as np
import pytest

from dreamduck.common.errors import RecordError
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.imitation import expert_actions, fit_imitation
from dreamduck.simulator.base import SimulatorConfig
from dreamduck.simulator.expert import Expert, ExpertConfig
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.road import Road, RoadConfig
from dreamduck.world_model import WorldModel
from tests.evaluation.model_card.helpers import toy_data

GAIN = 3.14


@pytest.fixture(scope="module")
def dreams(model_folder):
    return Dreams(WorldModel.load(model_folder), 0.5)


@pytest.fixture(scope="module")
def driven(dreams):
    """Episodes on real roads: two maps, random actions; and what the expert would have done."""
    random = np.random.default_rng(0)
    data = toy_data(dreams.model, steps=90)
    real, wanted = data.train, []
    telemetry = np.zeros_like(real.telemetry)
    maps = tuple("loop_empty" if e % 2 else "udem1" for e in range(len(real)))
    for episode, map_name in enumerate(maps):
        road = Road(RoadConfig(SimulatorConfig(map_name=map_name)))
        expert = Expert(load_map(map_name), ExpertConfig(steering_gain=GAIN))
        state = road.reset([episode])
        for row in range(real.offsets[episode], real.offsets[episode + 1]):
            telemetry[row, :3] = state.lane_dist[0], state.lane_angle[0], state.speed[0]
            telemetry[row, 3:6], telemetry[row, 6:] = state.pose[0], state.tile[0]
            wanted.append(expert(state)[0])
            state = road.step(random.uniform(-0.3, 1, (1, 2))).state
    wanted = np.array(wanted)  # type: ignore[assignment]
    mixed = np.random.default_rng(1).standard_normal((2, real.z.shape[1]))
    z = (wanted @ mixed + 0.05 * random.standard_normal((len(wanted), mixed.shape[1]))).astype(np.float32)
    real = dataclasses.replace(real, telemetry=telemetry, maps=maps, z=z)
    return data._replace(train=real, environment={"steering_gain": GAIN}), wanted


def test_the_expert_is_asked_at_every_recorded_pose(driven):
    data, wanted = driven
    found, known = expert_actions(data.train, GAIN)
    np.testing.assert_array_equal(known, np.isfinite(data.train.telemetry[:, 0]))
    assert 0.5 < known.mean() < 1
    # Telemetry is float32.
    assert np.quantile(np.abs(found - wanted)[known], 0.99) < 1e-4
    assert np.abs(expert_actions(data.train, 2 * GAIN)[0] - wanted)[known].max() > 0.1


def test_a_map_that_is_not_installed_is_left_out(driven):
    real = driven[0].train
    lost = dataclasses.replace(real, maps=("of mine", *real.maps[1:]))
    _, known = expert_actions(lost, GAIN)
    assert not known[: real.offsets[1]].any()
    assert known[real.offsets[1] :].any()


@pytest.mark.parametrize("features", ["z", "zh"])
def test_an_imitation_does_what_the_expert_would(dreams, driven, features):
    data, wanted = driven
    imitation = fit_imitation(dreams, data, features)
    assert imitation.features == features
    seen = dreams.features(
        data.train.z.reshape(len(data.train), 90, -1), data.train.action.reshape(len(data.train), 90, 2)
    ).reshape(len(wanted), -1)
    given = seen.copy()
    if features == "z":
        given[:, 64:] = 9.0  # it must not look at h
    found = imitation(given[:, :64], given[:, 64:])
    known = np.isfinite(data.train.telemetry[:, 0])
    error = np.sqrt(np.mean((found - wanted)[known] ** 2, axis=0))
    assert (error < 0.3 * wanted[known].std(axis=0)).all()
    assert np.abs(found).max() <= 1


def test_recordings_without_telemetry_are_refused(dreams, driven):
    data, _ = driven
    blind = data._replace(train=dataclasses.replace(data.train, telemetry=None))
    with pytest.raises(RecordError, match="telemetry"):
        fit_imitation(dreams, blind)
    lost = data._replace(train=dataclasses.replace(data.train, maps=("",) * len(data.train)))
    with pytest.raises(RecordError, match="got 0; record more"):
        fit_imitation(dreams, lost)
