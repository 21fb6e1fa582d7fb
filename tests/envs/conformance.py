"""What every world must do, as a suite to be inherited:

class TestDuckEnv(Conformance):
    world_id = "DreamDuck-v0"
    settings = {"simulator": "native"}
    ends = ("", "off-road", "collision")
"""

import hashlib
import importlib
import json
import subprocess
import sys
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3.common.env_checker as sb3
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import TimeLimit

from dreamduck.common.errors import ActionError, ConfigError, DisplayError, ResetNeeded, SimulatorError
from dreamduck.registration import ENTRY_POINTS

ACTION = np.array([0.3, 0.1], dtype=np.float32)
BAD_ACTIONS = [
    [0.1],
    [0.1, 0.2, 0.3],
    [[0.1, 0.2]],
    0.5,
    [np.nan, 0.0],
    [0.0, np.inf],
    "left",
    [None, 0.0],
    None,
]


def make(world_id, settings, **more):
    """The world, without a wrapper."""
    return gymnasium.make(f"dreamduck:{world_id}", disable_env_checker=True, **settings, **more).unwrapped


def world_class(world_id):
    """The class behind an id."""
    module, _, name = ENTRY_POINTS[world_id].partition(":")
    return getattr(importlib.import_module(module), name)


def episode(world, seed, steps=12, options=None):
    """All that an episode gives: observations, rewards, ends, infos."""
    observation, info = world.reset(seed=seed, options=options)
    given = [(observation, 0.0, False, info)]
    for k in range(steps):
        action = np.array([0.4, 0.6 * np.cos(k)], dtype=np.float32)
        observation, reward, terminated, _, info = world.step(action)
        given.append((observation, reward, terminated, info))
        if terminated:
            break
    return given


def digest(given):
    """One digest of all results of `episode`."""
    state = hashlib.sha256()
    for observation, reward, terminated, info in given:
        state.update(np.ascontiguousarray(observation).tobytes())
        state.update(repr((float(reward), bool(terminated), info)).encode())
    return state.hexdigest()


def print_digest(world_id, settings, seed):
    """For another process: makes the world and prints the digest of an episode."""
    world = make(world_id, json.loads(settings))
    print(digest(episode(world, seed)))
    world.close()


class Conformance:
    """Inherit, and say which world."""

    world_id = ""
    settings: dict[str, Any] = {}  # noqa: RUF012
    ends: tuple[str, ...] = ()  # what `info["end"]` may say; the worlds of one class say no more
    full_steering = np.array([1.0, 1.0], np.float32)

    @pytest.fixture(scope="class")
    @classmethod
    def world(cls):
        """One world for all tests of the class; each begins with a reset."""
        world = make(cls.world_id, cls.settings, render_mode="rgb_array")
        yield world
        world.close()

    def test_gymnasium_check_env(self, world):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(world, skip_render_check=True)  # render modes have their own tests here

    def test_stable_baselines3_check_env(self, world):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sb3.check_env(world)

    def test_spaces(self, world):
        assert world.action_space == gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        for observation, reward, terminated, info in episode(world, 0):
            assert world.observation_space.contains(observation)
            assert observation.dtype == world.observation_space.dtype
            assert isinstance(reward, float)
            assert isinstance(terminated, bool)
            assert info["end"] in self.ends
            assert bool(info["end"]) == terminated

    def test_same_seed_same_episode(self, world):
        first = digest(episode(world, 3))
        episode(world, 4)
        world.render()
        assert digest(episode(world, 3)) == first
        assert digest(episode(world, 4)) != first

    def test_same_seed_in_another_process(self, world):
        code = (
            "from tests.envs.conformance import print_digest\n"
            f"print_digest({self.world_id!r}, {json.dumps(self.settings)!r}, 3)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split()[-1] == digest(episode(world, 3))

    def test_episodes_without_a_seed(self, world):
        """A new one each time, the same after the same seed."""
        world.reset(seed=5)
        first = [digest(episode(world, None)) for _ in range(2)]
        assert first[0] != first[1]
        world.reset(seed=5)
        assert [digest(episode(world, None)) for _ in range(2)] == first

    def test_zero_is_a_seed(self, world):
        assert digest(episode(world, 0)) == digest(episode(world, 0))

    def test_observations_are_the_callers_own(self, world):
        observation, _ = world.reset(seed=0)
        kept = observation.copy()
        later, *_ = world.step(ACTION)
        np.testing.assert_array_equal(observation, kept)
        later[:] = 0
        assert not np.array_equal(world.step(ACTION)[0], later)

    @pytest.mark.parametrize("action", BAD_ACTIONS)
    def test_bad_actions(self, world, action):
        world.reset(seed=0)
        with pytest.raises(ActionError, match="action: expected"):
            world.step(action)
        if isinstance(action, list) and None not in action:
            with pytest.raises(ActionError, match="action: expected"):
                world.step(np.array(action))
        world.step(ACTION)  # the episode continues

    def test_actions_outside_are_clipped(self, world):
        world.reset(seed=0)
        far = world.step([7.0, -3.0])
        world.reset(seed=0)
        edge = world.step([1.0, -1.0])
        np.testing.assert_array_equal(far[0], edge[0])
        assert far[1] == edge[1]

    def test_unknown_option(self, world):
        with pytest.raises(ConfigError, match=r"options: expected .*'begin'"):
            world.reset(options={"begin": 1})
        world.reset(options={})

    def test_unknown_argument(self):
        with pytest.raises(ConfigError, match="mapname"):
            make(self.world_id, self.settings, mapname="loop_empty")

    def test_picture(self, world):
        world.reset(seed=0)
        image = world.render()
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
        assert image.std() > 5

    def test_bad_render_mode(self):
        with pytest.raises(ConfigError, match="render_mode: expected None or one of"):
            world_class(self.world_id)(render_mode="ansi", **self.settings)

    def test_before_the_first_reset_and_after_the_end(self):
        world = make(self.world_id, self.settings)
        with pytest.raises(ResetNeeded, match="call reset"):
            world.step(ACTION)
        world.render_mode = "rgb_array"
        with pytest.raises(ResetNeeded, match="call reset"):
            world.render()
        world.render_mode = None
        world.reset(seed=0)
        with pytest.raises(ConfigError, match="render_mode"):
            world.render()
        world.close()
        world.close()
        for call in (world.reset, lambda: world.step(ACTION), world.render):
            with pytest.raises(SimulatorError, match="closed"):
                call()

    def test_window(self, display):
        world = make(self.world_id, self.settings, render_mode="human")
        try:
            world.reset(seed=0)
            display.window(type(world).__name__)
            assert world.render() is None
            before = display.screen()
            for _ in range(4):
                world.step([1.0, 1.0])
            assert (display.screen() != before).any()
        finally:
            world.close()

    def test_window_without_a_display(self, monkeypatch):
        monkeypatch.delenv("DISPLAY", raising=False)
        with pytest.raises(DisplayError, match="xvfb-run"):
            make(self.world_id, self.settings, render_mode="human")

    def test_an_end_is_named(self, world):
        """Driven until it ends by itself: only then there is an end, and it is one of this world's."""
        found = set()
        for seed in range(40):
            world.reset(seed=seed)
            for _ in range(400):
                *_, terminated, truncated, info = world.step(self.full_steering)
                assert not truncated
                assert bool(info["end"]) == terminated
                if terminated:
                    found.add(info["end"])
                    break
            if found:
                break
        assert found
        assert found <= set(self.ends) - {""}

    @pytest.mark.parametrize("outer", [7, 30])
    def test_a_world_never_truncates(self, outer):
        """Wrappers do, each by its own count, with any wrapper between them and the environment."""
        env = gymnasium.make(f"dreamduck:{self.world_id}", max_episode_steps=20, **self.settings)
        env = TimeLimit(Repeat(env), outer)
        try:
            for _ in range(2):
                env.reset(seed=0)
                steps, terminated, truncated = 0, False, False
                while not (terminated or truncated):
                    *_, terminated, truncated, info = env.step(0 * ACTION)
                    steps += 1
                assert (terminated, truncated, info["end"]) == (False, True, "")
                assert steps == min(outer, 10)  # the inner limit is 20, of two steps each
        finally:
            env.close()


class Repeat(gymnasium.Wrapper):
    """Takes every action twice."""

    def step(self, action):
        first = self.env.step(action)
        if first[2] or first[3]:
            return first
        return self.env.step(action)
