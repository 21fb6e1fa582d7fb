from typing import Any

import numpy as np
import pytest

from dreamduck.common.config import replace
from dreamduck.common.errors import ConfigError
from dreamduck.deployment.gauntlet.config import Strengths
from dreamduck.deployment.gauntlet.perturbations import Conditions, catalogue, everything

CHANGED: dict[str, dict[str, Any]] = {
    "clean": {},
    "fish-eye": {"fish_eye": True},
    "jpeg": {"jpeg_quality": 30},
    "blur-noise": {"blur": 0.01, "noise": 10.0},
    "pitch+": {"pitch": 5.0},
    "pitch-": {"pitch": -5.0},
    "height+": {"height": 1.15},
    "height-": {"height": 0.85},
    "roll+": {"roll": 3.0},
    "roll-": {"roll": -3.0},
    "latency-50": {"latency": 0.05},
    "latency-100": {"latency": 0.1},
    "latency-150": {"latency": 0.15},
    "latency-250": {"latency": 0.25},
    "rate": {"irregular": True},
    "gain+": {"left": 1.25, "right": 1.25},
    "gain-": {"left": 0.75, "right": 0.75},
    "trim+": {"left": 0.9, "right": 1.1},
    "trim-": {"left": 1.1, "right": 0.9},
    "push": {"push": 0.03},
    "domain-rand": {"domain_rand": True},
    "dynamics-rand": {"dynamics_rand": True},
}


def draws(key, count=200, **strengths):
    (row,) = (row for row in catalogue(replace(Strengths(), **strengths)) if row.key == key)
    return [row.draw(np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("key", CHANGED)
def test_each_perturbation_changes_its_own_conditions_alone(key):
    for drawn in draws(key, 5):
        assert drawn == Conditions(**CHANGED[key])


def test_directions_are_drawn():
    assert {(c.left, c.right) for c in draws("weak-wheel")} == {(0.8, 1.0), (1.0, 0.8)}
    drawn = draws("exposure")
    assert {round(c.exposure, 3) for c in drawn} == {1.4, round(1 / 1.4, 3)}
    assert {round(c.red, 3) for c in drawn} == {1.2, round(1 / 1.2, 3)}


def test_strengths_are_parameters():
    assert draws("pitch-", 1, pitch=2.5)[0].pitch == -2.5
    assert draws("latency-300", 1, latency=("300",))[0].latency == 0.3
    assert draws("jpeg", 1, jpeg_quality=80)[0].jpeg_quality == 80


def test_all_at_once():
    full, drawn = draws("all-full"), draws("all-drawn")
    for one in full:
        assert {abs(one.pitch), abs(one.roll), one.latency, one.push} == {5.0, 3.0, 0.25, 0.03}
        assert one.fish_eye
        assert one.jpeg_quality == 30
    for name, low, high in (
        ("pitch", -5, 5),
        ("height", 0.85, 1.15),
        ("roll", -3, 3),
        ("exposure", 1 / 1.4, 1.4),
        ("red", 1 / 1.2, 1.2),
        ("blur", 0, Strengths().blur),
        ("noise", 0, Strengths().noise),
        ("jpeg_quality", 30, 95),
        ("latency", 0, 0.25),
        ("push", 0, 0.03),
        ("left", 0.75 * 0.9 * 0.8, 1.25 * 1.1),
        ("right", 0.75 * 0.9 * 0.8, 1.25 * 1.1),
    ):
        values, margin = [getattr(one, name) for one in drawn], 0.1 * (high - low)
        assert low <= min(values), name
        assert max(values) <= high, name
        if name not in ("left", "right"):  # products of three draws are seldom near their ends
            assert min(values) < low + margin, name
            assert max(values) > high - margin, name
        assert np.std(values) > margin, name
    assert np.mean([one.latency for one in drawn]) == pytest.approx(0.125, abs=0.02)
    assert {one.fish_eye for one in drawn} == {True, False}
    for one in (*full, *drawn):
        assert one.domain_rand
        assert one.dynamics_rand
        assert one.irregular
    changed = [name for name in Conditions._fields if getattr(full[0], name) == getattr(Conditions(), name)]
    assert not changed  # nothing is left out
    assert everything(Strengths(), np.random.default_rng(3), False) == drawn[3]


def test_rows_have_names_of_their_own_and_can_be_chosen():
    rows = catalogue(Strengths())
    assert len({row.key for row in rows}) == len({row.label for row in rows}) == len(rows)
    assert {*CHANGED, "exposure", "weak-wheel", "all-drawn", "all-full"} == {row.key for row in rows}
    assert [row.key for row in catalogue(Strengths(), ("trim-", "jpeg"))] == ["clean", "jpeg", "trim-"]
    with pytest.raises(ConfigError, match=r"only: expected some of clean, fish-eye, .* got 'jpg'"):
        catalogue(Strengths(), ("jpg",))
