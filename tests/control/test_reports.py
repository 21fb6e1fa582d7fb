"""The dream-gap report and the ablations, with searches that need no model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dreamduck.control import ablations, gap, runs
from dreamduck.control.controllers import ControllerForm
from dreamduck.control.files import read_controller
from dreamduck.control.runs import Verdict
from dreamduck.errors import ConfigError
from tests.control.fakes import Sphere

SEARCH = ["-n", "4", "--num_episode", "2", "--generations", "1", "-q", "--components", "0"]


def road(mean):
    interval = [mean, mean - 1, mean + 1]
    return {"return": [mean, 0.5], "alive": [0.9, 0.8, 1.0], "distance": interval, "episodes": 100}


@pytest.fixture
def worlds(monkeypatch):
    """What was evolved, and judged: the road likes a temperature of 1 best."""
    seen: dict[str, list[Any]] = {"evolved": [], "judged": []}

    def make_judge(env, world, form, threads=None, beginning="first"):
        seen["evolved"].append((env, world.temperature, world.weights, form))
        return Sphere()

    def judge_both(world, controller, how):
        seen["judged"].append(world.temperature)
        dream = {"mean": 20 - world.temperature, "std": 1.0, "length": 400.0}
        return Verdict(dream, road(10 - abs(world.temperature - 1)))

    def judge_on_road(world, controller, how):
        seen["judged"].append(world.weights)
        return road(1.0 if world.weights else 2.0)

    monkeypatch.setattr(runs, "make_judge", make_judge)
    monkeypatch.setattr(gap, "judge_both", judge_both)
    monkeypatch.setattr(ablations, "judge_on_road", judge_on_road)
    for module in (runs, gap, ablations):
        monkeypatch.setattr(module, "model_sizes", lambda folder: (64, 512))
    monkeypatch.setattr(ablations, "forget", lambda source, target, seed: target)
    return seen


def test_the_gap_picks_what_drives_best(worlds, tmp_path, capsys):
    flags = [*SEARCH, "--features", "z", "--temperatures", "0.1,1.0,1.3", "--out", str(tmp_path)]
    gap.main(flags)
    assert [evolved[1] for evolved in worlds["evolved"]] == [0.1, 1.0, 1.3]
    report = json.loads((tmp_path / "gap.json").read_text())
    assert report["chosen_temperature"] == 1.0
    assert [row["dream"]["mean"] for row in report["rows"]] == [19.9, 19.0, 18.7]
    assert "| 1 **(chosen)** | 19.00 ± 1.00 | 10.00 ± 0.50 | 90% |" in (tmp_path / "gap.md").read_text()
    assert (tmp_path / "gap.png").stat().st_size > 2000
    shipped = read_controller(tmp_path / "dream.json", 64, 512)
    assert shipped.form == ControllerForm("z")
    card = json.loads((tmp_path / "dream.card.json").read_text())
    assert card["world"]["temperature"] == 1.0
    assert "chosen: temperature 1.0" in capsys.readouterr().out
    gap.main(flags)  # what is done is taken from the files
    assert len(worlds["evolved"]) == len(worlds["judged"]) == 3


def test_temperatures_are_numbers_above_zero():
    for bad in ("0", "-1", "hot", "nan", "inf"):
        with pytest.raises(ConfigError, match="temperatures: expected numbers above 0"):
            gap.GapConfig(temperatures=(bad,))


def test_the_ablations_compare_memories_and_layers(worlds, tmp_path, capsys):
    ablations.main([*SEARCH, "--hidden-units", "4", "--out", str(tmp_path)])
    found = [
        (env, bool(weights), form.features, form.hidden) for env, _, weights, form in worlds["evolved"]
    ]
    one_world = [
        (False, "z", 0),
        (False, "z", 4),
        (True, "zh", 0),
        (True, "zh", 4),
        (False, "zh", 0),
        (False, "zh", 4),
    ]
    assert found == [(env, *case) for env in ("realenv", "rnnenv") for case in one_world]
    rows = json.loads((tmp_path / "ablations.json").read_text())
    assert len(rows) == 12
    assert rows[2]["road"]["return"][0] == 1.0
    text = (tmp_path / "ablations.md").read_text()
    assert "| in the dream | untrained | hidden layer of 4 | 2318 | 1.00 ± 0.50 |" in text
    ablations.main([*SEARCH, "--hidden-units", "4", "--out", str(tmp_path)])
    assert len(worlds["evolved"]) == 12
    assert capsys.readouterr().out.count("# Ablations") == 2


def test_ablations_of_something_else_are_refused():
    with pytest.raises(ConfigError, match="memories: expected some of none, untrained, trained"):
        ablations.AblationConfig(memories=("lost",))
    with pytest.raises(ConfigError, match="worlds"):
        ablations.AblationConfig(worlds=("env",))


def test_an_untrained_memory_is_a_memory(tmp_path):
    from dreamduck import memory
    from dreamduck.memory.files import save
    from dreamduck.memory.layout import MemoryConfig, initial_parameters

    sizes = MemoryConfig(z_size=4, hidden_size=8, mixtures=2)
    save(tmp_path / "trained", initial_parameters(sizes, 1), sizes, {})
    (tmp_path / "trained" / "vae.json").write_text("{}")
    for _ in range(2):
        folder = ablations.forget(tmp_path / "trained", tmp_path / "untrained", 7)
    assert memory.read_config(folder) == sizes
    assert memory.load(folder) is not None
    assert (folder / "vae.json").exists()
