import copy
import itertools
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest

from dreamduck.common.errors import ConfigError, ResetNeeded, StartError
from dreamduck.simulator.base import END_COLLISION, END_NONE, END_OFF_ROAD, SimulatorConfig, Variation
from dreamduck.simulator.expert import Expert
from dreamduck.simulator.maps.lanes import map_lanes
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.native import NativeSimulator
from dreamduck.simulator.physics.collisions import static_boxes
from dreamduck.simulator.physics.dynamics import (
    COMMANDS_KEPT,
    DELAYS,
    NO_COMMAND,
    NOMINAL,
    Dynamics,
    command_ages,
    draw_dynamics,
)
from dreamduck.simulator.physics.state import drive, make_cars, place_car


def simulator(map_name="loop_empty", num_cars=1, threads=1, **settings):
    return NativeSimulator(SimulatorConfig(map_name=map_name, **settings), num_cars, threads)


def arrays(state):
    return {name: getattr(state, name) for name in state.__dataclass_fields__}


def assert_equal(one, two, rows=slice(None)):
    for name, values in arrays(one).items():
        np.testing.assert_array_equal(values[rows], getattr(two, name)[rows], err_msg=name)


def test_the_same_seed_is_the_same_episode_whatever_came_before():
    fresh, used = (simulator("loop_pedestrians", domain_rand=True) for _ in range(2))
    used.reset([99])
    for _ in range(200):
        used.step(np.array([[0.3, 1.0]]))
    one, two = fresh.reset([7]), used.reset([7])
    assert_equal(one, two)
    np.testing.assert_array_equal(fresh.moving, used.moving)
    for a, b in zip(fresh.appearance, used.appearance, strict=True):
        np.testing.assert_array_equal(a, b)
    for step in range(300):
        action = np.array([[0.3, np.sin(step / 5)]])
        assert_equal(fresh.step(action), used.step(action))
    np.testing.assert_array_equal(fresh.moving, used.moving)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_car_does_not_notice_the_others(threads):
    n = 40
    many = simulator("loop_dyn_duckiebots", n, threads)
    alone = simulator("loop_dyn_duckiebots", 1)
    rng = np.random.default_rng(0)
    actions = rng.uniform((0, -2), (0.8, 2), size=(60, n, 2))
    seeds = list(range(n))
    states = [many.reset(seeds)] + [many.step(a) for a in actions]
    for car in (0, 17, n - 1):
        rows = [alone.reset([seeds[car]])] + [alone.step(a[car : car + 1]) for a in actions]
        for all_cars, one in zip(states, rows, strict=True):
            for name, values in arrays(all_cars).items():
                np.testing.assert_array_equal(values[car : car + 1], getattr(one, name), err_msg=name)
    many.close()
    many.close()


def test_resetting_some_cars_leaves_the_others():
    one, two = (simulator("loop_pedestrians", 4, domain_rand=True) for _ in range(2))
    one.reset([1, 2, 3, 4])
    two.reset([1, 2, 3, 4])
    action = np.tile((0.3, 0.5), (4, 1))
    for _ in range(30):
        one.step(action)
        two.step(action)
    before = one.step(action)
    two.step(action)
    after = one.reset([9, 8], cars=np.array([3, 1]))
    assert_equal(before, after, [0, 2])
    assert not np.array_equal(before.pose[[1, 3]], after.pose[[1, 3]])
    for _ in range(30):
        mine, other = one.step(action), two.step(action)
        assert_equal(mine, other, [0, 2])
    np.testing.assert_array_equal(one.moving[[0, 2]], two.moving[[0, 2]])
    fresh = simulator("loop_pedestrians", 1, domain_rand=True).reset([8])
    np.testing.assert_array_equal(fresh.pose[0], after.pose[1])


@pytest.mark.parametrize("turns", [-3, -1, 0, 1, 2])
def test_headings_are_in_one_range(turns):
    """[-pi, pi) after a reset and after each step, whatever the start."""
    headings = np.array([-np.pi, -3.0, -0.5, 0.0, 0.5, 3.0, np.nextafter(np.pi, 0)])
    sim = simulator("straight_road", len(headings), frame_skip=1)
    starts = np.column_stack(
        [np.full(len(headings), 1.0), np.full(len(headings), 0.3), headings + turns * 2 * np.pi]
    )
    state = sim.reset([0] * len(headings), starts)
    np.testing.assert_allclose(np.sin((state.pose[:, 2] - headings) / 2), 0, atol=1e-14)
    if turns == 0:
        np.testing.assert_array_equal(state.pose[:, 2], headings)
    for _ in range(20):
        assert (state.pose[:, 2] >= -np.pi).all()
        assert (state.pose[:, 2] < np.pi).all()
        before, state = state.pose[:, 2], sim.step(np.tile((0.0, 3.0), (len(headings), 1)))
        moved = np.abs(state.pose[:, 2] - before)
        np.testing.assert_array_less(np.minimum(moved, 2 * np.pi - moved), 0.2)


def test_a_drawn_start_can_be_given_again():
    """The pose in the state of a reset begins the same episode, to the last bit."""
    sim = simulator("loop_empty", 20)
    drawn = sim.reset(list(range(20)))
    assert (drawn.pose[:, 2] < 0).any()
    assert_equal(drawn, sim.reset(list(range(20)), drawn.pose))
    steps = [sim.step(np.full((20, 2), 0.4)) for _ in range(5)]
    sim.reset(list(range(20)))
    for step in steps:
        assert_equal(step, sim.step(np.full((20, 2), 0.4)))


@pytest.mark.parametrize(("angle", "widest"), [(4.0, 3.0), (25.0, 20.0), (60.0, 45.0), (180.0, 90.0)])
def test_drawn_starts_keep_to_the_start_angle(angle, widest):
    sim = simulator("udem1", 100, start_angle=angle)
    found = np.degrees(np.abs(sim.reset(list(range(100))).lane_angle))
    assert widest < found.max() < angle


def blocked(folder, wide=False):
    """A map whose first tile is full of ducks, and the second too if `wide`."""
    places = [(x, z) for x in (0.25, 0.75) for z in (0.25, 0.75)]
    rows = [f"- {{kind: duckie, pos: [{x}, {z}], height: 0.5}}\n" for x, z in places]
    rows += [row.replace("[0.", "[1.") for row in rows] if wide else []
    path = folder / "blocked.yaml"
    path.write_text(
        f"tile_size: 0.585\ntiles:\n- [straight/W, straight/W]\nobjects:\n{''.join(rows)}", encoding="utf-8"
    )
    return path


def test_a_tile_without_a_free_place_is_not_started_from(tmp_path):
    sim = simulator(blocked(tmp_path), 30)
    state = sim.reset(list(range(30)))
    np.testing.assert_array_equal(state.tile, [(1, 0)] * 30)
    assert (np.abs(state.lane_angle) < np.pi / 3).all()


def test_a_road_without_a_free_place_is_reported(tmp_path):
    sim = simulator(blocked(tmp_path, wide=True))
    with pytest.raises(StartError, match=r"found none in 10 times 5000 tries; give a start, raise"):
        sim.reset([0])
    with pytest.raises(ResetNeeded):
        sim.step(np.zeros((1, 2)))


@pytest.mark.parametrize("method", [copy.deepcopy, lambda sim: pickle.loads(pickle.dumps(sim))])
@pytest.mark.parametrize("n", [1, 40])
def test_a_copy_continues_as_the_original(method, n):
    rng = np.random.default_rng(3)
    sim = simulator("loop_pedestrians", n, 2, domain_rand=True, distortion=True)
    sim.reset(list(range(n)))
    for _ in range(30):
        sim.step(rng.uniform((0, -2), (0.8, 2), size=(n, 2)))
        sim.frames()
    sim.view("top_down", 40, 30)
    twin = method(sim)
    for step in range(40):
        actions = rng.uniform((0, -2), (0.8, 2), size=(n, 2))
        if step == 20:
            assert_equal(
                sim.reset([99], cars=np.array([n // 2])), twin.reset([99], cars=np.array([n // 2]))
            )
        assert_equal(sim.step(actions), twin.step(actions))
        np.testing.assert_array_equal(sim.moving, twin.moving)
    np.testing.assert_array_equal(sim.frames(), twin.frames())
    expected = sim.step(actions)
    sim.close()
    assert_equal(twin.step(actions), expected)
    twin.close()


def test_states_are_snapshots():
    sim = simulator()
    first = sim.reset([0])
    pose = first.pose.copy()
    sim.step(np.array([[1.0, 0.0]]))
    np.testing.assert_array_equal(first.pose, pose)


def test_motion_starts_after_the_delay_and_settles():
    sim = simulator("straight_road", frame_skip=1)
    start = np.array([[1.0, 0.41, 0.0]])
    sim.reset([0], start)
    speeds = [float(sim.step(np.array([[0.4, 0.0]])).speed[0]) for _ in range(90)]
    assert speeds[3] == pytest.approx(0, abs=1e-9)
    assert speeds[4] > 0.01
    assert speeds[-1] == pytest.approx(0.4 * 0.6988, rel=1e-3)


def test_which_command_the_motors_follow():
    ages = command_ages(500)
    assert (ages[:4] == NO_COMMAND).all()
    assert set(ages[4:].tolist()) == {3, 4}, "four and a half steps before the end of this one"
    np.testing.assert_array_equal(ages[:200], command_ages(200))


def test_long_episodes_do_not_run_out_of_delays(monkeypatch):
    monkeypatch.setattr("dreamduck.simulator.native.FIRST_STEPS", 50)
    short, long = simulator(frame_skip=7), None
    monkeypatch.undo()
    long = simulator(frame_skip=7)
    short.reset([0])
    long.reset([0])
    for _ in range(40):
        assert_equal(short.step(np.array([[0.1, 3.0]])), long.step(np.array([[0.1, 3.0]])))


def test_ends():
    sim = simulator("loop_obstacles", 2)
    # Straight at the tile's edge, and straight at the duckiebot that stands on the road.
    starts = np.array([[2.5 * 0.585, 1.3 * 0.585, np.pi / 2], [3.3 * 0.585, 5.7 * 0.585, 0.0]])
    state = sim.reset([0, 0], starts)
    ends = np.zeros(2, dtype=int)
    for _ in range(60):
        state = sim.step(np.tile((0.5, 0.0), (2, 1)))
        ends = np.where(ends == END_NONE, state.end, ends)
        over = state.end != END_NONE
        np.testing.assert_array_equal(state.simulator_reward[over], -1000)
    assert ends.tolist() == [END_OFF_ROAD, END_COLLISION]
    assert state.speed[0] > 0.3, "the physics continues after an end"


def test_things_move_and_come_back():
    sim = simulator("loop_pedestrians")
    sim.reset([0])
    home = sim.moving
    for _ in range(120):
        sim.step(np.zeros((1, 2)))
    assert np.abs(sim.moving - home).max() > 0.3
    sim.reset([0])
    np.testing.assert_array_equal(sim.moving, home)


def test_traffic_lights_change_every_five_seconds():
    sim = simulator("4way", frame_skip=30)
    sim.reset([0])
    patterns = [int(sim.step(np.zeros((1, 2))) is not None and sim.signals[0, 0]) for _ in range(20)]
    assert patterns == [0] * 4 + [1] * 5 + [0] * 5 + [1] * 5 + [0]


def test_invisible_things_are_rare_only_under_randomisation():
    shown = simulator("udem1", 30, domain_rand=True)
    shown.reset(list(range(30)))
    optional = np.array([thing.optional for thing in shown.map.objects])
    assert 0 < optional.sum() < len(optional)
    assert 0.3 < shown.appearance.object_visible[:, optional].mean() < 0.7
    assert shown.appearance.object_visible[:, ~optional].all()
    plain = simulator("udem1")
    plain.reset([0])
    assert plain.appearance.object_visible.all()


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ((0.1, 0.1, 0.0), "expected a pose on the road"),
        ((-5.0, 0.1, 0.0), "expected a pose on the road"),
        ((np.inf, 0.1, 0.0), "expected finite numbers"),
        ((1.0, np.nan, 0.0), "expected finite numbers"),
        ((4.5 * 0.585, 5.75 * 0.585, 0.0), "touches an object"),
    ],
)
def test_bad_starts(start, message):
    sim = simulator("loop_obstacles")
    before = sim.reset([5])
    with pytest.raises(StartError, match=message):
        sim.reset([0], np.array([start]))
    after = sim.reset([5])
    assert_equal(before, after)


def test_bad_shapes_and_order():
    sim = simulator(num_cars=2)
    with pytest.raises(ResetNeeded):
        sim.step(np.zeros((2, 2)))
    with pytest.raises(ResetNeeded):
        sim.frames()
    sim.reset([0], cars=np.array([1]))
    with pytest.raises(ResetNeeded, match=r"\[0\]"):
        sim.step(np.zeros((2, 2)))
    sim.reset([0, 1])
    for seeds, cars, words in (
        ([1], None, "expected 2, one for each car"),
        ([1, 2], [0, 0], "each index once"),
        ([1], [2], "indices from 0 to 1"),
        ([-1, 0], None, "integers of at least 0"),
        ([1.5, 0], None, "integers of at least 0"),
    ):
        with pytest.raises(ConfigError, match=words):
            sim.reset(seeds, cars=None if cars is None else np.array(cars))
    with pytest.raises(StartError, match="shape"):
        sim.reset([0, 1], np.zeros((1, 3)))
    with pytest.raises(ConfigError, match="mode"):
        sim.view("sideways", 64, 64)
    for number in (0, -1, 1.5, True):
        with pytest.raises(ConfigError, match="num_cars"):
            simulator(num_cars=number)
    with pytest.raises(ConfigError, match="threads"):
        simulator(threads=0)


def test_only_nan_rows_are_drawn():
    sim = simulator(num_cars=2)
    drawn = sim.reset([4, 4]).pose
    start = drawn[0] + (0.02, 0.0, 0.0)
    mixed = sim.reset([4, 4], np.array([start, [np.nan] * 3])).pose
    np.testing.assert_allclose(mixed[0], start)
    np.testing.assert_array_equal(mixed[1], drawn[1])


def test_it_survives_a_fork():
    sim = simulator(num_cars=32, threads=2)
    sim.reset(list(range(32)))
    actions = np.tile((0.3, 0.0), (32, 1))
    sim.step(actions)
    child = os.fork()
    if child == 0:  # pragma: no cover
        signal.alarm(20)
        sim.step(actions)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    sim.close()


def test_many_resets_take_no_memory():
    sim = simulator("loop_pedestrians")
    for seed in range(500):
        sim.reset([seed])
    before = psutil.Process().memory_info().rss
    for seed in range(10_000):
        sim.reset([seed])
    assert psutil.Process().memory_info().rss - before < 4e6


NO_GL = """
import sys

def refuse(event, arguments):
    name = str(arguments[0]) if arguments else ""
    if event == "ctypes.dlopen" and any(part in name.lower() for part in ("libgl", "libegl", "mesa")):
        raise OSError(f"{name}: no such library here")
    if event == "import" and name in ("pyglet", "gym_duckietown", "duckietown_world", "geometry"):
        raise ImportError(name)

sys.addaudithook(refuse)
"""
DRIVE = """
import numpy as np
from dreamduck.simulator.base import SimulatorConfig
from dreamduck.simulator.factory import make_simulator
config = SimulatorConfig(map_name="loop_dyn_duckiebots", distortion=True)
sim = make_simulator("native", config, num_cars=20)
sim.reset(range(20))
sim.step(np.zeros((20, 2)))
assert sim.frames().std() > 5
assert sim.view("top_down", 64, 48).std() > 5
"""
TENSORFLOW = """
import tensorflow as tf
assert float(tf.reduce_sum(tf.nn.conv2d(tf.ones((1, 64, 64, 3)), tf.ones((3, 3, 3, 4)), 1, "VALID"))) > 0
"""


def test_needs_neither_gl_nor_upstream():
    late = "assert not {'tensorflow', 'gym'} & set(sys.modules)\nprint(open('/proc/self/maps').read())"
    done = subprocess.run(
        [sys.executable, "-c", NO_GL + DRIVE + late], check=True, capture_output=True, text=True
    )
    assert not any(name in done.stdout for name in ("libGL", "libEGL", "swrast_dri", "libLLVM"))


@pytest.mark.parametrize("code", [TENSORFLOW + DRIVE, DRIVE + TENSORFLOW + DRIVE])
def test_lives_beside_tensorflow(code):
    subprocess.run([sys.executable, "-c", NO_GL + code], check=True)


def test_cars_of_one_map_share_it():
    assert simulator().map is simulator().map


def test_the_expert_drives_for_long():
    sim = simulator("robotarium1", 8)
    expert = Expert(sim.map)
    state = sim.reset(list(range(8)))
    for _ in range(300):
        state = sim.step(expert(state) * (1.0, 3.14))
        assert (state.end == END_NONE).all()


def test_an_episode_has_its_own_variation():
    """An episode depends on its settings alone, not on other cars or earlier episodes."""
    variations = [Variation(*bits) for bits in itertools.product((False, True), repeat=3)]
    mixed = simulator("loop_pedestrians", len(variations), 2)
    mixed.reset(range(10, 18), variations=variations[::-1])
    state = mixed.reset(range(8), variations=variations)
    rng = np.random.default_rng(0)
    actions = rng.uniform((0.1, -2), (0.8, 2), size=(40, 8, 2))
    states, frames = [state], [mixed.frames()]
    for action in actions:
        states.append(mixed.step(action))
        frames.append(mixed.frames())
    for car, variation in enumerate(variations):
        alone = simulator("loop_pedestrians", **variation._asdict())
        rows = [alone.reset([car])]
        np.testing.assert_array_equal(alone.frames()[0], frames[0][car])
        for action in actions:
            rows.append(alone.step(action[car : car + 1]))
        np.testing.assert_array_equal(alone.frames()[0], frames[-1][car])
        np.testing.assert_array_equal(
            alone.view("camera", 40, 30), mixed.view("camera", 40, 30, car), err_msg=str(variation)
        )
        for all_cars, one in zip(states, rows, strict=True):
            for name, values in arrays(all_cars).items():
                np.testing.assert_array_equal(values[car], getattr(one, name)[0], err_msg=str(variation))


def test_variations_come_back_with_a_snapshot():
    sim = simulator(num_cars=2)
    sim.reset([1, 2], variations=[Variation(True, True, True), Variation(False, False, False)])
    frames, snapshot = sim.frames(), sim.get_state()
    sim.reset([3, 4])
    sim.set_state(snapshot)
    np.testing.assert_array_equal(sim.frames(), frames)
    with pytest.raises(ConfigError, match="variations: expected 2"):
        sim.reset([1, 2], variations=[Variation(True, True, True)])


def test_random_dynamics_are_within_their_ranges_and_fill_them():
    drawn = np.array([draw_dynamics(seed) for seed in range(500)])
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    np.testing.assert_allclose(low, [0.8, -0.1, 0.05, 0.9 * 0.102], atol=0.01)
    np.testing.assert_allclose(high, [1.2, 0.1, 0.25, 1.1 * 0.102], atol=0.01)
    np.testing.assert_array_equal(np.unique(drawn[:, 2]), DELAYS)
    assert max(command_ages(3000, delay).max() for delay in DELAYS) < COMMANDS_KEPT
    wide, usual = np.array(draw_dynamics(8, 1.7)), np.array(draw_dynamics(8))
    differences = usual - np.array(NOMINAL), wide - np.array(NOMINAL)
    np.testing.assert_allclose(differences[1][[0, 1, 3]], 1.7 * differences[0][[0, 1, 3]], atol=1e-12)
    assert wide[2] == usual[2]


def test_dynamics_do_what_they_say():
    def speeds(delay=0.15, gain=1.0, trim=0.0):
        cars = make_cars(1, np.zeros((0, 28)), 0)
        road = load_map("loop_empty")
        place_car(cars, 0, 5.0, Dynamics(gain, trim, delay, 0.102), 1.2, 1.0, 0.0)
        ages = np.stack([command_ages(100, one) for one in DELAYS])
        found = []
        for _ in range(60):
            drive(map_lanes(road), static_boxes(road), cars, ages, np.array([[0.4, 0.0]]), 1, 0, 1)
            found.append(cars.velocity[0].copy())
        return np.array(found)

    usual = speeds()
    assert speeds(gain=1.2)[-1, 0] == pytest.approx(1.2 * usual[-1, 0])
    assert abs(usual[-1, 1]) < 1e-12 < speeds(trim=0.1)[-1, 1]
    waits = [int(np.flatnonzero(speeds(delay)[:, 0])[0]) for delay in DELAYS]
    assert waits == [1, 2, 4, 6, 7]  # upstream rounds so


def test_frames_of_some_cars_are_those_of_all():
    cars = simulator("loop_dyn_duckiebots", 5, domain_rand=True)
    cars.reset([4, 5, 6, 7, 8])
    cars.step(np.full((5, 2), 0.4))
    chosen = np.array([3, 0])
    np.testing.assert_array_equal(cars.frames(cars=chosen), cars.frames()[chosen])
    with pytest.raises(ConfigError, match=r"\(2, 64, 64, 3\)"):
        cars.frames(np.zeros((5, 64, 64, 3), np.uint8), chosen)
