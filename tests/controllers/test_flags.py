"""Every flag of every command changes what is done, or is refused."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamduck.cli import evaluate as model
from dreamduck.cli import evolve as train
from dreamduck.cli import scoreboard
from dreamduck.common import command_line, config
from dreamduck.common.errors import ConfigError, DreamDuckError
from dreamduck.common.processes import mpi
from dreamduck.controllers.controller_file import RunFiles, to_card
from dreamduck.controllers.factory import WorldConfig
from dreamduck.controllers.policy import Controller, ControllerForm
from dreamduck.evaluation.final_evaluation import SelectionConfig
from dreamduck.evaluation.runner import Runner
from dreamduck.evaluation.scoreboard import Scoreboard
from dreamduck.pipeline import ablations, iterate, record_controller, reproduce, temperature_sweep
from dreamduck.pipeline.iterate import IterateConfig, round_stages
from dreamduck.pipeline.reproduce import ReproduceConfig
from dreamduck.recordings.sources.gym_environment import GymEnvironment
from dreamduck.search.recipe import CMA, OWN_SETTINGS, PPO, RecipeConfig
from dreamduck.world_model.kinds import TRAINING

LOUDNESS = {"help", "verbose", "quiet"}
TEXTS = {
    "map_name": "udem1",
    "maps": "udem1",
    "log": "elsewhere",
    "out": "elsewhere",
    "records": "elsewhere",
    "video": "other.mp4",
    "optimizer": "ses",
    "temperatures": "0.7,0.9",
    "worlds": "realenv",
    "rnns": "none",
    "simulators": "native,gym-duckietown",
    "rows": "random",
    "env": "env",
    "threads": "3",
}
TESTED_ELSEWHERE = {("scoreboard", "fresh")}  # it needs a board of other settings


def another(action: argparse.Action, texts: dict[str, str]) -> list[str]:
    """The words that give a flag another value than its default."""
    flag = action.option_strings[-1]
    if isinstance(action, argparse.BooleanOptionalAction):
        return [action.option_strings[1 if action.default else 0]]
    if action.nargs == 0:
        return [flag]
    if action.dest in texts and texts[action.dest] in (action.choices or texts.values()):
        return [flag, texts[action.dest]]
    if action.choices:
        return [flag, next(str(choice) for choice in action.choices if choice != action.default)]
    if action.type is int:
        return [flag, str((action.default or 0) + 2)]
    assert action.type is float, action.dest
    return [flag, str((action.default or 0.5) * 1.5)]


class Caught(Exception):
    """What a command was about to do."""


@pytest.fixture
def outcome(monkeypatch, caplog):
    """A function that runs a command until its work begins, and returns the arguments of that work."""
    monkeypatch.setattr(mpi, "team", lambda timeout: NoTeam(timeout))

    def run(main: Callable[[list[str]], Any], words: list[str]) -> str:
        caplog.clear()
        try:
            main(words)
        except Caught as caught:
            return json.dumps([caught.args, caplog.messages], default=repr)
        except DreamDuckError as err:
            return f"refused: {err}"
        raise AssertionError("it did its work")

    return run


class NoTeam(mpi.Team):
    """One process without others; reports its time limit."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout


def catch(*taken):
    """Replaces the function that does the work; objects are reported by their settings."""

    def stop(*arguments, **settings):
        values = [*arguments, *settings.values()]
        raise Caught([pick(value) for value in values])

    def pick(value):
        if isinstance(value, tuple) and hasattr(value, "_replace") and hasattr(value, "command"):
            value = value._replace(command="")
        if isinstance(value, NoTeam):
            return value.timeout
        if isinstance(value, Scoreboard):
            return value.folder, value.settings, value.world
        if isinstance(value, Runner):
            return value.threads
        if isinstance(value, Controller):
            return value.form, value.theta.tolist()
        return value

    return stop


@pytest.fixture
def controllers(weights, tmp_path, monkeypatch):
    """Files for flags that want one; the working directory is empty."""
    monkeypatch.chdir(tmp_path)
    form = ControllerForm("zh", 0, 2, 4, 8)
    for ending in ("", ".second"):
        files = RunFiles(tmp_path / f"mine{ending}")
        files.write_theta(np.linspace(-0.5, 0.25, form.size))
        files.write_card(to_card(form, np.zeros(form.size), weights={"vae.weights.h5": "another"}))
    return str(tmp_path / "mine.json")


CASES: dict[str, tuple[Any, Any, str, list[str]]] = {
    # module, its function of work, words before the flags
    "train in the dream": (train, train.build_parser, "evolve", ["rnnenv", "-w={weights}"]),
    "train on the road": (train, train.build_parser, "evolve", ["realenv", "-w={weights}"]),
    "train from a controller": (
        *(train, train.build_parser, "evolve"),
        ["rnnenv", "-w={weights}", "--start={controller}"],
    ),
    "evaluate in the dream": (
        *(model, model.build_parser, "evaluate_many"),
        ["rnnenv", "norender", "{controller}", "5", "-w={weights}"],
    ),
    "evaluate on the road": (
        *(model, model.build_parser, "evaluate_many"),
        ["realenv", "norender", "{controller}", "5", "-w={weights}"],
    ),
    "show at random": (model, model.build_parser, "show", ["env", "render", "-w={weights}"]),
    "scoreboard": (
        *(scoreboard, scoreboard.build_parser, "fill"),
        ["--controller=it={controller}", "-w={weights}"],
    ),
    "drives": (
        record_controller,
        record_controller.build_parser,
        "record_episodes",
        ["{controller}", "-w={weights}"],
    ),
    "gap": (temperature_sweep, temperature_sweep.build_parser, "run", ["-w={weights}"]),
    "ablations": (ablations, ablations.build_parser, "run", ["-w={weights}"]),
    "loop": (iterate, iterate.build_parser, "run", ["{controller}", "-w={weights}"]),
}


@pytest.mark.parametrize("name", CASES)
def test_every_flag_changes_something_or_is_refused(
    name, weights, controllers, tmp_path, monkeypatch, outcome
):
    module, build, work, words = CASES[name]
    monkeypatch.setattr(module, work, catch())
    other = tmp_path / "other"
    other.mkdir()
    for path in weights.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    more = "it2=" if name == "scoreboard" else ""
    texts = {
        **TEXTS,
        "start": controllers.replace("mine", "mine.second"),
        "weights": str(other),
        "controller": more + controllers,
    }
    texts |= {"agent": "none", "policy": "it2=json:dumps"}
    base = [word.format(weights=weights, controller=controllers) for word in words]
    if "seed" in {action.dest for action in build()._actions} and name == "show at random":
        base.insert(2, controllers)
        base.insert(3, "5")
    plain = outcome(module.main, base)
    assert not plain.startswith("refused"), plain
    silent = []
    for action in build()._actions:
        if action.dest in LOUDNESS or (name, action.dest) in TESTED_ELSEWHERE or not action.option_strings:
            continue
        if outcome(module.main, [*base, *another(action, texts)]) == plain:
            silent.append(action.dest)
    assert not silent, f"{name}: of no effect and accepted: {silent}"


SELECTION = [field.name for field in dataclasses.fields(SelectionConfig)]


def changed(field: Any, value: Any) -> Any:
    """Another value for a setting."""
    meta = field.metadata
    if meta.get("choices"):
        return next(choice for choice in meta["choices"] if choice != value)
    if value is None:  # what another default is taken for
        return 7 if "int" in str(field.type) else 0.75
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return TEXTS.get(field.name, "other")
    if isinstance(value, tuple):
        return value[:1]
    return value + 1 if isinstance(value, int) else value * 1.5 + 0.25


def optimizer(field: Any) -> str:
    """The one that has a setting."""
    return PPO if field.name in OWN_SETTINGS[PPO] else CMA


@pytest.mark.parametrize("field", dataclasses.fields(ReproduceConfig), ids=lambda field: field.name)
def test_every_setting_of_reproduce_reaches_a_command(field):
    plain = ReproduceConfig(optimizer=optimizer(field))
    other = dataclasses.replace(plain, **{field.name: changed(field, getattr(plain, field.name))})
    commands = [[stage.command for stage in reproduce.stages(Path("x"), each)] for each in (plain, other)]
    assert commands[0] != commands[1]


@pytest.mark.parametrize(
    "field",
    [*dataclasses.fields(IterateConfig), *(one.field for one in config.options(WorldConfig).values())],
    ids=lambda field: field.name,
)
def test_every_setting_of_iterate_reaches_a_command(field):
    if field.name in (*SELECTION, "rounds", "records", "weights", "features"):
        return  # used by the loop itself
    settings, world = IterateConfig(optimizer=optimizer(field)), WorldConfig()
    holder: Any = settings if hasattr(settings, field.name) and field.name != "temperature" else world
    value = changed(field, config.to_dict(holder)[field.name])
    other = config.replace(holder, **{field.name: value})
    commands = [
        [
            stage.command
            for stage in round_stages(
                *(1, Path("x"), Path("c.json"), Path("w")),
                *((each, world) if holder is settings else (settings, each)),
            )
        ]
        for each in (holder, other)
    ]
    assert commands[0] != commands[1]


@pytest.mark.parametrize("cls", [WorldConfig, RecipeConfig, *TRAINING.values(), GymEnvironment])
def test_flags_make_the_same_settings_again(cls):
    given: dict[str, Any] = {"env": "a:B-v1", "env_args": '{"c": 1}', "crop": ("1", "0", "2", "0")}
    if cls is not GymEnvironment:
        given = {name: changed(one.field, one.default) for name, one in config.options(cls).items()}
        sources = {"adapt": "there", "heads_only": None, "start": None}  # one of them alone
        given |= {name: value for name, value in sources.items() if name in given}
    settings = config.from_mapping(cls, given)
    parser = command_line.parser("x")
    config.add_arguments(parser, cls)
    assert config.from_arguments(cls, parser.parse_args(config.flags(settings))) == settings
    assert config.flags(config.from_mapping(cls, {})) == []
    name = next(iter(given))
    assert f"--{name.replace('_', '-')}" not in config.flags(settings, [name])


def test_given_flags_differ_from_defaults():
    parser = train.build_parser()
    words = ["rnnenv", "--temp", "0.3", "--features=zh", "--no-domain-rand", "-n", "64"]
    found = config.given(parser, parser.parse_args(words), words)
    assert found == {"world", "temperature", "features", "domain_rand", "num_worker"}
    parser = command_line.parser("x")
    parser.add_argument("--row", action="append", default=[])
    parser.add_argument("file", nargs="?")
    for words, expected in (
        ([], set()),
        (["--row", "a", "--row", "b"], {"row"}),
        (["f", "-q"], {"file", "quiet"}),
    ):
        assert config.given(parser, parser.parse_args(words), words) == expected
    with pytest.raises(ConfigError, match=r"--a-b, --c: of no effect here; leave it out"):
        config.refuse(["c", "a_b"], "here")
