"""`DreamDuck-v1`: the simulator, seen through the world model."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import dreamduck
from dreamduck.common.config import replace
from dreamduck.common.errors import ConfigError, StartError, WeightsError
from dreamduck.envs.env import DuckEnv
from dreamduck.envs.panels import panels
from dreamduck.envs.realenv import RealEnv, RealVectorEnv
from dreamduck.simulator.environment import describe
from dreamduck.simulator.road import RoadConfig
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import RecurrentState
from tests.envs.conformance import Conformance
from tests.envs.models import OBSERVATION, write_model

SCRIPT = Path(dreamduck.__file__).parent / "envs" / "realenv.py"
ACTIONS = np.random.default_rng(0).uniform([0.1, -0.3], [0.6, 0.3], (12, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"), vae=True)


def test_same_road_as_v0_and_the_frame_seen_through_the_model(folder):
    plain, env = DuckEnv(), RealEnv(weights=folder)
    encoder, rnn = (model := WorldModel.load(folder)).vae, model.dynamics
    frame, info = plain.reset(seed=4)
    observation, own_info = env.reset(seed=4)
    assert own_info == info
    assert observation.shape == (OBSERVATION,)
    z, state = encoder.encode(frame[None])[0], rnn.start()
    np.testing.assert_array_equal(observation, np.concatenate([z[0], state.c[0], state.h[0]]))
    for action in ACTIONS:
        state = rnn.advance(z, action[None], RecurrentState(*state))
        frame, reward, terminated, _, info = plain.step(action)
        observation, own_reward, own_terminated, _, own_info = env.step(action)
        z = encoder.encode(frame[None])[0]
        np.testing.assert_array_equal(observation, np.concatenate([z[0], state.c[0], state.h[0]]))
        assert (own_reward, own_terminated, own_info) == (reward, terminated, info)
        if terminated:
            break
    plain.close()
    env.close()


def test_episodes_do_not_depend_on_those_before(folder):
    env = RealEnv(weights=folder)
    first = [env.reset(seed=1)[0], *(env.step(action)[0] for action in ACTIONS[:4])]
    env.reset(seed=2)
    again = [env.reset(seed=1)[0], *(env.step(action)[0] for action in ACTIONS[:4])]
    np.testing.assert_array_equal(first, again)
    env.close()


def test_views(folder):
    images = {}
    views: dict[str, dict[str, Any]] = {
        "seen": {},
        "camera": {"debug": False},
        "next": {"debug": False, "next_z": True},
        "hot": {"debug": False, "next_z": True, "temperature": 2.3},
        "all": {"next_z": True},
    }
    for name, flags in views.items():
        env = RealEnv(weights=folder, render_mode="rgb_array", **flags)
        env.reset(seed=0)
        env.step(ACTIONS[0])
        images[name] = env.render()
        assert images[name].shape == (480, 640, 3)
        assert images[name].dtype == np.uint8
        if name == "seen":  # a large view of the camera, and beside it what the model makes of the frame
            decoded = WorldModel.load(folder).vae.decode(env.perception.z)[0]
            view = env.road.view("camera", 318, 318)
            np.testing.assert_array_equal(images[name], panels([view, decoded]))
            assert (images[name] != panels([env.frame(), decoded])).any()
        env.close()
    assert len({image.tobytes() for image in images.values()}) == len(images)


class TestReal(Conformance):
    """With the weights that ship."""

    world_id = "DreamDuck-v1"
    ends = ("", "off-road", "collision")


def test_checkers_find_nothing(folder):
    env = gymnasium.make("dreamduck:DreamDuck-v1", weights=folder)
    check_env(env.unwrapped, skip_render_check=True)
    from stable_baselines3.common.env_checker import check_env as check_env_sb3

    check_env_sb3(RealEnv(weights=folder))


@pytest.mark.parametrize("make", [RealEnv, RealVectorEnv])
def test_settings_that_the_weights_did_not_learn_from(folder, tmp_path, make):
    shutil.copytree(folder, tmp_path / "model")
    for name in ("rnn.json", "vae.json"):
        path = tmp_path / "model" / name
        card = json.loads(path.read_text())
        card["environment"] = describe(
            replace(RoadConfig(), frame_skip=4, steering_gain=1.5, distortion=True)
        )
        path.write_text(json.dumps(card))
    fits = {"weights": tmp_path / "model", "frame_skip": 4, "steering_gain": 1.5, "distortion": True}
    make(**fits).close()
    make(**fits, map_name="udem1", domain_rand=True).close()
    for change, word in (
        ({"frame_skip": 3}, "frame_skip: expected 4, got 3"),
        ({"distortion": False}, "distortion: expected true, got false"),
        ({"reward": "simulator"}, "reward: expected progress, got simulator"),
    ):
        with pytest.raises(ConfigError, match=f"{word}.*any_weights=True"):
            make(**{**fits, **change})
        make(**{**fits, **change}, any_weights=True).close()
    card = json.loads((tmp_path / "model" / "rnn.json").read_text())
    del card["environment"]  # older dynamics; the VAE's card still has its environment
    (tmp_path / "model" / "rnn.json").write_text(json.dumps(card))
    make(**{**fits, "frame_skip": 3}).close()
    with pytest.raises(ConfigError, match="distortion: expected true, got false"):
        make(**{**fits, "distortion": False})


def test_bad_arguments(folder, tmp_path):
    with pytest.raises(ConfigError, match="camera: expected 64x64"):
        RealEnv(weights=folder, camera_width=80)
    with pytest.raises(ConfigError, match="temperature"):
        RealEnv(weights=folder, temperature=0.0)
    with pytest.raises(WeightsError, match=r"no such file; train it"):
        RealEnv(weights=tmp_path)
    with pytest.raises(StartError):
        RealEnv(weights=folder).reset(options={"start": (0.0, 0.0)})
    write_model(tmp_path, vae=True)
    (tmp_path / "vae.weights.h5").write_bytes(b"not a file of weights")
    with pytest.raises(WeightsError, match=r"vae\.weights\.h5"):
        RealEnv(weights=tmp_path)


def test_the_script_says_what_it_takes():
    text = subprocess.run([sys.executable, SCRIPT, "-h"], check=True, capture_output=True, text=True).stdout
    for flag in ("--debug", "--next-z", "--temp", "--weights", "--map-name"):
        assert flag in text
    assert "--camera-width" not in text
