"""The camera's frames against gym-duckietown's own, from the same poses."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from benchmarks.frames import MAPS, compare, side_by_side
from dreamduck.simulator.base import SimulatorConfig
from dreamduck.simulator.gym_duckietown.client import UpstreamSimulator
from dreamduck.simulator.native import NativeSimulator

FARTHEST, LEAST = 3.0, 0.97  # of 255, mean of a frame; structural similarity of a frame


def assert_alike(compared, folder, name):
    worst = int(compared.similarity.argmin())
    path = folder / f"{name}.png"
    side_by_side(compared.ours[worst], compared.theirs[worst], path)
    text = f"difference {compared.difference.max()}, similarity {compared.similarity.min()}, see {path}"
    assert compared.difference.max() <= FARTHEST, text
    assert compared.similarity.min() >= LEAST, text
    # What was seen is far better than what is asked for.
    assert compared.difference.mean() < 0.3, text
    assert compared.similarity.mean() > 0.996, text


@pytest.mark.parametrize(
    ("map_name", "settings", "count"),
    [
        ("loop_dyn_duckiebots", {"camera_width": 64, "camera_height": 64}, 20),
        ("regress_4way_adam", {"camera_width": 160, "camera_height": 120}, 8),
        ("loop_pedestrians", {"camera_width": 64, "camera_height": 64, "domain_rand": True}, 20),
        ("loop_empty", {"camera_width": 161, "camera_height": 97, "distortion": True}, 6),
    ],
)
def test_frames_are_upstreams(tmp_path, map_name, settings, count):
    assert_alike(compare(SimulatorConfig(map_name=map_name, **settings), count, seed=1), tmp_path, map_name)


def test_views_from_above_are_upstreams():
    config = SimulatorConfig(map_name="loop_dyn_duckiebots")
    native, upstream = NativeSimulator(config), UpstreamSimulator(config)
    try:
        for simulator in (native, upstream):
            simulator.reset([3])
        for mode in ("top_down", "camera"):
            ours, theirs = (simulator.view(mode, 320, 240) for simulator in (native, upstream))
            assert np.abs(ours.astype(int) - theirs).mean() < 0.3, mode
            assert structural_similarity(ours, theirs, channel_axis=2) > 0.99, mode
    finally:
        upstream.close()
        native.close()


@pytest.mark.slow
@pytest.mark.parametrize("map_name", MAPS)
@pytest.mark.parametrize("size", [(64, 64), (160, 120)])
@pytest.mark.parametrize("domain_rand", [False, True])
def test_frames_are_upstreams_everywhere(tmp_path, map_name, size, domain_rand):
    """On ten maps, 50 poses each: 500 for every size."""
    config = SimulatorConfig(
        map_name=map_name, camera_width=size[0], camera_height=size[1], domain_rand=domain_rand
    )
    assert_alike(compare(config, 50), tmp_path, map_name)


@pytest.mark.slow
@pytest.mark.parametrize("map_name", ["loop_obstacles", "udem1"])
def test_large_frames_are_upstreams(tmp_path, map_name):
    for distortion in (False, True):
        config = SimulatorConfig(
            map_name=map_name, camera_width=640, camera_height=480, distortion=distortion
        )
        assert_alike(compare(config, 20), tmp_path, map_name)
