"""The native simulator against gym-duckietown itself, from the same seeds with the same actions."""

import itertools

import numpy as np
import pytest

from dreamduck.common.errors import StartError
from dreamduck.simulator.base import END_NONE, SimulatorConfig, Variation
from dreamduck.simulator.expert import Expert
from dreamduck.simulator.gym_duckietown.client import UpstreamSimulator
from dreamduck.simulator.native import NativeSimulator

CLOSE = 1e-6
STATES = (
    "pose",
    "speed",
    "lane_dist",
    "lane_angle",
    "lane_tangent",
    "simulator_reward",
    "proximity_penalty",
)
SOME_MAPS = ("loop_dyn_duckiebots", "loop_pedestrians", "4way", "generated:8")
MANY_MAPS = (
    "4way",
    "calibration_map_int",
    "ETH_large_intersect",
    "ETHZ_autolab_technical_track",
    "ETU_autolab_track",
    "loop_dyn_duckiebots",
    "loop_empty",
    "loop_obstacles",
    "loop_pedestrians",
    "MOOC_modcon",
    "regress_4way_adam",
    "robotarium2",
    "small_loop_cw",
    "straight_road_down",
    "TTIC_ripltown",
    "udem1",
    "zigzag_dists",
    *(f"generated:{number}" for number in (1, 3, 11, 21, 31, 34, 55, 60)),
)


class NoisyExpert:
    """Mostly the expert, with bursts of anything; some seeds drive wildly from the beginning to the end."""

    def __init__(self, expert, seed):
        self.expert, self.rng, self.wild = expert, np.random.default_rng(seed), seed % 3 == 0
        self.burst, self.action = 0, np.zeros(2)

    def __call__(self, state):
        if self.burst == 0 and (self.wild or self.rng.random() < 0.02):
            self.burst = int(self.rng.integers(3, 15))
            self.action = self.rng.uniform((-0.3, -3.5), (1.0, 3.5))
        if self.burst > 0:
            self.burst -= 1
            return self.action[None]
        return self.expert(state) * (1.0, 3.14)


def assert_same(native, upstream, ours, theirs, where):
    for name in STATES:
        got, expected = getattr(ours, name), getattr(theirs, name)
        if name == "pose":
            for heading in (got[0, 2], expected[0, 2]):
                assert -np.pi <= heading < np.pi, f"heading {heading}, {where}"
            if np.pi - abs(expected[0, 2]) < CLOSE:  # pi itself is -pi: the two may round to either side
                got, expected = (np.c_[a[:, :2], np.abs(a[:, 2])] for a in (got, expected))
        np.testing.assert_allclose(got, expected, rtol=0, atol=CLOSE, err_msg=f"{name}, {where}")
    np.testing.assert_array_equal(ours.tile, theirs.tile, err_msg=where)
    np.testing.assert_array_equal(ours.end, theirs.end, err_msg=where)
    moving = [k for k, thing in enumerate(native.map.objects) if thing.moving]
    lights = [k for k, thing in enumerate(native.map.objects) if thing.kind == "trafficlight"]
    if moving or lights:
        things = upstream.objects()
        for place, k in zip(native.moving[0], moving, strict=True):
            np.testing.assert_allclose(place[:3], things[k]["pos"], rtol=0, atol=CLOSE, err_msg=where)
            assert place[3] == pytest.approx(np.deg2rad(things[k]["y_rot"]), abs=CLOSE), where
        for pattern, k in zip(native.signals[0], lights, strict=True):
            assert pattern == things[k]["pattern"], where


def compare(map_name, seeds, steps, frame_skip=3, **settings):
    """How many of the episodes ended."""
    config = SimulatorConfig(map_name=map_name, frame_skip=frame_skip, **settings)
    native, upstream = NativeSimulator(config), UpstreamSimulator(config)
    ended = 0
    try:
        expert = Expert(native.map)
        for seed in seeds:
            ours, theirs = native.reset([seed]), upstream.reset([seed])
            assert_same(native, upstream, ours, theirs, f"{map_name}, seed {seed}, start")
            policy = NoisyExpert(expert, seed)
            over = False
            for step in range(steps):
                action = policy(ours)
                ours, theirs = native.step(action), upstream.step(action)
                assert_same(native, upstream, ours, theirs, f"{map_name}, seed {seed}, step {step}")
                over = (
                    over or ours.end[0] != END_NONE
                )  # and on it goes: the physics have to agree there too
            ended += over
    finally:
        upstream.close()
        native.close()
    return ended


@pytest.mark.parametrize("map_name", SOME_MAPS)
def test_drives_like_upstream(map_name):
    ended = compare(map_name, seeds=range(3), steps=60)
    assert ended > 0, "no end was compared"


def test_pedestrians_walk_again_and_again_like_upstreams():
    compare("loop_pedestrians", seeds=[1], steps=22, frame_skip=30)


def test_drives_like_upstream_with_other_dynamics():
    compare("loop_empty", seeds=range(8), steps=30, dynamics_rand=True)


def test_variations_are_those_of_upstream():
    """Each episode its own, in simulators whose settings have none."""
    config = SimulatorConfig(map_name="loop_pedestrians")
    native, upstream = NativeSimulator(config), UpstreamSimulator(config)
    try:
        for seed, variation in enumerate(itertools.product((True, False), repeat=3)):
            given = [Variation(*variation)]
            ours = native.reset([seed], variations=given)
            theirs = upstream.reset([seed], variations=given)
            for step in range(20):
                assert_same(native, upstream, ours, theirs, f"{given}, step {step}")
                action = np.array([[0.5, np.sin(step / 3)]])
                ours, theirs = native.step(action), upstream.step(action)
            difference = np.abs(native.frames().astype(int) - upstream.frames())
            assert difference.mean() < 1.5, given
        snapshot = upstream.get_state()
        upstream.reset([9])
        assert_same(native, upstream, ours, upstream.set_state(snapshot), "snapshot")
    finally:
        upstream.close()
        native.close()


def test_starts_like_upstream(tmp_path):
    """With another start angle, and where the first tile that is drawn has no free place."""
    path = tmp_path / "blocked.yaml"
    ducks = "".join(
        f"- {{kind: duckie, pos: [{x}, {z}], height: 0.5}}\n" for x in (0.25, 0.75) for z in (0.25, 0.75)
    )
    path.write_text(f"tile_size: 0.585\ntiles:\n- [straight/W, straight/W]\nobjects:\n{ducks}")
    config = SimulatorConfig(map_name=str(path), start_angle=7.0)
    native, upstream = NativeSimulator(config), UpstreamSimulator(config)
    try:
        for seed in range(6):
            ours, theirs = native.reset([seed]), upstream.reset([seed])
            assert_same(native, upstream, ours, theirs, f"seed {seed}")
            assert abs(np.degrees(theirs.lane_angle[0])) < 7.0
            assert theirs.tile.tolist() == [[1, 0]]
            action = np.array([[0.4, 1.0]])
            assert_same(native, upstream, native.step(action), upstream.step(action), f"seed {seed}, step")
    finally:
        upstream.close()


def test_no_start_is_reported_like_upstream(tmp_path):
    path = tmp_path / "full.yaml"
    path.write_text(
        "tile_size: 0.585\ntiles:\n- [straight/W]\nobjects:\n- {kind: duckie, pos: [0.5, 0.5], height: 5}\n"
    )
    config = SimulatorConfig(map_name=str(path))
    for simulator in (NativeSimulator(config), UpstreamSimulator(config)):
        with pytest.raises(StartError, match="found none in 10 times 5000 tries"):
            simulator.reset([0])
        simulator.close()


@pytest.mark.slow
@pytest.mark.parametrize("map_name", MANY_MAPS)
def test_drives_like_upstream_everywhere(map_name):
    assert compare(map_name, seeds=range(20), steps=500, frame_skip=1) > 0


@pytest.mark.slow
@pytest.mark.parametrize("map_name", ["loop_dyn_duckiebots", "loop_pedestrians", "4way", "robotarium1"])
def test_drives_like_upstream_with_domain_randomisation(map_name):
    compare(map_name, seeds=range(10), steps=500, domain_rand=True)


@pytest.mark.slow
@pytest.mark.parametrize("map_name", ["udem1", "generated:31"])
def test_drives_like_upstream_with_all_that_is_random(map_name):
    compare(map_name, seeds=range(20), steps=300, domain_rand=True, dynamics_rand=True)


def test_draws_what_upstream_draws():
    config = SimulatorConfig(map_name="regress_4way_adam", domain_rand=True)
    native, upstream = NativeSimulator(config), UpstreamSimulator(config)
    try:
        for seed in (0, 7, 2**33 + 5):
            ours, theirs = native.reset([seed]), upstream.reset([seed])
            assert_same(native, upstream, ours, theirs, f"seed {seed}")
            appearance, drawn = native.appearance, upstream.appearance()
            for name in (
                *("horizon", "ground", "ambient", "diffuse", "camera_height", "camera_pitch"),
                *("camera_fov", "camera_noise", "light_pos"),
            ):
                np.testing.assert_allclose(
                    getattr(appearance, name)[0], drawn[name], rtol=1e-5, err_msg=name
                )
            np.testing.assert_allclose(
                appearance.tile_color[0], np.array(drawn["tile_color"])[:, :3], rtol=1e-5
            )
            things = upstream.objects()
            assert [thing["visible"] for thing in things] == appearance.object_visible[0].tolist()
            np.testing.assert_allclose(
                appearance.object_color[0], [thing["color"][:3] for thing in things], rtol=1e-5
            )
    finally:
        upstream.close()


def test_given_starts_are_the_same():
    config = SimulatorConfig(map_name="udem1", frame_skip=2)
    native, upstream = NativeSimulator(config), UpstreamSimulator(config)
    try:
        drawn = native.reset([11]).pose
        start = drawn + np.array([0.01, -0.01, 0.1])
        ours, theirs = native.reset([3], start), upstream.reset([3], start)
        assert_same(native, upstream, ours, theirs, "start")
        for step in range(40):
            action = np.array([[0.4, np.sin(step / 3)]])
            ours, theirs = native.step(action), upstream.step(action)
            assert_same(native, upstream, ours, theirs, f"step {step}")
    finally:
        upstream.close()


def test_a_duckiebot_beside_its_lane_stands_still(tmp_path):
    text = (
        "tile_size: 0.585\ntiles:\n- [floor, straight/W, straight/W, floor]\n"
        "objects:\n- {kind: duckiebot, pos: [0.5, 3.5], height: 0.12, static: false}\n"
    )
    path = tmp_path / "beside.yaml"
    path.write_text(text)
    config = SimulatorConfig(map_name=str(path))
    native, upstream = NativeSimulator(config), UpstreamSimulator(config)
    try:
        ours, theirs = native.reset([0]), upstream.reset([0])
        home = native.moving
        for step in range(5):
            assert_same(native, upstream, ours, theirs, f"step {step}")
            ours, theirs = native.step(np.zeros((1, 2))), upstream.step(np.zeros((1, 2)))
        np.testing.assert_array_equal(native.moving, home)
    finally:
        upstream.close()
        native.close()
