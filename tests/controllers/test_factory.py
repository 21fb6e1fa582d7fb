"""Evaluators of the real stages: a small world model of random weights, the native simulator."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dreamduck.cli import evolve as train
from dreamduck.common import backend
from dreamduck.common.errors import CheckpointError, ConfigError, WeightsError
from dreamduck.common.storage import fingerprint
from dreamduck.controllers import factory
from dreamduck.controllers.controller_file import RunFiles, read_theta
from dreamduck.controllers.evaluator import EvalBatch, evaluate_all
from dreamduck.controllers.factory import (
    FormConfig,
    WorldConfig,
    make_evaluator,
    model_sizes,
    weights_fingerprints,
    world_facts,
)
from dreamduck.controllers.policy import ControllerForm, random_theta
from dreamduck.evaluation.final_evaluation import SelectionConfig, evaluate_both
from dreamduck.pipeline import temperature_sweep
from dreamduck.world_model import WorldModel
from dreamduck.world_model.mdn_rnn.layout import MDNRNNConfig
from dreamduck.world_model.model_config import ModelConfig

FORM = ControllerForm("zch", 0, 2, 4, 8)


@pytest.fixture
def world(weights):
    return WorldConfig(model=ModelConfig(weights=str(weights), temperature=0.8))


@pytest.fixture(scope="module")
def thetas():
    random = np.random.default_rng(1)
    return np.stack([random_theta(FORM, random, 0.5) for _ in range(5)])


def test_sizes_come_from_the_card(weights, tmp_path):
    assert model_sizes(weights) == (4, 8, 8)
    assert FormConfig(features="zh", hidden=3).form(4, 8).size == 13 * 3 + 4 * 2
    with pytest.raises(WeightsError):
        model_sizes(tmp_path)


@pytest.mark.parametrize("env", ["rnnenv", "realenv"])
def test_blocks_leave_no_trace(env, world, thetas):
    evaluator = make_evaluator(env, world, FORM)
    seeds = [3, 4, 5, 6, 7]
    found = [
        evaluate_all(thetas, seeds, 4, 12, block, lambda tasks: [evaluator(task) for task in tasks])
        for block in (5, 2)
    ]
    assert found[0].reward.shape == (5, 4)
    # Products of TensorFlow and numpy may round differently for another number of rows; on the road an
    # image differs after that.
    tolerance = 1e-6 if env == "rnnenv" else 1e-3
    np.testing.assert_allclose(found[0].reward, found[1].reward, rtol=0, atol=tolerance)
    assert np.array_equal(found[0].length, found[1].length)
    assert np.isfinite(found[0].reward).all()
    assert len(np.unique(found[0].reward)) > 5


@pytest.mark.parametrize("env", ["rnnenv", "realenv"])
def test_the_seed_decides(env, world, thetas):
    evaluator = make_evaluator(env, world, FORM)
    first = evaluator(EvalBatch(thetas[:2], (1, 1), 4, 10))
    again = evaluator(EvalBatch(thetas[:2], (1, 1), 4, 10))
    other = evaluator(EvalBatch(thetas[:2], (2, 2), 4, 10))
    assert np.array_equal(first.reward, again.reward)
    assert not np.array_equal(first.reward, other.reward)


def test_the_dream_of_a_controller_is_the_worlds_dream(world, thetas):
    """The compiled rollout with the policy inside, against the dream step by step in numpy."""
    from dreamduck.controllers.policy import Controller
    from dreamduck.world_model.imagination.stepper import Dreams

    scores = make_evaluator("rnnenv", world, FORM)(EvalBatch(thetas[:2], (5, 6), 1, 20))
    model = WorldModel.load(world.model.folder)
    dreams = Dreams(model.dynamics, model.start_states(), 2, world.model.temperature)
    dreams.reset([5, 6])
    total, alive = np.zeros(2), np.ones(2, dtype=bool)
    for _ in range(20):
        actions = [
            Controller(FORM, theta)(seen) for theta, seen in zip(thetas, dreams.observation, strict=False)
        ]
        step = dreams.step(np.stack(actions))
        total += np.where(alive, step.reward, 0)
        alive &= ~step.ended
    np.testing.assert_allclose(scores.reward[:, 0], total, rtol=1e-3, atol=1e-3)


def test_a_verdict_of_both_worlds(world, thetas):
    from dreamduck.controllers.policy import Controller

    how = SelectionConfig(eval_episodes=3, eval_seconds=2.0, eval_seed=11, selection_seed=12)
    verdict = evaluate_both(world, Controller(FORM, thetas[0]), how)
    assert set(verdict.dream) == {"mean", "std", "length"}
    assert verdict.road["episodes"] == 3
    assert 0 <= verdict.road["alive"][0] <= 1
    assert (verdict.choice["episodes"], verdict.choice["seed"]) == (3, 12)
    assert evaluate_both(world, Controller(FORM, thetas[0]), how) == verdict


def test_facts_of_a_world(world):
    facts = world_facts("rnnenv", world)
    assert facts["world"]["temperature"] == 0.8
    assert "weights" not in facts["world"]
    assert set(facts["weights"]) == {"vae.weights.h5", "rnn.weights.h5", "initial_z.json"}
    assert facts["versions"]["dreamduck"]
    assert weights_fingerprints(world.model.folder) == facts["weights"]


def test_the_gap_report_from_end_to_end(weights, tmp_path):
    temperature_sweep.main(
        [
            *("--weights", str(weights), "--out", str(tmp_path), "--temperatures", "0.5,1.0", "-q"),
            *("-n", "2", "--num_episode", "2", "--generations", "1", "--max-steps", "8"),
            *("--eval-episodes", "2", "--eval-seconds", "1"),
        ]
    )
    rows = json.loads((tmp_path / "gap.json").read_text())["rows"]
    assert [row["temperature"] for row in rows] == [0.5, 1.0]
    assert RunFiles(tmp_path / "dream").path(".card.json").exists()


def test_a_search_starts_from_a_controller_of_2019(weights, tmp_path):
    """One output and no biases, under the default components; the search continues around it."""
    form = ControllerForm("zch", 0, 1, 4, 8, bias=False)
    start = tmp_path / "doomrnn.json"
    theta = np.linspace(-0.75, 0.5, form.size)
    start.write_text(json.dumps([theta.tolist()]))
    flags = [
        "rnnenv",
        "--weights",
        str(weights),
        "--log",
        str(tmp_path / "log"),
        "--start",
        str(start),
        "-q",
    ]
    flags += [
        "-n",
        "4",
        "--num_episode",
        "2",
        "--generations",
        "2",
        "--max-steps",
        "6",
        "--sigma_init",
        "0.001",
    ]
    for said in (["--features", "z"], ["--hidden", "3"]):
        with pytest.raises(ConfigError, match="leave --features and --hidden out"):
            train.main([*flags, *said])
    train.main(flags)
    again = json.loads(start.read_text())
    start.write_text(json.dumps([[0.5, *again[0][1:]], *again[1:]]))
    with pytest.raises(CheckpointError, match="changed were start_fingerprint"):
        train.main(flags)  # from another controller
    start.write_text(json.dumps(again))
    train.main(flags)
    found = read_theta(RunFiles.of(tmp_path / "log", "rnnenv", 2, 4).path(".json"))
    assert found.shape == theta.shape
    np.testing.assert_allclose(found, theta, atol=0.1)
    assert not np.array_equal(found, theta.round(4))


def test_untrained_dynamics_dream(weights, tmp_path):
    from dreamduck.pipeline.ablations import with_untrained_rnn

    with_untrained_rnn(weights, tmp_path / "untrained", seed=2)
    folder = with_untrained_rnn(weights, tmp_path / "untrained", seed=1)  # another seed: made anew
    made = with_untrained_rnn(weights, tmp_path / "new", seed=1)
    assert fingerprint(folder / "rnn.weights.h5") == fingerprint(made / "rnn.weights.h5")
    sizes = MDNRNNConfig(z_size=4, hidden_size=8, mixtures=2)
    form = ControllerForm("zch", 0, 2, sizes.z_size, sizes.hidden_size)
    evaluator = make_evaluator("rnnenv", WorldConfig(model=ModelConfig(weights=str(folder))), form)
    assert np.isfinite(
        evaluator(EvalBatch(np.zeros((2, form.size), np.float32), (0, 1), 2, 5)).reward
    ).all()


@pytest.mark.parametrize(("given", "limited"), [(1, [1]), (None, []), (64, [])])
def test_threads_limit_tensorflow_in_the_dream(world, monkeypatch, given, limited):
    asked: list[int] = []
    monkeypatch.setattr(factory, "cores", lambda: 4)
    monkeypatch.setattr(backend, "set_threads", asked.append)
    factory.make_evaluator("rnnenv", world, FORM, given)
    assert asked == limited


def test_tensorflow_that_runs_keeps_its_threads(world, monkeypatch, caplog):
    def started(threads):
        raise RuntimeError("context is initialized")

    monkeypatch.setattr(backend, "set_threads", started)
    with caplog.at_level("DEBUG", factory.__name__):
        factory.limit_tensorflow(1)
    assert "its threads stay as they are" in caplog.text
