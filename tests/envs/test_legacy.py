"""Legacy gym 0.26 on numpy 2."""

import gym
import numpy as np
import pytest

from dreamduck.common.errors import ActionError, ConfigError
from tests.envs.conformance import digest, episode, make


@pytest.fixture(scope="module")
def legacy():
    world = gym.make("DreamDuck-v0", max_episode_steps=3, render_mode="rgb_array")
    yield world
    world.close()


def test_it_is_legacy_gyms(legacy):
    assert isinstance(legacy.unwrapped, gym.Env)
    assert legacy.observation_space == gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    assert legacy.action_space == gym.spaces.Box(-1, 1, (2,), np.float32)
    assert legacy.metadata["render_modes"] == ["human", "rgb_array"]


def test_same_episode_as_gymnasiums(legacy):
    world = make("DreamDuck-v0", {})
    assert digest(episode(legacy.unwrapped, 3)) == digest(episode(world, 3))
    world.close()


def test_step_limit(legacy):
    legacy.reset(seed=0)
    ends = [legacy.step(np.zeros(2, np.float32))[2:] for _ in range(3)]
    assert [truncated for _, truncated, _ in ends] == [False, False, True]
    assert [info["end"] for *_, info in ends] == ["", "", ""]


def test_render_options_and_errors(legacy):
    _, info = legacy.reset(seed=0, options={"start": (1.5, 3.33, 0.0)})
    assert info["pose"] == pytest.approx((1.5, 3.33, 0.0))
    assert legacy.render().shape == (480, 640, 3)
    with pytest.raises(ActionError):
        legacy.step([np.nan, 0.0])
    with pytest.raises(ConfigError):
        gym.make("DreamDuck-v0", no_such_thing=1)


def test_generator_is_the_worlds(legacy):
    legacy.reset(seed=3)
    expected = legacy.unwrapped.world.np_random.bit_generator.state
    assert legacy.np_random.bit_generator.state == expected
    legacy.unwrapped.np_random = np.random.default_rng(0)
    assert legacy.unwrapped.world.np_random.bit_generator.state != expected
