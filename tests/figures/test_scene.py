import numpy as np
import pytest

from dreamduck.common.errors import ConfigError
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.figures.real_drive import RealDrive, enlarge
from dreamduck.figures.scene import Scene, dream_after
from dreamduck.world_model import WorldModel

WARMUP, STEPS = 4, 6
COUNT = WARMUP + STEPS


@pytest.fixture
def dreams(weights):
    return Dreams(WorldModel.load(weights))


@pytest.fixture
def real():
    random = np.random.default_rng(0)
    frames = random.integers(0, 255, (COUNT, 64, 64, 3), np.uint8)
    actions = random.uniform(-1, 1, (COUNT, 2)).astype(np.float32)
    return RealDrive(frames, [enlarge(frame, 96) for frame in frames], [], actions, np.zeros(COUNT))


def test_a_dream_sees_the_first_frames_alone(dreams, real):
    z = dreams.encode(real.frames)
    found = dream_after(dreams, z, real.actions[:-1], WARMUP, 5)
    assert found.shape == z.shape
    assert (found[:WARMUP] == z[:WARMUP]).all()
    changed = z.copy()
    changed[WARMUP:] += 1
    assert (dream_after(dreams, changed, real.actions[:-1], WARMUP, 5) == found).all()
    changed[0] += 1
    assert (dream_after(dreams, changed, real.actions[:-1], WARMUP, 5)[WARMUP:] != found[WARMUP:]).any()


def test_a_dream_takes_the_actions_of_the_drive(dreams, real):
    z, actions = dreams.encode(real.frames), real.actions[:-1].copy()
    found = dream_after(dreams, z, actions, WARMUP, 5)
    actions[WARMUP + 1] *= -1  # after the second dreamt frame
    other = dream_after(dreams, z, actions, WARMUP, 5)
    same = (found == other).all(axis=1)
    assert same[: WARMUP + 2].all()
    assert not same[WARMUP + 2 :].any()


def test_panels_show_what_their_labels_say(dreams, real):
    scene = Scene(dreams, real, WARMUP, 0.1, 5)
    assert len(scene) == COUNT
    last = COUNT - 1
    assert (scene.panel("true", last) == real.images[last]).all()
    assert (scene.panel("reconstructed", last) == enlarge(scene.reconstructed[last], 96)).all()
    assert (scene.panel("dreamt", last) == enlarge(scene.dreamt[last], 96)).all()
    assert (scene.dreamt[:WARMUP] == scene.reconstructed[:WARMUP]).all()
    assert scene.label("dreamt", WARMUP - 1) == "reconstructed, eyes open"
    assert scene.label("dreamt", last) == "dream, eyes closed for 0.6 s"
    difference = np.abs(real.frames[last].astype(float) - scene.dreamt[last]).mean()
    assert scene.label("error", last) == f"error {difference:.0f} of 255"
    for dreamt in (scene.dreamt, np.zeros_like(scene.dreamt)):  # with black, some are off the scale
        scene.dreamt = dreamt
        differences = np.abs(real.frames[last].astype(np.float32) - dreamt[last]).mean(axis=2)
        grey = np.minimum(2 * differences, 255).astype(np.uint8)  # twice as bright, so that it is seen
        assert (scene.panel("error", last) == enlarge(np.stack([grey] * 3, axis=2), 96)).all()
    assert (grey == 255).any()


def test_a_drive_that_ends_before_the_dream_is_refused(dreams, real):
    with pytest.raises(ConfigError, match="another seed or a smaller warmup"):
        Scene(dreams, real, COUNT, 0.1, 0).panel("dreamt", 0)
