"""The pipeline of any environment: its commands, and what it says at the end."""

from pathlib import Path

import pytest

from dreamduck.cli import record, train_controller
from dreamduck.common import config
from dreamduck.common.config import from_mapping
from dreamduck.common.errors import ConfigError, TrainingError
from dreamduck.pipeline import environment_pipeline, iterate, quickstart, temperature_sweep
from dreamduck.pipeline.environment_pipeline import (
    DREAM,
    IMPROVED,
    EnvironmentConfig,
    stages,
)
from dreamduck.pipeline.environment_score import LEVELS, score, verdict, words
from dreamduck.recordings.gym_source import GymRecorderConfig
from tests.controllers.test_flags import changed
from tests.envs.test_gymenv import write_gym_model
from tests.recordings.sources.worlds import MODULE

ENV = f"{MODULE}:Dot-v3"


def test_the_environment_is_handed_on(tmp_path):
    settings = from_mapping(
        EnvironmentConfig, {"env": ENV, "env_args": '{"form": "gray"}', "crop": ["1", "2", "3", "4"]}
    )
    first = stages(tmp_path, settings)[0].command
    parsed = record._parser(GymRecorderConfig).parse_args(first[1:])
    assert (parsed.env, parsed.env_args, parsed.crop) == (ENV, '{"form": "gray"}', ("1", "2", "3", "4"))


def test_show_prints_the_commands_and_runs_nothing(tmp_path, capsys):
    quickstart.main(["--env", ENV, "--folder", str(tmp_path / "q"), "--show"])
    assert "extract.py" in capsys.readouterr().out
    assert not (tmp_path / "q").exists()


def test_an_environment_is_wanted():
    with pytest.raises(ConfigError, match="give --env ID"):
        EnvironmentConfig()


def test_words_say_how_good_a_model_is():
    lines = words(dict(zip(LEVELS, (25.0, 0.5, 0.1), strict=True)))
    assert [line.split(", ")[1].split()[0] for line in lines] == ["good", "fair", "poor"]
    assert "no data to measure" in words(dict.fromkeys(LEVELS))[0]


@pytest.mark.parametrize(
    ("own", "text"),
    [(9.0, "better than random"), (5.1, "no significant difference"), (1.0, "worse than random")],
)
def test_the_verdict_depends_on_the_error(own, text):
    row = {"error": 0.5, "length": 10.0}
    assert text in verdict({"controller": {"return": own, **row}, "random": {"return": 5.0, **row}})


def test_scores_are_of_the_real_environment(tmp_path):
    write_gym_model(tmp_path / "weights", "discrete")
    from dreamduck.controllers.factory import FormConfig, model_actions, model_sizes

    weights, path = tmp_path / "weights", tmp_path / "c.json"
    form = FormConfig("z").form(*model_sizes(weights), actions=model_actions(weights))
    Path(path).write_text(str([[0.5] * form.size, 1.0]))
    found = score(weights, {"controller": path, "same": path}, episodes=3, steps=1000, threads=1)
    assert found["controller"] == found["same"] != found["random"]
    assert all(row["length"] > 1 and row["error"] >= 0 for row in found.values())


def test_a_table_of_temperatures_comes_from_one_sweep(tmp_path):
    given = {"env": ENV, "temperature": 1.15, "temperatures": ["0.5", "1.15"], "score_episodes": 3}
    settings = from_mapping(EnvironmentConfig, given)
    planned = {stage.name: stage for stage in stages(tmp_path, settings)}
    command = planned["evolve"].command
    assert command[1] == "temperature-sweep"
    assert command[command.index("--temperatures") + 1] == "0.5,1.15"
    best = settings.controllers(tmp_path)[DREAM]
    assert best.parent.name == "temperature-1.15"
    assert best in planned["evolve"].outputs
    assert str(best) in planned["video-real"].command
    with pytest.raises(ConfigError, match=r"expected 2\.0 among them"):
        from_mapping(EnvironmentConfig, {**given, "temperature": 2.0})


def test_the_search_continues_in_the_real_environment(tmp_path):
    settings = from_mapping(EnvironmentConfig, {"env": ENV, "improve": True})
    planned = {stage.name: stage for stage in stages(tmp_path, settings)}
    dream, improved = (settings.controllers(tmp_path)[name] for name in (DREAM, IMPROVED))
    command = planned["improve"].command
    assert command[:2] == ("train.py", "realenv")
    assert command[command.index("--start") + 1] == str(dream)
    assert planned["improve"].outputs == (improved,)
    assert str(improved) in planned["video-real"].command


def test_rounds_lead_to_another_model_and_controller(tmp_path):
    given = {"env": ENV, "improve": True, "rounds": 3, "round_episodes": 7, "sigma_init": 0.3}
    settings = from_mapping(EnvironmentConfig, given)
    planned = {stage.name: stage for stage in stages(tmp_path, settings)}
    command, first = planned["iterate"].command, planned["evolve"].outputs[0]
    parser = iterate.build_parser()
    arguments = parser.parse_args(command[2:])
    assert (arguments.controller, arguments.out) == (str(first), str(tmp_path / "rounds"))
    found = config.from_arguments(iterate.IterateConfig, arguments)
    assert (found.rounds, found.episodes, found.sigma_init, found.end_cost) == (3, 7, 0.3, 0.0)
    assert (found.generations, found.rnn_steps) == (settings.generations, settings.rnn_steps)
    fewer = config.replace(settings, round_rnn_steps=71, round_generations=13)
    (command,) = (stage.command for stage in stages(tmp_path, fewer) if stage.name == "iterate")
    found = config.from_arguments(iterate.IterateConfig, parser.parse_args(command[2:]))
    assert (found.generations, found.rnn_steps) == (13, 71)
    best, weights = tmp_path / "rounds" / "best.json", tmp_path / "rounds" / "weights"
    assert planned["iterate"].outputs == (best, weights / "rnn.weights.h5")
    assert settings.controllers(tmp_path)[DREAM] == best
    for name in ("improve", "card", "video-dream", "video-real"):
        words = planned[name].command
        assert words[words.index("--weights") + 1] == str(weights)
    words = planned["improve"].command
    assert words[words.index("--start") + 1] == str(best)
    swept = from_mapping(EnvironmentConfig, {**given, "temperatures": ["0.5", "1.0"]})
    (command,) = (stage.command for stage in stages(tmp_path, swept) if stage.name == "iterate")
    assert command[2] == str(swept.first(tmp_path))
    assert Path(command[2]).parent.name == "temperature-1.0"


def test_ppo_trains_in_every_stage(tmp_path):
    given = {"env": ENV, "optimizer": "ppo", "ppo_steps": 501, "round_ppo_steps": 77, "rounds": 2}
    given |= {"improve": True, "improve_ppo_steps": 33, "latent_shift": 0.4, "dream_steps": 19, "seed": 8}
    settings = from_mapping(EnvironmentConfig, given)
    planned = {stage.name: stage for stage in stages(tmp_path, settings)}
    parser = train_controller.build_parser()

    def parsed(name):
        command = planned[name].command
        assert command[:2] == ("dreamduck", "train-controller")
        return parser.parse_args(command[2:])

    first, improved = parsed("evolve"), parsed("improve")
    assert (first.world, first.steps, first.max_steps, first.seed) == ("rnnenv", 501, 19, 8)
    assert (first.latent_shift, first.temperature, first.start) == (0.4, settings.temperature, None)
    assert planned["evolve"].outputs == (settings.first(tmp_path),)
    assert (improved.world, improved.steps, improved.start) == (
        *("realenv", 33),
        str(settings.controllers(tmp_path)[DREAM]),
    )
    assert planned["improve"].outputs == (settings.controllers(tmp_path)[IMPROVED],)
    rounds = config.from_arguments(
        iterate.IterateConfig, iterate.build_parser().parse_args(planned["iterate"].command[2:])
    )
    assert (rounds.optimizer, rounds.ppo_steps, rounds.latent_shift) == ("ppo", 77, 0.4)
    swept = config.replace(settings, temperatures=("0.5", "1.0"))
    (command,) = (stage.command for stage in stages(tmp_path, swept) if stage.name == "evolve")
    found = temperature_sweep.build_parser().parse_args(command[2:])
    assert (found.optimizer, found.steps, found.max_steps, found.seed_start) == ("ppo", 501, 19, 8)
    assert swept.first(tmp_path).name == "rnnenv.ppo.best.json"


def test_one_seed_reaches_every_random_stage(tmp_path):
    """All but the encoding, the card and the videos, which take no part in what is learned."""
    settings = from_mapping(EnvironmentConfig, {"env": ENV, "improve": True, "rounds": 2, "seed": 4711})
    seeded = {stage.name for stage in stages(tmp_path, settings) if "4711" in stage.command}
    assert seeded == {"record", "vae", "rnn", "evolve", "iterate", "improve"}


def test_what_cannot_work_is_refused_at_the_start():
    with pytest.raises(ConfigError, match="features: expected z or zh with categorical dynamics, got zc"):
        from_mapping(EnvironmentConfig, {"env": ENV, "features": "zc"})
    with pytest.raises(ConfigError, match="units: of no effect with mdn-rnn dynamics"):
        from_mapping(EnvironmentConfig, {"env": ENV, "dynamics": "mdn-rnn", "units": 7})
    from_mapping(EnvironmentConfig, {"env": ENV, "dynamics": "mdn-rnn", "features": "zch"})


def test_a_folder_of_other_recordings_is_refused(tmp_path, monkeypatch):
    started = []

    def run_stages(planned, folder):
        started.append(planned)
        raise TrainingError("stopped")

    monkeypatch.setattr(environment_pipeline, "run_stages", run_stages)

    def start(**changes):
        settings = from_mapping(EnvironmentConfig, {"env": ENV, "seed": 3, **changes})
        with pytest.raises(TrainingError, match="stopped"):
            environment_pipeline.run("quickstart", tmp_path, settings)

    start(seed=4)  # nothing is recorded yet
    start()
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "0.npz").touch()
    before = (tmp_path / "quickstart.config.json").read_bytes()
    for changes, text in (
        ({"seed": 5}, "seed: expected 3, got 5"),
        ({"frame_skip": 2}, "frame_skip: expected 1"),
    ):
        with pytest.raises(ConfigError, match=rf"recordings of other settings \({text}.*--folder"):
            start(**changes)
    assert (tmp_path / "quickstart.config.json").read_bytes() == before
    start(generations=77, improve=True)
    assert len(started) == 3


SETTINGS = [
    one
    for one in config.options(EnvironmentConfig).values()
    if not one.field.name.startswith("score_steps")
]


@pytest.mark.parametrize("option", SETTINGS, ids=lambda option: option.field.name)
def test_every_setting_reaches_a_command(option, tmp_path):
    plain = from_mapping(
        EnvironmentConfig, {"env": ENV, "improve": True, "temperature": 0.75, "temperatures": ("0.75", "2")}
    )
    name = option.field.name
    if "ppo" in name:
        plain = config.replace(plain, optimizer="ppo")
    if name.startswith("round"):
        plain = config.replace(plain, temperatures=(), rounds=2)
    value = config.to_dict(plain)[name]
    others = {
        "temperature": 2.0,
        "temperatures": ("0.75",),
        "env_args": '{"discrete": true}',
        "crop": ("1",) * 4,
    }
    other = config.replace(plain, **{name: others.get(name, changed(option.field, value))})
    commands = [[stage.command for stage in stages(tmp_path, each)] for each in (plain, other)]
    assert commands[0] != commands[1]
