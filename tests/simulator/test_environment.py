"""What a step means: described in recordings and cards, and held against the settings that are used."""

import json
import logging

import pytest

from dreamduck.common.config import replace, to_dict
from dreamduck.common.errors import ConfigError, RecordError
from dreamduck.recordings.plan import RecorderConfig
from dreamduck.simulator import environment
from dreamduck.simulator.environment import (
    ENVIRONMENT,
    FRAMES,
    check_environment,
    describe,
    of_recording,
    one_environment,
    shared,
)
from dreamduck.simulator.road import RoadConfig

CHANGES = {"frame_skip": 5, "steering_gain": 0.7, "distortion": True, "camera_width": 80}
ODD = replace(RoadConfig(), reward="simulator", **CHANGES)


def test_a_description_has_every_setting():
    described = describe(ODD)
    assert described == {
        "id": "DreamDuck-v0",
        "frame_skip": 5,
        "step_time": 5 / 30,
        "steering_gain": 0.7,
        "distortion": True,
        "reward": "simulator",
        "camera": [64, 80, 3],
        "action_space": {"low": [-1.0, -1.0], "high": [1.0, 1.0]},
    }
    assert json.loads(json.dumps(described)) == described


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frame_skip": 4}, "frame_skip: expected 5, got 4"),
        ({"steering_gain": 0.71}, r"steering_gain: expected 0\.7, got 0\.71"),
        ({"distortion": False}, "distortion: expected true, got false"),
        ({"reward": "progress"}, "reward: expected simulator, got progress"),
        ({"camera_height": 48}, r"camera: expected \[64, 80, 3\], got \[48, 80, 3\]"),
    ],
)
def test_each_setting_that_differs_is_refused_by_name(change, words):
    card = {ENVIRONMENT: json.loads(json.dumps(describe(ODD)))}
    given = replace(ODD, **change)
    with pytest.raises(ConfigError, match=f"folder: the weights were trained .*{words}.*--any-w"):
        check_environment(card, given, "folder")
    check_environment(card, given, "folder", any_weights=True)
    if not {"distortion", "camera_height"} & set(change):
        check_environment(card, given, "folder", only=FRAMES)
    check_environment(card, ODD, "folder")


def test_the_map_the_simulator_and_the_randomisation_are_free():
    card = {ENVIRONMENT: describe(ODD)}
    other = replace(ODD, map_name="udem1", simulator="gym-duckietown", domain_rand=True)
    check_environment(card, other, "folder")


def test_a_card_without_a_description_gives_one_warning(monkeypatch, caplog):
    monkeypatch.setattr(environment, "_warned", set())
    with caplog.at_level(logging.WARNING):
        for card in ({}, {ENVIRONMENT: None}, {ENVIRONMENT: "v0"}):
            check_environment(card, ODD, "old")
    assert [record.message for record in caplog.records] == [
        "old: the card does not say with which settings the weights were trained"
    ]


def test_older_recordings_are_described_by_their_other_settings():
    road = replace(RoadConfig(), frame_skip=7, steering_gain=1.5)
    recorder = RecorderConfig(road=road, maps=("loop_empty",))
    meta = json.loads(json.dumps({"recorder": recorder.recorded}))
    assert of_recording(meta) == describe(recorder.road)
    assert of_recording({"world": to_dict(replace(RoadConfig(), frame_skip=2))})["frame_skip"] == 2  # type: ignore[index]
    assert of_recording({ENVIRONMENT: {"frame_skip": 9}}) == {"frame_skip": 9}
    for nothing in ({}, {"world": "road"}, {"recorder": {"frame_skip": 3}}):
        assert of_recording(nothing) is None


def test_recordings_of_two_environments_are_not_one_series():
    known = None
    for name, meta in (("0.npz", {}), ("1.npz", {ENVIRONMENT: describe(ODD)}), ("2.npz", {})):
        known = one_environment(known, name, meta)
    assert known == ("1.npz", describe(ODD))
    other = {ENVIRONMENT: describe(replace(ODD, frame_skip=6))}
    with pytest.raises(RecordError, match=r"3\.npz: .* than 1\.npz .frame_skip: expected 5, got 6"):
        one_environment(known, "3.npz", other)


def test_what_all_agree_about():
    other = describe(replace(ODD, frame_skip=6, reward="progress"))
    assert shared([]) == {}
    assert shared([None, describe(ODD), None]) == describe(ODD)
    agreed = shared([describe(ODD), other])
    assert set(describe(ODD)) - set(agreed) == {"frame_skip", "step_time", "reward"}
