"""The dream-gap report and the ablations, with a small world model of random weights."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from dreamduck.common.errors import CheckpointError, ConfigError
from dreamduck.controllers import factory
from dreamduck.controllers.controller_file import RunFiles, read_card, read_controller
from dreamduck.controllers.factory import WorldConfig, weights_fingerprints
from dreamduck.evaluation.final_evaluation import (
    EvaluationConfig,
    SelectionConfig,
    evaluate_in_dream,
    evaluate_on_road,
    select,
)
from dreamduck.pipeline import ablations, temperature_sweep
from dreamduck.world_model import WorldModel
from dreamduck.world_model.model_config import ModelConfig
from tests.envs.test_gymenv import write_gym_model

SEARCH = [
    "-n",
    "4",
    "--num_episode",
    "2",
    "--generations",
    "2",
    "--max-steps",
    "9",
    "-q",
    "--components",
    "3",
]
EVALUATION = ["--eval-episodes", "3", "--eval-seconds", "1.5", "--eval-seed", "7"]
HOW = EvaluationConfig(eval_episodes=3, eval_seconds=1.5, eval_seed=7)
SIZES = (4, 8)


@pytest.fixture(scope="module")
def reported(weights, tmp_path_factory):
    """A report, and the flags that made it."""
    folder = tmp_path_factory.mktemp("gap")
    flags = [*SEARCH, *EVALUATION, "--features", "zh", "--temperatures", "0.4,1.1", "--selection-seed", "8"]
    flags += ["--weights", str(weights), "--out", str(folder)]
    temperature_sweep.main(flags)
    return folder, flags


def rows_of(folder):
    return json.loads((folder / "gap.json").read_text())["rows"]


def test_the_sweep_reports_each_controller(reported, weights):
    folder, _ = reported
    rows = rows_of(folder)
    assert [row["temperature"] for row in rows] == [0.4, 1.1]
    for row in rows:
        world = WorldConfig(model=ModelConfig(weights=str(weights), temperature=row["temperature"]))
        run = RunFiles.of(folder / f"temperature-{row['temperature']}", "rnnenv", 2, 4)
        controller = read_controller(run.path(".best.json"), *SIZES)
        assert controller.form.features == "zh"
        assert read_card(run.path(".json"))["world"]["temperature"] == row["temperature"]
        assert row["dream"] == evaluate_in_dream(world, controller, HOW)
        assert row["road"] == evaluate_on_road(world, controller, HOW)
        other = evaluate_on_road(world, controller, dataclasses.replace(HOW, eval_seed=8))
        assert row["choice"] == {"return": other["return"], "episodes": 3, "seed": 8}
        assert row["choice"]["return"] != row["road"]["return"]
    assert rows[0]["dream"] != rows[1]["dream"]
    assert (folder / "gap.png").stat().st_size > 2000


def test_the_sweep_selects_by_unreported_episodes(reported, capsys):
    folder, _ = reported
    rows = rows_of(folder)
    best = max((row["choice"]["return"][0], row["temperature"]) for row in rows)[1]
    assert json.loads((folder / "gap.json").read_text())["chosen_temperature"] == best
    run = RunFiles.of(folder / f"temperature-{best}", "rnnenv", 2, 4)
    chosen = read_controller(folder / "dream.json", *SIZES)
    np.testing.assert_array_equal(chosen.theta, read_controller(run.path(".best.json"), *SIZES).theta)
    assert read_card(folder / "dream.json")["world"]["temperature"] == best


def test_other_environments_are_swept_too(tmp_path, monkeypatch):
    monkeypatch.setattr(factory, "cores", lambda: 1)  # no processes for a few episodes
    weights = write_gym_model(tmp_path / "weights", "discrete")
    flags = [*SEARCH, *EVALUATION, "--temperatures", "0.4,1.1", "--selection-seed", "8"]
    flags += ["--weights", str(weights), "--out", str(tmp_path / "gap"), "--beginning", "first"]
    temperature_sweep.main(flags)
    rows = rows_of(tmp_path / "gap")
    assert [row["temperature"] for row in rows] == [0.4, 1.1]
    assert {row["road"]["episodes"] for row in rows} == {3}
    assert all(1 <= row["road"]["length"] <= 15 for row in rows)  # 1.5 s of 0.1 s
    assert rows[0]["dream"] != rows[1]["dream"]
    assert rows[0]["choice"]["return"] != rows[0]["road"]["return"]
    card = read_card(tmp_path / "gap" / "temperature-0.4" / "rnnenv.cma.2.4.json")
    assert card["search"]["end_cost"] == 0.0
    text = (tmp_path / "gap" / "gap.md").read_text()
    assert "| temperature | return in the dream | in the environment |\n" in text
    assert "survival" not in text
    with pytest.raises(ConfigError, match="--map-name: of no effect with a model of another environment"):
        temperature_sweep.main([*flags, "--map-name", "udem1"])


def made_up(temperature, road, choice=None):
    row = {
        "temperature": temperature,
        "dream": {"mean": 2.5, "std": 0.5},
        "road": {
            "return": [road, 0.25],
            "alive": [0.8, 0.7, 0.9],
            "distance": [3.0, 2.0, 4.0],
            "episodes": 9,
        },
    }
    return row if choice is None else {**row, "choice": {"return": [choice, 0.1], "episodes": 9, "seed": 5}}


def test_reported_episodes_select_nothing():
    rows = [made_up(0.1, 9.0, 4.0), made_up(0.3, 7.0, 6.0), made_up(0.5, 8.0, 6.0), made_up(0.9, 3.0, 5.0)]
    chosen = select(rows)
    assert chosen is not None
    assert chosen["temperature"] == 0.5  # of two equals the warmer one
    text = temperature_sweep.table(rows)
    assert "selected by 9 other episodes, of seed 5" in text
    assert [line for line in text.splitlines() if "(selected)" in line] == [
        "| 0.5 **(selected)** | 2.50 ± 0.50 | 8.00 ± 0.25 | 80% | 3.00 (2.00 to 4.00) |"
    ]
    old = [made_up(0.1, 9.0), made_up(0.3, 7.0)]
    assert select(old) is None
    assert "(selected)" not in temperature_sweep.table(old)
    assert "No temperature was selected by these episodes." in temperature_sweep.table(old)


def test_the_selection_has_another_seed(tmp_path):
    with pytest.raises(ConfigError, match="selection_seed: expected another than eval_seed"):
        SelectionConfig(eval_seed=5, selection_seed=5)
    with pytest.raises(ConfigError, match="selection_seed"):
        temperature_sweep.main(["--eval-seed=3", "--selection-seed=3", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_what_is_done_is_taken_from_the_files_and_only_with_the_same_settings(reported, monkeypatch):
    folder, flags = reported
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}

    def never(*arguments, **settings):
        raise AssertionError("done again")

    monkeypatch.setattr(temperature_sweep, "evolve", never)
    monkeypatch.setattr(ablations, "evolve", never)
    temperature_sweep.main(flags)
    assert {path: path.read_bytes() for path in folder.rglob("*.json")} == before
    with pytest.raises(CheckpointError, match=r"verdict\.json: .* eval_seed \(then 7, now 6\)"):
        temperature_sweep.main([*flags, "--eval-seed", "6"])
    with pytest.raises(CheckpointError, match="weights"):
        temperature_sweep.main([*flags, "--weights", ""])
    with pytest.raises(AssertionError, match="done again"):
        temperature_sweep.main([*flags, "--fresh"])


def test_the_report_of_another_run_is_left_alone(weights, tmp_path):
    (tmp_path / "gap.json").write_text("mine")
    flags = [*SEARCH, *EVALUATION, "--weights", str(weights), "--out", str(tmp_path)]
    with pytest.raises(ConfigError, match=r"gap\.json.*--fresh"):
        temperature_sweep.main(flags)
    (tmp_path / "ablations.md").write_text("mine")
    with pytest.raises(ConfigError, match=r"ablations\.md.*--fresh"):
        ablations.main(flags)
    assert (tmp_path / "gap.json").read_text() == (tmp_path / "ablations.md").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"settings": 3}', "\0"])
def test_a_damaged_verdict_is_reported(reported, tmp_path, text):
    folder, flags = reported
    path = folder / "temperature-0.4" / "verdict.json"
    whole = path.read_text()
    try:
        path.write_text(text)
        with pytest.raises(CheckpointError, match=r"verdict\.json"):
            temperature_sweep.main(flags)
    finally:
        path.write_text(whole)


def test_temperatures_are_numbers_above_zero():
    for bad in ("0", "-1", "hot", "nan", "inf"):
        with pytest.raises(ConfigError, match="temperatures: expected numbers above 0"):
            temperature_sweep.TemperatureSweepConfig(temperatures=(bad,))


def test_the_ablations_compare_rnns_and_layers(weights, tmp_path, capsys):
    flags = [*SEARCH, *EVALUATION, "--worlds", "rnnenv", "--hidden-units", "3", "--memory-seed", "5"]
    ablations.main([*flags, "--weights", str(weights), "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "ablations.json").read_text())
    cases = [(memory, hidden) for memory in ("none", "untrained", "trained") for hidden in (0, 3)]
    assert [(row["rnn"], row["hidden"]) for row in rows] == cases
    models = {name: weights_fingerprints(weights)["rnn.weights.h5"] for name in ("none", "trained")}
    models["untrained"] = weights_fingerprints(tmp_path / "untrained")["rnn.weights.h5"]
    assert models["untrained"] != models["trained"]
    text = capsys.readouterr().out
    for row, (memory, hidden) in zip(rows, cases, strict=True):
        name = f"rnnenv-{memory}-{'hidden' if hidden else 'linear'}"
        path = RunFiles.of(tmp_path / name, "rnnenv", 2, 4).path(".best.json")
        controller, card = read_controller(path, *SIZES), read_card(path)
        assert (controller.form.features, controller.form.hidden) == (
            "z" if memory == "none" else "zh",
            hidden,
        )
        assert row["parameters"] == controller.form.size
        assert card["weights"]["rnn.weights.h5"] == models[memory]
        assert card["search"]["beginning"] == ("first" if memory == "untrained" else "midway")
        folder = tmp_path / "untrained" if memory == "untrained" else weights
        world = WorldConfig(
            model=ModelConfig(weights=str(folder), temperature=card["world"]["temperature"])
        )
        assert row["road"] == evaluate_on_road(world, controller, HOW)
        kind = f"hidden layer of {hidden}" if hidden else "linear"
        assert f"| in the dream | {memory} | {kind} | {controller.form.size} | " in text


def test_ablations_of_something_else_are_refused():
    with pytest.raises(ConfigError, match="rnns: expected some of none, untrained, trained"):
        ablations.AblationConfig(rnns=("lost",))
    with pytest.raises(ConfigError, match="worlds"):
        ablations.AblationConfig(worlds=("env",))


def test_untrained_dynamics_load(tmp_path):
    from dreamduck.world_model.mdn_rnn.files import save
    from dreamduck.world_model.mdn_rnn.layout import MDNRNNConfig, initial_parameters

    sizes = MDNRNNConfig(z_size=4, hidden_size=8, mixtures=2)
    save(tmp_path / "trained", initial_parameters(sizes, 1), sizes, {})
    (tmp_path / "trained" / "vae.json").write_text("{}")
    for _ in range(2):
        folder = ablations.with_untrained_rnn(tmp_path / "trained", tmp_path / "untrained", 7)
    assert WorldModel.load(folder).sizes == sizes
    assert WorldModel.load(folder).dynamics is not None
    assert (folder / "vae.json").exists()
