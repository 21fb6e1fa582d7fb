"""Weights on disk, the 2019 form, and looking at frames without TensorFlow."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

from dreamduck.common.errors import FrameError, WeightsError
from dreamduck.world_model import WorldModel
from dreamduck.world_model.legacy.vae_json import read_legacy
from dreamduck.world_model.vae import VAE, files
from dreamduck.world_model.vae.layout import FORMAT, shapes
from tests.world_model.vae.helpers import frames, parameters, write_legacy


def test_saved_weights_load_as_they_were(tmp_path):
    made = parameters(z_size=5)
    files.save(tmp_path, made, {"metrics": {"psnr": 1.0}})
    vision = WorldModel.load(tmp_path).vae
    assert vision.z_size == 5
    assert vision.card["metrics"] == {"psnr": 1.0}
    assert vision.card["weights"] == vision.weights
    read = files.read_parameters(tmp_path / files.WEIGHTS)
    for name, array in made.items():
        np.testing.assert_array_equal(read[name], array)


def test_the_shipped_form_is_small_and_the_same_vae(tmp_path):
    made = parameters()
    files.save(tmp_path, files.shipped(made), {})
    assert (tmp_path / files.WEIGHTS).stat().st_size < 3.5e6
    whole, small = VAE(made), WorldModel.load(tmp_path).vae
    z = np.random.default_rng(0).normal(size=(4, 64))
    np.testing.assert_allclose(small.encode(frames(4))[0], whole.encode(frames(4))[0], atol=0.01)
    assert np.abs(small.decode(z).astype(int) - whole.decode(z)).max() <= 1
    again = files.shipped(files.shipped(made))
    for name, array in files.shipped(made).items():
        np.testing.assert_array_equal(again[name], array)


@pytest.mark.parametrize("z_size", [1023, 1030])
def test_the_shipped_form_of_large_latents(z_size):
    made = parameters(z_size)
    z = np.random.default_rng(0).normal(size=(1, z_size)) / 8
    assert np.abs(VAE(files.shipped(made)).decode(z).astype(int) - VAE(made).decode(z)).max() <= 1


def test_looking_gives_arrays_of_the_right_kind_and_the_same_twice():
    vision = VAE(parameters(z_size=7))
    given = frames(19)  # more than one chunk, and not a multiple of it
    mu, logvar = vision.encode(given)
    assert mu.shape == logvar.shape == (19, 7)
    assert mu.dtype == logvar.dtype == np.float32
    np.testing.assert_array_equal(mu, vision.encode(given)[0])
    again = vision.decode(mu)
    assert again.shape == given.shape
    assert again.dtype == np.uint8
    np.testing.assert_array_equal(again, vision.decode(mu))
    np.testing.assert_allclose(vision.encode(given[3:4])[0], mu[3:4], atol=1e-5)
    assert vision.encode(given[:0])[0].shape == (0, 7)
    assert vision.decode(mu[:0]).shape == (0, 64, 64, 3)


def test_frames_need_not_be_contiguous():
    vision = VAE(parameters(z_size=3))
    given = frames(4)
    turned = given[::-1, :, ::-1]
    np.testing.assert_array_equal(vision.encode(turned)[0], vision.encode(turned.copy())[0])


@pytest.mark.parametrize(
    "bad", [np.zeros((64, 64, 3), np.uint8), np.zeros((1, 64, 64, 3)), np.zeros((1, 32, 64, 3), np.uint8)]
)
def test_frames_of_another_form_are_refused(bad):
    with pytest.raises(FrameError, match=r"expected uint8 \(B, 64, 64, 3\)"):
        VAE(parameters(z_size=3)).encode(bad)


def test_latents_of_another_form_are_refused():
    vision = VAE(parameters(z_size=3))
    with pytest.raises(FrameError, match=r"expected \(B, 3\)"):
        vision.decode(np.zeros((1, 4)))
    with pytest.raises(FrameError, match="finite"):
        vision.decode(np.full((1, 3), np.nan))


def test_the_error_without_weights_names_the_command(tmp_path):
    with pytest.raises(WeightsError, match=r"no such file; train it with dreamduck train-vae"):
        _ = WorldModel.load(tmp_path).vae


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "shape", "layer", "nan", "huge"])
def test_damaged_weights_are_refused(tmp_path, damage):
    path = tmp_path / files.WEIGHTS
    made = parameters(z_size=4)
    if damage == "nan":
        made["dec_fc/bias"][3] = np.nan
    FORMAT.write(path, made)
    if damage in ("empty", "text"):
        path.write_bytes(b"" if damage == "empty" else b"weights")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage in ("shape", "layer", "huge"):
        with h5py.File(path, "a") as file:
            del file["dec_deconv4/vars/0"]
            if damage == "shape":
                file["dec_deconv4/vars/0"] = np.zeros((6, 6, 4, 32), np.float32)
            if damage == "huge":  # claims 400 GB, holds nothing
                file.create_dataset(
                    "dec_deconv4/vars/0", shape=(100_000, 1_000_000), dtype="f4", chunks=True
                )
    with pytest.raises(WeightsError, match=r"vae\.weights\.h5"):
        _ = WorldModel.load(tmp_path).vae


def test_a_card_must_be_an_object(tmp_path):
    files.save(tmp_path, parameters(z_size=2), {})
    (tmp_path / files.CARD).write_text("[1]")
    with pytest.raises(WeightsError, match="expected a JSON object"):
        _ = WorldModel.load(tmp_path).vae


def test_the_2019_form_round_trips(tmp_path):
    made = parameters(z_size=6)
    write_legacy(tmp_path / "vae.json", made)
    stored = json.loads((tmp_path / "vae.json").read_text())
    assert [np.shape(a) for a in stored] == list(shapes(6).values())
    assert stored[0][1][2][0][5] == round(float(made["enc_conv1/kernel"][1, 2, 0, 5]) * 10_000)
    read = read_legacy(tmp_path / "vae.json")
    for name, array in made.items():
        np.testing.assert_allclose(read[name], array, atol=0.5e-4 + 1e-7)
    np.testing.assert_array_equal(
        WorldModel.load(tmp_path).vae.decode(np.ones((1, 6))), VAE(read).decode(np.ones((1, 6)))
    )


@pytest.mark.parametrize(
    "text", ["{}", "[1, 2]", "[" + ", ".join(['"a"'] * 22) + "]", "not json", "[[[]]]"]
)
def test_other_json_is_not_the_2019_form(tmp_path, text):
    (tmp_path / "vae.json").write_text(text)
    with pytest.raises(WeightsError, match=r"vae\.json"):
        read_legacy(tmp_path / "vae.json")


def test_looking_loads_no_tensorflow(tmp_path):
    files.save(tmp_path, parameters(z_size=2), {})
    code = (
        "import sys, numpy, dreamduck; dreamduck.WorldModel.load(sys.argv[1]).encode("
        "numpy.zeros((1, 64, 64, 3), numpy.uint8)); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
