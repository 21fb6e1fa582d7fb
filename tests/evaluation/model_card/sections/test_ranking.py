"""Does the dream rank policies as the road does? The figures, and that a broken dream fails."""

import numpy as np
import pytest

from dreamduck.common.errors import ConfigError, MapError
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.ranked_policies import (
    LeftOut,
    RankedPolicy,
    frozen_policies,
    plain_policies,
)
from dreamduck.evaluation.model_card.driving.road_episodes import Outcomes, draw_starts, drive_all
from dreamduck.evaluation.model_card.sections import ranking as ranking_module
from dreamduck.evaluation.model_card.sections.ranking import (
    PolicyEpisodes,
    agreement,
    dream_all,
    exploit_gap,
    rank,
    regret,
    roads_of,
    run_policies,
    self_agreement,
    spearman,
)
from dreamduck.simulator.base import SimulatorConfig
from dreamduck.simulator.road import RoadConfig
from dreamduck.world_model import WorldModel
from tests.evaluation.model_card.helpers import toy_config, toy_data


@pytest.fixture(scope="module")
def model(model_folder):
    return WorldModel.load(model_folder)


def returns(means, episodes=50, noise=0.5, seed=0):
    random = np.random.default_rng(seed)
    return np.asarray(means, float)[:, None] + noise * random.standard_normal((len(means), episodes))


def test_correlations_and_regret():
    road = returns([0, 1, 2, 5, 9])
    same = agreement(road, returns([0, 10, 20, 21, 22], seed=1), seed=0)
    assert same["spearman"]["value"] == 1
    assert same["pearson"]["value"] < 0.9
    assert same["regret"]["value"] == 0
    turned = agreement(road, returns([9, 5, 2, 1, 0], seed=1), seed=0)
    assert turned["spearman"]["value"] == -1
    assert 8.5 < turned["regret"]["low"] < turned["regret"]["value"] < turned["regret"]["high"] < 9.5
    assert turned["regret"]["n"] == 50
    close = agreement(returns([0, 0.1, 0.2], noise=2), returns([0, 0.1, 0.2], noise=2, seed=1), seed=0)
    assert close["spearman"]["high"] - close["spearman"]["low"] > 0.5
    assert self_agreement(road, 1, 0) == 1
    assert regret(np.array([3.0, 7.0]), np.array([1.0, 0.0])) == 4


@pytest.mark.parametrize("maps", [1, 4, 12])
def test_the_road_agrees_with_itself_as_with_another_drive(maps):
    """Policies are good on some maps and bad on others; a second drive has other luck."""
    random = np.random.default_rng(6)
    ability, taste = random.normal(size=(200, 1)), random.normal(0, 1.5, (200, maps))

    def drive():
        luck = random.normal(0, 2, (200, 96))
        return ability + taste[:, np.arange(96) % maps] + luck

    pairs = [(drive(), drive()) for _ in range(12)]
    agree = np.mean([spearman(one.mean(axis=1), other.mean(axis=1)) for one, other in pairs])
    found = [self_agreement(one, maps, number) for number, (one, _) in enumerate(pairs)]
    assert np.mean(np.array(found, float)) == pytest.approx(agree, abs=0.015)
    assert self_agreement(pairs[0][0][:, : 2 * maps - 1], maps, 0) is None


def test_a_dream_that_is_the_same_for_all_ranks_nothing():
    road = np.arange(5.0)
    assert spearman(road, np.ones(5)) == 0
    assert spearman(np.array([1.0, 1, 2, 3]), np.array([5.0, 5, 6, 9])) == pytest.approx(1)


def test_the_exploit_gap_is_that_of_policies_trained_in_the_dream():
    road, trained = returns([1, 2, 3, 4]), np.array([True, False, False, True])
    gap = exploit_gap(road, road + np.array([5, 1, 1, 3])[:, None], trained, seed=0)
    assert gap["trained_in_this_dream"]["value"] == pytest.approx(4)
    assert gap["others"]["value"] == pytest.approx(1)
    assert gap["difference"]["value"] == pytest.approx(3)
    assert "left_out" in exploit_gap(road, road, ~trained & trained, seed=0)


def test_the_section_has_every_policy():
    policies = plain_policies()
    road = Outcomes(returns([0, 1, 2, 3]), np.full((4, 50), 70), np.arange(200).reshape(4, 50) % 4 == 0)
    dream = Outcomes(road.reward + 1, np.full((4, 50), 90), ~road.ended)
    starts = draw_starts([RoadConfig(SimulatorConfig(map_name="loop_empty"))], 50, 0)
    found = PolicyEpisodes(policies, [LeftOut("it", "why")], starts, 100, 0.1, road, dream)
    section = rank(found, seed=0)
    row = section["drivers"][3]
    assert row["name"] == policies[3].name
    assert row["return"]["dream"]["value"] - row["return"]["road"]["value"] == pytest.approx(1, abs=1e-4)
    assert row["survival"]["road"]["value"] == pytest.approx(0.74, abs=0.03)
    assert row["survival_time"]["dream"]["value"] == 9
    assert section["return"]["spearman"]["value"] == 1
    assert section["left_out_drivers"] == [{"name": "it", "reason": "why"}]
    assert (section["maps"], section["episodes"], section["seconds"]) == (["loop_empty"], 50, 10)


def test_dreams_begin_with_the_frames_and_have_the_noise_of_the_road(model):
    random = np.random.default_rng(0)
    first, seen = random.standard_normal((3, 64)).astype(np.float32), []

    def policy(z, h):
        seen.append((z.copy(), h.copy()))
        return np.full((len(z), 2), 0.1, np.float32)

    class Watched(Dreams):
        def closed_loop(self, act, *given, **settings):
            found = super().closed_loop(act, *given, **{**settings, "trace": True})
            self.actions = found.action
            return found

    dreams = Watched(model, 0.5)
    noise = random.uniform(-0.5, 0.5, (3, 6, 2)).astype(np.float32)
    found = dream_all(dreams, [RankedPolicy("", "", "zh", policy)], first, 6, [noise], seed=1)
    np.testing.assert_array_equal(seen[0][0], first)
    assert not seen[0][1].any()
    lasting = ~found.ended[0]
    assert lasting.any()
    np.testing.assert_allclose(dreams.actions[lasting], 0.1 + noise[lasting], rtol=1e-6)
    again = dream_all(dreams, [RankedPolicy("", "", "zh", policy)] * 2, first, 6, [noise] * 2, seed=1)
    np.testing.assert_array_equal(again.reward[1], found.reward[0])


def test_recordings_of_another_world_have_no_road(model):
    data, dreams = toy_data(model), Dreams(model, 0.5)
    with pytest.raises(ConfigError, match="CarRacing-v3"):
        roads_of(dreams, data._replace(environment={"id": "CarRacing-v3"}))
    nowhere = data._replace(held_out=data.train.__class__(**{**vars(data.held_out), "maps": ("",) * 6}))
    with pytest.raises(MapError, match="no map"):
        roads_of(dreams, nowhere)


class FrozenDreams(Dreams):
    """A model whose latents and state never change."""

    def _step(self, z, action, state, random):
        return z, state, super()._step(z, action, state, random)[2]


def test_a_dream_whose_latents_are_frozen_fails(monkeypatch):
    """On the shipped model, with a few policies of very different quality."""
    model = WorldModel.load()
    sizes = toy_config().sizes._replace(ranking_episodes=6, ranking_seconds=12.0)
    monkeypatch.setattr("dreamduck.evaluation.model_card.config.SHORT", sizes)
    monkeypatch.setattr(ranking_module, "all_policies", few_policies)
    driven: list[Outcomes] = []  # the road is the same for both dreams

    def drive_once(*given):
        driven.append(driven[0] if driven else drive_all(*given))
        return driven[0]

    monkeypatch.setattr(ranking_module, "drive_all", drive_once)
    data = toy_data(model)
    true, frozen = (
        rank(run_policies(dreams, data, toy_config()), seed=0)
        for dreams in (Dreams(model), FrozenDreams(model))
    )
    assert true["return"]["spearman"]["value"] > 0.7
    assert frozen["return"]["spearman"]["value"] < true["return"]["spearman"]["value"] - 0.2


def few_policies(dreams, data):
    """The plain ones, and every fourth of the frozen ones."""
    frozen, _ = frozen_policies(dreams.model.card.fingerprints)
    return plain_policies() + frozen[::4], []
