"""Worlds of other environments than Duckietown, one of discrete and one of continuous actions."""

import argparse
import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import FlattenObservation

import dreamduck
from dreamduck.common.config import from_mapping
from dreamduck.common.errors import (
    ActionError,
    ConfigError,
    ControllerError,
    ResetNeeded,
    SimulatorError,
    WeightsError,
)
from dreamduck.controllers.controller_file import RunFiles, to_card
from dreamduck.controllers.evaluator import EvalBatch
from dreamduck.controllers.factory import (
    FormConfig,
    WorldConfig,
    load_controller,
    make_evaluator,
    model_actions,
    model_sizes,
)
from dreamduck.controllers.policy import Controller, act, random_theta, tensor_policy
from dreamduck.evaluation import final_evaluation
from dreamduck.evaluation.final_evaluation import EvaluationConfig
from dreamduck.pipeline import ablations
from dreamduck.recordings.sources.gym_environment import GymEnvironment, inspect
from dreamduck.window import keyboard
from dreamduck.world_model.mdn_rnn import MDNRNNConfig
from dreamduck.wrappers import WorldModelObservation
from tests.envs.models import write_model
from tests.recordings.sources.worlds import MODULE, Dot

IDS = {"discrete": "Dot-v3", "continuous": "DotBox-v0"}
SIZES = {"discrete": 3, "continuous": 2}


def write_gym_model(folder: Path, kind: str, frame_skip: int = 2) -> Path:
    """A world model with random weights of one of the environments."""
    environment = GymEnvironment(f"{MODULE}:{IDS[kind]}", crop=("4", "4", "0", "0"), frame_skip=frame_skip)
    write_model(folder, sizes=MDNRNNConfig(4, SIZES[kind], 16, 3), vae=True)
    for name in ("vae.json", "rnn.json"):
        path = folder / name
        card = json.loads(path.read_text())
        path.write_text(json.dumps({**card, "environment": inspect(environment)[1]}))
    return folder


@pytest.fixture(params=SIZES)
def kind(request) -> str:
    return str(request.param)


@pytest.fixture
def weights(kind, tmp_path) -> Path:
    return write_gym_model(tmp_path / "weights", kind)


def own(kind: str):
    return gymnasium.make(IDS[kind], disable_env_checker=True)


@pytest.mark.parametrize("world", ["DreamDuck-v1", "DreamDuck-v2"])
def test_worlds_have_the_action_space_of_the_environment(world, kind, weights):
    env = gymnasium.make(f"dreamduck:{world}", weights=weights, render_mode="rgb_array")
    assert env.action_space == own(kind).action_space
    env.action_space.seed(1)
    observation, _ = env.reset(seed=3)
    assert observation.shape == (4 + 2 * 16,)
    for _ in range(5):
        following, reward, terminated, _, info = env.step(env.action_space.sample())
        assert (following != observation).any()
        assert np.isfinite(float(reward))
        assert (info["end"] != "") == terminated
        observation = following
    assert np.asarray(env.render()).shape[2] == 3
    for bad in ([[1.0]], "left", np.nan):
        with pytest.raises(ActionError, match="action: expected"):
            env.step(bad)
    env.close()
    if kind == "discrete":  # it warns of actions that are not symmetric
        check_env(gymnasium.make(f"dreamduck:{world}", weights=weights).unwrapped, skip_render_check=True)


def test_the_real_one_is_seen_through_the_model(kind, weights):
    model = dreamduck.WorldModel.load(weights)
    env = gymnasium.make("dreamduck:DreamDuck-v1", weights=weights)
    wrapped = WorldModelObservation(own(kind), weights)
    environment = model.gym_environment
    assert environment is not None
    frames = environment.make()
    env.action_space.seed(0)
    first, second = env.reset(seed=9)[0], wrapped.reset(seed=9)[0]
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first[:4], model.encode(frames.reset(seed=9)[0][None])[0], atol=1e-6)
    over = False
    while not over:
        action = env.action_space.sample()
        found, other = env.step(action), wrapped.step(action)
        np.testing.assert_array_equal(found[0], other[0])
        assert found[1:4] == pytest.approx(other[1:4])
        over = found[2] or found[3]
    assert "x" in other[4]
    for world in (env, wrapped):
        with pytest.raises(ResetNeeded):
            world.step(action)
    with pytest.raises(SimulatorError, match="snapshots"):
        env.unwrapped.get_state()  # type: ignore[attr-defined]
    wrapped.close()


def test_a_batch_gives_what_single_worlds_give(kind, weights):
    batch = gymnasium.make_vec("dreamduck:DreamDuck-v1", 2, "vector_entry_point", weights=weights)
    one = gymnasium.make("dreamduck:DreamDuck-v1", weights=weights)
    batch.action_space.seed(2)
    first, _ = batch.reset(seed=4)
    np.testing.assert_allclose(first[1], one.reset(seed=5)[0], atol=1e-5)
    for _ in range(4):
        actions = batch.action_space.sample()
        found, alone = batch.step(actions), one.step(actions[1])
        np.testing.assert_allclose(found[0][1], alone[0], atol=1e-5)
        assert found[1][1] == pytest.approx(alone[1], abs=1e-5)
    batch.close()
    one.close()


def test_a_model_of_another_environment_is_refused(kind, weights, tmp_path):
    other = "continuous" if kind == "discrete" else "discrete"
    with pytest.raises(ConfigError, match=rf"weights are of {IDS[kind]}, expected some of {IDS[other]}"):
        WorldModelObservation(own(other), weights)
    with pytest.raises(ConfigError, match="map_name"):
        gymnasium.make("dreamduck:DreamDuck-v1", weights=weights, map_name="udem1")
    with pytest.raises(ConfigError, match=r"weights are of Duckietown"):
        WorldModelObservation(own(kind), write_model(tmp_path / "own", vae=True))
    card = json.loads((weights / "rnn.json").read_text())
    card["environment"]["action_space"] = {"n": 7}
    (weights / "rnn.json").write_text(json.dumps(card))
    with pytest.raises(WeightsError, match=f"actions of {SIZES[kind]} numbers.*got one of 7"):
        gymnasium.make("dreamduck:DreamDuck-v2", weights=weights)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"breaks": 50},
            r"arguments: expected {'discrete': False}, as the weights learned, got {.*'breaks': 50",
        ),
        ({"form": "numbers"}, "arguments: expected"),
        (None, "env: expected one that gymnasium.make has made"),
    ],
)
def test_an_environment_of_other_arguments_is_refused(tmp_path, settings, text):
    weights = write_gym_model(tmp_path, "continuous")
    env: Any = Dot(False)
    if settings is not None:
        env = gymnasium.make("DotBox-v0", disable_env_checker=True, **settings)
    with pytest.raises(ConfigError, match=text):
        WorldModelObservation(env, weights)


def test_dreams_are_compared_within_the_limit_of_the_environment(tmp_path):
    world = from_mapping(WorldConfig, {"weights": str(write_gym_model(tmp_path, "discrete"))})
    for seconds, steps in ((60.0, 30), (1.2, 12)):  # 60 steps of 1/20 s at most, two at a time
        assert final_evaluation._steps(world, EvaluationConfig(eval_seconds=seconds)) == steps


def test_commands_of_roads_refuse_other_models(tmp_path):
    weights = str(write_gym_model(tmp_path, "continuous"))
    with pytest.raises(ConfigError, match="expected weights of Duckietown, got some of DotBox-v0"):
        ablations.main(["--weights", weights, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
    dream = gymnasium.make("dreamduck:DreamDuck-v2", weights=weights, render_mode="rgb_array")
    with pytest.raises(ConfigError, match=r"weights: expected some of Duckietown.*dreamduck drive"):
        keyboard.drive(dream, argparse.Namespace())


def test_other_observations_are_refused(tmp_path):
    weights = write_gym_model(tmp_path, "continuous")
    with pytest.raises(ConfigError, match="pixels: expected observations that are an image"):
        WorldModelObservation(FlattenObservation(own("continuous")), weights)


@pytest.mark.parametrize("hidden", [0, 3])
def test_controllers_choose_actions_of_the_environment(kind, weights, hidden):
    actions = model_actions(weights)
    form = FormConfig("zh", hidden).form(*model_sizes(weights), actions=actions)
    theta = random_theta(form, np.random.default_rng(0), 1.0)
    observations = np.random.default_rng(1).normal(size=(40, 36)).astype(np.float32)
    vectors = Controller(form, theta)(observations)
    assert vectors.shape == (40, SIZES[kind])
    np.testing.assert_allclose(actions.executed(vectors), vectors, atol=1e-6)
    assert len(np.unique(vectors, axis=0)) > 1
    native = own(kind).action_space
    assert all(native.contains(one.astype(native.dtype)) for one in actions.decode(vectors))
    z, c, h = observations[:, :4], observations[:, 4:20], observations[:, 20:]
    found = tensor_policy(form)(theta[None], z, c, h).numpy()
    np.testing.assert_allclose(found, vectors, atol=1e-5)
    assert act(form, theta[None], observations[None][..., [*range(4), *range(20, 36)]]).shape == (
        1,
        40,
        SIZES[kind],
    )


@pytest.mark.parametrize("world", ["rnnenv", "realenv"])
def test_candidates_are_tried_in_the_dream_and_in_the_environment(world, kind, weights):
    config = from_mapping(WorldConfig, {"weights": str(weights)})
    form = FormConfig("z").form(*model_sizes(weights), actions=model_actions(weights))
    generator = np.random.default_rng(2)
    theta = np.stack([random_theta(form, generator, 2.0) for _ in range(2)])
    evaluator = make_evaluator(world, config, form, threads=1, beginning="first")
    found = evaluator(EvalBatch(theta, (3, 4), 2, 20))
    again = evaluator(EvalBatch(theta, (3, 4), 2, 20))
    assert found.reward.shape == (2, 2)
    assert np.isfinite(found.reward).all()
    np.testing.assert_array_equal(found.length, again.length)
    assert len(np.unique(found.reward)) > 1


def test_a_controller_of_other_actions_is_refused(kind, weights, tmp_path):
    form = FormConfig("z").form(*model_sizes(weights), actions=model_actions(weights))
    files = RunFiles.of(tmp_path, "rnnenv", 1, 2)
    theta = random_theta(form, np.random.default_rng(0), 0.5)
    files.write_theta(theta)
    assert load_controller(files.path(".json"), weights).form == form  # by its length alone
    files.write_card(to_card(form, theta))
    assert load_controller(files.path(".json"), weights).form == form
    driving = write_model(tmp_path / "own")
    with pytest.raises(ControllerError, match="expected"):
        load_controller(files.path(".json"), driving)
