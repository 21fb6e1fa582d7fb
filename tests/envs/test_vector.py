"""Many cars in one batch: the same as so many single worlds, in each autoreset mode."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import dreamduck  # noqa: F401  (registers the worlds)
from dreamduck.common.errors import ActionError, ConfigError, ResetNeeded, SimulatorError, StartError
from dreamduck.envs.env import DuckVectorEnv

START = (1.5, 3.33, 0.0)


def assert_same(ours, theirs, where=""):
    """Equal in value; what Gymnasium holds as objects (tuples) is an array of numbers in ours."""
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs), where
        for key in theirs:
            assert_same(ours[key], theirs[key], f"{where}/{key}")
        return
    if theirs.dtype != object:
        assert ours.dtype == theirs.dtype, where
        np.testing.assert_array_equal(ours, theirs, err_msg=where)
        return
    for a, b in zip(ours, theirs, strict=True):
        if b is None:  # nothing is said of this one
            assert a is None or not np.any(a), where
        else:
            np.testing.assert_array_equal(a, b, err_msg=where)


@pytest.mark.parametrize(
    ("simulator", "mode", "n"),
    [
        ("native", AutoresetMode.NEXT_STEP, 3),
        ("native", AutoresetMode.SAME_STEP, 3),
        ("gym-duckietown", AutoresetMode.NEXT_STEP, 2),
    ],
)
def test_same_as_gymnasiums_own(simulator, mode, n):
    settings = dict(simulator=simulator, max_episode_steps=20)
    batch = gymnasium.make_vec("DreamDuck-v0", num_envs=n, autoreset_mode=mode, **settings)
    single = SyncVectorEnv([lambda: gymnasium.make("DreamDuck-v0", **settings)] * n, autoreset_mode=mode)
    try:
        assert isinstance(batch, DuckVectorEnv)
        assert batch.single_observation_space == single.single_observation_space
        assert batch.observation_space == single.observation_space
        assert batch.action_space == single.action_space
        assert batch.metadata["autoreset_mode"] == single.metadata["autoreset_mode"]
        for ours, theirs in zip(batch.reset(seed=5), single.reset(seed=5), strict=True):
            assert_same(ours, theirs)
        rng, ends = np.random.default_rng(0), np.zeros(2, dtype=int)
        for k in range(60):
            if k == 35:
                seeds = [1, None, 7][:n]
                for ours, theirs in zip(batch.reset(seed=seeds), single.reset(seed=seeds), strict=True):
                    assert_same(ours, theirs)
            actions = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
            actions[0] = (1, -1)
            ours, theirs = batch.step(actions), single.step(actions)
            for name, a, b in zip(
                ("obs", "reward", "terminated", "truncated", "info"), ours, theirs, strict=True
            ):
                assert_same(a, b, f"step {k}: {name}")
            ends += ours[2].sum(), ours[3].sum()
        assert (ends > 0).all()  # both kinds were met
    finally:
        batch.close()
        single.close()


def test_an_end_at_the_limit_is_both():
    """The same as Gymnasium's TimeLimit; the info names the first end of the episode."""
    whole = gymnasium.make("DreamDuck-v0", max_episode_steps=1000)
    whole.reset(seed=5)
    length, terminated = 0, False
    while not terminated:
        length += 1
        _, _, terminated, _, _ = whole.step(np.array((1, -1), dtype=np.float32))
    whole.close()
    batch = gymnasium.make_vec("DreamDuck-v0", num_envs=2, max_episode_steps=length)
    single = SyncVectorEnv([lambda: gymnasium.make("DreamDuck-v0", max_episode_steps=length)] * 2)
    try:
        batch.reset(seed=5)
        single.reset(seed=5)
        for _ in range(length):
            actions = np.array([(1, -1), (0, 0)], dtype=np.float32)
            ours, theirs = batch.step(actions), single.step(actions)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
        assert ours[2].tolist() == [True, False]
        assert ours[3].tolist() == [True, True]
        assert ours[4]["end"].tolist() == ["off-road", ""]
    finally:
        batch.close()
        single.close()


@pytest.fixture
def batch():
    made = DuckVectorEnv(3, max_episode_steps=4, render_mode="rgb_array")
    yield made
    made.close()


def test_disabled_autoreset():
    batch = DuckVectorEnv(2, max_episode_steps=2, autoreset_mode="Disabled")
    try:
        batch.reset(seed=0, options={"start": START})
        for _ in range(2):
            _, _, _, truncated, info = batch.step(np.zeros((2, 2)))
        assert truncated.all()
        assert info["end"].tolist() == ["", ""]
        with pytest.raises(ResetNeeded, match=r"environments \[0, 1\].*reset_mask"):
            batch.step(np.zeros((2, 2)))
        _, info = batch.reset(options={"reset_mask": np.array([True, False])})
        assert info["_pose"].tolist() == [True, False]
        with pytest.raises(ResetNeeded, match=r"environments \[1\]"):
            batch.step(np.zeros((2, 2)))
        batch.reset(options={"reset_mask": np.array([False, True])})
        batch.step(np.zeros((2, 2)))
    finally:
        batch.close()


def test_starts(batch):
    _, info = batch.reset(seed=0, options={"start": START})
    np.testing.assert_allclose(info["pose"], [START] * 3)
    starts = np.array([START, (1.6, 3.33, 0.0), (1.7, 3.33, 0.0)])
    _, info = batch.reset(seed=0, options={"start": starts})
    np.testing.assert_allclose(info["pose"], starts)
    with pytest.raises(StartError):
        batch.reset(options={"start": (0.0, 0.0, 0.0)})
    broken = starts.copy()
    broken[1, 2] = np.nan
    for bad in (starts[:2], broken, [[1, 2, 3], [1, 2], [1]], "here", (np.inf, 1.0, 0.0)):
        with pytest.raises(StartError, match=r"start: expected three finite numbers .*, or 3 rows of them"):
            batch.reset(options={"start": bad})
    batch.reset(options={"start": None})


def test_before_reset(batch):
    with pytest.raises(ResetNeeded, match="call reset"):
        batch.step(np.zeros((3, 2)))
    with pytest.raises(ResetNeeded, match="call reset"):
        batch.render()


def test_reset_seeds_the_batchs_own_generator(batch):
    batch.reset(seed=7)
    assert batch.np_random_seed == 7
    drawn = batch.np_random.random(3)
    batch.step(np.zeros((3, 2)))
    batch.reset()
    assert batch.np_random_seed == 7
    batch.reset(seed=[np.int64(7), 1, None])
    np.testing.assert_array_equal(batch.np_random.random(3), drawn)
    batch.reset(seed=8)
    assert not np.array_equal(batch.np_random.random(3), drawn)
    for bad in (-1, 1.5, "3", [1, -2, 3]):
        with pytest.raises(ConfigError, match="seed: expected"):
            batch.reset(seed=bad)


@pytest.mark.parametrize("actions", [np.zeros((2, 2)), np.zeros(2), np.full((3, 2), np.nan), "left"])
def test_bad_actions(batch, actions):
    batch.reset(seed=0)
    with pytest.raises(ActionError, match="action: expected"):
        batch.step(actions)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"seed": [1, 2]}, "^seed: expected one for each of 3 environments, got 2"),
        ({"options": {"begin": 1}}, "^options: expected .*, got 'begin'"),
        ({"options": {"reset_mask": np.zeros(3, bool)}}, r"not all false, got bool \(3,\)"),
        ({"options": {"reset_mask": np.ones(2, bool)}}, r"expected 3 truth values, .* got bool \(2,\)"),
        ({"options": {"reset_mask": [0, 1, 1]}}, r"expected 3 truth values, .* got int64 \(3,\)"),
    ],
)
def test_bad_resets(batch, arguments, text):
    with pytest.raises(ConfigError, match=text):
        batch.reset(**arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_envs": 0}, "num_envs: expected an integer"),
        ({"num_envs": True}, "num_envs"),
        ({"steering_gain": np.inf}, "steering_gain: expected a finite number"),
        ({"render_mode": "human"}, "single world"),
        ({"max_episode_steps": 0}, "max_episode_steps"),
        ({"autoreset_mode": "Sometimes"}, "NextStep"),
        ({"mapname": "loop_empty"}, "mapname"),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(ConfigError, match=words):
        DuckVectorEnv(**{"num_envs": 2, **arguments})


def test_numpy_scalars_are_settings():
    given: dict[str, Any] = {
        "num_envs": np.int64(2),
        "max_episode_steps": np.int32(9),
        "frame_skip": np.int64(4),
        "domain_rand": np.bool_(True),
        "steering_gain": np.float32(0.5),
        "threads": np.int64(1),
    }
    batch = DuckVectorEnv(**given)
    assert (batch.num_envs, batch.max_episode_steps, batch.config.steering_gain) == (2, 9, 0.5)
    seed: Any = np.int64(3)
    batch.reset(seed=seed)
    batch.close()


def test_pictures_and_closing(batch):
    batch.reset(seed=0)
    images = batch.render()
    assert len(images) == 3
    assert images[0].shape == (480, 640, 3)
    assert not np.array_equal(images[0], images[1])
    batch.close()
    batch.close()
    with pytest.raises(SimulatorError, match="closed"):
        batch.reset()


def test_observations_are_the_callers_own(batch):
    observations, _ = batch.reset(seed=0)
    kept = observations.copy()
    batch.step(np.ones((3, 2)))
    np.testing.assert_array_equal(observations, kept)


def test_default_limit_is_that_of_the_registration():
    batch = gymnasium.make_vec("dreamduck:DreamDuck-v0", num_envs=2)
    assert isinstance(batch, DuckVectorEnv)
    assert batch.max_episode_steps == 1000
    assert batch.spec
    assert batch.spec.id == "DreamDuck-v0"
    batch.close()
