"""`make reproduce` and `iterate`: their commands, the stages that they skip, their reports."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from dreamduck.cli.evolve import main as evolve_main
from dreamduck.common import config
from dreamduck.common.config import from_mapping
from dreamduck.common.errors import ConfigError, RecordError
from dreamduck.controllers import factory
from dreamduck.controllers.controller_file import RunFiles, read_theta, to_card
from dreamduck.controllers.factory import WorldConfig
from dreamduck.controllers.policy import ControllerForm
from dreamduck.evaluation.final_evaluation import FinalEvaluation
from dreamduck.pipeline import environment_pipeline, iterate, reproduce
from dreamduck.pipeline.environment_pipeline import EnvironmentConfig
from dreamduck.pipeline.recipes import RECIPES
from dreamduck.pipeline.reproduce import ReproduceConfig, compare, stages, summary
from dreamduck.pipeline.stages import Stage
from dreamduck.recordings.sources import DRIVING
from dreamduck.search import recipe
from dreamduck.simulator.maps.generated import expand_map_names
from dreamduck.world_model import WorldModel
from dreamduck.world_model.model_config import ModelConfig
from tests.deployment.models import write_categorical
from tests.parsing import main_of, parse
from tests.world_model.mdn_rnn.helpers import write_mdn_rnn

SCRIPTS = {
    "extract.py": "record",
    "vae_train.py": "train-vae",
    "series.py": "encode",
    "rnn_train.py": "train-rnn",
    "train.py": "evolve",
    "model.py": "evaluate",
}


def entry(row, distance, alive, map_name="loop_empty"):
    return {
        "key": {"row": row, "world": {"simulator": "native", "map_name": map_name}},
        "summary": {"distance": [distance, 0, 0], "alive": [alive, 0, 0]},
    }


def test_each_stage_feeds_the_next(tmp_path):
    planned = stages(tmp_path, ReproduceConfig())
    names = ["record", "vae", "series", "rnn", "ensemble", "lane-probe", "evolve-short", "evolve"]
    names += ["score", "record-unseen", "vae-unseen", "card"]
    assert [stage.name for stage in planned] == names
    made: set[Path] = set()
    for stage in planned:
        assert set(stage.inputs) <= made
        made |= set(stage.outputs)
        script = Path(stage.argv[1])
        assert script.suffix != ".py" or script.exists()


def value(command: Sequence[str], flag: str) -> str:
    """What a command gives a flag, which it gives once."""
    assert command.count(flag) == 1
    return command[command.index(flag) + 1]


def test_the_commands_parse(tmp_path):
    """Every flag exists in the script that it is given to."""
    planned = stages(tmp_path, ReproduceConfig(vae_steps=3))
    planned += iterate.round_stages(
        1, tmp_path, tmp_path / "c.json", tmp_path / "w", iterate.IterateConfig(), WorldConfig()
    )
    other = from_mapping(EnvironmentConfig, {"env": "Dot-v3", "crop": ["1", "2", "3", "4"]})
    recipes = [config.replace(recipe.settings, improve=True) for recipe in RECIPES.values()]
    for settings in (other, config.replace(other, dynamics="categorical"), *recipes):
        planned += environment_pipeline.stages(tmp_path, settings)
    for stage in planned:
        first, *arguments = stage.command
        name = SCRIPTS[first] if first.endswith(".py") else arguments.pop(0)
        main = main_of(name)
        parse(main, arguments)
        with pytest.raises(SystemExit):  # it does parse
            parse(main, [*arguments, "--no-such-flag"])


@pytest.mark.parametrize(("frames", "least"), [(150, "8"), (8, "8"), (5, "5")])
def test_short_episodes_may_be_shorter(tmp_path, frames, least):
    recordings = [
        stage.command
        for stage in stages(tmp_path, ReproduceConfig(frames=frames))
        if stage.command[0] == "extract.py"
    ]
    assert len(recordings) == 2
    for command in recordings:
        assert command[command.index("--max-frames") + 1] == str(frames)
        assert command[command.index("--min-frames") + 1] == least


def test_generated_maps_are_half_of_what_is_recorded():
    settings = ReproduceConfig()
    maps = expand_map_names(settings.recorded_maps)
    generated = [name for name in maps if name.startswith("generated:")]
    assert len(set(generated)) == len(generated) == 200
    assert Counter(maps)["loop_empty"] == 4 * Counter(maps)["zigzag_dists"] == 64
    assert ReproduceConfig(generated_maps=0).recorded_maps == settings.maps
    assert "stand=1" in settings.policies


def test_a_search_in_short_dreams_comes_first(tmp_path):
    planned = {stage.name: stage for stage in stages(tmp_path, ReproduceConfig())}
    short, last = planned["evolve-short"], planned["evolve"]
    assert last.command[last.command.index("--start") + 1] == str(short.outputs[0])
    assert short.command[short.command.index("--max-steps") + 1] == "40"
    assert "--max-steps" not in last.command  # the search knows what suits the dynamics
    assert short.outputs[0] in last.inputs
    assert short.outputs != last.outputs
    plain = stages(tmp_path, ReproduceConfig(short_generations=0))
    (search,) = (stage for stage in plain if stage.command[0] == "train.py")
    assert "--start" not in search.command


def test_a_round_continues_the_training_and_the_search(tmp_path):
    write_mdn_rnn(tmp_path / "given")
    world = WorldConfig(model=ModelConfig(str(tmp_path / "given")))
    paths = tmp_path, tmp_path / "c.json", tmp_path / "w"
    settings = iterate.IterateConfig(seed=4711)
    _, _, train, evolve = (stage.command for stage in iterate.round_stages(2, *paths, settings, world))
    assert train[train.index("--start") + 1] == str(tmp_path / "w")
    assert evolve[evolve.index("--start") + 1] == str(tmp_path / "c.json")
    assert train[train.index("--seed") + 1] == "4713"  # other windows in each round
    assert evolve[evolve.index("--seed_start") + 1] == "4711"
    made = tmp_path / "round-2" / "weights"
    assert train[train.index("--weights") + 1] == evolve[evolve.index("--weights") + 1] == str(made)


def test_rounds_of_different_controllers_record_different_episodes(tmp_path):
    write_mdn_rnn(tmp_path / "given")
    world = WorldConfig(model=ModelConfig(str(tmp_path / "given")))
    firsts = []
    for text in ("one", "another"):
        path = tmp_path / f"{text}.json"
        path.write_text(text)
        for number in (1, 2):
            record = iterate.round_stages(
                number, tmp_path, path, tmp_path / "w", iterate.IterateConfig(), world
            )[0].command
            firsts.append(int(record[record.index("--first") + 1]))
    assert len(set(firsts)) == 4
    assert all(900_000_000 < first < 903_000_000 and first % 1000 == 0 for first in firsts)


def test_a_search_of_a_round_has_the_settings_that_the_model_learned_with(tmp_path):
    write_mdn_rnn(tmp_path / "given")
    world = config.replace(
        WorldConfig(), weights=str(tmp_path / "given"), frame_skip=2, any_weights=True, map_name="udem1"
    )
    paths = tmp_path, tmp_path / "c.json", tmp_path / "w"
    record, _, _, evolve = (
        stage.command for stage in iterate.round_stages(1, *paths, iterate.IterateConfig(), world)
    )
    assert "--map-name" in record
    assert "--map-name" not in evolve  # there is no road in a dream
    for command in (record, evolve):
        assert command[command.index("--frame-skip") + 1] == "2"
        assert "--any-weights" in command
    parse(evolve_main, evolve[1:])
    assert "--features" not in evolve  # the controller's own


def test_iterate_needs_recordings(tmp_path):
    with pytest.raises(RecordError, match=r"nowhere: expected the recordings .* with --records"):
        iterate.gather(tmp_path / "nowhere", tmp_path / "new")


def test_the_loop_refuses_settings_of_the_other_optimizer(tmp_path):
    words = ["c.json", "--out", str(tmp_path / "loop")]
    for optimizer, flag in (("ppo", "--generations"), ("cma", "--ppo-steps")):
        with pytest.raises(ConfigError, match=f"{flag}: of no effect with --optimizer {optimizer}"):
            iterate.main([*words, "--optimizer", optimizer, flag, "7"])


def test_a_round_continues_the_training_by_ppo(tmp_path):
    settings = iterate.IterateConfig(optimizer="ppo", ppo_steps=71, dream_steps=13, action_delay=2)
    command = settings.command(tmp_path / "made", tmp_path / "log", 0.9, tmp_path / "c.json")
    assert command[:3] == ["dreamduck", "train-controller", "rnnenv"]
    found = [
        value(command, flag) for flag in ("--steps", "--max-steps", "--action-delay", "--temp", "--start")
    ]
    assert found == ["71", "13", "2", "0.9", str(tmp_path / "c.json")]
    assert settings.best(tmp_path / "log") == tmp_path / "log" / "rnnenv.ppo.best.json"


def test_the_loop_trains_the_kind_that_it_was_given(tmp_path):
    write_mdn_rnn(tmp_path / "mdn-rnn")
    write_categorical(tmp_path / "categorical")
    for kind in ("mdn-rnn", "categorical"):
        world = WorldConfig(model=ModelConfig(str(tmp_path / kind)))
        paths = tmp_path, tmp_path / "c.json", tmp_path / "w"
        train = iterate.round_stages(1, *paths, iterate.IterateConfig(), world)[2].command
        assert train[train.index("--dynamics") + 1] == kind
        assert "--hidden-size" not in train
        path = tmp_path / kind / "rnn.json"
        trained = {"hidden_size": 24, "sequence": 31, "steps": 70, "log": "there", "of another version": 3}
        path.write_text(json.dumps({**json.loads(path.read_text()), "config": trained}))
        flags = iterate.training_flags(WorldModel.load(tmp_path / kind))
        pairs = set(zip(flags[::2], flags[1::2], strict=True))
        assert pairs == {("--dynamics", kind), ("--hidden-size", "24"), ("--sequence", "31")}


def test_the_table_of_another_environment_has_no_lanes():
    rows = [
        {
            "round": number,
            "dream": {"mean": 30.0 + number, "std": 2.5},
            "road": {"return": [20.0 + number, 3.5], "episodes": 4},
            "choice": {"return": [5.0 - number, 1.0], "episodes": 4, "seed": 77},
        }
        for number in range(2)
    ]
    text = iterate.table(rows)
    assert "of seed 77: round 0." in text
    assert "| round | return in the dream | in the environment |\n| ---: | ---: | ---: |\n" in text
    assert text.endswith("| 1 | 31.00 ± 2.50 | 21.00 ± 3.50 |\n")


def test_showing_runs_nothing(tmp_path, capsys):
    reproduce.main(["--folder", str(tmp_path), "--show"])
    assert capsys.readouterr().out.startswith("record: ")
    assert not list(tmp_path.iterdir())


def test_the_verdict_is_beside_pure_pursuit():
    entries = [
        entry("pure pursuit", 20.0, 1.0),
        entry(reproduce.ROW, 18.5, 0.97),
        entry("pure pursuit", 20.0, 1.0, "udem1"),
        entry(reproduce.ROW, 12.0, 0.5, "udem1"),
        entry("random", 0.1, 0.0),
    ]
    rows = compare(entries)
    assert [(row["map"], row["of_pursuit"], row["alive"]) for row in rows] == [
        ("loop_empty", 0.925, 0.97),
        ("udem1", 0.6, 0.5),
    ]
    assert rows[0]["target"] == [0.9, 0.95]
    assert rows[1]["target"] == [0.75, 0.8]
    text = summary(rows, {"record": 60.0, "vision": 600.0})
    assert (
        "loop_empty, native: 92% of pure pursuit's distance, survival rate 97% (target at least 90% "
        "and 95%)" in text
    )
    assert text.endswith("record 1.0, vision 10.0; together 11.0")
    assert compare([entry(reproduce.ROW, 1.0, 1.0)])[0]["of_pursuit"] is None


@pytest.fixture
def round_trip(tmp_path, monkeypatch):
    """A loop whose stages write their outputs and nothing more."""
    form = ControllerForm("z")
    asked: list[list[Stage]] = []

    def run_stages(planned, folder):
        asked.append(planned)
        number = float(planned[0].name.split("-")[0])  # of the round
        for stage in planned:
            for path in stage.outputs:
                if path.name.endswith(".best.json"):
                    files = RunFiles(path.with_name(path.name.removesuffix(".best.json")))
                    files.write_evaluations([], [], np.full(form.size, number), 1.5)
                    files.write_card(to_card(form, np.zeros(form.size)))
                    files.write_theta(np.full(form.size, number))
                elif path.suffix == ".h5":
                    path.write_bytes(f"memory {number}".encode())
                    path.with_name("rnn.json").write_text('{"sizes": {}}')
                else:
                    path.mkdir(parents=True, exist_ok=True)

    # What is reported likes round 1 best; the episodes to choose by like round 2.
    returns, choices = iter([1.0, 8.0, 5.0, 3.0]), iter([1.5, 2.5, 6.5, 3.5])

    def evaluate_both(world, controller, how):
        mean = next(returns)
        interval = [mean, mean, mean]
        road = {"return": [mean, 0.5], "alive": [0.5, 0.4, 0.6], "distance": interval, "episodes": 3}
        choice = {"return": [next(choices), 0.5], "episodes": 3, "seed": how.selection_seed}
        return FinalEvaluation({"mean": 9.0, "std": 1.0, "length": 10.0}, road, choice)

    monkeypatch.setattr(iterate, "run_stages", run_stages)
    monkeypatch.setattr(iterate, "evaluate_both", evaluate_both)
    monkeypatch.setattr(factory, "model_sizes", lambda folder: (64, 512))
    for module in (factory, recipe):
        monkeypatch.setattr(module, "model_actions", lambda folder: DRIVING)
    for folder, names in (("weights", ("vae.weights.h5", "vae.json")), ("records", ("1.npz", "2.npz"))):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_bytes(b"x")
    (tmp_path / "weights" / "rnn.json").write_text('{"sizes": {}}')
    (tmp_path / "first.json").write_text(json.dumps([[0.0] * form.size]))
    return tmp_path, asked


def test_the_loop_goes_round(round_trip, capsys):
    folder, asked = round_trip
    flags = [
        str(folder / "first.json"),
        "--out",
        str(folder / "loop"),
        "--records",
        str(folder / "records"),
    ]
    flags += ["--weights", str(folder / "weights"), "--rounds", "3", "-q"]
    iterate.main(flags)
    assert [stage.name for stage in asked[1]] == ["2-record", "2-series", "2-rnn", "2-evolve"]
    controller, weights = folder / "first.json", folder / "weights"  # of the round before
    for number, planned in enumerate(asked, 1):
        record, series, train, evolve = (stage.command for stage in planned)
        made = folder / "loop" / f"round-{number}" / "weights"
        assert record[:3] == ("dreamduck", "record-controller", str(controller))
        assert [value(record, "--weights"), value(series, "--weights")] == [str(weights), str(made)]
        assert [value(train, "--start"), value(train, "--weights")] == [str(weights), str(made)]
        assert [value(evolve, "--start"), value(evolve, "--weights")] == [str(controller), str(made)]
        controller, weights = planned[-1].outputs[0], made
    assert len(asked) == 3
    assert controller.is_relative_to(folder / "loop" / "round-3")
    rows = json.loads((folder / "loop" / "loop.json").read_text())
    assert [row["road"]["return"][0] for row in rows] == [1.0, 8.0, 5.0, 3.0]
    assert rows[2]["controller"].startswith(str(folder / "loop" / "round-2"))
    assert sorted(path.name for path in (folder / "loop" / "records").iterdir()) == ["1.npz", "2.npz"]
    assert (folder / "loop" / "round-3" / "weights" / "vae.json").exists()
    assert (folder / "loop" / "best.json").exists()
    chosen = folder / "loop" / "weights" / "rnn.weights.h5"
    assert chosen.read_bytes() == (folder / "loop" / "round-2" / "weights" / "rnn.weights.h5").read_bytes()
    assert "best: round 2" in capsys.readouterr().out
    assert (
        "other episodes than are reported, of seed 2000: round 2."
        in (folder / "loop" / "loop.md").read_text()
    )
    assert read_theta(folder / "loop" / "best.json")[0] == 2.0
    iterate.main(flags)  # evaluated already: nothing is evaluated again
    assert "best: round 2" in capsys.readouterr().out
