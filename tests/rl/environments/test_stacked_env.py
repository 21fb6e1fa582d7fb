"""Several vector environments of Stable-Baselines3 as one."""

import functools

import numpy as np

from dreamduck.rl.environments.stacked_env import StackedVecEnv
from dreamduck.rl.sb3 import DummyVecEnv
from tests.rl.toys import Countdown, Dot


def test_stacked_environments_are_the_parts_in_a_row():
    lengths = [2, 3, 4, 3, 5]
    makers = [functools.partial(Countdown, n, cut=n == 3) for n in lengths]
    whole = DummyVecEnv([*makers])
    stacked = StackedVecEnv([DummyVecEnv([*makers[:2]]), DummyVecEnv([*makers[2:]])])
    np.testing.assert_array_equal(stacked.reset(), whole.reset())
    assert stacked.reset_infos == whole.reset_infos
    for _ in range(11):
        mine, theirs = stacked.step(np.arange(5) % 2), whole.step(np.arange(5) % 2)
        for a, b in zip(mine[:3], theirs[:3], strict=True):
            np.testing.assert_array_equal(a, b)
        assert mine[3] == theirs[3]
    assert stacked.get_attr("length", [4, 1]) == [5, 3]
    stacked.set_attr("length", 7, [1, 3])
    assert stacked.get_attr("length") == [2, 7, 4, 7, 5]
    assert [int(first[0]) for first, _ in stacked.env_method("reset", indices=[0, 2])] == [2, 4]


def test_seeds_reach_every_part_of_stacked_environments():
    stacked = StackedVecEnv([DummyVecEnv([Dot]), DummyVecEnv([Dot, Dot])])
    whole = DummyVecEnv([Dot, Dot, Dot])
    stacked.seed(11)
    whole.seed(11)
    np.testing.assert_array_equal(stacked.reset(), whole.reset())
