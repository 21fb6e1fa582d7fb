"""`DreamDuck-v2`: the dream as a Gym world."""

import dataclasses
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import dreamduck
from dreamduck.common.errors import ConfigError, ResetNeeded, WeightsError
from dreamduck.controllers.factory import WorldConfig, make_dream
from dreamduck.envs.rnnenv import DreamEnv, DreamVectorEnv
from dreamduck.world_model.dynamics import InitialZ
from dreamduck.world_model.dynamics.start_states import write_initial
from dreamduck.world_model.mdn_rnn import MDNRNNConfig
from dreamduck.world_model.model_config import ModelConfig
from tests.envs.conformance import Conformance
from tests.envs.models import OBSERVATION, actions, drive, write_model
from tests.world_model.mdn_rnn.helpers import SMALL, random_parameters, write_mdn_rnn
from tests.world_model.mdn_rnn.legacy_files import write_rnn

assert dreamduck.__version__
SCRIPT = Path(dreamduck.__file__).parent / "envs" / "rnnenv.py"


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """With a VAE, to draw images."""
    return write_model(tmp_path_factory.mktemp("whole"), vae=True)


def test_observation_is_z_c_h_and_c_and_h_begin_at_zero(folder):
    env = DreamEnv(weights=folder)
    observation, info = env.reset(seed=0)
    assert observation.shape == (OBSERVATION,)
    assert observation.dtype == np.float32
    assert not observation[4:].any()
    assert info == {"end": "", "end_probability": 0.0}
    observation, reward, _, _, info = env.step(actions(1)[0])
    np.testing.assert_array_equal(observation[4:20], env.dreams.state.c[0])
    np.testing.assert_array_equal(observation[20:], env.dreams.state.h[0])
    assert isinstance(reward, float)
    assert 0 < info["end_probability"] < 1


def test_same_seed_same_dream_whatever_came_before(folder):
    env, other = DreamEnv(weights=folder), DreamEnv(weights=str(folder))
    rows, rewards, _ = drive(env, 3)
    drive(other, 8)
    again, rewards_again, _ = drive(other, 3)
    np.testing.assert_array_equal(rows, again)
    assert rewards == rewards_again
    assert not np.array_equal(rows[0], drive(env, 4)[0][0])
    np.testing.assert_array_equal(rows, drive(env, 3)[0])


def test_same_dream_in_another_process(folder):
    code = (
        "import sys, hashlib, numpy as np\n"
        "from dreamduck.envs.rnnenv import DreamEnv\n"
        "from tests.envs.models import drive\n"
        "rows = drive(DreamEnv(weights=sys.argv[1]), 3)[0]\n"
        "assert 'tensorflow' not in sys.modules\n"
        "print(hashlib.sha256(rows.tobytes()).hexdigest())"
    )
    root = Path(dreamduck.__file__).parent.parent
    out = subprocess.run(
        [sys.executable, "-c", code, str(folder)], check=True, capture_output=True, text=True, cwd=root
    ).stdout
    import hashlib

    assert out.strip() == hashlib.sha256(drive(DreamEnv(weights=folder), 3)[0].tobytes()).hexdigest()


def test_temperature_changes_the_dream(folder):
    cold, hot = (drive(DreamEnv(weights=folder, temperature=t), 3)[0] for t in (0.2, 1.5))
    np.testing.assert_array_equal(cold[0], hot[0])
    assert not np.array_equal(cold[1], hot[1])


def test_only_the_dynamics_end_a_dream(folder, tmp_path):
    _, _, infos = drive(DreamEnv(weights=write_model(tmp_path / "short", end=4.0)), 0)
    assert len(infos) < 30
    assert infos[-1]["end"] == "dream-end"
    assert all(info["end"] == "" for info in infos[:-1])
    long = write_model(tmp_path / "long", end=-60.0)
    env = gymnasium.make("dreamduck:DreamDuck-v2", weights=long, max_episode_steps=7)
    _, _, infos = drive(env, 0)
    assert len(infos) == 8
    assert infos[-1]["end"] == ""


class TestDream(Conformance):
    """With the weights that ship."""

    world_id = "DreamDuck-v2"
    ends = ("", "dream-end")


def test_checkers_find_nothing(whole, display):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("DreamDuck-v2", weights=whole, render_mode="rgb_array").unwrapped)
        from stable_baselines3.common.env_checker import check_env as check_env_sb3

        check_env_sb3(DreamEnv(weights=whole))


def test_pictures_show_what_is_dreamt(whole):
    env = DreamEnv(weights=whole, render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    assert first.shape == (480, 640, 3)
    assert first.dtype == np.uint8
    env.step(actions(1)[0])
    assert not np.array_equal(first, env.render())


def test_many_dreams_are_the_single_ones(folder):
    seeds: Any = [4, 0, 9]  # Gymnasium takes a list, though its type hint does not
    envs = gymnasium.make_vec("DreamDuck-v2", num_envs=3, weights=folder)
    observations, _ = envs.reset(seed=seeds)
    singles = [DreamEnv(weights=folder) for _ in seeds]
    expected = [env.reset(seed=seed)[0] for env, seed in zip(singles, seeds, strict=True)]
    np.testing.assert_array_equal(observations, expected)
    alive = np.ones(3, bool)
    for action in actions(40):
        observations, rewards, terminated, _, infos = envs.step(np.tile(action, (3, 1)))
        for i in np.flatnonzero(alive):
            observation, reward, ended, _, info = singles[i].step(action)
            np.testing.assert_array_equal(observations[i], observation)
            assert rewards[i] == reward
            assert terminated[i] == ended
            assert infos["end"][i] == info["end"]
            alive[i] &= not ended
    envs.close()


def test_bad_arguments(folder, tmp_path):
    for temperature in (0, -0.5):
        with pytest.raises(ConfigError, match="temperature: expected more than 0"):
            DreamEnv(weights=folder, temperature=temperature)
    with pytest.raises(ConfigError, match="temperature"):
        DreamEnv(weights=folder, temperature=float("nan"))
    with pytest.raises(ConfigError, match="unknown map_name"):
        DreamEnv(weights=folder, map_name="loop_empty")
    with pytest.raises(ConfigError, match="options"):
        DreamEnv(weights=folder).reset(options={"start": (0, 0, 0)})
    with pytest.raises(ResetNeeded):
        DreamEnv(weights=folder).step(actions(1)[0])
    with pytest.raises(WeightsError, match=r"no such file; train it with dreamduck train-rnn"):
        DreamEnv(weights=tmp_path / "nothing")


@pytest.mark.parametrize("name", ["rnn.weights.h5", "rnn.json", "initial_z.json"])
def test_damaged_weights(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
        DreamEnv(weights=folder)
    path.unlink()
    with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
        DreamEnv(weights=folder)


def test_first_latents_of_another_size(folder):
    (folder / "initial_z.json").write_text(json.dumps([[[0] * 5], [[0] * 5]]))
    with pytest.raises(WeightsError, match="expected 4"):
        DreamEnv(weights=folder)


def write_2019(folder, z_size=4, mixtures=5):
    """An MDN-RNN as the code of 2019 wrote it, with first latents."""
    sizes = MDNRNNConfig(z_size, 2, 24, mixtures)
    folder.mkdir()
    write_rnn(folder / "rnn.json", random_parameters(sizes), sizes)
    mu = np.random.default_rng(0).standard_normal((5, z_size)).astype(np.float32)
    write_initial(folder / "initial_z.json", InitialZ(mu, np.full_like(mu, -4.0)))
    return folder


def test_a_batch_is_not_drawn_before_each_dream_has_begun(whole):
    envs = DreamVectorEnv(3, weights=whole, render_mode="rgb_array")
    with pytest.raises(ResetNeeded, match=r"environments \[0, 1, 2\] before render"):
        envs.render()
    envs.reset(seed=0, options={"reset_mask": np.array([True, False, True])})
    with pytest.raises(ResetNeeded, match=r"environments \[1\] before render"):
        envs.render()
    envs.reset(seed=0, options={"reset_mask": np.array([False, True, False])})
    assert [image.shape for image in envs.render() or ()] == [(480, 640, 3)] * 3


def test_dynamics_of_2019_report_their_missing_heads(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("dreamduck.envs.rnnenv._warned", set())
    old = write_2019(tmp_path / "old")
    with caplog.at_level("WARNING"):
        env = DreamEnv(weights=old)
        DreamVectorEnv(2, weights=old)
        DreamEnv(weights=write_model(tmp_path / "new"))
    (line,) = (record.message for record in caplog.records)
    assert "predicts neither rewards nor ends" in line
    assert "train-rnn --heads-only" in line
    _, rewards, infos = drive(env, 0, 50)
    assert not any(rewards)
    assert {info["end"] for info in infos} == {""}
    with pytest.raises(WeightsError, match=r"old: .* neither rewards nor ends.*--heads-only"):
        make_dream(WorldConfig(model=ModelConfig(weights=str(old))))


def test_ambiguous_sizes_of_2019_are_refused(tmp_path):
    """With 5 Gaussians these weights would be 12 latents and 10 actions."""
    folder = write_2019(tmp_path / "old", z_size=20, mixtures=3)
    assert DreamEnv(weights=folder).observation_space.shape == (20 + 2 * 24,)
    (folder / "initial_z.json").unlink()
    with pytest.raises(WeightsError, match=r"rnn\.json: its sizes do not follow.*12 latents and 10"):
        DreamEnv(weights=folder)


def test_the_step_time_is_that_of_the_recordings(tmp_path):
    folder = write_model(tmp_path)
    card = json.loads((folder / "rnn.json").read_text())
    assert DreamEnv(weights=folder).metadata["render_fps"] == 10
    card["environment"] = {"frame_skip": 6, "step_time": 0.2}
    (folder / "rnn.json").write_text(json.dumps(card))
    env = DreamEnv(weights=folder)
    assert env.metadata["render_fps"] == 5
    assert env.about()["environment"] == card["environment"]


def test_a_dream_stays_in_the_range_that_training_saw(tmp_path):
    folder = write_model(tmp_path, end=-60.0)
    card = json.loads((folder / "rnn.json").read_text())
    card["latents"] = {"low": [-0.5, -0.1, 0.2, -2.0], "high": [0.4, 0.1, 0.2, -1.0]}
    (folder / "rnn.json").write_text(json.dumps(card))
    rows, _, _ = drive(DreamEnv(weights=folder, temperature=1.7), 0, 60)
    assert len(rows) == 61
    low, high = (np.array(card["latents"][name], np.float32) for name in ("low", "high"))
    assert ((rows[:, :4] >= low) & (rows[:, :4] <= high)).all()
    assert (rows[:, 0] == high[0]).any()


def test_dynamics_of_other_actions_cannot_be_driven(tmp_path):
    write_mdn_rnn(tmp_path, dataclasses.replace(SMALL, action_size=3))
    for make in (DreamEnv, DreamVectorEnv):
        with pytest.raises(WeightsError, match="actions of 3 numbers, expected 2"):
            make(weights=tmp_path)


def test_the_script_says_what_it_takes():
    text = subprocess.run([sys.executable, SCRIPT, "-h"], check=True, capture_output=True, text=True).stdout
    assert "--temp" in text
    assert "--weights" in text
    bad = subprocess.run(
        [sys.executable, SCRIPT, "--temp", "0"], capture_output=True, text=True, check=False
    )
    assert bad.returncode == 2
    assert bad.stderr.strip().splitlines()[-1].startswith("error: temperature: expected more than 0")
