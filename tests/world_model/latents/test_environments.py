"""Episodes of one environment are encoded by the VAE of that environment."""

import dataclasses

import numpy as np
import pytest

from dreamduck.common.errors import RecordError
from dreamduck.world_model.latents.encoding import _check_episode
from tests.recordings.helpers import episode

DOT = {"id": "Dot-v3", "pixels": "observation", "crop": [0, 0, 0, 0]}


def test_the_actions_are_those_of_the_first_episode():
    one = episode()
    _check_episode(one, 2, {}, "7.npz")
    wider = dataclasses.replace(one, action=np.zeros((len(one), 3), np.float32))
    with pytest.raises(RecordError, match=r"7.npz: actions of 3 numbers, .*first episode have 2"):
        _check_episode(wider, 2, {}, "7.npz")


@pytest.mark.parametrize("other", [{"id": "Other-v0"}, {"pixels": "render"}, {"crop": [0, 9, 0, 0]}])
def test_the_vae_is_of_the_same_pictures(other):
    card = {"environment": DOT}
    _check_episode(episode(environment=DOT), 2, card, "7.npz")
    _check_episode(episode(environment=DOT), 2, {}, "7.npz")
    with pytest.raises(RecordError, match=r"7.npz: of another environment than the VAE .*--weights"):
        _check_episode(episode(environment={**DOT, **other}), 2, card, "7.npz")
