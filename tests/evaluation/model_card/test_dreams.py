"""What the card asks of a world model is what the model's own steps give."""

import numpy as np
import pytest

from dreamduck.evaluation.model_card.dreams import Context, Dreams
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import RecurrentState
from dreamduck.world_model.mdn_rnn import Prediction


@pytest.fixture(scope="module")
def dreams(model_folder):
    return Dreams(WorldModel.load(model_folder), 0.5)


@pytest.fixture(scope="module")
def real():
    random = np.random.default_rng(1)
    return Context(
        random.standard_normal((3, 6, 64)).astype(np.float32),
        random.uniform(-1, 1, (3, 14, 2)).astype(np.float32),
    )


def test_features_are_what_a_policy_sees(dreams, real):
    found = dreams.features(real.z, real.action[:, :6])
    rnn, state = dreams.model.dynamics, dreams.model.dynamics.start(3)
    assert (found[:, 0, 64:] == 0).all()
    for t in range(5):
        state = rnn.advance(real.z[:, t], real.action[:, t], state)
    np.testing.assert_array_equal(found[:, 5], np.concatenate([real.z[:, 5], state.h], axis=1))


def test_an_open_loop_continues_from_the_last_frame_with_the_recorded_actions(dreams, real):
    found = dreams.open_loop(real.z, real.action, 9, 2, seed=3)
    assert found.z.shape == (3, 2, 9, 64)
    assert found.reward.shape == found.end.shape == (3, 2, 9)
    features = dreams.features(real.z, real.action[:, :6])
    rnn = dreams.model.dynamics
    state = RecurrentState(features[:, -1, 64:], np.zeros((3, 512), np.float32))
    state = rnn.start(3)
    for t in range(6):
        state = rnn.advance(real.z[:, t], real.action[:, t], state)
    np.testing.assert_array_equal(found.h[:, 0, 0], state.h)
    np.testing.assert_array_equal(found.h[:, 1, 0], state.h)
    prediction = rnn.predict(real.z[:, 5], state)
    np.testing.assert_array_equal(found.reward[:, 0, 0], prediction.reward)
    state = rnn.advance(found.z[:, 1, 0], real.action[:, 6], RecurrentState(state.h, state.c))
    np.testing.assert_array_equal(found.h[:, 1, 1], state.h)
    assert not np.array_equal(found.z[:, 0], found.z[:, 1])


def test_the_same_seed_gives_the_same_dreams_and_other_actions_give_others(dreams, real):
    one = dreams.open_loop(real.z, real.action, 5, 2, seed=3)
    again = dreams.open_loop(real.z, real.action, 5, 2, seed=3)
    np.testing.assert_array_equal(one.z, again.z)
    assert not np.array_equal(one.z, dreams.open_loop(real.z, real.action, 5, 2, seed=4).z)
    assert not np.array_equal(one.z, dreams.open_loop(real.z, -real.action, 5, 2, seed=3).z)


def test_a_policy_drives_on_what_it_sees(dreams, real):
    seen = []

    def act(z, h, step):
        seen.append((z.copy(), h.copy()))
        return np.full((len(z), 2), 2.0 if step else -0.25)

    context = Context(real.z, real.action[:, :5])
    found = dreams.closed_loop(act, context, 4, seed=0, cut=False)
    np.testing.assert_array_equal(found.z[:, 0], real.z[:, -1])
    np.testing.assert_array_equal(found.h[:, 0], dreams.features(real.z, real.action[:, :6])[:, -1, 64:])
    for t, (z, h) in enumerate(seen):
        np.testing.assert_array_equal(found.z[:, t], z)
        np.testing.assert_array_equal(found.h[:, t], h)
    assert found.action[0, :, 0].tolist() == [-0.25, 1.0, 1.0, 1.0]


def test_a_drawn_end_cuts_a_dream(dreams, monkeypatch):
    monkeypatch.setitem(dreams.model.dynamics.parameters, "head_end/bias", np.zeros(1, np.float32))

    def act(z, h, step):
        return np.zeros((len(z), 2))

    class Sure(Dreams):
        def _step(self, z, action, state, random):
            z, state, prediction = super()._step(z, action, state, random)
            assert isinstance(prediction, Prediction)
            return z, state, prediction._replace(end=np.full(len(z), 0.3, np.float32))

    sure = Sure(dreams.model, 0.5)
    found = sure.closed_loop(act, 40, 30, seed=0, cut=True)
    assert 2 < found.length.mean() < 5
    assert found.ended.all()
    for row, length in enumerate(found.length):
        assert (found.reward[row, length:] == 0).all()
        assert (found.z[row, length:] == 0).all()
        assert (found.z[row, :length] != 0).any(axis=1).all()
    whole = sure.closed_loop(act, 40, 30, seed=0, cut=False, trace=False)
    np.testing.assert_array_equal(whole.length, found.length)
    assert whole.z.shape == (40, 0, 64)
    assert (whole.end > 0).all()


def test_frames_of_many_latents_keep_their_places(dreams, real):
    frames = dreams.decode(real.z)
    assert frames.shape == (3, 6, 64, 64, 3)
    np.testing.assert_array_equal(frames[1, 2], dreams.model.decode(real.z[1, 2:3])[0])
