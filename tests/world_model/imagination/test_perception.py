"""Perception: each car has a state of its own, and z is what the encoder is surest of."""

import numpy as np
import pytest

from dreamduck.common.errors import FrameError, ResetNeeded, WeightsError
from dreamduck.world_model.categorical import CategoricalConfig, CategoricalDynamics
from dreamduck.world_model.dynamics import RecurrentState
from dreamduck.world_model.imagination.perception import Perception
from dreamduck.world_model.mdn_rnn import MDNRNN
from tests.world_model.categorical.helpers import random_parameters as categorical_parameters
from tests.world_model.mdn_rnn.helpers import SMALL, random_parameters


class FakeVAE:
    """Four means of a frame stand for its latent."""

    z_size = 4

    def encode(self, frames):
        mu = np.stack([frames[:, i * 16 : (i + 1) * 16].mean(axis=(1, 2, 3)) for i in range(4)], axis=1)
        mu = (mu / 255).astype(np.float32)
        return mu, np.zeros_like(mu)


def frames(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def make(cars=3):
    return Perception(FakeVAE(), MDNRNN(random_parameters(), SMALL), cars)


def test_observation_is_z_c_h():
    perception, dynamics = make(), MDNRNN(random_parameters(), SMALL)
    seen = perception.reset(frames(3))
    assert seen.shape == (3, 4 + 2 * 16)
    assert seen.dtype == np.float32
    z = FakeVAE().encode(frames(3))[0]
    np.testing.assert_array_equal(seen[:, :4], z)
    assert not seen[:, 4:].any()
    actions = np.array([[0.5, -3.0], [0.1, 0.2], [0.0, 1.0]])
    seen = perception.step(frames(3, 1), actions)
    state = dynamics.advance(z, np.clip(actions, -1, 1), dynamics.start(3))
    np.testing.assert_array_equal(
        seen, np.concatenate([FakeVAE().encode(frames(3, 1))[0], state.c, state.h], 1)
    )


def test_a_policy_sees_a_frame_as_categorical_dreams_show_it():
    sizes = CategoricalConfig(4, 2, 6, variables=3, classes=5, units=7)
    dynamics = CategoricalDynamics(categorical_parameters(sizes), sizes)
    perception, encoded = Perception(FakeVAE(), dynamics, 3), FakeVAE().encode(frames(3))[0]
    seen = perception.reset(frames(3))
    state = dynamics.observe(encoded, dynamics.start(3))
    np.testing.assert_array_equal(perception.z, encoded)
    np.testing.assert_array_equal(seen, np.concatenate([dynamics.decode(state), state.h], axis=1))
    assert np.abs(seen[:, :4] - encoded).max() > 0.01
    actions = np.random.default_rng(2).uniform(-1, 1, (3, 2))
    seen = perception.step(frames(3, 1), actions)
    state = dynamics.advance(encoded, actions, state)
    state = dynamics.observe(FakeVAE().encode(frames(3, 1))[0], state)
    np.testing.assert_array_equal(seen, np.concatenate([dynamics.decode(state), state.h], axis=1))


def test_cars_begin_and_continue_one_by_one():
    together, alone = make(3), make(1)
    together.reset(frames(3))
    alone.reset(frames(3)[1:2])
    random = np.random.default_rng(5)
    for t in range(4):
        actions = random.uniform(-1, 1, (3, 2))
        seen = frames(3, 10 + t)
        if t == 2:  # the first car begins again, the others continue
            again = together.reset(seen[:1], np.array([0]))
            assert not again[0, 4:].any()
            both = together.step(seen[1:], actions[1:], np.array([1, 2]))
            np.testing.assert_array_equal(both, together.observation[1:])
        else:
            together.step(seen, actions)
        single = alone.step(seen[1:2], actions[1:2])
        np.testing.assert_allclose(together.observation[1], single[0], atol=1e-6)


def test_returned_arrays_do_not_change_later():
    perception = make(2)
    first = perception.reset(frames(2))
    copy = first.copy()
    perception.step(frames(2, 1), np.zeros((2, 2)))
    np.testing.assert_array_equal(first, copy)


def test_bad_input():
    perception = make(2)
    with pytest.raises(ResetNeeded):
        perception.step(frames(2), np.zeros((2, 2)))
    perception.reset(frames(2))
    with pytest.raises(FrameError, match="expected 2"):
        perception.reset(frames(3))


def test_models_that_do_not_belong_together():
    vae = FakeVAE()
    vae.z_size = 5
    with pytest.raises(WeightsError, match="5 latents, the dynamics 4"):
        Perception(vae, MDNRNN(random_parameters(), SMALL))


def test_a_step_is_that_of_the_dynamics():
    dynamics = MDNRNN(random_parameters(), SMALL)
    perception = make(1)
    perception.reset(frames(1))
    z = perception.z.copy()
    perception.step(frames(1, 1), [[0.1, 0.2]])
    expected = dynamics.advance(z, [[0.1, 0.2]], RecurrentState(*dynamics.start()))
    np.testing.assert_array_equal(perception.state.h, expected.h)
