"""The command line as a whole: its table, help, and words for what is wrong or missing."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dreamduck import cli
from dreamduck.cli import COMMANDS
from dreamduck.common.errors import ConfigError, DependencyError
from dreamduck.common.extras import needed

ENVS = Path(cli.__file__).parents[1] / "envs"
HEAVY = ("tensorflow", "keras", "torch", "stable_baselines3", "gym_duckietown", "matplotlib", "cma")
HELP = f"""
import contextlib, io, sys
from dreamduck import cli
for name in sys.argv[1:]:
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            cli.run([name, "-h"])
        code = "no exit"
    except SystemExit as err:
        code = err.code
    text = said.getvalue()
    heavy = [name for name in {HEAVY} if name in sys.modules]
    example = f"dreamduck {{name}}" in text[20:]
    print(name, code, text.startswith(f"usage: dreamduck {{name}} "), example, *heavy)
"""


def dreamduck(*words: str, **settings) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dreamduck", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)


def test_each_help_has_an_example_and_loads_nothing_heavy(tmp_path):
    names = [name for name in COMMANDS if name != "rl"]
    done = subprocess.run(
        [sys.executable, "-c", HELP, *names], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout.splitlines() == [f"{name} 0 True True" for name in names], done.stderr
    assert not list(tmp_path.iterdir())


def test_the_table_leads_to_functions():
    for name, command in COMMANDS.items():
        if command.extra != "rl":
            module, _, function = command.target.partition(":")
            assert callable(getattr(importlib.import_module(module), function)), name
        assert len(command.help) <= 60, name


def test_all_commands_are_listed():
    done = dreamduck("-h")
    assert done.returncode == 0
    assert all(
        f"\n  {name} " in done.stdout and command.help in done.stdout for name, command in COMMANDS.items()
    )
    assert dreamduck().stdout == done.stdout


def test_the_version_is_reported():
    import dreamduck as package

    assert dreamduck("--version").stdout == f"dreamduck {package.__version__}\n"


@pytest.mark.parametrize(
    ("word", "hint"), [("recrod", "did you mean record?"), ("xyzzy", "`dreamduck -h` lists them")]
)
def test_an_unknown_command_is_refused(word, hint):
    done = dreamduck(word)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: dreamduck: expected a command, got '{word}'; {hint}\n"


def test_words_after_a_command_are_its_own(tmp_path):
    done = dreamduck("train-vae", "--records", str(tmp_path / "none"), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {tmp_path / 'none'}: no such folder")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "the following arguments are required: files"),
        (["a.json", "--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_a_bad_flag_names_the_command(words, text, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.run(["plot", *words])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"error: {text}; `dreamduck plot -h` lists the flags\n"


def test_unknown_environments_of_window_are_refused(capsys):
    with pytest.raises(SystemExit):
        cli.run(["window", "v3"])
    assert "invalid choice: 'v3'" in capsys.readouterr().err


def test_what_is_missing_is_named_with_its_extra(tmp_path):
    """Packages of extras are not found, as in a base install."""
    for name, command, extra in (
        ("aiohttp", ["drive"], "web"),
        ("stable_baselines3", ["rl", "--alg=ppo2", "--env=DreamDuck-v0"], "rl"),
        ("tensorflow", ["encode", "--records", "none"], "train"),
    ):
        hidden = tmp_path / extra
        (hidden / name).mkdir(parents=True)
        (hidden / name / "__init__.py").write_text(
            f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')"
        )
        done = dreamduck(*command, env={**os.environ, "PYTHONPATH": str(hidden)}, cwd=tmp_path)
        assert done.returncode == 2
        wanted = (
            f"expected the package {name}, found none; install it with: pip install 'dreamduck[{extra}]'"
        )
        assert done.stderr.splitlines()[-1] == f"error: {wanted}"


@pytest.mark.parametrize("command", cli.PACKAGES)
def test_what_is_used_late_is_looked_for_at_the_start(command, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    extra = COMMANDS[command].extra
    with pytest.raises(DependencyError, match=rf"expected the package .*dreamduck\[{extra}\]"):
        cli.run([command, "--no-such-flag"])


def test_only_foreign_modules_are_named():
    with pytest.raises(ModuleNotFoundError) as caught, needed("train"):
        importlib.import_module("dreamduck.no_such_module")
    assert not isinstance(caught.value, DependencyError)
    with pytest.raises(DependencyError, match=r"package no_such_package.*dreamduck\[rl\]"), needed("rl"):
        importlib.import_module("no_such_package.part")


def test_the_scripts_of_2019_are_the_same_commands():
    shims = {"extract": "record", "model": "evaluate", "vae_train": "train-vae"}
    shims |= {"series": "encode", "rnn_train": "train-rnn", "train": "evolve"}
    for script, command in shims.items():
        done = subprocess.run([sys.executable, ENVS / f"{script}.py", "-h"], capture_output=True, text=True)
        assert done.stdout.startswith(f"usage: dreamduck {command} "), done.stderr
        assert len((ENVS / f"{script}.py").read_text().splitlines()) <= 6


def test_an_unknown_command_is_a_configuration_error():
    with pytest.raises(ConfigError):
        cli.run(["no-such-command"])


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("dreamduck rep", {"reproduce"}),
        ("dreamduck record --max-t", {"--max-trials"}),
        ("dreamduck evolve --features ", {"z", "zh", "zc", "zch"}),
        ("dreamduck rl --num_t", {"--num_timesteps"}),
    ],
)
def test_a_shell_completes_commands_flags_and_choices(typed, expected, tmp_path):
    pytest.importorskip("argcomplete")
    asked = {"COMP_LINE": typed, "COMP_POINT": str(len(typed)), "COMP_TYPE": "9", "_ARGCOMPLETE": "1"}
    answer = tmp_path / "answer"
    dreamduck(env={**os.environ, **asked, "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}, cwd=tmp_path)
    assert {word.strip() for word in answer.read_text().split("\013")} == expected
