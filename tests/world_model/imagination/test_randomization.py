"""Randomised dreams: compiled and stepped alike, another car in each, seen as that car's policy would."""

from typing import Any

import numpy as np
import pytest

from dreamduck.common.errors import ConfigError
from dreamduck.controllers.evaluator import DreamEvaluator, EvalBatch
from dreamduck.controllers.policy import Controller, ControllerForm
from dreamduck.envs.rnnenv import DreamEnv, DreamVectorEnv
from dreamduck.simulator.physics.dynamics import action_of_duties, draw_dynamics, wheel_duties
from dreamduck.simulator.robot import WHEEL_DISTANCE
from dreamduck.world_model import WorldModel
from dreamduck.world_model.categorical import CategoricalConfig, CategoricalDynamics
from dreamduck.world_model.dynamics import RecurrentState
from dreamduck.world_model.dynamics.start_states import INITIAL_FILE, InitialZ, write_initial
from dreamduck.world_model.imagination import randomization
from dreamduck.world_model.imagination.randomization import (
    RandomizationConfig,
    RandomizedDreams,
    arrive,
    randomize,
)
from tests.world_model.categorical import helpers
from tests.world_model.mdn_rnn.helpers import SMALL, random_parameters, write_mdn_rnn

EVERYTHING = RandomizationConfig(dynamics_rand=True, dynamics_spread=1.7, action_delay=3, latent_shift=0.4)
STEPS = 40
GAIN = 3.14


@pytest.fixture(params=["mdn-rnn", "categorical"])
def model(request, tmp_path):
    if request.param == "mdn-rnn":
        parameters = random_parameters(SMALL)
        parameters["head_end/bias"][:] = -3.0
        write_mdn_rnn(tmp_path, SMALL, parameters)
        return WorldModel.load(tmp_path)
    sizes = CategoricalConfig(4, 2, 6, 3, 5, units=7)
    parameters = helpers.random_parameters(sizes)
    parameters["head_end/bias"] -= 4.0
    CategoricalDynamics(parameters, sizes).save(tmp_path, {})
    mu = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
    write_initial(tmp_path / INITIAL_FILE, InitialZ(mu, np.full_like(mu, -3.0)))
    return WorldModel.load(tmp_path)


def form_and_theta(model, count=3):
    sizes = model.sizes
    form = ControllerForm(
        "zch" if sizes.policy_cell_size else "zh",
        z_size=sizes.z_size,
        hidden_size=sizes.hidden_size,
        cell_size=sizes.policy_cell_size,
    )
    theta = np.random.default_rng(2).normal(0, 0.5, (count, form.size)).astype(np.float32)
    return form, theta


def evaluated(model, config, seeds=(5, 6, 7)):
    form, theta = form_and_theta(model, len(seeds))
    evaluator = DreamEvaluator(model.compiled_dream(), form, 0.8, randomization=config)
    return evaluator(EvalBatch(theta, seeds, episodes=2, steps=STEPS))


def test_compiled_and_stepped_dreams_agree(model):
    found, plain = evaluated(model, EVERYTHING), evaluated(model, None)
    assert not np.allclose(found.reward, plain.reward, atol=1e-2)
    form, theta = form_and_theta(model)
    for row, seed in enumerate((5, 6, 7)):
        for episode in range(2):
            dreams = RandomizedDreams(model.dynamics, model.start_states(), 1, 0.8, EVERYTHING)
            dreams.reset([seed], episode=episode)
            total, ended, length = 0.0, False, 0
            while not ended and length < STEPS:
                step = dreams.step(Controller(form, theta[row])(dreams.observation))
                total, ended, length = total + float(step.reward[0]), bool(step.ended[0]), length + 1
            assert (found.length[row, episode], found.ended[row, episode]) == (length, ended)
            assert found.reward[row, episode] == pytest.approx(total, abs=1e-3)
    assert len(set(found.length.flat)) > 1  # some drop out


def test_without_randomization_nothing_changes(model):
    none = RandomizationConfig()
    assert not none
    for known, found in zip(evaluated(model, None), evaluated(model, none), strict=True):
        np.testing.assert_array_equal(known, found)


def test_what_is_drawn_follows_from_the_dream_alone(model):
    together = randomize(EVERYTHING, model.dynamics, [(3, 0), (4, 0), (4, 1)])
    alone = randomize(EVERYTHING, model.dynamics, [(4, 1)])
    for many, one in zip(together, alone, strict=True):
        np.testing.assert_array_equal(many[2], one[0])
        assert not np.array_equal(many[1], many[0]) or many is together.delay
    late = randomize(EVERYTHING, model.dynamics, [(seed, 0) for seed in range(40)]).delay
    assert (late.sum(axis=0) > 2).all()
    assert (late.sum(axis=1) == 1).all()


def test_motors_are_those_of_the_simulator():
    motors = randomization._motors(8, 1.6, {"steering_gain": GAIN})
    gain, trim, _, distance = draw_dynamics(8, 1.6)
    for throttle, steering in ((0.3, 0.2), (-0.2, 0.4), (0.5, -0.1)):
        duties = wheel_duties(throttle, GAIN * steering, distance, gain, trim)
        expected = action_of_duties(np.array([duties]))[0] / (1.0, GAIN)
        np.testing.assert_allclose(motors @ (throttle, steering), expected, atol=1e-6)
    assert abs(distance - WHEEL_DISTANCE) > 1e-4


def test_no_motor_turns_against_its_command():
    widest = randomization.MOST_SPREAD
    drawn = np.array([draw_dynamics(seed, widest)[:2] for seed in range(3000)])
    assert (drawn[:, 0] > np.abs(drawn[:, 1])).all()
    assert (drawn[:, 0] - np.abs(drawn[:, 1])).min() < 0.3  # the bound is close


def test_actions_arrive_late():
    motors = np.eye(2, dtype=np.float32)[None].repeat(3, 0)
    delay = np.eye(3, dtype=np.float32)  # 0, 1 and 2 steps late
    given = np.random.default_rng(0).uniform(-1, 1, (4, 3, 2)).astype(np.float32)
    commands, first = np.zeros((3, 3, 2), np.float32), np.ones((3, 1, 1), np.float32)
    for t, action in enumerate(given):
        done, commands, first = arrive(np, action, commands, first, motors, delay)
        expected = [given[max(t - late, 0), late] for late in range(3)]
        np.testing.assert_allclose(done, expected, atol=1e-7)


def test_the_state_follows_what_was_commanded(model):
    dreams = RandomizedDreams(model.dynamics, model.start_states(), 2, 0.8, EVERYTHING)
    dreams.reset([3, 4])
    z_size = model.sizes.z_size
    actions = np.random.default_rng(0).uniform(-1, 1, (6, 2, 2)).astype(np.float32)
    for action in actions:
        z, perceived = dreams.observation[:, :z_size], RecurrentState(*dreams._perceived[:2])
        dreams.step(action)
        after = dreams.observation
        state = model.dynamics.advance(z, action, perceived)
        state = model.dynamics.observe(after[:, :z_size], state)
        np.testing.assert_allclose(after, model.dynamics.features(after[:, :z_size], state), atol=1e-6)
        np.testing.assert_allclose(dreams._perceived.c, state.c, atol=1e-6)
    assert (np.abs(dreams.state.h - state.h) > 1e-4).any()


def test_the_environment_takes_it(model):
    settings: dict[str, Any] = {
        "dynamics_rand": True,
        "action_delay": 2,
        "latent_shift": 0.3,
        "temperature": 0.8,
    }
    env, many = DreamEnv(model=model, **settings), DreamVectorEnv(3, model=model, **settings)
    seen, _ = env.reset(seed=4)
    together, _ = many.reset(seed=[3, 4, 5])
    np.testing.assert_allclose(together[1], seen, atol=1e-6)
    assert not np.array_equal(seen, DreamEnv(model=model, temperature=0.8).reset(seed=4)[0])
    actions = np.random.default_rng(1).uniform(-1, 1, (4, 2)).astype(np.float32)
    env.step(actions[0])
    kept = env.get_state()
    first = [env.step(action) for action in actions[1:3]]
    env.set_state(kept)
    for one, action in zip(first, actions[1:3], strict=True):
        again = env.step(action)
        np.testing.assert_array_equal(again[0], one[0])
        assert again[1] == one[1]


def test_motors_of_another_environment_are_refused(tmp_path):
    other = {"environment": {"id": "CarRacing-v3"}}
    dynamics = write_mdn_rnn(tmp_path)
    dynamics.card.update(other)
    with pytest.raises(ConfigError, match="dynamics_rand: expected a world model of Duckietown"):
        randomize(EVERYTHING, dynamics, [(0, 0)])
    with pytest.raises(ConfigError, match="action_delay"):
        RandomizationConfig(action_delay=-1)
