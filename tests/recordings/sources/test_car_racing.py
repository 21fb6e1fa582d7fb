"""`CarRacing` drawn on demand: the same episodes, bit for bit."""

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import TransformObservation

from dreamduck.recordings.sources import car_racing
from dreamduck.recordings.sources.frame_env import FrameEnv
from dreamduck.recordings.sources.images import OBSERVATION

MARGINS = (3, 12, 2, 5)


def make(skip, drawn_always=False, **settings):
    env = gymnasium.make("CarRacing-v3", disable_env_checker=True, **settings)
    with pytest.MonkeyPatch.context() as patch:
        if drawn_always:
            patch.setattr(car_racing, "drawing", lambda env: None)
        return FrameEnv(env, OBSERVATION, MARGINS, skip)


def episode(env, seed, steps):
    random = np.random.default_rng(seed)
    frames, results = [env.reset(seed=seed)[0]], []
    for _ in range(steps):
        action = random.normal([0.1, 0.6, -0.9], [0.4, 0.3, 0.2]).clip(-1, 1)
        frame, reward, *_, info = env.step(action)
        frames.append(frame.copy())
        results.append((reward, info))
    return np.stack(frames), results


@pytest.mark.parametrize(("skip", "settings"), [(1, {}), (3, {"domain_randomize": True})])
def test_frames_and_rewards_are_the_same(skip, settings):
    ours, plain = make(skip, **settings), make(skip, drawn_always=True, **settings)
    for seed in (5, 8):  # two, since the track changes at a reset
        frames, results = episode(ours, seed, 70 // skip)
        expected, expected_results = episode(plain, seed, 70 // skip)
        assert np.abs(np.diff(frames.astype(int), axis=0)).mean(axis=(1, 2, 3)).min() > 0
        np.testing.assert_array_equal(frames, expected)
        assert results == expected_results
    ours.close()
    plain.close()


def test_the_last_frame_of_an_episode_is_drawn():
    ours, plain = (make(4, max_episode_steps=66, drawn_always=always) for always in (False, True))
    frames, results = episode(ours, 3, 17)  # ends in the second of the last four
    expected, _ = episode(plain, 3, 17)
    assert [info["end_kind"] for _, info in results[-2:]] == [0, 2]
    np.testing.assert_array_equal(frames, expected)


def test_a_step_draws_once(monkeypatch):
    env = make(4)
    env.reset(seed=2)
    drawn = []
    game = env.unwrapped
    monkeypatch.setattr(game, "_render_indicators", lambda *size: drawn.append(size))
    env.step(np.zeros(3))
    assert len(drawn) == 1


def test_changed_images_are_left_alone():
    env = gymnasium.make("CarRacing-v3", disable_env_checker=True)
    swapped = TransformObservation(env, lambda image: image[..., ::-1], env.observation_space)
    assert car_racing.drawing(swapped) is None
    frame = FrameEnv(swapped, OBSERVATION, (0, 0, 0, 0)).reset(seed=4)[0]
    straight = FrameEnv(env, OBSERVATION, (0, 0, 0, 0)).reset(seed=4)[0]
    np.testing.assert_array_equal(frame[..., ::-1], straight)
    env.close()
