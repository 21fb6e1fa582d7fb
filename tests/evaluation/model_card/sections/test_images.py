"""The card's figures of reconstructions."""

import numpy as np
import pytest

from dreamduck.evaluation.model_card.sections import images
from dreamduck.world_model.vae.reconstruction import psnr
from tests.evaluation.model_card.helpers import toy_config


class Stub:
    """A VAE that decodes to what it is given."""

    def __init__(self, frames):
        self.frames = frames

    def decode(self, z):
        return self.frames


def blurred(frames):
    return np.mean([np.roll(frames.astype(float), shift, 2) for shift in (0, 1)], axis=0).astype(np.uint8)


def test_a_perfect_and_a_blurred_reconstruction(data):
    real = data.held_out
    assert len(real.z) <= images.FRAMES
    perfect = images._compared(Stub(real.frames), real, 0)  # type: ignore[arg-type]
    assert perfect["detail"]["value"] == pytest.approx(1)
    assert perfect["ssim"]["value"] == pytest.approx(1)
    found = images._compared(Stub(blurred(real.frames)), real, 0)  # type: ignore[arg-type]
    assert 0.05 < found["detail"]["value"] < 0.9
    assert found["psnr"]["value"] == pytest.approx(psnr(real.frames, blurred(real.frames)), rel=1e-4)
    assert found["psnr"]["low"] <= found["psnr"]["value"] <= found["psnr"]["high"]
    assert found["ssim"]["value"] < 0.99


def test_both_groups_are_looked_at(dreams, data):
    found = images.images(dreams, data, None, toy_config())
    assert found["held_out"]["psnr"]["n"] == len(data.held_out)
    none = images.images(dreams, data._replace(unseen=None), None, toy_config())
    assert none["unseen_maps"] == {"left_out": "none were recorded"}
    assert none["held_out"] == found["held_out"]
