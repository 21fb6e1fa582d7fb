"""The model that ships obeys its commands; the same with shuffled actions does not."""

import numpy as np
import pytest

from dreamduck.evaluation.model_card import config as settings
from dreamduck.evaluation.model_card.config import ModelCardConfig
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.collection import collect
from dreamduck.evaluation.model_card.driving.data import encode
from dreamduck.evaluation.model_card.probes.motion_probe import fit_motion
from dreamduck.evaluation.model_card.sections.steering import steering
from dreamduck.world_model import WorldModel


class ShuffledActions(Dreams):
    """Every dream gets the actions of another one."""

    def open_loop(self, z, action, steps, dreams, seed):
        order = np.random.default_rng(1).permutation(len(action))
        return super().open_loop(z, action[order], steps, dreams, seed)


@pytest.mark.slow
def test_shuffled_actions_fail_the_steering_of_the_shipped_model(monkeypatch):
    few = settings.SHORT._replace(
        train_episodes=90, held_out_episodes=9, unseen_episodes=2, steering_starts=6, steering_dreams=2
    )
    monkeypatch.setattr(settings, "SHORT", few)
    config, model = ModelCardConfig(short=True), WorldModel.load()
    dreams = Dreams(model, config.temperature)
    data = encode(collect([model], config), model)

    class Probes:
        motion = fit_motion([data.train.z], data.train, dreams.encode, data.step_time, config)

    obeys, shuffled = (
        steering(cls(model, config.temperature), data, Probes, config)["steering"]["1"]["dream"]  # type: ignore[arg-type]
        for cls in (Dreams, ShuffledActions)
    )
    assert obeys["spearman"]["value"] > 0.7
    assert obeys["separation_over_noise"]["value"] > 5
    assert 0.5 < obeys["of_road"] < 2
    assert abs(shuffled["spearman"]["value"]) < 0.4
    assert abs(shuffled["of_road"]) < 0.4
