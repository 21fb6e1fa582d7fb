"""The command line of train.py, in a world that needs no model."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dreamduck
from dreamduck.cli import evolve as train
from dreamduck.common import config
from dreamduck.common.errors import CheckpointError, ConfigError, ControllerError
from dreamduck.controllers import factory
from dreamduck.controllers.factory import FormConfig, WorldConfig
from dreamduck.controllers.policy import ControllerForm
from dreamduck.search import run
from dreamduck.search.recipe import RecipeConfig
from dreamduck.world_model import WorldModel
from tests.controllers.fakes import Sphere

SMALL = ["-n", "4", "--num_episode", "2", "--generations", "2", "-q"]
SMALL += ["--features", "z", "--components", "0"]
SCRIPT = Path(dreamduck.__file__).parent / "envs" / "train.py"


@pytest.fixture
def world(monkeypatch):
    """Searches are evaluated on a sphere; what they were asked for is kept."""
    asked = []

    def make_evaluator(
        env, world, form, threads=None, beginning="first", pessimism=0.0, randomization=None
    ):
        asked.append((env, world, form))
        return Sphere()

    monkeypatch.setattr(run, "make_evaluator", make_evaluator)
    monkeypatch.setattr(train, "model_sizes", lambda folder: (64, 512))
    monkeypatch.setattr(factory, "model_sizes", lambda folder: (64, 512))
    return asked


def parsed(*argv):
    return train.build_parser().parse_args(argv)


def test_flags_of_the_original():
    found = train.settings(
        parsed(
            *("-n", "8", "-t", "4", "-o", "cma", "--num_episode", "3", "--eval_steps", "5", "-s", "0"),
            *("--sigma_init", "0.2", "--antithetic", "0", "--cap_time", "1"),
        )
    )
    assert found.population == 32
    assert (found.num_episode, found.eval_steps, found.seed_start) == (3, 5, 0)
    assert (found.sigma_init, found.seeds, found.cap_time) == (0.2, "independent", 1)


def test_defaults_of_the_original():
    found = train.settings(parsed())
    assert (found.population, found.num_episode, found.eval_steps) == (64, 16, 25)
    assert (found.sigma_init, found.cap_time) == (0.1, 0)
    assert train.choose_world(parsed()) == "rnnenv"


def test_defaults_are_what_reached_the_road():
    recipe = RecipeConfig()
    found = train.settings(parsed())
    for name in ("components", "sigma_init", "end_cost", "weight_decay"):
        assert getattr(found, name) == getattr(recipe, name)
    assert (found.max_steps, recipe.dream_steps) == (WorldModel.load().search_steps, None)
    assert (found.beginning, found.seeds) == ("midway", "common")
    assert config.from_arguments(FormConfig, parsed()).features == recipe.features
    assert config.from_arguments(WorldConfig, parsed()).model.temperature is None
    assert train.settings(parsed("realenv")).max_steps > found.max_steps
    assert train.settings(parsed("--max-steps", "7")).max_steps == 7


def test_flags_without_a_meaning_are_reported(caplog):
    found = train.settings(parsed("--retrain", "1", "--sigma_decay", "0.9"))
    assert found == train.settings(parsed())
    assert "--retrain" in caplog.text
    assert "--sigma_decay" in caplog.text
    with pytest.raises(ConfigError, match="optimizer: expected cma, got 'pepg'"):
        train.settings(parsed("-o", "pepg"))


def test_the_world_is_named_once():
    assert train.choose_world(parsed("realenv")) == "realenv"
    assert train.choose_world(parsed("--env", "env")) == "env"
    assert train.choose_world(parsed("env", "--env", "env")) == "env"
    with pytest.raises(ConfigError, match="expected one world"):
        train.choose_world(parsed("env", "--env", "realenv"))


def test_temp_is_the_temperature():
    assert config.from_arguments(WorldConfig, parsed("--temp", "1.15")).model.temperature == 1.15
    for bad in ("0", "-1", "nan"):
        with pytest.raises(ConfigError, match="temperature"):
            config.from_arguments(WorldConfig, parsed("--temp", bad))


def test_a_run_leaves_the_file_of_its_name(world, tmp_path):
    train.main([*SMALL, "--log", str(tmp_path), "realenv"])
    assert [(env, form) for env, _, form in world] == [("realenv", ControllerForm("z"))]
    (theta,) = json.loads((tmp_path / "realenv.cma.2.4.json").read_text())
    assert len(theta) == 130
    card = json.loads((tmp_path / "realenv.cma.2.4.card.json").read_text())
    assert card["command"].startswith("train.py -n 4")
    assert card["world"]["env"] == "realenv"
    assert "temperature" not in card["world"]
    assert card["generations"] == 2


def test_started_again_it_resumes(world, tmp_path):
    train.main([*SMALL, "--log", str(tmp_path)])
    train.main([*SMALL, "--log", str(tmp_path), "--generations", "3"])
    rows = json.loads((tmp_path / "rnnenv.cma.2.4.hist.json").read_text())
    assert [row[0] for row in rows] == [1, 2, 3]
    with pytest.raises(CheckpointError, match="temperature"):
        train.main([*SMALL, "--log", str(tmp_path), "--temp", "0.75"])
    train.main([*SMALL, "--log", str(tmp_path), "--temp", "0.75", "--fresh"])


def test_it_starts_from_a_file(world, tmp_path):
    start = tmp_path / "start.json"
    start.write_text(json.dumps([np.full(130, 0.75).tolist()]))
    train.main([*SMALL, "--log", str(tmp_path), "--start", str(start), "--sigma_init", "0.001"])
    (theta,) = json.loads((tmp_path / "rnnenv.cma.2.4.json").read_text())
    assert np.allclose(theta, 0.75, atol=0.01)
    start.write_text("[[1.0]]")
    with pytest.raises(ControllerError, match=r"start\.json.*1 parameters fit no"):
        train.main([*SMALL, "--log", str(tmp_path), "--start", str(start)])


def test_the_script_runs_by_its_path_and_exits_2_on_bad_flags(tmp_path):
    found = subprocess.run(
        [sys.executable, SCRIPT, "-o", "ga", "--log", tmp_path], capture_output=True, text=True, timeout=120
    )
    assert found.returncode == 2
    assert found.stderr.strip().startswith("error: optimizer: expected cma")
    assert not list(tmp_path.iterdir())


def test_help_loads_nothing_heavy():
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['train.py', '-h']\n"
        "try:\n"
        f"    runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "assert not {'tensorflow', 'keras', 'mpi4py.MPI', 'gym_duckietown', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, stdout=subprocess.DEVNULL)
    assert importlib.util.find_spec("train") is None  # the script's folder is on no other process's path
