"""Survival curves, and how far apart they are."""

from types import SimpleNamespace

import numpy as np
import pytest

from dreamduck.evaluation.model_card.driving.road_episodes import Outcomes
from dreamduck.evaluation.model_card.sections.ranking import PolicyEpisodes
from dreamduck.evaluation.model_card.sections.survival import (
    distance_by_chance,
    kolmogorov,
    points,
    survival,
    survival_curve,
)


def test_the_curve_and_the_distance_of_known_lengths():
    one, other = np.array([1, 2, 4, 4]), np.array([4, 4, 4, 2])
    assert survival_curve(one, points(4)) == [0.75, 0.5, 0.5, 0.0]
    assert kolmogorov(one, other) == pytest.approx(0.25)
    assert kolmogorov(one, one + 10) == 1


def test_chance_alone_seldom_exceeds_what_it_is_said_to():
    random = np.random.default_rng(0)
    said, found = [], []
    for trial in range(30):
        one, other = random.integers(1, 100, (2, 50))
        said.append(distance_by_chance(one, other, trial))
        found.append(kolmogorov(one, other))
    assert np.mean(np.array(found) > said) < 0.2
    assert 0.2 < np.mean(said) < 0.35


def test_the_section():
    random = np.random.default_rng(1)
    length = random.integers(1, 60, (2, 40))
    ended = length < 50
    length = np.minimum(length, 50)
    road = Outcomes(np.zeros((2, 40)), length, ended)
    longer = np.minimum(length[1] + 20, 50)
    dream = Outcomes(np.zeros((2, 40)), np.stack([length[0], longer]), np.stack([ended[0], longer < 50]))
    names = [SimpleNamespace(name="like the road"), SimpleNamespace(name="lasts longer")]
    found = survival(PolicyEpisodes(names, [], None, 50, 0.1, road, dream), 0)  # type: ignore[arg-type]
    like, lasts = found["drivers"]
    assert like["kolmogorov"]["value"] == 0
    assert like["road"] == like["dream"]
    assert lasts["kolmogorov"]["value"] > lasts["by_chance"]
    assert len(found["seconds"]) == len(lasts["road"]) == 50
    assert lasts["road"][-1] == pytest.approx((length[1] + ~ended[1] > 50).mean())
