"""`DreamDuck-v1` in a batch: the same as so many single worlds."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import dreamduck  # noqa: F401  (registers the worlds)
from dreamduck.common.errors import ActionError, ConfigError, ResetNeeded, WeightsError
from dreamduck.envs.realenv import RealEnv, RealVectorEnv
from tests.envs.models import OBSERVATION, write_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"), vae=True)


def assert_alike(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_same_as_single_worlds(folder, mode):
    settings = dict(weights=folder, max_episode_steps=40)
    batch = gymnasium.make_vec(
        "DreamDuck-v1", num_envs=3, vectorization_mode="vector_entry_point", autoreset_mode=mode, **settings
    )
    single = SyncVectorEnv([lambda: gymnasium.make("DreamDuck-v1", **settings)] * 3, autoreset_mode=mode)
    try:
        assert isinstance(batch, RealVectorEnv)
        assert batch.observation_space == single.observation_space
        assert batch.metadata["autoreset_mode"] == single.metadata["autoreset_mode"] == mode
        assert_alike(batch.reset(seed=5)[:1], single.reset(seed=5)[:1])
        rng, ends = np.random.default_rng(0), np.zeros(2, dtype=int)
        for _ in range(60):
            actions = rng.uniform(-1, 1, (3, 2)).astype(np.float32)
            actions[:2] = (1, 0), (0, 0)  # one drives off the road, one stands until the time is up
            ours, theirs = batch.step(actions), single.step(actions)
            assert_alike(ours[:4], theirs[:4])
            np.testing.assert_array_equal(ours[4]["lane_dist"], theirs[4]["lane_dist"])
            assert ours[4]["end"].tolist() == theirs[4]["end"].tolist()
            ends += ours[2].sum(), ours[3].sum()
            if mode is AutoresetMode.SAME_STEP and (ours[2] | ours[3]).any():
                for a, b in zip(ours[4]["final_obs"], theirs[4]["final_obs"], strict=True):
                    assert (a is None) == (b is None)
                    if a is not None:
                        assert_alike([a], [b])
        assert (ends > 0).all()  # both kinds were met
    finally:
        batch.close()
        single.close()


def test_pictures_and_errors(folder):
    batch = RealVectorEnv(2, weights=folder, render_mode="rgb_array")
    with pytest.raises(ResetNeeded, match=r"environments \[0, 1\] before render"):
        batch.render()
    batch.reset(seed=[3, 5])
    plain = RealVectorEnv(2, weights=folder, render_mode="rgb_array", debug=False)
    plain.reset(seed=[3, 5])
    images, cameras = batch.render() or (), plain.render() or ()
    plain.close()
    for seed, image, camera in zip((3, 5), images, cameras, strict=True):
        for debug, shown in ((True, image), (False, camera)):
            single = RealEnv(weights=folder, render_mode="rgb_array", debug=debug)
            single.reset(seed=seed)
            np.testing.assert_array_equal(shown, single.render())
            single.close()
    assert batch.single_observation_space.shape == (OBSERVATION,)
    with pytest.raises(ActionError):
        batch.step(np.zeros((3, 2)))
    batch.close()
    with pytest.raises(ConfigError, match="mapname"):
        RealVectorEnv(2, weights=folder, mapname="loop_empty")
    with pytest.raises(WeightsError):
        RealVectorEnv(2, weights=folder / "none")
