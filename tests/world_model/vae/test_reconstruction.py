"""Measures and images of reconstructions."""

import numpy as np
import pytest
from PIL import Image
from scipy.signal import convolve2d

from dreamduck.world_model.vae.image_grid import grid, show
from dreamduck.world_model.vae.inference import NumpyVAE
from dreamduck.world_model.vae.reconstruction import evaluate, psnr, ssim
from tests.world_model.vae.helpers import frames, parameters


def test_psnr_by_hand():
    given = np.full((2, 64, 64, 3), 100, np.uint8)
    assert psnr(given, given + np.uint8(10)) == pytest.approx(10 * np.log10(255**2 / 100))
    assert psnr(given, given) > 100


def test_ssim_is_one_for_the_same_and_falls_with_noise():
    given = frames(3)
    noise = np.random.default_rng(0).integers(0, 60, given.shape)
    noisy = np.clip(given + noise - 30, 0, 255).astype(np.uint8)
    assert ssim(given, given) == pytest.approx(1)
    assert 0 < ssim(given, noisy) < 0.9


def test_evaluation_measures_the_network():
    network = NumpyVAE(parameters(z_size=4))
    given = frames(20)
    found = evaluate(network, given, kl_tolerance=0.5)
    again = network.decode(network.encode(given)[0])
    expected = np.square(again - given / 255).sum() / 20
    assert found["reconstruction"] == pytest.approx(expected, rel=1e-4)
    assert found["loss"] == pytest.approx(found["reconstruction"] + found["divergence"])
    assert found["divergence"] >= 2
    assert found["frames"] == 20
    assert 0 <= found["active"] <= 4
    again = np.rint(again * 255)
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    edges = [
        np.stack([convolve2d(one, kernel, "valid") for one in shown[:, 20:].mean(axis=-1)])
        for shown in (given.astype(float), again)
    ]
    assert found["detail"] == pytest.approx(edges[1].var() / edges[0].var(), rel=1e-4)


def test_a_grid_has_every_frame_in_its_place():
    rows = [frames(3, seed=1), frames(2, seed=2)]
    image = grid(rows, gap=2)
    assert image.shape == (130, 196, 3)
    np.testing.assert_array_equal(image[66:, 66:130], rows[1][1])


@pytest.mark.parametrize("count", [1, 13, 40])
def test_the_picture_is_written(tmp_path, count):
    show(tmp_path / "a" / "epoch.png", NumpyVAE(parameters(z_size=4)), frames(count))
    with Image.open(tmp_path / "a" / "epoch.png") as image:
        assert image.width >= 12 * 64
