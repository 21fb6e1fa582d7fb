"""How well a model explains recordings that have no telemetry."""

import dataclasses
import shutil

import numpy as np
import pytest

from dreamduck.evaluation.lane_probe import FILE, LaneProbe
from dreamduck.evaluation.model_card import card as cards
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.figures import draw
from dreamduck.evaluation.model_card.report import PARTS, report
from dreamduck.evaluation.model_card.sections.explanation import (
    explanation,
    lane_position,
    one_step_errors,
    reconstruction,
)
from dreamduck.world_model import WorldModel
from tests.evaluation.model_card.helpers import toy_config, toy_data, toy_episodes


def without_telemetry(data):
    parts = {
        name: dataclasses.replace(getattr(data, name), telemetry=None, ahead=None)
        for name in ("train", "held_out", "unseen")
    }
    return data._replace(**parts)


def shortened(episodes, lengths):
    """The first steps of each episode."""
    rows = np.concatenate([episodes.offsets[e] + np.arange(n) for e, n in enumerate(lengths)])
    columns = ("z", "action", "reward", "done", "telemetry", "frames", "ahead")
    return dataclasses.replace(
        episodes,
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        **{name: getattr(episodes, name)[rows] for name in columns},
    )


def test_errors_are_those_of_each_episode_alone(dreams):
    dynamics = dreams.model.dynamics
    lengths = [7, 12, 3, 12, 1, 9]
    episodes = shortened(toy_episodes(dreams.model, 6, 20), lengths)
    error, still = one_step_errors(dynamics, episodes)
    assert error.shape == (6, 11)
    for e, length in enumerate(lengths):
        assert np.isfinite(error[e]).sum() == length - 1
        z, action = (part[episodes.rows(e)] for part in (episodes.z, episodes.action))
        state = dynamics.start(1)
        for t in range(length - 1):
            likeliest = dynamics.likeliest(z[t : t + 1], action[t : t + 1], state)
            state = dynamics.advance(z[t : t + 1], action[t : t + 1], state)
            np.testing.assert_allclose(error[e, t], ((likeliest[0] - z[t + 1]) ** 2).sum(), rtol=1e-4)
            np.testing.assert_allclose(still[e, t], ((z[t] - z[t + 1]) ** 2).sum(), rtol=1e-4)


def test_reconstruction_by_hand(dreams):
    episodes = toy_episodes(dreams.model, 2, 10)
    found = reconstruction(dreams, episodes)
    difference = dreams.decode(episodes.z[3:4])[0].astype(float) - episodes.frames[3]
    assert found[3] == pytest.approx(-10 * np.log10(np.mean((difference / 255) ** 2)), rel=1e-5)
    assert found.shape == (20,)


def test_the_section_stands_in_the_card_of_such_recordings_alone(dreams, monkeypatch):
    monkeypatch.setattr(cards, "SECTIONS", {"cost": cards.SECTIONS["cost"]})
    data = toy_data(dreams.model, steps=30)
    assert "explanation" not in cards.make_card(dreams, data, toy_config())
    card = cards.make_card(dreams, without_telemetry(data), toy_config())
    found = card["explanation"]
    assert found == explanation(dreams, data, None, toy_config())
    assert len(found["by_second"]) == 3
    assert found["surprise"]["low"] <= found["surprise"]["value"] <= found["surprise"]["high"]
    text = report(card)
    assert "## Explanation" in text
    assert "6 recordings without telemetry" in text
    assert "Lane position: left out, there is no lane_probe.json" in text


def test_another_environment_has_no_lane(dreams, tmp_path):
    data = without_telemetry(toy_data(dreams.model, steps=30))
    found = explanation(dreams, data._replace(environment={"id": "CarRacing-v3"}), None, toy_config())
    assert "lane_position" not in found
    assert "Lane position" not in "".join(PARTS["explanation"](found))
    assert draw(tmp_path, {"explanation": found}) == ["explanation.png"]


def made_up_probe(model):
    """A probe that reads what the first two latents say."""
    z = np.random.default_rng(3).standard_normal((500, model.vae.z_size)).astype(np.float32)
    probe = LaneProbe.fit(z, 0.1 * z[:, :2], model.vae.weights)
    probe.error = (0.03, 0.2)
    return probe


def test_the_lane_position_of_each_second_of_each_episode(dreams):
    episodes = shortened(toy_episodes(dreams.model, 3, 30), [25, 10, 1])
    probe = made_up_probe(dreams.model)
    found = lane_position(probe, episodes, 10)
    assert [len(part) for part in found["lane_dist"]] == [3, 1, 1]
    read = probe.read(episodes.z)
    assert found["lane_dist"][0][2] == pytest.approx(read[20:25, 0].mean(), rel=1e-3)
    assert found["lane_angle"][1][0] == pytest.approx(read[25:35, 1].mean(), rel=1e-3)
    assert found["lane_angle"][2][0] == pytest.approx(read[35, 1], rel=1e-3)
    assert found["error"] == {"lane_dist": 0.03, "lane_angle": 0.2}


def test_the_card_holds_and_plots_the_lane_position(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    made_up_probe(WorldModel.load(folder)).write(folder / FILE)
    dreams = Dreams(WorldModel.load(folder), 0.1)
    data = without_telemetry(toy_data(dreams.model, steps=30))
    found = explanation(dreams, data, None, toy_config())
    text = "\n".join(PARTS["explanation"](found))
    assert "| recording 6 |" in text
    assert "Its mean error on recordings of the simulator: 0.03 m, 0.2 rad." in text
    assert draw(tmp_path, {"explanation": found}) == ["explanation.png"]
