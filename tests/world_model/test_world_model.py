"""The world model as one object: its parts, one step, and whole episodes agree."""

import subprocess
import sys

import numpy as np
import pytest

import dreamduck
from dreamduck.common.backend import tf
from dreamduck.common.errors import ConfigError, WeightsError
from dreamduck.pretrained import FOLDER
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics.state import RecurrentState
from dreamduck.world_model.imagination.stepper import Dreams
from dreamduck.world_model.kinds import SHIPPED
from tests.world_model.mdn_rnn.helpers import SMALL, random_parameters, write_mdn_rnn

STEPS = 30


def policy(theta, z, c, h):
    """The same two actions at every step; theta (P, 2)."""
    count = tf.shape(z)[0] // tf.shape(theta)[0]
    return tf.repeat(theta, count, axis=0)


@pytest.fixture
def small(tmp_path):
    parameters = random_parameters()
    parameters["head_end/bias"][:] = -3  # dreams of some length
    write_mdn_rnn(tmp_path, parameters=parameters)
    return WorldModel.load(tmp_path)


def test_what_ships_is_loaded_by_default():
    model = dreamduck.WorldModel.load()
    assert model.folder == FOLDER
    assert model.kind == SHIPPED
    card = model.card
    assert card.sizes == model.sizes == model.dynamics.config
    assert card.fingerprints == {"vae": model.vae.weights, "rnn": model.dynamics.weights}
    assert card.environment["frame_skip"] == 3
    assert set(card.data) == set(card.metrics) == {"vae", "rnn"}
    assert card.metrics["vae"]
    assert card.metrics["rnn"]


def test_frames_are_encoded_and_decoded_as_the_vae_does():
    model = WorldModel.load()
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    z = model.encode(frames)
    np.testing.assert_array_equal(z, model.vae.encode(frames)[0])
    np.testing.assert_array_equal(model.decode(z), model.vae.decode(z))


@pytest.mark.parametrize("beginning", ["first", "midway"])
def test_steps_agree_with_the_environment(beginning):
    model = WorldModel.load()
    from dreamduck.envs.rnnenv import DreamEnv

    env = DreamEnv(temperature=0.7, beginning=beginning)
    seen, _ = env.reset(seed=5)
    state = model.start([5], beginning)
    action = np.array([0.6, -0.1], np.float32)
    for _ in range(5):
        recurrent = RecurrentState(state.h, state.c)
        np.testing.assert_array_equal(seen, model.dynamics.features(state.z, recurrent)[0])
        seen, reward, ended, *_ = env.step(action)
        state, rewards, ends = model.step(state, action[None], 0.7)
        assert reward == pytest.approx(float(rewards[0]), abs=0)
        assert ended == ends[0]
        if ended:
            break


def test_steps_are_pure_and_dreams_independent(small):
    begun = small.start([3, 4, 5])
    copies = [part.copy() for part in begun]
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, 3, 2)).astype(np.float32)

    def run(state, rows):
        found = []
        for step in range(STEPS):
            state, reward, end = small.step(state, actions[step, rows], 1.1)
            found.append((reward, end))
        return state, found

    whole, rewards = run(begun, slice(None))
    for part, copy in zip(begun, copies, strict=True):
        np.testing.assert_array_equal(part, copy)
    again, same = run(begun, slice(None))
    np.testing.assert_array_equal(whole.streams, again.streams)
    np.testing.assert_array_equal(rewards, same)
    alone, _ = run(small.start([4]), slice(1, 2))
    np.testing.assert_allclose(alone.z[0], whole.z[1], atol=1e-5)
    np.testing.assert_array_equal(alone.streams[0], whole.streams[1])


def test_steps_agree_with_the_compiled_rollout(small):
    theta = np.random.default_rng(1).uniform(-1, 1, (8, 2)).astype(np.float32)
    seeds = [*range(8, 16)]
    compiled = small.dream(policy, theta, 1, STEPS, seeds, temperature=0.9)
    state, total, alive = small.start(seeds), np.zeros(8, np.float32), np.ones(8, np.bool_)
    length = np.zeros(8, np.int64)
    for _ in range(STEPS):
        state, reward, ended = small.step(state, theta, 0.9)
        total += np.where(alive, reward, 0)
        length += alive
        alive &= ~ended
    np.testing.assert_allclose(compiled.reward.ravel(), total, atol=1e-4)
    np.testing.assert_array_equal(compiled.length.ravel(), length)
    np.testing.assert_array_equal(compiled.ended.ravel(), ~alive)
    assert 0 < alive.sum() < 8
    assert length.min() < STEPS / 2
    assert small.compiled_dream() is small.compiled_dream()


def test_dreams_continue_from_a_kept_state(small):
    dreams = Dreams(small.dynamics, small.start_states(), 2, 0.8)
    dreams.reset([1, 2])
    actions = np.full((2, 2), 0.4, np.float32)
    dreams.step(actions)
    kept = dreams.get_state()
    first = [dreams.step(actions) for _ in range(4)]
    dreams.set_state(kept)
    for before, after in zip(first, [dreams.step(actions) for _ in range(4)], strict=True):
        np.testing.assert_array_equal(after.reward, before.reward)
        np.testing.assert_array_equal(after.prediction.end, before.prediction.end)
    pure, rewards, _ = small.step(kept, actions, 0.8)
    np.testing.assert_array_equal(rewards, first[0].reward)
    assert pure.z.shape == (2, SMALL.z_size)


def test_bad_input_is_refused(small, tmp_path):
    with pytest.raises(ConfigError, match="temperature"):
        small.step(small.start([0]), np.zeros((1, 2)), 0.0)
    with pytest.raises(WeightsError, match=r"midway\.npz"):
        small.start([0], "midway")
    nothing = WorldModel.load(tmp_path / "nothing")
    for part in ("vae", "dynamics", "sizes"):
        with pytest.raises(WeightsError, match="no such file"):
            getattr(nothing, part)


def test_a_step_loads_no_tensorflow():
    code = (
        "import sys, numpy, dreamduck\n"
        "model = dreamduck.WorldModel.load()\n"
        "model.step(model.start([0]), numpy.zeros((1, 2)))\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
