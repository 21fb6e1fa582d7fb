"""Dreams in numpy: chance by position, rows that do not meddle."""

import numpy as np
import pytest

from dreamduck.common.errors import ConfigError, ResetNeeded
from dreamduck.common.kernels import products
from dreamduck.world_model.dynamics import InitialZ
from dreamduck.world_model.imagination.noise import Noise
from dreamduck.world_model.imagination.stepper import Dreams, check_temperature
from dreamduck.world_model.mdn_rnn import MDNRNN
from tests.world_model.mdn_rnn.helpers import SMALL, random_parameters


def make(count=1, **changes):
    mu = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    return Dreams(
        MDNRNN(random_parameters(), SMALL), InitialZ(mu, np.full_like(mu, -2.0)), count, **changes
    )


def test_noise_does_not_depend_on_how_much_is_drawn_at_a_time():
    whole = np.zeros((9, 5), np.float32), np.zeros((9, 4), np.float32)
    Noise(3, 1, 4).draw(*whole)
    parts, at = Noise(3, 1, 4), 0
    for steps in (1, 5, 3):
        uniform, normal = np.zeros((steps, 5), np.float32), np.zeros((steps, 4), np.float32)
        parts.draw(uniform, normal)
        np.testing.assert_array_equal(uniform, whole[0][at : at + steps])
        np.testing.assert_array_equal(normal, whole[1][at : at + steps])
        at += steps
    assert 0 <= whole[0].min() <= whole[0].max() < 1
    assert len({Noise(seed, episode, 4).begin()[0] for seed in range(3) for episode in range(3)}) == 9


def test_a_row_is_the_dream_alone():
    together, alone = make(3), make()
    together.reset([7, 2, 5])
    alone.reset([2])
    np.testing.assert_array_equal(together.observation[1], alone.observation[0])
    actions = np.random.default_rng(1).uniform(-1, 1, (6, 3, 2))
    for action in actions[:3]:
        step, single = together.step(action), alone.step(action[1:2])
        np.testing.assert_allclose(together.observation[1], alone.observation[0], atol=1e-5)
        np.testing.assert_allclose(step.reward[1], single.reward[0], atol=1e-5)
    together.reset([2], rows=[2])  # begins again; the others continue
    np.testing.assert_array_equal(together.observation[2, 4:], 0)
    for action in actions[3:]:
        together.step(action)
        alone.step(action[1:2])
        np.testing.assert_allclose(together.observation[1], alone.observation[0], atol=1e-4)


def test_blocks_of_rows_have_the_bits_of_the_whole(monkeypatch):
    whole, parts = make(19), make(19)
    whole.reset(range(19))
    parts.reset(range(19))
    for action in np.random.default_rng(1).uniform(-1, 1, (3, 19, 2)):
        monkeypatch.setattr(products, "WORK_PER_BLOCK", 1 << 60)
        one = whole.step(action)
        monkeypatch.setattr(products, "WORK_PER_BLOCK", 1)
        monkeypatch.setattr(products, "cores", lambda: 3)
        two = parts.step(action)
        np.testing.assert_array_equal(whole.observation, parts.observation)
        np.testing.assert_array_equal(one.reward, two.reward)
        np.testing.assert_array_equal(one.ended, two.ended)
        np.testing.assert_array_equal(one.prediction.end, two.prediction.end)
        for mine, theirs in zip(one.prediction.mixture, two.prediction.mixture, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_observations_handed_out_do_not_change():
    dreams = make()
    dreams.reset([0])
    before = dreams.observation
    copy = before.copy()
    dreams.step([[0.5, 0.5]])
    np.testing.assert_array_equal(before, copy)


def test_the_end_decides_which_reward():
    parameters = random_parameters()
    for name in ("head_reward/kernel", "head_end/kernel"):
        parameters[name][:] = 0
    parameters["head_reward/bias"][:] = [0.25, -1.0]
    initial = InitialZ(np.zeros((1, 4), np.float32), np.zeros((1, 4), np.float32))
    for logit, reward in ((-40, 0.25), (40, -1.0)):
        parameters["head_end/bias"][:] = logit
        dreams = Dreams(MDNRNN(parameters, SMALL), initial)
        dreams.reset([0])
        step = dreams.step([[0.0, 0.0]])
        assert step.reward[0] == np.float32(reward)
        assert step.ended[0] == (logit > 0)


def test_steps_before_a_reset():
    with pytest.raises(ResetNeeded):
        make().step([[0.0, 0.0]])


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf"), "warm", True])
def test_bad_temperatures(temperature):
    with pytest.raises(ConfigError, match="temperature: expected a finite number more than 0"):
        check_temperature(temperature, make().dynamics)
    with pytest.raises(ConfigError):
        make(temperature=temperature)
