import numpy as np
import pytest

from dreamduck.common.config import replace
from dreamduck.common.seeding import derive
from dreamduck.deployment.gauntlet import drive
from dreamduck.deployment.gauntlet.car import PUSH_STEPS, Pushes, disturb
from dreamduck.deployment.gauntlet.config import GauntletConfig
from dreamduck.deployment.gauntlet.drive import Camera, Rounds
from dreamduck.deployment.gauntlet.perturbations import Conditions, Perturbation, catalogue
from dreamduck.simulator.base import SimulatorConfig
from dreamduck.simulator.native import NativeSimulator
from dreamduck.simulator.physics.dynamics import action_of_duties

MAP = "loop_empty"


def cars(count, frame_skip=1):
    config = replace(SimulatorConfig(), map_name=MAP, frame_skip=frame_skip, start_angle=4.0)
    return NativeSimulator(config, count, threads=1)


class FollowsBrightness:
    """Steers to the brighter half of what it sees, so that every pixel counts."""

    def __init__(self):
        self.sizes, self.calls = set(), 0

    def reset(self, count):
        self.calls = 0

    def act(self, frames):
        self.sizes.add(frames.shape[1:])
        self.calls += 1
        half = frames.shape[2] // 2
        turn = frames[:, :, half:].mean(axis=(1, 2, 3)) - frames[:, :, :half].mean(axis=(1, 2, 3))
        turn = np.clip(turn / 200, -0.2, 0.2)
        return np.stack([0.2 + turn, 0.2 - turn], axis=1)


def rounds(**settings):
    made = replace(GauntletConfig(), maps=(MAP,), episodes=4, seconds=3.0, **settings)
    return Rounds(made, FollowsBrightness(), Camera())


def row(**conditions):
    return Perturbation("test", "test", lambda rng: Conditions(**conditions))


def test_motors_that_are_scaled_drive_like_smaller_duties():
    weak, whole = cars(2), cars(2)
    weak.reset([3, 4])
    whole.reset([3, 4])
    factors = np.array([[0.75, 0.75], [0.9, 1.1]])
    disturb(weak, [Conditions(left=left, right=right) for left, right in factors])
    duties = np.array([[0.3, 0.4], [0.35, 0.3]])
    for _ in range(40):
        one, other = weak.step(action_of_duties(duties)), whole.step(action_of_duties(duties * factors))
    np.testing.assert_allclose(one.pose, other.pose, atol=1e-12)
    weak.reset([3, 4])  # and a reset makes them whole again
    whole.reset([3, 4])
    one, other = weak.step(action_of_duties(duties)), whole.step(action_of_duties(duties))
    np.testing.assert_array_equal(one.pose, other.pose)


def test_cameras_are_mounted_otherwise_until_the_next_reset():
    simulator = cars(2)
    simulator.reset([1, 1])
    plain = simulator.frames()
    np.testing.assert_array_equal(plain[0], plain[1])
    disturb(simulator, [Conditions(), Conditions(pitch=5.0, height=1.1)])
    seen = simulator.frames()
    np.testing.assert_array_equal(seen[0], plain[0])
    assert np.abs(seen[1].astype(int) - plain[1]).mean() > 3
    appearance = simulator.appearance
    assert appearance.camera_pitch[1] - appearance.camera_pitch[0] == pytest.approx(5.0, abs=1e-5)
    assert appearance.camera_height[1] / appearance.camera_height[0] == pytest.approx(1.1, abs=1e-6)
    simulator.reset([1, 1])
    np.testing.assert_array_equal(simulator.frames(), plain)


def test_a_push_moves_a_car_to_its_left():
    simulator = cars(2)
    before = simulator.reset([1, 2]).pose
    simulator.push(np.array([0.02, -0.01]))
    after = simulator.step(np.zeros((2, 2))).pose
    left = np.stack([-np.sin(before[:, 2]), -np.cos(before[:, 2])], axis=1)  # z points down
    np.testing.assert_allclose(after[:, :2] - before[:, :2], left * [[0.02], [-0.01]], atol=1e-12)
    np.testing.assert_allclose(after[:, 2], before[:, 2], atol=1e-12)


def test_pushes_come_at_their_interval_and_move_as_far_as_told():
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
    simulator, policy = cars(4, frame_skip=3), FollowsBrightness()
    simulator = NativeSimulator(replace(SimulatorConfig(), map_name=MAP), 4, threads=1)
    seeds = [derive(0, episode) for episode in range(4)]
    state = simulator.reset(seeds)
    last = state.pose.copy()
    for _ in range(30):
        state = simulator.step(action_of_duties(policy.act(simulator.frames())))
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


def test_episodes_do_not_depend_on_who_drives_beside_them(clean, monkeypatch):
    monkeypatch.setattr(drive, "CARS", 2)
    two = rounds()
    assert two.drive(row(), MAP, 0) + two.drive(row(), MAP, 1) == clean


def test_frames_of_another_size_reach_the_policy():
    large = rounds(camera_width=640, camera_height=480)
    large.settings = replace(large.settings, seconds=0.2, episodes=1)
    large.drive(row(jpeg_quality=30, roll=3.0), MAP, 0)
    assert large.policy.sizes == {(480, 640, 3)}
    assert large.policy.calls == 2


def test_cars_that_have_ended_stop():
    """A policy that turns on the spot leaves nobody's measures after the end."""

    class Ahead(FollowsBrightness):
        def act(self, frames):
            return np.full((len(frames), 2), 1.0)

    made = rounds()
    made.policy = Ahead()
    made.settings = replace(made.settings, seconds=20.0)
    episodes = made.drive(row(), MAP, 0)
    assert {episode["end"] for episode in episodes} == {"off-road"}
    assert all(episode["survival_time"] < 20 for episode in episodes)
