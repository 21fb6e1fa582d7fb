"""The fish-eye lens."""

import subprocess
import sys

import numpy as np
import pytest

from dreamduck.simulator.render import distortion

# Upstream's class, read as a file: its package would start OpenGL.
UPSTREAM = """
import importlib.util, sys
import numpy as np
package = importlib.util.find_spec("gym_duckietown").submodule_search_locations[0]
spec = importlib.util.spec_from_file_location("distortion", package + "/distortion.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
model = module.Distortion()
model.distort(np.zeros((480, 640, 3), dtype=np.uint8))
np.savez(sys.argv[1], column=model.rmapx, row=model.rmapy, camera=model.new_camera_matrix)
"""


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    path = tmp_path_factory.mktemp("lens") / "map.npz"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", UPSTREAM, str(path)], check=True, capture_output=True
    )
    with np.load(path) as arrays:
        return dict(arrays)


def test_the_frame_is_upstreams(upstream):
    camera = distortion.undistorted_camera()
    np.testing.assert_allclose(camera.focal, np.diag(upstream["camera"])[:2], rtol=1e-6)
    np.testing.assert_allclose(camera.centre, upstream["camera"][:2, 2], rtol=1e-6)


def test_pixels_come_from_where_upstream_takes_them(upstream):
    row, column = np.divmod(distortion.lens_map(640, 480).reshape(480, 640), 640)
    apart = np.hypot(row - upstream["row"], column - upstream["column"])
    # Within rounding; but in the corners, which nothing fills, upstream's filling is haphazard.
    assert (apart <= 0.75).mean() > 0.89
    assert np.percentile(apart, 99) < 40
    middle = apart[60:-60, 60:-60]
    assert (middle <= 0.75).mean() > 0.99


def test_bending_and_straightening_are_inverse():
    x, y = np.meshgrid(np.linspace(-0.6, 0.6, 7), np.linspace(-0.5, 0.5, 7))
    back = distortion.bend(*distortion.straighten(x, y, rounds=100))
    np.testing.assert_allclose(back, (x, y), atol=1e-9)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (160, 120), (33, 47), (320, 240)])
def test_every_size_shows_the_same(width, height):
    small, large = distortion.lens_map(width, height), distortion.lens_map(640, 480).reshape(480, 640)
    rows = ((np.arange(height) + 0.5) * 480 / height).astype(int)
    columns = ((np.arange(width) + 0.5) * 640 / width).astype(int)
    row, column = np.divmod(small.reshape(height, width), width)
    big_row, big_column = np.divmod(large[np.ix_(rows, columns)], 640)
    assert np.median(np.abs((row + 0.5) * 480 / height - big_row)) <= 480 / height
    assert np.median(np.abs((column + 0.5) * 640 / width - big_column)) <= 640 / width
    assert small.min() >= 0
    assert small.max() < width * height


def test_the_nearest_pixel_is_scipys():
    ndimage = pytest.importorskip("scipy.ndimage")
    generator = np.random.default_rng(3)
    for share in (0.02, 0.5, 0.97):
        empty = generator.random((37, 53)) < share
        rows, columns = distortion.nearest(empty)
        far, found = ndimage.distance_transform_edt(empty, return_indices=True)
        np.testing.assert_allclose(np.hypot(*(np.indices(empty.shape) - (rows, columns))), far)
        assert not empty[rows, columns].any()
        assert ((rows == found[0]) & (columns == found[1])).mean() > 0.9  # others are as near


def test_interpolation_is_scipys():
    ndimage = pytest.importorskip("scipy.ndimage")
    generator = np.random.default_rng(4)
    image = generator.normal(size=(11, 17))
    rows, columns = generator.uniform(-2, 19, (2, 23, 29))
    expected = ndimage.map_coordinates(image, (rows, columns), order=1, mode="nearest")
    np.testing.assert_allclose(distortion.interpolate(image, rows, columns), expected, atol=1e-12)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (160, 120), (33, 47), (640, 480)])
def test_the_lens_is_the_one_that_scipy_makes(width, height, monkeypatch):
    ndimage = pytest.importorskip("scipy.ndimage")
    made = distortion.lens_map(width, height)
    monkeypatch.setattr(
        distortion,
        "nearest",
        lambda empty: ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True),
    )
    monkeypatch.setattr(
        distortion,
        "interpolate",
        lambda image, v, u: ndimage.map_coordinates(image, (v, u), order=1, mode="nearest"),
    )
    distortion.calibrated_map.cache_clear()
    try:
        np.testing.assert_array_equal(made, distortion.lens_map(width, height))
    finally:
        distortion.calibrated_map.cache_clear()
