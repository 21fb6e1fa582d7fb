"""The three Duckietown worlds behind the command, the README's commands, and the examples."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from dreamduck.common.errors import CheckpointError, ConfigError
from dreamduck.rl.agents import agent_file
from dreamduck.rl.environments import wrappers
from dreamduck.rl.environments.env_factory import find_spec
from dreamduck.rl.environments.vec_env import BatchVecEnv
from dreamduck.rl.run import main
from dreamduck.world_model.kinds import KINDS, SHIPPED
from tests.envs.models import OBSERVATION, write_model
from tests.envs.test_gymenv import write_gym_model

ROOT = Path(__file__).parents[3]
QUICK = "--no-progress -q --nsteps=8 --nminibatches=2 --noptepochs=1 --seed=0"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), vae=True)


def run(words: str, **more: Any) -> None:
    main([*shlex.split(words), *shlex.split(QUICK), *(f"--{k}={v}" for k, v in more.items())])


@pytest.mark.parametrize(
    ("env_id", "shape"),
    [("DreamDuck-v0", (64, 64, 3)), ("DreamDuck-v1", (OBSERVATION,)), ("DreamDuck-v2", (OBSERVATION,))],
)
def test_each_environment_steps_as_one_batch(env_id, shape, weights):
    settings = {} if env_id.endswith("v0") else {"weights": str(weights)}
    venv = wrappers.make_vec_env(env_id, 3, **settings)
    try:
        assert isinstance(venv.unwrapped, BatchVecEnv)
        assert venv.unwrapped.same_step
        venv.seed(4)
        seen = venv.reset()
        assert isinstance(seen, np.ndarray)
        assert seen.shape == (3, *shape)
        for _ in range(3):
            seen, rewards, ends, infos = venv.step(np.zeros((3, 2), np.float32))
        assert rewards.dtype == np.float32
        assert (len(infos), ends.shape) == (3, (3,))
        assert all("end" in info for info in infos)
    finally:
        venv.close()


@pytest.mark.parametrize("world", ["DreamDuck-v1", "DreamDuck-v2"])
@pytest.mark.parametrize("how", ["native", "dummy"])
def test_discrete_actions_begin_at_0_for_agents(world, how, tmp_path):
    """Those of the environment begin at 5."""
    weights = str(write_gym_model(tmp_path, "discrete"))
    spec = find_spec(world)
    venv = wrappers.make(spec, world, 3, {"weights": weights}, how)
    assert venv.action_space == gym.spaces.Discrete(3)
    direct = gym.make_vec(spec, 3, vectorization_mode="vector_entry_point", weights=weights)
    venv.seed(4)
    seen: Any = venv.reset()
    np.testing.assert_allclose(seen, direct.reset(seed=4)[0], atol=1e-6)
    for _ in range(4):
        seen, *_ = venv.step(np.array([0, 2, 1]))
        expected, *_ = direct.step(np.array([5, 7, 6]))
    np.testing.assert_allclose(seen, expected, atol=1e-5)
    venv.close()
    direct.close()


def test_the_end_of_an_episode_carries_its_last_frame():
    venv = wrappers.make_vec_env("DreamDuck-v0", 2)
    venv.seed(1)
    seen: Any = venv.reset()
    try:
        for _ in range(200):
            last = seen
            seen, _, ends, infos = venv.step(np.array([[1, 0], [0, 0]], np.float32))
            if ends[0]:
                break
        assert ends.tolist() == [True, False]
        assert infos[0]["end"] in ("off-road", "collision")
        assert not infos[0]["TimeLimit.truncated"]
        assert infos[0]["episode"]["l"] > 1
        final = infos[0]["terminal_observation"]
        assert final.shape == (64, 64, 3)
        # The last frame is like the one before it; that of the next episode is not.
        gaps = [np.abs(last[0].astype(float) - frame).mean() for frame in (final, seen[0])]
        assert gaps[0] < gaps[1]
    finally:
        venv.close()


def test_the_readmes_commands_on_the_simulator(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    command = (
        "--alg=ppo2 --env=DreamDuck-v0 --num_timesteps={} --num_env=4 --save_path=./models/dreamduck__ppo2"
    )
    run(command.format(64) + " --log_path=train_logs")
    with open("train_logs/progress.csv") as file:
        assert [row["misc/total_timesteps"] for row in csv.DictReader(file)] == ["32", "64"]
    assert agent_file.read("models/dreamduck__ppo2").card["plan"]["network"] == "cnn"  # type: ignore[index]
    flags = "--num_timesteps=0 --load_path=./models/dreamduck__ppo2 --play --log_path=train_logs"
    main([*shlex.split(flags), "--seed=0", "--play_steps=20"])
    assert (tmp_path / "train_logs" / "play.mp4").stat().st_size > 1000
    assert "wrote train_logs/play.mp4" in capsys.readouterr().out


def test_the_readmes_recurrent_command(tmp_path):
    run(
        "--alg=ppo2 --env=DreamDuck-v0 --network=cnn_lstm --num_env=8 --num_timesteps=64", log_path=tmp_path
    )
    assert (tmp_path / "progress.csv").exists()


def test_an_agent_of_the_dream_plays_in_the_simulator(tmp_path, weights):
    kwargs = f'--env_kwargs=\'{{"weights": "{weights}"}}\''
    agent = tmp_path / "agent"
    run(
        f"--env=DreamDuck-v2 --network=mlp --num_env=2 --num_timesteps=64 {kwargs}",
        save_path=agent,
        log_path=tmp_path,
    )
    drive = f"--env=DreamDuck-v1 --network=mlp --num_timesteps=0 --load_path={agent} --play {kwargs}"
    main([*shlex.split(drive), f"--video={tmp_path / 'road.mp4'}", "--play_steps=20"])
    assert (tmp_path / "road.mp4").stat().st_size > 1000
    with pytest.raises(CheckpointError, match="observation_space"):
        main(["--env=DreamDuck-v0", "--network=mlp", "--num_timesteps=0", f"--load_path={agent}", "--play"])


def test_a_recipe_sets_the_environment_too(tmp_path):
    short = "--env=DreamDuck-v2 --recipe --num_env=4 --num_timesteps=400 --seed=0 -q --no-progress"
    main([*shlex.split(short), f"--log_path={tmp_path}", f"--save_path={tmp_path / 'agent'}"])
    card = agent_file.read(tmp_path / "agent").card
    assert card is not None
    steps = KINDS[SHIPPED].search_steps
    varied = {"dynamics_rand": True, "dynamics_spread": 1.5, "action_delay": 3, "latent_shift": 0.4}
    assert card["env_kwargs"] == {"beginning": "midway", "max_episode_steps": steps, **varied}
    lengths = [int(line.split(",")[1]) for line in (tmp_path / "monitor.csv").read_text().splitlines()[2:]]
    assert max(lengths) <= steps


def test_arguments_of_the_environment(tmp_path):
    run('--env=DreamDuck-v0 --num_timesteps=16 --env_kwargs=\'{"map_name": "udem1"}\'', log_path=tmp_path)
    with pytest.raises(ConfigError, match="colour"):
        run("--env=DreamDuck-v0 --num_timesteps=16 --env_kwargs='{\"colour\": 1}'", log_path=tmp_path)


def test_environments_on_several_maps():
    maps = ["loop_empty", "generated:7-8"]
    venv = wrappers.make_vec_env("DreamDuck-v0", 4, map_name=maps)
    venv.seed(3)
    seen: Any = venv.reset()
    venv.close()
    alone: list[Any] = []
    for name, count, seed in (("loop_empty", 2, 3), ("generated:7", 1, 5), ("generated:8", 1, 6)):
        one = wrappers.make_vec_env("DreamDuck-v0", count, map_name=name)
        one.seed(seed)
        alone.append(one.reset())
        one.close()
    np.testing.assert_array_equal(seen, np.concatenate(alone))
    with pytest.raises(ConfigError, match=r"at most 2 maps, one for each of num_env, got 3"):
        wrappers.make_vec_env("DreamDuck-v0", 2, map_name=maps)
    with pytest.raises(ConfigError, match=r"list of names, got \[5\]"):
        wrappers.make_vec_env("DreamDuck-v0", 2, map_name=[5])
    play = wrappers.make_vec_env("DreamDuck-v0", 1, map_name=["udem1", "loop_empty"])
    assert play.num_envs == 1
    play.close()


def example(name: str, *words: object, learns: bool = True) -> str:
    """What an example prints, with small trainings."""
    small = {"n_steps": 2, "batch_size": 16, "n_epochs": 1}
    import stable_baselines3

    class Small(stable_baselines3.PPO):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, **small})

    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        if learns:
            patch.setattr(stable_baselines3, "PPO", Small)
        patch.setattr(gym.registry["DreamDuck-v0"], "max_episode_steps", 12)  # of what is evaluated
        patch.setattr(sys, "argv", [name, *map(str, words)])
        runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    return said.getvalue()


@pytest.fixture(scope="module")
def dreamer(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The agent of the example ppo_v2, and what the example printed."""
    path = tmp_path_factory.mktemp("example") / "v2.zip"
    return path, example("ppo_v2", "--steps", 16, "--weights", weights, "--save", path)


NUMBER = r"-?\d+\.\d\d"


def test_the_example_of_the_simulator(tmp_path):
    output = example("ppo_v0", "--steps", 8, "--save", tmp_path / "v0.zip")
    assert re.search(rf"reward {NUMBER} \+- {NUMBER}\n$", output), output
    assert (tmp_path / "v0.zip").is_file()


def test_the_example_of_the_dream(dreamer):
    path, output = dreamer
    assert re.search(r"total_timesteps \| 32 ", output), output
    assert path.is_file()


def test_the_example_of_the_way_back(dreamer, weights):
    output = example("ppo_v1", dreamer[0], "--steps", 12, "--weights", weights, learns=False)
    assert re.search(rf"reward of a car in 12 steps: {NUMBER}\n$", output), output
