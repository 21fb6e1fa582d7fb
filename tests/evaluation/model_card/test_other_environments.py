"""The card of a model of another environment than Duckietown."""

from types import SimpleNamespace
from typing import Any

import pytest

from dreamduck.common.errors import RecordError
from dreamduck.evaluation.model_card import card as cards
from dreamduck.evaluation.model_card import config as card_config
from dreamduck.evaluation.model_card.config import SHORT, ModelCardConfig
from dreamduck.evaluation.model_card.driving.collection import collect
from dreamduck.evaluation.model_card.driving.data import encode
from dreamduck.recordings import write_episode
from dreamduck.world_model import WorldModel
from tests.envs.test_gymenv import write_gym_model
from tests.recordings.helpers import episode


@pytest.fixture
def model(tmp_path, monkeypatch) -> WorldModel:
    sizes = SHORT._replace(train_episodes=3, held_out_episodes=4, episode_steps=12)
    monkeypatch.setattr(card_config, "SHORT", sizes)
    return WorldModel.load(write_gym_model(tmp_path / "weights", "discrete"))


def test_the_card_records_the_models_environment(model):
    first, again, other = (collect([model], ModelCardConfig(short=True, seed=seed)) for seed in (0, 0, 1))
    assert (len(first.train), len(first.held_out), first.unseen) == (3, 4, [])
    assert first.environment["id"] == "Dot-v3"
    assert first.source == again.source != other.source
    data = encode(first, model)
    assert data.held_out.telemetry is None
    assert data.held_out.action.shape[1] == 3


def test_recordings_of_another_environment_are_refused(model, tmp_path):
    for seed in range(6):
        write_episode(
            tmp_path / "records" / f"{seed}.npz", episode(environment={"id": "Other-v0", "frame_skip": 2})
        )
    with pytest.raises(RecordError, match="expected Dot-v3, got Other-v0"):
        collect([model], ModelCardConfig(short=True, records=str(tmp_path / "records")))


@pytest.mark.parametrize(("name", "left_out"), [("Dot-v3", True), ("DreamDuck-v0", False)])
def test_sections_that_need_roads_are_left_out(name, left_out, monkeypatch):
    made: list[str] = []

    def section(which: str) -> Any:
        def make(*given: object) -> dict[str, Any]:
            made.append(which)
            return {"ranking": {}, "survival": {}} if which == "policies" else {}

        return make

    monkeypatch.setattr(cards, "SECTIONS", {one: section(one) for one in cards.SECTIONS})
    monkeypatch.setattr(cards, "fit_probes", lambda *given: None)
    monkeypatch.setattr(cards, "made_with", lambda *given: {})
    data: Any = SimpleNamespace(environment={"id": name}, held_out=SimpleNamespace(telemetry={}))
    dreams: Any = None
    card = cards.make_card(dreams, data, ModelCardConfig())
    assert set(card) == {*cards.SECTIONS, "made_with", "ranking", "survival"} - {"policies"}
    gone = {part for part, found in card.items() if "left_out" in found}
    assert gone == ({"distribution", "steering", "stillness", "ranking", "survival"} if left_out else set())
    assert (set(made) == set(cards.SECTIONS)) != left_out
