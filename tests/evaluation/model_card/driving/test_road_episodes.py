"""Episodes of many policies on several maps are those of each policy alone."""

import numpy as np
import pytest

from dreamduck.controllers.evaluator import ControllerPolicy, run_episodes
from dreamduck.controllers.policy import Controller, ControllerForm
from dreamduck.evaluation.model_card.driving.ranked_policies import (
    RankedPolicy,
    _controlled,
    plain_policies,
)
from dreamduck.evaluation.model_card.driving.road_episodes import draw_starts, drive_all, first_latents
from dreamduck.simulator.base import SimulatorConfig
from dreamduck.simulator.road import Road, RoadConfig
from dreamduck.world_model import WorldModel
from dreamduck.world_model.imagination.perception import Perception

EPISODES, STEPS = 5, 60
ROADS = [
    RoadConfig(SimulatorConfig(map_name="loop_empty")),
    RoadConfig(SimulatorConfig(map_name="udem1"), steering_gain=2.0),
]


@pytest.fixture(scope="module")
def model(model_folder):
    return WorldModel.load(model_folder)


@pytest.fixture(scope="module")
def controllers():
    random = np.random.default_rng(0)
    found = []
    for features in ("z", "zh"):
        form = ControllerForm(features)
        theta = random.normal(0, 0.2, form.size)
        theta[0] = 1.0  # throttle
        found.append(Controller(form, theta))  # type: ignore[arg-type]
    return found


@pytest.fixture(scope="module")
def driven(model, controllers):
    policies = [RankedPolicy(c.form.features, "", c.form.features, _controlled(c)) for c in controllers]
    policies = [policies[0], *plain_policies()[1:3], policies[1]]
    starts = draw_starts(ROADS, EPISODES, seed=5)
    noises = [policy.noises(7, EPISODES, STEPS) for policy in policies]
    return starts, drive_all(model, policies, starts, STEPS, noises), policies, noises


@pytest.mark.parametrize(("row", "number"), [(0, 0), (3, 1)])
def test_a_policy_drives_as_if_alone(model, controllers, driven, row, number):
    starts, found, _, _ = driven
    controller = controllers[number]
    for map_number, config in enumerate(ROADS):
        episodes = np.flatnonzero(starts.road == map_number)
        road, perception = Road(config, len(episodes)), Perception(model.vae, model.dynamics, len(episodes))
        policy = ControllerPolicy(controller.form, controller.theta, perception)
        alone = run_episodes(road, policy, starts.seeds[episodes].tolist(), STEPS)
        np.testing.assert_array_equal(found.length[row, episodes], alone.length[:, 0])
        np.testing.assert_array_equal(found.ended[row, episodes], alone.ended[:, 0])
        np.testing.assert_allclose(found.reward[row, episodes], alone.reward[:, 0], rtol=1e-5)
    assert found.ended[row].any()  # else nothing was tried of cars that drop out


def test_policies_that_see_nothing_drive_too(driven):
    starts, found, policies, noises = driven
    straight = next(i for i, policy in enumerate(policies) if policy.name == "straight on")
    assert found.ended[straight].any()
    assert len(set(found.length[straight].tolist())) > 1
    random = next(i for i, policy in enumerate(policies) if policy.name == "random")
    road = Road(ROADS[0])
    road.reset([int(starts.seeds[0])])
    reward = 0.0
    for action in noises[random][0, : found.length[random, 0]]:
        reward += float(road.step(action[None]).reward[0])
    np.testing.assert_allclose(found.reward[random, 0], reward, rtol=1e-5)


def test_the_first_latents_are_of_the_frames_where_the_cars_start(model, driven):
    starts = driven[0]
    z = first_latents(model, starts)
    for episode in range(EPISODES):
        road = Road(ROADS[starts.road[episode]])
        road.reset([int(starts.seeds[episode])])
        np.testing.assert_array_equal(z[episode], model.encode(road.frames())[0])
    assert len(np.unique(z[:, 0])) == EPISODES
