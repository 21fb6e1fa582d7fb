"""Snapshots: from `get_state`, an environment continues exactly as before, alone and in a batch."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from dreamduck.common.errors import ConfigError, ResetNeeded, SimulatorError
from dreamduck.envs.env import DuckEnv, DuckVectorEnv
from dreamduck.envs.realenv import RealEnv, RealVectorEnv
from dreamduck.envs.rnnenv import DreamEnv, DreamVectorEnv
from tests.envs.models import write_model

WALKERS = {"map_name": "loop_pedestrians", "domain_rand": True}  # duckies that walk at random
WORLDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "road": (DuckEnv, DuckVectorEnv, WALKERS),
    "seen": (RealEnv, RealVectorEnv, {"next_z": True, **WALKERS}),
    "dream": (DreamEnv, DreamVectorEnv, {}),
    "midway": (DreamEnv, DreamVectorEnv, {"beginning": "midway"}),
}
STEPS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"), vae=True)


def arguments(name, folder):
    settings = WORLDS[name][2]
    if name in ("seen", "dream"):
        settings = {**settings, "weights": folder}
    return {**settings, "render_mode": "rgb_array"}


@pytest.fixture(params=WORLDS)
def single(request, folder):
    env = WORLDS[request.param][0](**arguments(request.param, folder))
    yield env
    env.close()


@pytest.fixture(params=WORLDS)
def batch(request, folder):
    env = WORLDS[request.param][1](3, max_episode_steps=9, **arguments(request.param, folder))
    yield env
    env.close()


def flat(value):
    """Everything in a tree of dictionaries and tuples, as bytes and plain values."""
    if isinstance(value, dict):
        return {key: flat(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [flat(one) for one in value]
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype == object else (value.dtype, value.shape, value.tobytes())
    return repr(value)


def go_on(env, action):
    """One step, or a new episode where the last one has ended; all that it gives."""
    if not getattr(env, "_running", True):
        return flat(env.reset())
    return flat((*env.step(action), getattr(env, "expected", None)))


def wander(env, actions, seed):
    """A random walk with returns; holds what is given after each return to what was given before."""
    random = np.random.default_rng(seed)
    env.reset(seed=seed)
    states, given = [env.get_state()], list[Any]()
    for _ in range(STEPS):
        if random.random() < 0.2:
            at = int(random.integers(len(states)))
            env.set_state(states[at])
            for action, expected in list(zip(actions, given, strict=False))[at : at + 3]:
                assert go_on(env, action) == expected
            at = int(random.integers(len(states)))  # and from somewhere else once more
            env.set_state(states[at])
            del states[at + 1 :], given[at:]
            actions[at:] = random.permutation(actions[at:])
        given.append(go_on(env, actions[len(given)]))
        states.append(env.get_state())


def test_random_walks(single):
    actions = np.random.default_rng(1).uniform(-1, 1, (STEPS, 2)).astype(np.float32)
    wander(single, actions, 3)


def test_random_walks_of_a_batch(batch):
    actions = np.random.default_rng(2).uniform(-1, 1, (STEPS, 3, 2)).astype(np.float32)
    wander(batch, actions, 5)


def test_another_environment_continues_alike(single, request, folder):
    name = request.node.callspec.params["single"]
    single.reset(seed=4)
    single.step([0.5, 0.1])
    state = single.get_state()
    expected = [go_on(single, (0.4, -0.2)) for _ in range(4)]
    image = single.render()
    for made in (pickle.loads(pickle.dumps(state)), copy.deepcopy(state)):
        other = WORLDS[name][0](**arguments(name, folder))
        other.set_state(made)
        assert [go_on(other, (0.4, -0.2)) for _ in range(4)] == expected
        np.testing.assert_array_equal(other.render(), image)
        other.close()
    single.set_state(state)
    assert [go_on(copy.deepcopy(single), (0.4, -0.2))] == expected[:1]
    assert go_on(pickle.loads(pickle.dumps(single)), (0.4, -0.2)) == expected[0]


def test_what_a_snapshot_is_not_of(single, request, folder):
    with pytest.raises(ResetNeeded, match="reset before get_state"):
        single.get_state()
    single.reset(seed=0)
    state = single.get_state()
    other = DuckVectorEnv(2)
    with pytest.raises(ConfigError, match=r"state: expected one of 2 DuckVectorEnv, got 1"):
        other.set_state(state)
    other.close()
    single.close()
    for call in (single.get_state, lambda: single.set_state(state)):
        with pytest.raises(SimulatorError, match="closed"):
            call()


def test_latents_that_are_set_change_what_follows(folder):
    for env in (DreamEnv(weights=folder), RealEnv(weights=folder, next_z=True)):
        env.reset(seed=2)
        state = env.get_state()
        before, likeliest = go_on_latents(env), env.expect([[0.3, 0.0]])
        env.set_state(state)
        env.latents[1] = 2.5
        assert env.observation[1] == 2.5
        assert not np.array_equal(go_on_latents(env), before)
        env.set_state(state)
        assert np.array_equal(go_on_latents(env), before)
        assert np.array_equal(env.expect([[0.3, 0.0]]), likeliest)
        env.close()


def go_on_latents(env):
    return [env.step((0.3, 0.1))[0] for _ in range(3)]


def test_at_temperature_0_the_likeliest_comes(folder):
    env = DreamEnv(weights=folder)
    env.reset(seed=2)
    env.temperature = 0.0
    expected = env.expect([[0.3, 0.1]])[0]
    env.step((0.3, 0.1))
    np.testing.assert_array_equal(env.latents, expected)


def test_gym_duckietown_drives_there_again():
    env = DuckEnv(simulator="gym-duckietown", map_name="loop_empty")
    try:
        env.reset(seed=1)
        states, given = [env.get_state()], []
        for k in range(6):
            given.append(flat(env.step((0.5, 0.1 * k))))
            states.append(env.get_state())
        for at in (2, 5, 0):
            env.set_state(states[at])
            for k in range(at, 6):
                assert flat(env.step((0.5, 0.1 * k))) == given[k]
        simulator: Any = env.road.simulator
        simulator.place((1.5, 3.33, 0.0))
        with pytest.raises(SimulatorError, match="placed"):
            env.get_state()
    finally:
        env.close()
