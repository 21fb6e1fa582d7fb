"""Gym-duckietown in its own process: the same for the same seed, and never lost or left behind."""

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from dreamduck.common.errors import (
    ConfigError,
    DependencyError,
    MapError,
    ResetNeeded,
    SimulatorError,
    StartError,
)
from dreamduck.simulator.base import END_COLLISION, END_NONE, END_OFF_ROAD, SimulatorConfig
from dreamduck.simulator.factory import make_simulator
from dreamduck.simulator.gym_duckietown import client
from dreamduck.simulator.gym_duckietown.client import UpstreamSimulator
from dreamduck.simulator.maps import assets
from dreamduck.simulator.render.distortion import lens_map

ON_ROAD = (0.9, 3.1, 0.0)
FORWARD = np.array([[0.6, 0.0]])


def simulator(num_cars=1, **settings):
    return UpstreamSimulator(SimulatorConfig(**settings), num_cars)


@pytest.fixture(scope="module")
def shared():
    """A simulator on the default map, for tests that leave it as any reset will find it."""
    made = simulator()
    yield made
    made.close()


def drive(sim, seed, steps=8, action=(0.5, 0.3), starts=None):
    """Everything an episode gives, as one list of arrays."""
    states, frames = [sim.reset([seed], starts)], [sim.frames()]
    for _ in range(steps):
        states.append(sim.step(np.array([action])))
        frames.append(sim.frames())
    return [*frames, *(value for state in states for value in vars(state).values())]


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_end(pid, timeout=20.0):
    until = time.monotonic() + timeout
    while alive(pid):
        assert time.monotonic() < until, f"process {pid} is still there"
        time.sleep(0.05)


# States and errors -----------------------------------------------------------------------------


def test_state_after_a_reset(shared):
    state = shared.reset([0])
    assert state.pose.shape == (1, 3)
    assert state.speed == 0
    assert state.simulator_reward == 0
    assert state.proximity_penalty == 0
    assert state.end == END_NONE
    assert np.linalg.norm(state.lane_tangent) == pytest.approx(1)
    x, z, heading = state.pose[0]
    assert state.tile.tolist() == [[int(x // 0.585), int(z // 0.585)]]
    along = np.array([np.cos(heading), -np.sin(heading)])
    assert along @ state.lane_tangent[0] == pytest.approx(np.cos(state.lane_angle[0]))
    frame = shared.frames()
    assert frame.shape == (1, 64, 64, 3)
    assert frame.dtype == np.uint8
    assert frame.std() > 10


def test_it_drives_as_upstream_does(shared):
    """The delay is 0.15 s, and full speed 0.70 m/s times the throttle (a straight of the loop)."""
    shared.reset([0], np.array([(0.9, 3.1, 0.0)]))
    poses = [shared.step(FORWARD).pose[0] for _ in range(9)]
    assert poses[0][0] == pytest.approx(0.9)
    assert poses[1][0] > 0.9
    last = shared.step(FORWARD)
    moved = last.pose[0, 0] - poses[-1][0]
    assert moved == pytest.approx(0.1 * 0.42, rel=0.05)
    assert last.speed[0] == pytest.approx(0.42, rel=0.05)
    assert last.simulator_reward[0] == pytest.approx(
        1.2 * np.cos(last.lane_angle[0]) - 10 * abs(last.lane_dist[0])
    )


def test_leaving_the_road(shared):
    state = shared.reset([0], np.array([(0.9, 3.1, 0.0)]))
    for _ in range(60):
        state = shared.step(np.array([[0.6, -2.0]]))
        if state.end[0]:
            break
    assert state.end[0] == END_OFF_ROAD
    assert state.simulator_reward[0] == -1000


def test_touching_something():
    sim = simulator(map_name="loop_obstacles")
    try:
        sim.reset([0])
        thing = next(thing for thing in sim.objects() if thing["kind"] == "duckie" and thing["static"])
        state = sim.place((thing["pos"][0], thing["pos"][2], 0.0))
        assert state.proximity_penalty[0] < 0
        state = sim.step(np.zeros((1, 2)))
        assert state.end[0] == END_COLLISION
        assert state.simulator_reward[0] == -1000
        with pytest.raises(StartError, match="start: "):
            sim.reset([0], np.array([(thing["pos"][0], thing["pos"][2], 0.0)]))
    finally:
        sim.close()


def test_place_and_no_lane(shared):
    shared.reset([0])
    before = shared.frames()
    state = shared.place((0.1, 0.1, 1.0))
    assert state.pose.tolist() == [[0.1, 0.1, 1.0]]
    assert np.isnan(state.lane_dist).all()
    assert np.isnan(state.lane_angle).all()
    assert np.isnan(state.lane_tangent).all()
    assert not np.array_equal(before, shared.frames())


def test_views(shared):
    shared.reset([0])
    camera = shared.view("camera", 160, 120)
    above = shared.view("top_down", 120, 160)
    assert camera.shape == (120, 160, 3)
    assert above.shape == (160, 120, 3)
    np.testing.assert_array_equal(shared.view("camera", 64, 64), shared.frames()[0])
    for size in range(20, 30):  # more sizes than are kept
        assert shared.view("camera", size, size).std() > 5
    np.testing.assert_array_equal(camera, shared.view("camera", 160, 120))
    with pytest.raises(ConfigError, match="camera, top_down"):
        shared.view("sideways", 64, 64)
    with pytest.raises(ConfigError, match="1x1"):
        shared.view("camera", 0, 64)


def test_frames_into_an_array_and_camera_size():
    sim = simulator(camera_width=80, camera_height=48)
    try:
        sim.reset([0])
        out = np.zeros((1, 48, 80, 3), np.uint8)
        assert sim.frames(out) is out
        assert out.std() > 10
    finally:
        sim.close()


def test_frame_skip(shared):
    single = simulator(frame_skip=1)
    try:
        single.reset([4])
        shared.reset([4])
        for _ in range(4):
            for _ in range(3):
                state = single.step(FORWARD)
            np.testing.assert_array_equal(state.pose, shared.step(FORWARD).pose)
    finally:
        single.close()


# The same for the same seed --------------------------------------------------------------------


def test_same_seed_same_episode(shared):
    first = drive(shared, 7)
    drive(shared, 8)
    assert_same(first, drive(shared, 7))
    assert not np.array_equal(first[0], drive(shared, 8)[0])


@pytest.mark.parametrize(("map_name", "count"), [("loop_pedestrians", 2), ("loop_dyn_duckiebots", 1)])
def test_same_seed_whatever_came_before(map_name, count):
    """Moving objects and random looks, in one simulator and in two in turn."""
    settings = dict(map_name=map_name, domain_rand=True, distortion=True, frame_skip=10)
    first = simulator(**settings)
    second = simulator(**settings) if count == 2 else first
    try:
        expected = drive(first, 3)
        drive(second, 5, steps=30)
        moving = [thing["pos"] for thing in second.objects() if not thing["static"]]
        second.view("top_down", 64, 64)
        drive(first, 9, steps=2)
        assert_same(expected, drive(second, 3))
        assert_same(expected, drive(first, 3))
        assert moving != [thing["pos"] for thing in second.objects() if not thing["static"]]

        appearance, frame = first.appearance(), first.frames()
        first.reset([4])
        assert first.appearance() != appearance
        assert not np.array_equal(first.frames(), frame)
        assert appearance["wheel_distance"] != 0.102
        assert appearance["light_pos"][3] == 0  # a direction: a sun
    finally:
        first.close()
        second.close()


def test_cars_are_alone_and_one_can_be_replaced(shared):
    pair = simulator(2)
    try:
        pair.reset([3, 4])
        assert not np.array_equal(*pair.frames())
        pair.reset([9], cars=np.array([0]))
        pair.reset([3], cars=np.array([0]))
        for _ in range(5):
            both = pair.step(np.array([(0.5, 0.3), (0.2, 0.0)]))
        shared.reset([3])
        for _ in range(5):
            alone = shared.step(np.array([(0.5, 0.3)]))
        np.testing.assert_array_equal(both.pose[0], alone.pose[0])
        np.testing.assert_array_equal(pair.frames()[0], shared.frames()[0])

        os.kill(pair._workers[0].process.pid, signal.SIGKILL)
        with pytest.raises(SimulatorError, match="SIGKILL"):
            pair.step(np.zeros((2, 2)))
        renewed = pair.reset([3], cars=np.array([0]))
        np.testing.assert_array_equal(renewed.pose[0], shared.reset([3]).pose[0])
        np.testing.assert_array_equal(renewed.tile[1], both.tile[1])  # the other one was not reset
        pair.step(np.zeros((2, 2)))
    finally:
        pair.close()


def test_starts(shared):
    state = shared.reset([0], np.array([ON_ROAD]))
    np.testing.assert_array_equal(state.pose, [ON_ROAD])
    drawn = shared.reset([0], np.full((1, 3), np.nan))
    np.testing.assert_array_equal(drawn.pose, shared.reset([0]).pose)


# Bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ([(0.1, 0.1, 0.0)], "not on the road"),
        ([(100.0, 1.0, 0.0)], "not on the road"),
        ([(np.nan, 1.0, 0.0)], "finite"),
        ([(1.0, 1.0)], r"shape \(1, 3\)"),
    ],
)
def test_bad_starts(shared, start, words):
    with pytest.raises(StartError, match=words):
        shared.reset([0], np.array(start))
    shared.reset([0])
    shared.step(FORWARD)


def test_wrong_number_of_seeds(shared):
    with pytest.raises(ConfigError, match="seeds: expected 1"):
        shared.reset([0, 1])


def test_unknown_map():
    with pytest.raises(MapError, match=r"loop_empty.*got 'no_such_map'"):
        simulator(map_name="no_such_map")


def test_map_from_a_file_and_a_bad_one(tmp_path, monkeypatch):
    path = tmp_path / "mine.yaml"
    path.write_text("tiles:\n- [straight/E, straight/E, straight/E]\ntile_size: 0.6\n")
    monkeypatch.chdir(tmp_path)
    sim = simulator(map_name="mine.yaml")
    try:
        state = sim.reset([0])
        assert 0 < state.pose[0, 0] < 1.8
        assert 0 < state.pose[0, 1] < 0.6
    finally:
        sim.close()
    path.write_text("tiles: 3\ntile_size: 0.6\n")
    with pytest.raises(MapError, match=r"mine\.yaml"):
        simulator(map_name=str(path))


def test_no_cars():
    with pytest.raises(ConfigError, match="num_cars"):
        simulator(0)


def test_step_before_reset_and_after_close():
    sim = simulator()
    for call in (lambda: sim.step(FORWARD), sim.frames, lambda: sim.view("camera", 64, 64)):
        with pytest.raises(ResetNeeded, match="call reset"):
            call()
    sim.close()
    sim.close()
    with pytest.raises(SimulatorError, match="closed"):
        sim.reset([0])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("pyglet", "raise ImportError('Library \"GLU\" not found.')", r"apt-get install .*libglu1-mesa"),
        (
            "cv2",
            "raise ImportError('libGL.so.1: cannot open shared object file')",
            r"apt-get install .*libgl1",
        ),
        ("gym_duckietown", "import no_such_thing", r"pip install 'dreamduck\[gym-duckietown\]'"),
    ],
)
def test_missing_libraries(tmp_path, monkeypatch, name, content, words):
    """The worker searches for modules where this process does: here it finds broken ones first."""
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DependencyError, match=words):
        simulator()


def test_opengl_without_a_driver(monkeypatch):
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_FILENAMES", "/nowhere.json")
    with pytest.raises(DependencyError, match=r"No standard config.*apt-get install .*libegl1"):
        simulator()


# Life and death of the worker ------------------------------------------------------------------


def test_killed_worker_is_reported_and_replaced(shared):
    expected = drive(shared, 7)
    shared.reset([7])
    pid = shared._workers[0].process.pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(SimulatorError, match=rf"process {pid}\) ended by signal SIGKILL; reset"):
        shared.step(FORWARD)
    with pytest.raises(ResetNeeded):
        shared.step(FORWARD)
    assert_same(expected, drive(shared, 7))
    assert shared._workers[0].process.pid != pid


def test_hanging_worker_is_ended(shared, monkeypatch):
    shared.reset([0])
    monkeypatch.setattr(client, "GRACE", 0.6)
    monkeypatch.setattr(client, "MAY_TAKE", {"step": 0.0})
    pid = shared._workers[0].process.pid
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(SimulatorError, match=rf"process {pid}\) gave no answer in 1 s .*; reset to start"):
        shared.step(FORWARD)
    wait_for_end(pid)
    monkeypatch.undo()
    shared.reset([0])


def test_limits_are_those_of_the_calls(shared, monkeypatch):
    """A worker that hangs is reported 10 s after the limit of its call, which is short for a step."""
    limits = {}
    worker = shared._workers[0]
    monkeypatch.setattr(worker, "send", lambda call, *_, limit: limits.update({call: limit}))
    for call in ("make", "reset", "step", "frame", "objects"):
        worker.ask(call)
    assert limits == {"make": 180, "reset": 30, "step": pytest.approx(10.06), "frame": 15, "objects": 11}


def test_threads_do_not_mix_up_answers(shared):
    """Two that look through one simulator get answers to what they asked, and whole ones."""
    shared.reset([3])
    expected = {size: shared.view("camera", size, size) for size in (40, 64)}
    failures = []

    def look(size):
        for _ in range(15):
            try:
                np.testing.assert_array_equal(shared.view("camera", size, size), expected[size])
            except Exception as err:
                failures.append(err)

    threads = [threading.Thread(target=look, args=(size,)) for size in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_copies_are_refused_in_words(shared):
    for method in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="use simulator='native'"):
            method(shared)


def test_headings_are_in_one_range(shared):
    for seed in range(8):
        before = shared.reset([seed]).pose[0, 2]
        assert -np.pi <= before < np.pi
        assert abs(shared.step(np.zeros((1, 2))).pose[0, 2] - before) < 1e-9
    assert shared.reset([0], np.array([(0.9, 3.1, 4 * np.pi)])).pose[0, 2] == pytest.approx(0, abs=1e-9)
    assert shared.place((0.9, 3.1, np.pi)).pose[0, 2] == -np.pi


def test_interrupted_answer_is_never_read_later(shared):
    """What was asked before an interruption does not come back as the answer to something else."""
    expected = shared.reset([5]).pose
    shared.reset([6])
    shared._workers[0].ask("step", 1.0, 0.0)  # and its answer was never read
    np.testing.assert_array_equal(shared.reset([5]).pose, expected)


def test_collected_simulator_leaves_nothing():
    sim = simulator()
    pid = sim._workers[0].process.pid
    assert alive(pid)
    del sim
    gc.collect()
    wait_for_end(pid)


CHILD = """
import sys, time
from dreamduck.simulator.base import SimulatorConfig
from dreamduck.simulator.factory import make_simulator
sim = make_simulator("gym-duckietown", SimulatorConfig())
sim.reset([0])
print(sim._workers[0].process.pid, flush=True)
{end}
"""


def run_child(end):
    """A process with a simulator in it, its program on standard input; gives it and the worker's id."""
    process = subprocess.Popen(
        [sys.executable, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(CHILD.format(end=end))
    process.stdin.close()
    return process, int(process.stdout.readline())


def test_worker_ends_with_its_process():
    process, worker = run_child("import os; os._exit(0)")
    process.wait(30)
    wait_for_end(worker)
    process.stdout.close()


def test_worker_ends_when_its_process_is_killed():
    process, worker = run_child("time.sleep(600)")
    assert alive(worker)
    process.kill()
    process.wait()
    wait_for_end(worker)
    process.stdout.close()


def test_worker_ends_though_a_fork_holds_its_pipe():
    """The pipe stays open in a fork, so that its end alone would not show the parent's exit."""
    end = "import os\nfork = os.fork()\nif fork: print(fork, flush=True)\ntime.sleep(600)"
    process, worker = run_child(end)
    fork = int(process.stdout.readline())
    try:
        process.kill()
        process.wait()
        wait_for_end(worker)
        assert alive(fork)
    finally:
        os.kill(fork, signal.SIGKILL)
        process.stdout.close()


def test_fork_gets_a_worker_of_its_own():
    process, worker = run_child(
        "import os, numpy as np\n"
        "fork = os.fork()\n"
        "if fork == 0:\n"
        "    try: sim.step(np.zeros((1, 2)))\n"
        "    except Exception as err: print(type(err).__name__, err, flush=True)\n"
        "    sim.reset([1]); print(sim._workers[0].process.pid, flush=True)\n"
        "    sys.exit()\n"
        "os.waitpid(fork, 0)\n"
        "sim.step(np.zeros((1, 2))); print('unharmed', flush=True)"
    )
    lines = process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    assert lines[0].startswith("SimulatorError gym-duckietown's worker belongs to the process that forked")
    assert int(lines[1]) != worker
    assert lines[2] == "unharmed"
    wait_for_end(int(lines[1]))


def test_made_in_a_thread_that_ends():
    """A worker must not die with the thread that started it."""
    made = []
    config = SimulatorConfig(map_name="small_loop")
    thread = threading.Thread(target=lambda: made.append(make_simulator("gym-duckietown", config)))
    thread.start()
    thread.join()
    sim = made.pop()
    try:
        before = sim.reset([0]).pose
        for _ in range(5):  # the first command arrives late
            after = sim.step(FORWARD).pose
        assert (after != before).any()
    finally:
        sim.close()


def test_worker_has_no_tensorflow(shared):
    shared.reset([0])
    maps = Path(f"/proc/{shared._workers[0].process.pid}/maps").read_text()
    assert "tensorflow" not in maps
    assert "libGL" in maps or "libEGL" in maps


@pytest.mark.slow
@pytest.mark.parametrize("map_name", assets.map_names())
def test_every_map(map_name):
    """Each starts and drives, except the one that has no road."""
    if map_name == "field1":
        with pytest.raises(MapError, match="drivable"):
            simulator(map_name=map_name)
        return
    sim = simulator(map_name=map_name)
    try:
        expected = drive(sim, 2, steps=3, action=(0.2, 0.0))
        assert_same(expected, drive(sim, 2, steps=3, action=(0.2, 0.0)))
    finally:
        sim.close()


# The lens --------------------------------------------------------------------------------------


def bent(frame):
    return frame.reshape(-1, 3)[lens_map(frame.shape[1], frame.shape[0])].reshape(frame.shape)


def test_lens_bends_the_camera_alone(shared):
    sim = simulator(distortion=True)
    try:
        sim.reset([0], np.array([ON_ROAD]))
        shared.reset([0], np.array([ON_ROAD]))
        frame = shared.frames()[0]
        np.testing.assert_array_equal(sim.frames()[0], bent(frame))
        assert not np.array_equal(sim.frames()[0], frame)
        wide, above = shared.view("camera", 160, 120), shared.view("top_down", 64, 64)
        np.testing.assert_array_equal(sim.view("camera", 160, 120), bent(wide))
        np.testing.assert_array_equal(sim.view("top_down", 64, 64), above)
    finally:
        sim.close()
