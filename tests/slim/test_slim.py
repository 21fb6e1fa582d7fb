"""What the base install can do; needs pytest alone, so that it runs in a small environment as well.

`make test-slim PYTHON=python3.13` runs it in a fresh one."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

CONTROLLERS = "import dreamduck.pretrained as p; print(p.__path__[0] + '/controllers')"
DRIVE = """
import sys, gymnasium, dreamduck
for number in range(3):
    env = gymnasium.make(f"DreamDuck-v{number}", disable_env_checker=True)
    observation, _ = env.reset(seed=number)
    for _ in range(10):
        observation, reward, terminated, truncated, info = env.step([0.3, 0.1])
        if terminated or truncated:
            observation, _ = env.reset()
    print(env.spec.id, observation.shape)
    env.close()
fish_eye = gymnasium.make("DreamDuck-v0", distortion=True, disable_env_checker=True)
print(fish_eye.reset(seed=0)[0].shape)
extras = ["tensorflow", "keras", "skimage", "matplotlib", "imageio", "cma", "torch", "aiohttp"]
print([name for name in extras if name in sys.modules])
"""
VECTORS = """
import gymnasium, dreamduck
for number in range(3):
    envs = gymnasium.make_vec(f"DreamDuck-v{number}", num_envs=2)
    envs.reset(seed=number)
    print(envs.step([[0.3, 0.1]] * 2)[0].shape)
    envs.close()
"""
EXTRAS = {
    "drive": ("aiohttp", "web"),
    "rl": ("sb3_contrib", "rl"),
    "encode": ("keras", "train"),
    "record": ("matplotlib", "train"),
    "reproduce": ("keras", "train"),
    "scoreboard": ("matplotlib", "train"),
    "train-vae": ("keras", "train"),
    "export": ("onnx", "web"),
}


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


def test_all_environments_step_with_nothing_but_the_base_install(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = python("-c", DRIVE)
    ids = ["DreamDuck-v0 (64, 64, 3)", "DreamDuck-v1 (576,)", "DreamDuck-v2 (576,)"]
    assert done.stdout.splitlines() == [*ids, "(64, 64, 3)", "[]"], done.stderr


def test_vector_environments_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = python("-c", VECTORS)
    assert done.stdout.splitlines() == ["(2, 64, 64, 3)", "(2, 576)", "(2, 576)"], done.stderr


def test_the_shipped_controller_drives(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    controller = Path(python("-c", CONTROLLERS).stdout.strip()) / "rnnenv.cma.32.64.best.json"
    words = ["evaluate", "realenv", "norender", str(controller), "1", "--episodes=2", "--max-steps=60"]
    done = python("-m", "dreamduck", *words)
    assert "average steps taken 60.00 episodes 2" in done.stdout, done.stderr
    reward = float(done.stdout.partition("average_reward ")[2].split()[0])
    assert reward > 1.5  # metres along the lane in six seconds; standing still earns nothing


def test_the_data_is_there_and_reported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = python("-m", "dreamduck", "fetch-data")
    assert " maps in " in done.stdout, done.stderr


@pytest.mark.parametrize("command", EXTRAS)
def test_a_missing_extra_is_named(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package, extra = EXTRAS[command]
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    done = python("-m", "dreamduck", command, *(["dream.html"] if command == "export" else []))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(f"install it with: pip install 'dreamduck[{extra}]'")


def test_the_command_of_2019_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if importlib.util.find_spec("stable_baselines3") is not None:
        pytest.skip("stable_baselines3 is installed")
    done = python("-m", "baselines.run", "--alg=ppo2", "--env=DreamDuck-v0")
    assert done.returncode == 2
    assert done.stderr.endswith("install it with: pip install 'dreamduck[rl]'\n")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="gym-duckietown runs on Python 3.11")
def test_gym_duckietown_says_which_python_it_needs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "import gymnasium, dreamduck; gymnasium.make('DreamDuck-v0', simulator='gym-duckietown').reset()"
    done = python("-c", code)
    assert "simulator='gym-duckietown' needs Python 3.11, got 3." in done.stderr
