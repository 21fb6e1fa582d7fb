"""Controllers that PPO trains: the same actions as its agent's, and files that other commands take."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamduck.cli.train_controller import main as cli_main
from dreamduck.common.config import from_mapping
from dreamduck.common.errors import CheckpointError, ConfigError
from dreamduck.common.storage import read_json
from dreamduck.controllers import factory
from dreamduck.controllers.controller_file import read_card
from dreamduck.controllers.evaluator import EvalBatch
from dreamduck.controllers.factory import WorldConfig, load_controller, make_evaluator, model_actions
from dreamduck.pipeline import temperature_sweep
from dreamduck.recordings.sources.action_space import DISCRETE
from dreamduck.rl import train_controller
from dreamduck.rl.agents.acting import about
from dreamduck.rl.arguments import parse
from dreamduck.rl.environments import wrappers
from dreamduck.rl.run import Run
from dreamduck.rl.sb3 import BaseAlgorithm, th
from dreamduck.rl.train_controller import ControllerRun, agent_of, theta_of, train
from dreamduck.search.ppo import PPOConfig
from dreamduck.search.recipe import ppo_files
from tests.envs.test_gymenv import SIZES, write_gym_model
from tests.web.model import write_categorical

SMALL = PPOConfig(steps=60, hidden=5, num_env=3, max_steps=13, seed=4)


@pytest.fixture(autouse=True)
def small_updates(monkeypatch):
    monkeypatch.setattr(train_controller, "UPDATE", 24)
    monkeypatch.setattr(train_controller, "EVALUATED", {"rnnenv": 3, "realenv": 2})
    monkeypatch.setattr(train_controller, "VALUES", {**train_controller.VALUES, "nminibatches": 2})


@pytest.fixture(params=SIZES)
def weights(request, tmp_path) -> Path:
    return write_gym_model(tmp_path / "weights", request.param)


def world(weights: Path) -> WorldConfig:
    return from_mapping(WorldConfig, {"weights": str(weights), "temperature": 0.8})


def random_agent(weights: Path, folder: Path, random: np.random.Generator) -> BaseAlgorithm:
    """An agent whose weights and statistics are random in every number."""
    given = dataclasses.replace(SMALL, steps=24)
    words = train_controller.words_of("rnnenv", given, world(weights), ppo_files(folder, "a"), None, False)
    agent = ControllerRun(words, model_actions(weights)).train()
    with th.no_grad():
        for value in agent.policy.parameters():
            value.copy_(th.as_tensor(random.normal(0, 0.4, value.shape)))
    statistics = agent.get_vec_normalize_env()
    assert statistics is not None
    seen: Any = statistics.obs_rms
    seen.mean, seen.var = random.normal(0, 0.7, seen.mean.shape), random.uniform(0.2, 3, seen.var.shape)
    return agent


def test_the_controller_acts_as_the_agent(weights, tmp_path):
    random = np.random.default_rng(3)
    agent = random_agent(weights, tmp_path, random)
    best = train("rnnenv", SMALL, world(weights), tmp_path / "log")
    form, actions = load_controller(best, weights).form, model_actions(weights)
    assert (form.hidden, form.actions) == (5, actions.size)
    statistics = agent.get_vec_normalize_env()
    observations = random.normal(0, 1.5, (200, form.inputs)).astype(np.float32)
    assert statistics is not None
    wanted, _ = agent.predict(statistics.normalize_obs(observations), deterministic=True)
    found = dataclasses.replace(load_controller(best, weights), theta=theta_of(agent))(observations)
    if actions.kind == DISCRETE:
        assert (found.argmax(axis=1) == wanted).all()
        assert len(set(wanted.tolist())) > 1
    else:
        np.testing.assert_allclose(found, np.tanh(wanted), atol=2e-5)
        assert np.std(found) > 0.1


def test_the_file_is_a_controllers(weights, tmp_path, monkeypatch):
    best = train("rnnenv", SMALL, world(weights), tmp_path / "log")
    theta, reward = json.loads(best.read_text())
    controller = load_controller(best, weights, strict=True)
    np.testing.assert_allclose(controller.theta, theta, rtol=1e-6)
    given = EvalBatch(controller.theta[None], (train_controller.SEED,), 3, 13)
    again = make_evaluator("rnnenv", world(weights), controller.form)(given).reward.mean()
    assert reward == pytest.approx(again, rel=0.05)
    card = read_card(best)
    assert card["world"]["temperature"] == 0.8
    assert (card["steps"], card["seed"], card["form"]["hidden"]) == (60, 4, 5)
    before = best.read_bytes()
    monkeypatch.setattr(factory, "versions", lambda: {"numpy": "99"})
    assert train("rnnenv", SMALL, world(weights), tmp_path / "log").read_bytes() == before


def test_a_training_of_other_settings_is_refused(tmp_path):
    weights = write_gym_model(tmp_path / "weights", "discrete")
    best = train("rnnenv", SMALL, world(weights), tmp_path / "log")
    before, other = best.read_bytes(), dataclasses.replace(SMALL, gamma=0.9)
    with pytest.raises(ConfigError, match=r"gamma \(then 0\.99, now 0\.9\).*--fresh"):
        train("rnnenv", other, world(weights), tmp_path / "log")
    assert best.read_bytes() == before
    longer = dataclasses.replace(SMALL, steps=130)
    train("rnnenv", longer, world(weights), tmp_path / "log")
    assert best.read_bytes() != before
    assert read_card(best)["steps"] == 130
    rows = (tmp_path / "log" / "rnnenv.ppo" / "monitor.csv").read_text().splitlines()
    assert sum(int(row.split(",")[1]) for row in rows[2:]) > 72  # more than the first training alone
    train("rnnenv", other, world(weights), tmp_path / "log", fresh=True)
    assert read_card(best)["gamma"] == 0.9


def test_a_training_continues_in_the_real_environment(weights, tmp_path):
    first = train("rnnenv", SMALL, world(weights), tmp_path / "log")
    flags = ["realenv", "--weights", str(weights), "--start", str(first), "--log", str(tmp_path / "real")]
    cli_main(
        [*flags, "--steps", "24", "--hidden", "5", "--num-env", "2", "--max-steps", "9", "--seed", "6"]
    )
    second = tmp_path / "real" / "realenv.ppo.best.json"
    assert load_controller(second, weights).form == load_controller(first, weights).form
    assert read_card(second)["start"] == str(first)
    unlike = np.subtract(load_controller(second, weights).theta, load_controller(first, weights).theta)
    scale = np.abs(load_controller(first, weights).theta).mean()
    assert 0 < np.abs(unlike).mean() < 0.5 * scale  # it began from the first one


def test_the_road_is_the_one_of_the_flags(model_folder, tmp_path, monkeypatch):
    made, make = [], wrappers.make

    def spy(spec, env_id, count, arguments, *rest):
        made.append(arguments)
        return make(spec, env_id, count, arguments, *rest)

    monkeypatch.setattr(wrappers, "make", spy)
    flags = ["realenv", "--weights", str(model_folder), "--log", str(tmp_path), "--map-name", "udem1"]
    cli_main([*flags, "--steps", "24", "--num-env", "2", "--max-steps", "9", "--frame-skip", "2"])
    assert (made[0]["map_name"], made[0]["frame_skip"]) == ("udem1", 2)
    assert read_card(tmp_path / "realenv.ppo.best.json")["world"]["map_name"] == "udem1"


def test_categorical_dynamics_have_no_cell(tmp_path):
    weights = write_categorical(tmp_path / "weights")
    best = train("rnnenv", SMALL, world(weights), tmp_path / "log")
    assert load_controller(best, weights).form.features == "zh"


def test_a_start_needs_its_agent(tmp_path):
    weights = write_gym_model(tmp_path / "weights", "discrete")
    best = train("rnnenv", SMALL, world(weights), tmp_path / "log")
    wider = dataclasses.replace(SMALL, hidden=7)
    with pytest.raises(
        ConfigError, match=r"start: expected a controller hidden layer of 7.*got one hidden"
    ):
        train("rnnenv", wider, world(weights), tmp_path / "wide", best)
    agent_of(best).unlink()
    with pytest.raises(ConfigError, match=r"of train-controller, with its agent .* no rnnenv\.ppo\.zip"):
        train("rnnenv", SMALL, world(weights), tmp_path / "next", best)
    assert not (tmp_path / "next" / "rnnenv.ppo.best.json").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["realenv", "--temp", "0.7"], "--temperature: of no effect on the road"),
        (["realenv", "--action-delay", "2"], "--action-delay: of no effect on the road"),
        (["realenv", "--beginning", "midway"], "--beginning: of no effect on the road"),
        (["--map-name", "udem1"], "--map-name: of no effect in the dream"),
        (["--strict"], "--strict: of no effect without --start"),
    ],
)
def test_flags_of_no_effect_are_refused(words, text, model_folder):
    with pytest.raises(ConfigError, match=text):
        cli_main([*words, "--weights", str(model_folder)])


def test_a_sweep_trains_by_ppo(tmp_path):
    weights = write_gym_model(tmp_path / "weights", "discrete")
    out = tmp_path / "sweep"
    words = ["--weights", str(weights), "--out", str(out), "--temperatures", "0.6,1.2", "--max-steps", "11"]
    words += ["--eval-episodes", "3", "--eval-seconds", "1"]
    ppo = ["--optimizer", "ppo", "--steps", "48", "--latent-shift", "0.3"]
    temperature_sweep.main([*words, *ppo])
    rows = read_json(out / "gap.json", ConfigError)["rows"]
    assert [row["temperature"] for row in rows] == [0.6, 1.2]
    for row in rows:
        card = read_card(out / f"temperature-{row['temperature']}" / "rnnenv.ppo.best.json")
        assert card["world"]["temperature"] == row["temperature"]
        assert (card["steps"], card["max_steps"], card["latent_shift"]) == (48, 11, 0.3)
    assert load_controller(out / "dream.json", weights).form.hidden == 64
    assert (out / "dream.zip").exists()
    with pytest.raises(ConfigError, match="--generations: of no effect with --optimizer ppo"):
        temperature_sweep.main([*words, *ppo, "--generations", "3"])
    with pytest.raises(ConfigError, match="--steps: of no effect with --optimizer cma"):
        temperature_sweep.main([*words, "--steps", "48"])


def test_the_agent_is_no_agent_of_the_plain_environment(tmp_path):
    """Continuous outputs are before the tanh; the command `rl` must not take them for actions."""
    weights = write_gym_model(tmp_path / "weights", "continuous")
    best = train("rnnenv", SMALL, world(weights), tmp_path / "log")
    flags, keys, _ = parse(["--num_timesteps=0", f"--load_path={agent_of(best)}", "--quiet"])
    with pytest.raises(
        CheckpointError, match=r"action_space.*ControllerOutputs.*this environment has.*Box"
    ):
        Run(flags, keys, True).execute()


def test_it_is_none_of_duckietown_either(model_folder, tmp_path):
    best = train("rnnenv", SMALL, world(model_folder), tmp_path / "log")
    with pytest.raises(CheckpointError, match="expected an agent of Duckietown, got other spaces"):
        about(agent_of(best))
    load_controller(best, model_folder, strict=True)
