import numpy as np
import pytest

from dreamduck.common.config import replace
from dreamduck.common.seeding import derive
from dreamduck.deployment.gauntlet import drive
from dreamduck.deployment.gauntlet.car import PUSH_STEPS, Pushes
from dreamduck.deployment.gauntlet.config import GauntletConfig
from dreamduck.deployment.gauntlet.drive import Camera, Rounds
from dreamduck.deployment.gauntlet.perturbations import Conditions, Perturbation, catalogue
from dreamduck.deployment.gauntlet.worker import camera_of
from dreamduck.simulator.base import SimulatorConfig
from dreamduck.simulator.native import NativeSimulator
from dreamduck.simulator.physics.dynamics import action_of_duties

MAP = "loop_empty"


class FollowsBrightness:
    """Steers to the brighter half of what it sees, so that every pixel counts."""

    def __init__(self):
        self.sizes, self.calls, self.seen = set(), 0, []

    def reset(self, cars):
        self.calls, self.seen = 0, [0] * cars

    def act(self, frames, cars):
        self.sizes.add(frames.shape[1:])
        self.calls += 1
        for car in cars:
            self.seen[car] += 1
        half = frames.shape[2] // 2
        turn = frames[:, :, half:].mean(axis=(1, 2, 3)) - frames[:, :, :half].mean(axis=(1, 2, 3))
        turn = np.clip(turn / 200, -0.2, 0.2)
        return np.stack([0.2 + turn, 0.2 - turn], axis=1)


def rounds(**settings):
    made = replace(GauntletConfig(), maps=(MAP,), episodes=4, seconds=3.0, **settings)
    return Rounds(made, FollowsBrightness(), Camera())


def row(**conditions):
    return Perturbation("test", "test", lambda rng: Conditions(**conditions))


def test_pushes_come_at_their_interval_and_move_by_their_length():
    steps = 30_000
    pushes = Pushes([Conditions(push=0.03), Conditions()], [0, 1], 5.0, steps)
    moves = pushes._moves
    assert not moves[:, 1].any()
    count = np.abs(moves[:, 0]).sum() / 0.03
    assert count == pytest.approx(steps / 30 / 5, rel=0.15)
    assert abs(moves[:, 0].sum()) / 0.03 < 0.3 * count  # to both sides
    assert np.abs(moves[:, 0]).max() >= 0.03 / PUSH_STEPS


@pytest.fixture(scope="module")
def clean():
    return rounds().drive(row(), MAP, 0)


def test_the_clean_drive_is_that_of_the_simulator(clean):
    """Three steps of 1/30 s for each frame give the pose that one step of 0.1 s gives."""
    simulator = NativeSimulator(replace(SimulatorConfig(), map_name=MAP), 4, threads=1)
    policy = FollowsBrightness()
    policy.reset(4)
    seeds = [derive(0, episode) for episode in range(4)]
    state = simulator.reset(seeds)
    last = state.pose.copy()
    for _ in range(30):
        state = simulator.step(action_of_duties(policy.act(simulator.frames(), range(4))))
        last = np.where(state.end[:, None] == 0, state.pose, last)
    assert [episode["seed"] for episode in clean] == seeds
    seen = rounds()
    seen.drive(row(), MAP, 0)
    assert seen._simulator is not None
    for car, episode in enumerate(clean):
        if episode["end"] == "time":
            np.testing.assert_allclose(seen._simulator._cars.pose[car], last[car], atol=1e-9)
    assert any(episode["end"] == "time" for episode in clean)


def test_a_round_gives_the_same_again(clean):
    twice = rounds()
    assert twice.drive(row(), MAP, 0) == clean
    twice.drive(row(noise=30.0, left=0.9), MAP, 0)
    assert twice.drive(row(), MAP, 0) == clean  # nothing is left of the round before


@pytest.mark.parametrize("key", [row.key for row in catalogue(GauntletConfig().strengths)][1:])
def test_every_perturbation_changes_the_drive(clean, key):
    (chosen,) = (one for one in catalogue(GauntletConfig().strengths) if one.key == key)
    assert rounds(push_interval=0.3).drive(chosen, MAP, 0) != clean


def test_episodes_do_not_depend_on_other_cars(clean, monkeypatch):
    monkeypatch.setattr(drive, "CARS", 2)
    two = rounds()
    assert two.drive(row(), MAP, 0) + two.drive(row(), MAP, 1) == clean


def test_frames_of_another_size_reach_the_policy():
    large = rounds(camera_width=640, camera_height=480)
    large.settings = replace(large.settings, seconds=0.2, episodes=1)
    large.drive(row(jpeg_quality=30, roll=3.0), MAP, 0)
    assert large.policy.sizes == {(480, 640, 3)}
    assert large.policy.calls == 2


def test_frames_have_the_size_of_the_policy_s_own_camera():
    camera = camera_of({"environment": {"camera": [90, 120, 3], "distortion": True, "frame_skip": 6}})
    assert camera == Camera(True, 6, width=120, height=90)
    own = rounds()
    own.camera = camera
    own.settings = replace(own.settings, seconds=0.4, episodes=1)
    own.drive(row(), MAP, 0)
    assert own.policy.sizes == {(90, 120, 3)}
    assert camera_of({}) == Camera(False, 3, 64, 64)


def test_cars_that_have_ended_stop():
    """Straight on, everybody leaves the road, each at its time; the policy then sees no more of it."""

    class Ahead(FollowsBrightness):
        def act(self, frames, cars):
            super().act(frames, cars)
            return np.full((len(frames), 2), 1.0)

    made = rounds()
    made.policy = Ahead()
    made.settings = replace(made.settings, seconds=20.0)
    episodes = made.drive(row(), MAP, 0)
    assert {episode["end"] for episode in episodes} == {"off-road"}
    assert all(episode["survival_time"] < 20 for episode in episodes)
    times = np.array([episode["survival_time"] for episode in episodes])
    assert np.ptp(times) > 0.2
    np.testing.assert_allclose(made.policy.seen, np.ceil(10 * times - 1e-6))
