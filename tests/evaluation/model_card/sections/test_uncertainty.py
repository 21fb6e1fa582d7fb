"""The uncertainty section: scores that predict errors, and scores that do not."""

import numpy as np
import pytest

from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.probes.probe import fit_probes
from dreamduck.evaluation.model_card.sections import uncertainty as section
from dreamduck.evaluation.model_card.sections.uncertainty import NO_ENSEMBLE, TIMES, foretold, uncertainty
from dreamduck.world_model import WorldModel
from tests.evaluation.model_card.helpers import toy_config, toy_data


def test_scores_are_graded():
    random = np.random.default_rng(0)
    difficulty = random.normal(size=(40, 1))
    error = difficulty + random.normal(size=(40, 8))
    wrong, episode = error > 0.5, np.repeat(np.arange(20), 2)
    perfect, of_the_window, chance = (
        foretold(doubt, wrong, episode, 0)
        for doubt in (error, difficulty + np.zeros((40, 8)), random.normal(size=(40, 8)))
    )
    assert perfect["auc"]["value"] == perfect["auc_within_a_window"]["value"] == 1
    assert of_the_window["auc"]["value"] > 0.7
    assert of_the_window["auc_within_a_window"]["value"] == pytest.approx(0.5)
    assert chance["auc"]["low"] < 0.5 < chance["auc"]["high"]
    assert perfect["wrong"] == pytest.approx(wrong.mean())
    assert perfect["auc"]["n"] == 20
    assert foretold(error, np.zeros_like(wrong), episode, 0)["auc"]["value"] is None


class Doubt:
    """An ensemble whose uncertainty is the size of h."""

    def uncertainty(self, h):
        return np.abs(h).mean(axis=1)


def test_the_section(model_folder, monkeypatch):
    monkeypatch.setattr(section, "LIMIT", 0.01)
    model = WorldModel.load(model_folder)
    data, config = toy_data(model, steps=60), toy_config(warmup=5)
    dreams = Dreams(model, 0.5)
    assert uncertainty(dreams, data, None, config) == {"left_out": NO_ENSEMBLE}
    model.__dict__["ensemble"] = Doubt()
    assert "telemetry" in uncertainty(dreams, data, None, config)["left_out"]
    found = uncertainty(dreams, data, fit_probes(dreams, data, config), config)
    assert list(found["horizons"]) == [f"{before:g} s, then {after:g}" for before, after in TIMES]
    for part in found["horizons"].values():
        assert 0 < part["wrong"] < 1
        assert 0 <= part["auc"]["low"] <= part["auc"]["value"] <= part["auc"]["high"] <= 1
