"""The ids, found in interpreters that import nothing else."""

import subprocess
import sys

import gym
import gymnasium
import pytest

from dreamduck.registration import ENTRY_POINTS, register, register_legacy

DRIVE = """
env.reset(seed=3)
observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
assert env.observation_space.contains(observation), observation
assert isinstance(reward, float) and info["end"] == ""
env.close()
"""


def run(code):
    """Run a program on standard input, every warning an error; gives what it wrote to standard error."""
    done = subprocess.run([sys.executable, "-W", "error", "-"], input=code, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("simulator", ["native", "gym-duckietown"])
def test_gymnasium_by_module(simulator):
    make = f"gymnasium.make('dreamduck:DreamDuck-v0', simulator={simulator!r})"
    output = run(f"import gymnasium\nenv = {make}\n{DRIVE}")
    assert output == ""  # nor is v0 called out of date: the ids are three worlds


def test_gymnasium_after_import():
    run(f"import gymnasium, dreamduck\nenv = gymnasium.make('DreamDuck-v0')\n{DRIVE}")


def test_gymnasium_batch():
    run(
        "import gymnasium, dreamduck\n"
        "envs = gymnasium.make_vec('DreamDuck-v0', num_envs=2)\n"
        "assert envs.reset(seed=0)[0].shape == (2, 64, 64, 3)\n"
        "envs.close()\n"
    )


def test_legacy_gym_alone():
    output = run(f"import gym\nenv = gym.make('DreamDuck-v0')\nassert isinstance(env, gym.Env)\n{DRIVE}")
    assert "DreamDuck" not in output


@pytest.mark.parametrize("world", sorted(ENTRY_POINTS))
def test_ids_are_known_without_loading_them(world):
    run(
        "import sys, gym, gymnasium, dreamduck\n"
        f"for spec in (gym.spec({world!r}), gymnasium.spec({world!r})):\n"
        "    assert spec.max_episode_steps == 1000, spec\n"
        "assert not {'tensorflow', 'numba', 'pyglet', 'dreamduck.envs'} & set(sys.modules)\n"
    )


@pytest.mark.parametrize("again", [register, register_legacy])
def test_twice_is_harmless(again, recwarn):
    again()
    registry = gymnasium.registry if again is register else gym.envs.registry
    before = dict(registry)
    custom = registry["DreamDuck-v1"]
    again()
    assert dict(registry) == before
    assert all(registry[name] is before[name] for name in before)
    assert registry["DreamDuck-v1"] is custom
    assert not recwarn.list  # gymnasium and gym warn where an id is registered over
