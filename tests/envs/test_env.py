"""DreamDuck-v0, on both simulators."""

import numpy as np
import pytest

from dreamduck.cli import window
from dreamduck.common.errors import ConfigError, MapError, ResetNeeded, SimulatorError, StartError
from dreamduck.envs.env import DuckEnv
from tests.envs.conformance import ACTION, Conformance

START = (1.5, 3.33, 0.0)  # on the middle of a lane, along it


class TestNative(Conformance):
    world_id = "DreamDuck-v0"
    settings = {"simulator": "native"}  # noqa: RUF012
    ends = ("", "off-road", "collision")

    def test_info(self, world):
        _, first = world.reset(seed=0)
        for info in (first, world.step(ACTION)[4]):
            assert set(info) == {
                *("lane_dist", "lane_angle", "in_lane", "speed", "pose", "tile", "end"),
                *("simulator_reward", "proximity_penalty"),
            }
            assert len(info["pose"]) == 3
            assert len(info["tile"]) == 2

    def test_start(self, world):
        _, info = world.reset(seed=0, options={"start": START})
        assert info["pose"] == pytest.approx(START)
        _, info = world.reset(seed=0)
        assert info["pose"] != pytest.approx(START)

    @pytest.mark.parametrize(
        "start", [(1.0, 2.0), (np.nan, 1.0, 0.0), "here", 3, (1.0, 2.0, None), (0.1, 0.1, 0.0), [[1, 2, 3]]]
    )
    def test_bad_start(self, world, start):
        with pytest.raises(StartError, match="start"):
            world.reset(options={"start": start})
        world.reset()
        world.step(ACTION)

    def test_a_start_that_failed_began_nothing(self, world):
        world.reset(seed=0)
        with pytest.raises(StartError):
            world.reset(options={"start": (0.1, 0.1, 0.0)})
        with pytest.raises(ResetNeeded):
            world.step(ACTION)

    def test_end_off_the_road(self, world):
        world.reset(seed=0, options={"start": START})
        for _ in range(200):
            _, reward, terminated, truncated, info = world.step([1.0, -1.0])
            if terminated:
                break
        assert terminated
        assert not truncated
        assert info["end"] == "off-road"
        assert info["simulator_reward"] == -1000
        assert reward < -0.5
        with pytest.raises(ResetNeeded, match="the episode has ended"):
            world.step(ACTION)

    def test_driving_pays_and_standing_does_not(self, world):
        sums = []
        for throttle in (0.0, 0.5):
            world.reset(seed=0, options={"start": START})
            sums.append(sum(world.step([throttle, 0.0])[1] for _ in range(15)))
        assert sums[0] == pytest.approx(0, abs=0.02)
        assert sums[1] > 0.2

    def test_rendering_size(self, world):
        world.reset(seed=0)
        assert world.render().shape == (480, 640, 3)


class TestGymDuckietown(Conformance):
    world_id = "DreamDuck-v0"
    settings = {"simulator": "gym-duckietown"}  # noqa: RUF012
    ends = ("", "off-road", "collision")

    def test_killed_worker(self, world):
        world.reset(seed=1)
        expected = world.step(ACTION)[0]
        world.road.simulator._workers[0].process.kill()
        with pytest.raises(SimulatorError, match="SIGKILL"):
            world.step(ACTION)
        world.reset(seed=1)
        np.testing.assert_array_equal(world.step(ACTION)[0], expected)


def test_both_simulators_give_the_same_info():
    worlds = [DuckEnv(simulator=name) for name in ("native", "gym-duckietown")]
    try:
        infos = []
        for world in worlds:
            world.reset(seed=11)
            infos.append([world.step(action)[4] for action in ([0.3, 0.1], [0.4, -0.2], [0.2, 0.0])])
        for ours, upstreams in zip(*infos, strict=True):
            for key, value in ours.items():
                if key != "end":
                    assert value == pytest.approx(upstreams[key], abs=1e-6), key
            assert ours["end"] == upstreams["end"]
    finally:
        for world in worlds:
            world.close()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"map_name": "nowhere"}, MapError, "nowhere"),
        ({"simulator": "bullet"}, ConfigError, "native, gym-duckietown"),
        ({"reward": "points"}, ConfigError, "progress, simulator"),
        ({"frame_skip": 0}, ConfigError, "frame_skip: expected at least 1"),
        ({"frame_skip": 1.5}, ConfigError, "an integer"),
        ({"camera_width": 2}, ConfigError, "camera_width"),
        ({"steering_gain": 0.0}, ConfigError, "steering_gain"),
        ({"domain_rand": "yes"}, ConfigError, "domain_rand"),
    ],
)
def test_bad_arguments(settings, error, words):
    with pytest.raises(error, match=words):
        DuckEnv(**settings)


def test_arguments_reach_the_simulator():
    world = DuckEnv(
        camera_width=40, camera_height=32, frame_skip=6, map_name="small_loop", reward="simulator"
    )
    try:
        assert world.metadata["render_fps"] == 5
        observation, _ = world.reset(seed=0)
        assert observation.shape == (32, 40, 3)
        _, reward, _, _, info = world.step(ACTION)
        assert reward == pytest.approx(info["simulator_reward"], rel=1e-6)
    finally:
        world.close()


def test_script_has_the_same_words(capsys):
    with pytest.raises(SystemExit) as caught:
        window.main(["v0", "-h"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for flag in ("--map-name", "--simulator", "--domain-rand", "--distortion", "--frame-skip", "--reward"):
        assert flag in text
    assert "backspace" in text
