"""Gymnasium's batches behind Stable-Baselines3's interface."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from stable_baselines3.common.vec_env import is_vecenv_wrapped

from dreamduck.rl.environments.vec_env import BatchVecEnv, split_infos
from dreamduck.rl.environments.wrappers import EpisodeMonitor
from dreamduck.rl.sb3 import DummyVecEnv, VecMonitor, sb3
from tests.rl.toys import Countdown, Dot


def batch(mode: AutoresetMode) -> BatchVecEnv:
    makers = [lambda: Countdown(2, cut=False), lambda: Countdown(3, cut=True)]
    return BatchVecEnv(SyncVectorEnv(makers, autoreset_mode=mode))


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_the_end_of_an_episode_is_as_in_stable_baselines(mode):
    ours = batch(mode)
    theirs = DummyVecEnv([lambda: Countdown(2, cut=False), lambda: Countdown(3, cut=True)])
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    for _ in range(7):
        mine, yours = ours.step(np.array([0, 1])), theirs.step(np.array([0, 1]))
        for a, b in zip(mine[:3], yours[:3], strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(mine[3], yours[3], strict=True):
            assert a["left"] == b["left"]
            assert a.get("TimeLimit.truncated", False) == b["TimeLimit.truncated"]
            if "terminal_observation" in b:
                np.testing.assert_array_equal(a["terminal_observation"], b["terminal_observation"])
            else:
                assert "terminal_observation" not in a


def test_an_idle_step_is_not_counted_as_an_episode():
    venv = EpisodeMonitor(batch(AutoresetMode.NEXT_STEP), "Countdown")
    venv.reset()
    seen: list[Any] = [venv.step(np.array([0, 0])) for _ in range(6)]
    assert [float(o[0, 0]) for o, *_ in seen] == [1, 0, 2, 1, 0, 2]
    assert [bool(d[0]) for _, _, d, _ in seen] == [False, True, True, False, True, True]
    assert [float(r[0]) for _, r, _, _ in seen] == [1, 1, 0, 1, 1, 0]
    assert [bool(i[0].get("reset_step")) for *_, i in seen] == [False, False, True, False, False, True]
    episodes = [i[0]["episode"]["l"] for *_, i in seen if "episode" in i[0]]
    assert episodes == [2, 2]
    cut = seen[2][3][1]
    assert cut["TimeLimit.truncated"]
    assert cut["terminal_observation"] == 0


def test_seeds_count_up_as_in_stable_baselines():
    ours = BatchVecEnv(SyncVectorEnv([Dot, Dot], autoreset_mode=AutoresetMode.SAME_STEP))
    theirs = DummyVecEnv([Dot, Dot])
    ours.seed(5)
    theirs.seed(5)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    assert [i["place"] for i in ours.reset_infos] == [i["place"] for i in theirs.reset_infos]


def test_observations_are_copies():
    class Rewriting(SyncVectorEnv):
        pass

    ours = BatchVecEnv(Rewriting([Dot], copy=False, autoreset_mode=AutoresetMode.SAME_STEP))
    first = ours.reset()
    kept = first.copy()
    ours.step(np.array([[1.0]], np.float32))
    np.testing.assert_array_equal(first, kept)


def test_a_batch_of_gymnasiums_own_trains():
    cartpole: VectorEnv[Any, Any, Any] = gym.make_vec(
        "CartPole-v1", num_envs=4, vectorization_mode="vector_entry_point"
    )
    model = sb3.PPO(
        "MlpPolicy", EpisodeMonitor(BatchVecEnv(cartpole), "CartPole-v1"), n_steps=32, batch_size=64
    )
    model.learn(256)
    assert model.num_timesteps == 256
    cartpole.close()


def test_stable_baselines_knows_the_monitor(tmp_path):
    venv = EpisodeMonitor(batch(AutoresetMode.SAME_STEP), "Countdown")
    assert is_vecenv_wrapped(venv, VecMonitor)
    venv.write_to(tmp_path / "monitor.csv")
    theirs = VecMonitor(batch(AutoresetMode.SAME_STEP), str(tmp_path / "theirs"))
    for each in (venv, theirs):
        each.reset()
        for _ in range(7):
            each.step(np.array([0, 0]))
        each.close()
    names = "monitor.csv", "theirs.monitor.csv"
    ours, others = ((tmp_path / name).read_text().splitlines() for name in names)
    assert json.loads(ours[0][1:])["env_id"] == "Countdown"
    strip = [[row.rpartition(",")[0] for row in rows[1:]] for rows in (ours, others)]
    assert strip[0] == strip[1] == ["r,l", "2.0,2", "3.0,3", "2.0,2", "2.0,2", "3.0,3"]


def test_infos_are_split_by_their_masks():
    infos = {
        "speed": np.array([1.0, 2.0]),
        "end": np.array(["", "off-road"], dtype=object),
        "_end": np.array([False, True]),
        "deep": {"x": np.array([3, 4]), "_x": np.array([True, False])},
        "whole": "said of the batch",
    }
    assert split_infos(infos, 2) == [{"speed": 1.0, "deep": {"x": 3}}, {"speed": 2.0, "end": "off-road"}]
