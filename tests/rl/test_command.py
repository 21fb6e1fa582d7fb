"""The command as a whole: train, save, resume, play, refuse."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from dreamduck.common.errors import CheckpointError, ConfigError, DreamDuckError
from dreamduck.common.storage import claim
from dreamduck.pretrained import AGENTS
from dreamduck.rl.agents import agent_file
from dreamduck.rl.agents.checkpoint import newest
from dreamduck.rl.algorithms import RECIPES
from dreamduck.rl.arguments import parse
from dreamduck.rl.callback import TrainingCallback
from dreamduck.rl.logs import STEP_COLUMNS
from dreamduck.rl.run import Run, main
from dreamduck.rl.sb3 import VecNormalize, sb3, th
from dreamduck.window.window import Keys
from tests.rl.toys import Dot

ROOT = Path(__file__).parents[2]
DOT = ["--env=tests.rl.toys:Dot-v0", "--seed=0"]
CAM, SHORT = "--env=tests.rl.toys:DotCam-v0", ["--nsteps=8", "--num_timesteps=8", "--noptepochs=1"]
QUICK = ["--num_timesteps=256", "--nsteps=64", "--num_env=2", "--log_interval=1", "-q", "--no-progress"]


def entries_of(log: Path) -> list[dict[str, str]]:
    with open(log / "progress.csv", newline="") as file:
        return list(csv.DictReader(file))


def steps_of(log: Path) -> list[int]:
    return [int(row["misc/total_timesteps"]) for row in entries_of(log)]


def test_a_training_writes_logs_and_agent(tmp_path, capsys):
    log = tmp_path / "log"
    main([*DOT, *QUICK, f"--log_path={log}", f"--save_path={tmp_path / 'deep' / 'agent'}"])
    assert steps_of(log) == [128, 256]
    assert all(np.isfinite(float(value)) for row in entries_of(log) for value in row.values())
    monitor = (log / "monitor.csv").read_text().splitlines()
    assert monitor[0].startswith('#{"t_start"')
    assert monitor[1] == "r,l,t"
    assert [line.split(",")[1] for line in monitor[2:]] == ["20"] * 12
    assert list((log / "tb").glob("events*"))
    assert "total_timesteps" in (log / "log.txt").read_text()
    assert agent_file.read(tmp_path / "deep" / "agent").card is not None
    assert capsys.readouterr().out == ""  # -q


@pytest.mark.parametrize("alg", ["ppo2", "sac"])
def test_a_training_leaves_no_log_in_the_folder_of_temporary_files(tmp_path, monkeypatch, alg):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    log = tmp_path / "log"
    words = [*DOT, f"--alg={alg}", "--num_timesteps=128", "-q", "--no-progress", f"--log_path={log}"]
    main([*words, *(["--nsteps=64"] if alg == "ppo2" else [])])
    assert (log / "monitor.csv").exists()
    assert not [path.name for path in temporary.iterdir() if "torch" not in path.name]  # its own cache


def test_the_same_seed_gives_the_same_agent(tmp_path):
    for name in ("a", "b"):
        main([*DOT, *QUICK, f"--log_path={tmp_path / name}", f"--save_path={tmp_path / name / 'agent'}"])
    a, b = (agent_file.read(tmp_path / name / "agent").weights["policy"] for name in ("a", "b"))
    assert all(th.equal(a[key], b[key]) for key in a)
    main(
        [
            *DOT[:1],
            *QUICK,
            "--seed=1",
            f"--log_path={tmp_path / 'c'}",
            f"--save_path={tmp_path / 'c' / 'agent'}",
        ]
    )
    c = agent_file.read(tmp_path / "c" / "agent").weights["policy"]
    assert not all(th.equal(a[key], c[key]) for key in a)


def test_dummy_and_subproc_train_alike(tmp_path):
    for how in ("dummy", "subproc"):
        path = tmp_path / how
        main([*DOT, *QUICK, f"--vec_env={how}", f"--log_path={path}", f"--save_path={path / 'agent'}"])
    a, b = (agent_file.read(tmp_path / how / "agent").weights["policy"] for how in ("dummy", "subproc"))
    assert all(th.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize(
    "words",
    [
        ["--alg=a2c", "--nsteps=8", "--num_timesteps=64"],
        ["--alg=trpo_mpi", "--timesteps_per_batch=64", "--num_timesteps=128"],
        ["--alg=ddpg", "--num_timesteps=300", "--nb_train_steps=2", "--memory_limit=500",
         "--noise_type=ou_0.1"],
        ["--alg=sac", "--num_timesteps=120", "--buffer_size=500", "--num_hidden=16"],
        ["--alg=td3", "--num_timesteps=120", "--buffer_size=500"],
        ["--alg=deepq", "--env=CartPole-v1", "--num_timesteps=300", "--learning_starts=50",
         "--print_freq=2"],
        ["--alg=qrdqn", "--env=CartPole-v1", "--num_timesteps=120", "--buffer_size=500"],
        ["--network=lstm", "--nlstm=8", "--nsteps=32", "--num_timesteps=64"],
        ["--env=tests.rl.toys:DotPair-v0", "--nsteps=32", "--num_timesteps=64"],
        [CAM, *SHORT, "--network=cnn_small"],
        [CAM, *SHORT, "--network=impala_cnn"],
        [CAM, *SHORT, "--network=conv_only"],
        [CAM, *SHORT, "--network=cnn_lnlstm"],
        [CAM, *SHORT, "--network=impala_cnn_lstm"],
        [CAM, "--alg=ddpg", "--num_timesteps=110", "--memory_limit=200",
         "--nb_train_steps=1", "--network=cnn_small"],
    ],
    ids=lambda words: "-".join(word.partition("=")[2].rpartition(":")[2] for word in (words[0], words[-1])),
)  # fmt: skip
def test_algorithms_and_networks_train_save_and_load(tmp_path, words):
    agent = tmp_path / "agent"
    log = f"--log_path={tmp_path / 'log'}"
    main([*DOT, *words, "-q", "--no-progress", log, f"--save_path={agent}"])
    steps = [row[name] for row in entries_of(tmp_path / "log") for name in STEP_COLUMNS if name in row]
    assert int(steps[-1]) == agent_file.read(agent).card["training"]["step"] > 0  # type: ignore[index]
    main(["--num_timesteps=0", f"--load_path={agent}", log, f"--save_path={tmp_path / 'again'}", "-q"])
    first, second = agent_file.read(agent), agent_file.read(tmp_path / "again")
    for key, value in first.weights["policy"].items():
        assert th.equal(value, second.weights["policy"][key]), key


def test_a_kill_and_a_resume(tmp_path):
    log = tmp_path / "log"
    words = [
        *DOT,
        "--nsteps=64",
        "--num_env=2",
        "--log_interval=1",
        "--save_interval=1",
        f"--log_path={log}",
    ]
    words += ["--no-progress", "--normalize_observations=True", "--normalize_returns=True"]
    command = [sys.executable, "-m", "baselines.run", *words, "--num_timesteps=1e6"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while (newest(log / "checkpoints") or Path("0")).name < "00003":
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    checkpoint = newest(log / "checkpoints")
    assert checkpoint is not None
    save = agent_file.read(checkpoint)
    assert save.card is not None
    step = save.card["training"]["step"]
    assert save.normalize["obs_count"] > step / 2

    with pytest.raises(CheckpointError, match=r"arguments, num_env changed since"):
        main([*words, "--num_env=4", f"--num_timesteps={step + 256}", "--resume"])
    main([*words, f"--num_timesteps={step + 256}", "--resume", "-q"])
    steps = steps_of(log)
    assert steps == list(range(128, step + 257, 128))  # none reported twice, none left out
    episodes = 2 * (step // 2 // 20) + 12  # of 20 steps, in two environments; a resumed run begins again
    assert len((log / "monitor.csv").read_text().splitlines()) == 2 + episodes
    after = agent_file.read(newest(log / "checkpoints"))  # type: ignore[arg-type]
    assert after.card is not None
    assert after.card["training"]["step"] == step + 256
    assert after.normalize["obs_count"] > save.normalize["obs_count"]
    moments = [s["step"] for s in after.weights["policy.optimizer"]["state"].values()]
    assert float(moments[0]) == (step + 256) / 128 * 4 * 4  # Adam counts on: epochs times minibatches
    main([*words, f"--num_timesteps={step + 256}", "--resume", "-q"])  # nothing is left to do
    assert steps_of(log) == steps


def test_a_resumed_agent_has_the_weights_of_the_checkpoint(tmp_path):
    words = [*DOT, *QUICK, "--save_interval=1", f"--log_path={tmp_path}"]
    main(words)
    before = agent_file.read(newest(tmp_path / "checkpoints"))  # type: ignore[arg-type]
    main([*words, "--resume", f"--save_path={tmp_path / 'agent'}"])
    after = agent_file.read(tmp_path / "agent")
    for part in ("policy", "policy.optimizer"):
        assert str(before.weights[part]) == str(after.weights[part])


def test_old_checkpoints_are_deleted_after_a_resume(tmp_path):
    def left() -> list[str]:
        return sorted(path.name for path in (tmp_path / "checkpoints").iterdir())

    flags = [*DOT, "--nsteps=64", "--num_env=2", "--save_interval=3", "-q", "--no-progress"]
    flags += [f"--log_path={tmp_path}", "--checkpoint_seconds=1e-9"]
    main([*flags, "--num_timesteps=640"])
    assert left() == ["00001", "00003", "00004", "00005"]  # two that are kept, and the newest two
    main([*flags, "--num_timesteps=1024", "--resume"])
    assert left() == ["00001", "00003", "00006", "00007", "00008"]


def test_a_replay_buffer_is_restored(tmp_path):
    words = [*DOT, "--alg=sac", "--buffer_size=150", "--learning_starts=50", "--checkpoint_freq=60", "-q"]
    words += ["--no-progress", f"--log_path={tmp_path}", "--checkpoint_seconds=0"]
    main([*words, "--num_timesteps=200"])
    assert newest(tmp_path / "checkpoints").name == "00180"  # type: ignore[union-attr]
    with np.load(tmp_path / "checkpoints" / "00180.replay.npz") as stored:
        assert stored["full"]
        assert stored["position"] == 30
    with pytest.raises(CheckpointError, match="arguments changed"):
        main([*words, "--num_timesteps=220", "--resume", "--buffer_size=100"])
    main([*words, "--num_timesteps=240", "--resume"])
    with np.load(tmp_path / "checkpoints" / "00240.replay.npz") as later:
        assert later["position"] == 90


def test_logs_of_an_earlier_run_are_moved(tmp_path):
    main([*DOT, *QUICK, f"--log_path={tmp_path}"])
    first = (tmp_path / "progress.csv").read_text()
    main([*DOT, *QUICK, f"--log_path={tmp_path}"])
    assert (tmp_path / "previous-1" / "progress.csv").read_text() == first
    assert steps_of(tmp_path) == [128, 256]


def test_play_in_a_window(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    agent = tmp_path / "agent"
    main(
        [
            *DOT,
            *QUICK,
            f"--save_path={agent}",
            f"--log_path={tmp_path / 'log'}",
            "--normalize_observations=True",
        ]
    )
    main(["--num_timesteps=0", f"--load_path={agent}", "--play", "--play_episodes=2", "--seed=3"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["episode_len=20"] * 2


@pytest.mark.parametrize("words", [["--video={}/out.mp4"], []])
def test_play_to_a_video(tmp_path, capsys, monkeypatch, words):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    log, agent = tmp_path / "log", tmp_path / "agent"
    main([*DOT, *QUICK, f"--save_path={agent}", f"--log_path={log}"])
    more = [word.format(tmp_path) for word in words]
    main(["--num_timesteps=0", f"--load_path={agent}", "--play", f"--log_path={log}", *more])
    video = tmp_path / "out.mp4" if words else log / "play.mp4"
    assert video.stat().st_size > 500
    assert f"wrote {video}" in capsys.readouterr().out
    assert steps_of(log) == [128, 256]  # playing leaves the logs alone


def test_videos_of_the_training(tmp_path):
    words = ["--save_video_interval=50", "--save_video_length=10"]
    main([*DOT, *QUICK, *words, f"--log_path={tmp_path}"])
    assert sorted(p.name for p in (tmp_path / "videos").iterdir()) == [
        "vid-0.mp4",
        "vid-100.mp4",
        "vid-50.mp4",
    ]


def test_rewards_are_scaled_for_the_agent_and_logged_as_they_are(tmp_path):
    for name, scale in (("a", 1), ("b", 0.001)):
        main([*DOT, *QUICK, "--lr=0", f"--reward_scale={scale}", f"--log_path={tmp_path / name}"])
    a, b = (entries_of(tmp_path / name)[-1] for name in ("a", "b"))
    assert a["eprewmean"] == b["eprewmean"]
    assert float(b["loss/value_loss"]) < 0.01 * float(a["loss/value_loss"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--alg=ppo3"], "alg: expected one of"),
        (["--env=Nowhere-v0"], "env: .*Nowhere"),
        (["--env=no.such.module:X-v0"], "cannot import"),
        (["--network=resnet"], "network: expected one of"),
        (["--frobnicate=1"], "--frobnicate: ppo2 has no such key"),
        (["--num_timesteps=-5"], "num_timesteps"),
        (["--load_path=/nowhere/agent"], "no such file"),
        (["--save_path=/proc/1/agent"], "save_path: cannot write"),
        (["--log_path=/proc/1/logs"], "log_path: cannot write"),
        (["--env_kwargs={\"colour\": 1}"], "cannot be made with"),
        (["--env=CartPole-v1", "--vec_env=native", "--num_env=0"], "num_env"),
        (["--vec_env=native"], "no native batch"),
        (["--play", "--video=a.avi"], "ends in .mp4 or .gif"),
        (["--recipe"], "none for ppo2 on Dot-v0"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_and_nothing_is_overwritten(tmp_path, words, message):
    log = tmp_path / "log"
    log.mkdir()
    (log / "progress.csv").write_text("old\n")
    if not any("log_path" in word for word in words):
        words = [*words, f"--log_path={log}"]
    with pytest.raises(DreamDuckError, match=message):
        main([*DOT, *QUICK, *words])
    assert [p.name for p in log.iterdir()] == ["progress.csv"]
    assert (log / "progress.csv").read_text() == "old\n"


def test_one_line_and_exit_code_2():
    command = [sys.executable, "-m", "baselines.run", "--alg=ppo3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: alg: expected one of ppo2")
    assert done.stderr.count("\n") == 1


def test_ranks_of_mpi_are_refused(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "4")
    with pytest.raises(ConfigError, match="--num_env"):
        main([*DOT, *QUICK])


@pytest.mark.parametrize("name", ["baselines.run", "dreamduck.rl.run"])
def test_both_names_of_the_package_work(name):
    done = subprocess.run(
        [sys.executable, "-m", name, "--help"], cwd="/", capture_output=True, text=True, check=True
    )
    assert "--num_timesteps" in done.stdout


def test_tensorflow_is_not_loaded_and_nothing_is_printed(tmp_path):
    words = ["--env=CartPole-v1", "--num_timesteps=64", "--nsteps=64", "-q", f"--log_path={tmp_path}"]
    code = (
        f"import sys; from dreamduck.rl.run import main; main({words})\n"
        "print({'tensorflow', 'stable_baselines3'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("{'stable_baselines3'}", "")
    assert list((tmp_path / "tb").glob("events*"))


@pytest.mark.slow
def test_cartpole_is_learned_as_in_2019(tmp_path):
    """20,000 steps with the settings under which June 2019 reached 156."""
    words = ["--nsteps=256", "--nminibatches=8", "--noptepochs=10", "--lr=1e-3", "--log_interval=1"]
    more = ["--env=CartPole-v1", "--seed=0", "--num_timesteps=2e4", "-q", "--no-progress"]
    main([*more, *words, f"--log_path={tmp_path}"])
    assert float(entries_of(tmp_path)[-1]["eprewmean"]) > 140


def test_a_dot_is_learned(tmp_path):
    words = ["--num_timesteps=6000", "--nsteps=128", "--num_env=4", "--noptepochs=10", "--lr=3e-3"]
    main([*DOT, *words, "--log_interval=1", "-q", "--no-progress", f"--log_path={tmp_path}"])
    rewards = [float(row["eprewmean"]) for row in entries_of(tmp_path)]
    assert rewards[0] < -8
    assert rewards[-1] > -5


def test_a_recipe_sets_the_defaults(tmp_path):
    flags = ["--env=Pendulum-v1", "--recipe", "--nsteps=32", "--num_timesteps=128", "--seed=0", "-q"]
    main([*flags, "--no-progress", f"--log_path={tmp_path}", f"--save_path={tmp_path / 'agent'}"])
    card = agent_file.read(tmp_path / "agent").card
    assert card is not None
    plan = card["plan"]
    assert (plan["num_env"], plan["arguments"]["gamma"]) == (4, 0.9)
    assert plan["arguments"]["n_steps"] == 32  # what is said wins
    assert plan["arguments"]["batch_size"] == 2  # 32 steps of 4 environments in 64 pieces


def test_arguments_of_the_environment_are_added_to_those_of_a_recipe():
    flags = ["--env=DreamDuck-v2", "--recipe", '--env_kwargs={"weights": "there", "action_delay": 7}']
    plain = Run(*parse(flags[:2])[:2]).env_kwargs
    assert plain["beginning"] == "midway"
    assert Run(*parse(flags)[:2]).env_kwargs == {**plain, "weights": "there", "action_delay": 7}


def test_the_docs_show_every_recipe():
    page = (ROOT / "docs" / "rl.md").read_text(encoding="utf-8")
    for (algorithm, env_id), values in RECIPES.items():
        assert f"| {algorithm} | {env_id} | `{values}` |" in page, env_id


def test_resumed_logs_have_every_step_once(tmp_path, monkeypatch):
    """Killed between two checkpoints, in every format, twice in a row."""
    monkeypatch.setenv("OPENAI_LOG_FORMAT", "log,csv,json,tensorboard")
    flags = [*DOT, "--nsteps=40", "--num_env=2", "--log_interval=1", "--save_interval=2", "-q"]
    flags += [f"--log_path={tmp_path}", "--no-progress", "--checkpoint_seconds=0", "--nminibatches=2"]
    whole = TrainingCallback._after_update

    def killed(self, last=False):
        whole(self, last)
        if self.progress.updates in kills:
            raise ZeroDivisionError

    kills = [5, 3]
    monkeypatch.setattr(TrainingCallback, "_after_update", killed)
    with pytest.raises(ZeroDivisionError):
        main([*flags, "--num_timesteps=640"])
    kills.remove(3)
    with pytest.raises(ZeroDivisionError):
        main([*flags, "--num_timesteps=640", "--resume"])
    kills.clear()
    main([*flags, "--num_timesteps=640", "--resume"])
    steps = list(range(80, 641, 80))
    assert steps_of(tmp_path) == steps
    elapsed = [float(row["misc/time_elapsed"]) for row in entries_of(tmp_path)]
    assert 0 < elapsed[0] < 60
    assert elapsed == sorted(elapsed)  # the time while nothing ran is not in it
    rows = [json.loads(line) for line in (tmp_path / "progress.json").read_text().splitlines()]
    assert [row["misc/total_timesteps"] for row in rows] == steps
    tables = re.findall(r"\btotal_timesteps\s*\| (\d+)", (tmp_path / "log.txt").read_text())
    assert [int(step) for step in tables] == steps
    assert tensorboard_steps(tmp_path / "tb") == steps
    # 40 steps of each of two environments are two episodes of 20; a resumed run begins with new ones.
    assert len((tmp_path / "monitor.csv").read_text().splitlines()) == 2 + 640 // 20


def tensorboard_steps(folder: Path) -> list[int]:
    """The steps in the event files as they are, without what TensorBoard hides of a restarted run."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found = []
    for path in folder.glob("events*"):
        for event in EventFileLoader(str(path)).Load():
            found += [event.step for value in event.summary.value if value.tag == "fps"]
    return sorted(found)


def test_a_resume_before_the_first_checkpoint_starts_anew(tmp_path, capsys):
    (tmp_path / "progress.csv").write_text("of a run that was stopped early\n")
    main([*DOT, *QUICK[:-2], "--no-progress", f"--log_path={tmp_path}", "--resume"])
    assert "There is no checkpoint" in capsys.readouterr().out
    assert steps_of(tmp_path) == [128, 256]
    assert (tmp_path / "previous-1" / "progress.csv").exists()


def test_resumed_videos_continue_their_numbers(tmp_path):
    words = [*DOT, *QUICK, "--save_video_interval=70", "--save_video_length=10", f"--log_path={tmp_path}"]
    main(words)
    assert sorted(p.name for p in (tmp_path / "videos").iterdir()) == ["vid-0.mp4", "vid-70.mp4"]
    main([*words, "--num_timesteps=512", "--resume"])
    names = ["vid-0.mp4", "vid-140.mp4", "vid-210.mp4", "vid-70.mp4"]
    assert sorted(p.name for p in (tmp_path / "videos").iterdir()) == names


def test_two_runs_do_not_share_a_folder(tmp_path):
    before = None
    with claim("baselines", [], tmp_path / "checkpoints"):
        (tmp_path / "progress.csv").write_text("of the other\n")
        before = sorted(path.name for path in tmp_path.iterdir())
        for words in ([], ["--resume"]):
            with pytest.raises(ConfigError, match="another process writes"):
                main([*DOT, *QUICK, f"--log_path={tmp_path}", *words])
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    main([*DOT, *QUICK, f"--log_path={tmp_path}"])


def test_an_agent_is_not_written_over(tmp_path):
    agent, log = tmp_path / "agent", f"--log_path={tmp_path / 'log'}"
    words = [*DOT, *QUICK, f"--save_path={agent}", log]
    main(words)
    first = agent.read_bytes()
    with pytest.raises(ConfigError, match=r"save_path: .*agent exists already.*--fresh"):
        main([*words[:-1], f"--log_path={tmp_path / 'other'}"])
    assert agent.read_bytes() == first
    assert not (tmp_path / "other").exists()
    main([*words, "--resume", "--num_timesteps=384"])  # of the same run
    assert agent_file.read(agent).card["training"]["step"] == 384  # type: ignore[index]
    main([*words, f"--load_path={agent}"])  # continues with the agent in the file
    main([*words, "--fresh"])
    assert agent_file.read(agent).card["training"]["step"] == 256  # type: ignore[index]
    with pytest.raises(ConfigError, match="exists already"):  # of another run, though with the same flags
        main([*DOT, *QUICK, f"--save_path={agent}", f"--log_path={tmp_path / 'third'}", "--resume"])


@pytest.mark.parametrize("when", ["step", "reset"])
def test_a_killed_environment_process_is_one_line(tmp_path, when):
    flags = ["--num_timesteps=1e6", "--nsteps=64", "--num_env=3", "--vec_env=subproc", "-q"]
    words = [*DOT, *flags, "--no-progress", f"--log_path={tmp_path}"]
    kill = f"""
import os, signal, sys
from dreamduck.common import command_line
from dreamduck.rl import run
from dreamduck.rl.environments import vec_env
count, method = [0], vec_env.ProcessVecEnv.{"step_wait" if when == "step" else "reset"}
def later(self, *arguments):
    count[0] += 1
    if count[0] == {"9" if when == "step" else "1"}:
        os.kill(self.batch.processes[1].pid, signal.SIGKILL)
        self.batch.processes[1].join()
    return method(self, *arguments)
vec_env.ProcessVecEnv.{"step_wait" if when == "step" else "reset"} = later
if __name__ == "__main__":
    command_line.run(run.main, {words!r})
"""
    script = tmp_path / "killing.py"
    script.write_text(kill)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: the process of environment 1 (exit code -9) has ended")
    assert done.stderr.count("\n") == 1


def test_trpo_logs_its_entropy(tmp_path):
    flags = ["--alg=trpo_mpi", "--timesteps_per_batch=64", "--num_timesteps=128", "--log_std_init=-0.4"]
    main([*DOT, *flags, "-q", "--no-progress", f"--log_path={tmp_path}"])
    # Of a normal distribution whose logarithmic spread has hardly moved after one update.
    expected = -0.4 + 0.5 * np.log(2 * np.pi * np.e)
    rows = [float(row["entropy"]) for row in entries_of(tmp_path)]
    np.testing.assert_allclose(rows, expected, atol=0.05)
    assert rows[0] != rows[1]


DDPG_UNKNOWN = {  # of 2019's 28 columns; Stable-Baselines3 has no noise on weights
    "train/param_noise_distance",
    "param_noise_stddev",
    "reference_perturbed_action_mean",
    "reference_perturbed_action_std",
}
DDPG_NAMES = """obs_rms_mean obs_rms_std reference_Q_mean reference_Q_std reference_actor_Q_mean
    reference_actor_Q_std reference_action_mean reference_action_std reference_perturbed_action_mean
    reference_perturbed_action_std param_noise_stddev rollout/return rollout/return_std
    rollout/return_history rollout/return_history_std rollout/episode_steps rollout/actions_mean
    rollout/Q_mean rollout/actions_std rollout/episodes train/loss_actor train/loss_critic
    train/param_noise_distance total/duration total/steps_per_second total/episodes total/epochs
    total/steps"""


def test_ddpg_has_the_columns_of_2019(tmp_path):
    flags = ["--alg=ddpg", "--num_timesteps=360", "--nb_train_steps=2", "--memory_limit=500", "--num_env=3"]
    flags += ["--nb_epoch_cycles=2", "--nb_rollout_steps=30", "--noise_type=normal_0.6", "--no-progress"]
    main([*DOT, *flags, "-q", f"--log_path={tmp_path}", f"--save_path={tmp_path / 'agent'}"])
    rows = entries_of(tmp_path)
    assert len(DDPG_NAMES.split()) == 28
    assert set(rows[-1]) == {*DDPG_NAMES.split()} - DDPG_UNKNOWN
    assert all(np.isfinite(float(value)) for value in rows[-1].values())
    assert [row["total/epochs"] for row in rows] == ["1.0", "2.0"]
    statistics = agent_file.read(tmp_path / "agent").normalize
    assert float(rows[-1]["obs_rms_std"]) == pytest.approx(float(np.sqrt(statistics["obs_var"][0])))
    with np.load(tmp_path / "checkpoints" / "00004.replay.npz") as buffer:
        latest = buffer["actions"][-60:]
    assert float(rows[-1]["rollout/actions_mean"]) == pytest.approx(float(latest.mean()), abs=1e-5)
    assert float(rows[-1]["rollout/actions_std"]) == pytest.approx(float(latest.std()), abs=1e-5)


def test_ppo1_warns(tmp_path, caplog):
    main([*DOT, *QUICK, "--alg=ppo1", f"--log_path={tmp_path}"])
    assert "--alg=ppo1: runs ppo2" in caplog.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num_timesteps=200"], "--num_timesteps=200: trains 256 steps, in whole updates of 128"),
        (["--num_timesteps=256"], None),
        (
            ["--alg=sac", "--num_timesteps=63", "--train_freq=4", "--num_env=2"],
            "--num_timesteps=63: trains 64 steps, in whole updates of 8",
        ),
    ],
)
def test_rounding_of_the_steps_is_logged_once(tmp_path, capsys, words, message):
    first = [] if "--alg=sac" in words else ["--nsteps=64"]
    main([*DOT, *first, "--num_env=2", *words, "--no-progress", f"--log_path={tmp_path}"])
    out = capsys.readouterr().out
    assert out.count("in whole updates") == (0 if message is None else 1)
    assert message is None or message in out


def test_mujoco_is_normalized_as_in_2019(tmp_path):
    agent = tmp_path / "agent"
    log = f"--log_path={tmp_path / 'log'}"
    main([*DOT, *QUICK, "--nminibatches=4", "--env_type=mujoco", f"--save_path={agent}", log])
    save = agent_file.read(agent)
    assert save.card is not None
    plan = save.card["plan"]
    assert (plan["normalize_observations"], plan["normalize_returns"]) == (True, True)
    assert plan["clip_observations"] == 10
    assert save.normalize["obs_count"] > 256
    run = Run(*parse(["--num_timesteps=0", f"--load_path={agent}", "-q"])[:2])
    run.execute()
    trained = run.venv
    assert isinstance(trained, VecNormalize)
    assert (trained.clip_obs, trained.clip_reward, trained.gamma, trained.epsilon) == (10, 10, 0.99, 1e-8)


class Blind(Dot):
    """It has no images, as Gymnasium's have none where pygame is not installed."""

    def render(self) -> Any:
        raise gym.error.DependencyNotInstalled("pygame is not installed, run `pip install pygame`")


@pytest.mark.parametrize("words", [["--save_video_interval=9"], ["--play", "--video={}/a.mp4"]])
def test_videos_that_cannot_be_rendered_are_refused_first(tmp_path, monkeypatch, words):
    monkeypatch.setitem(
        gym.registry, "Blind-v0", gym.envs.registration.EnvSpec("Blind-v0", f"{__name__}:Blind")
    )
    flag = words[0].partition("=")[0]
    (tmp_path / "progress.csv").write_text("old\n")
    with pytest.raises(ConfigError, match=f"{flag}: this environment cannot be rendered .pygame is not"):
        main(["--env=Blind-v0", *QUICK, f"--log_path={tmp_path}", *(w.format(tmp_path) for w in words)])
    assert [path.name for path in tmp_path.iterdir()] == ["progress.csv"]


@pytest.mark.parametrize("how", ["dummy", "subproc"])
def test_extra_import(tmp_path, how):
    command = [sys.executable, "-m", "baselines.run", "--env=Dot-v0", "--seed=0", *QUICK]
    command += [f"--log_path={tmp_path}", f"--vec_env={how}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "Dot" in done.stderr
    subprocess.run([*command, "--extra_import=tests.rl.toys"], cwd=ROOT, check=True)
    assert steps_of(tmp_path) == [128, 256]
    with pytest.raises(ConfigError, match=r"extra_import: cannot import 'no\.such'"):
        main([*DOT, *QUICK, "--extra_import=no.such"])


@pytest.mark.parametrize("utf8", ["0", "1"])
def test_any_locale(tmp_path, utf8):
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": utf8}
    log = tmp_path / "Entenstraße"
    command = [sys.executable, "-m", "baselines.run", *DOT, *QUICK[:-2], "--no-progress"]
    done = subprocess.run(
        [*command, f"--log_path={log}"], cwd=ROOT, capture_output=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"Logging to " in done.stdout
    assert "Logging to" in (log / "log.txt").read_text(encoding="utf-8")
    assert steps_of(log) == [128, 256]


class Window:
    """What `World` shows itself in."""

    def __init__(self, title: str) -> None:
        self.shown = 0
        self.closed = False

    def show(self, image: Any, lines: Any = (), fps: Any = None) -> Keys:
        self.shown += 1
        self.closed = self.shown == 4 and self.how == "closed"
        pressed = ("ESCAPE",) if self.shown == 4 and self.how == "escape" else ()
        return Keys(frozenset(), pressed, self.closed)

    def close(self) -> None:
        self.closed = True

    how = ""


@pytest.mark.parametrize("how", ["closed", "escape"])
def test_escape_and_closing_the_window_stop_play(tmp_path, monkeypatch, capsys, how):
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("dreamduck.window.window.Window", Window)
    monkeypatch.setattr(Window, "how", how)
    road = AGENTS / "env.ppo2.zip"
    main(["--num_timesteps=0", f"--load_path={road}", "--play", "--seed=3", "--play_steps=50"])
    assert capsys.readouterr().out == "stopped after 3 steps\n"


def test_gymnasiums_own_windows_stop_too(tmp_path, monkeypatch, capsys):
    import pygame

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("DISPLAY", ":0")
    agent = tmp_path / "agent"
    log = f"--log_path={tmp_path}"
    main(["--env=CartPole-v1", *QUICK, "--num_timesteps=64", "--num_env=1", f"--save_path={agent}", log])
    count = iter(range(99))
    event = pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE)
    predict = sb3.PPO.predict

    def later(self, *arguments, **more):
        if next(count) == 2:
            pygame.event.post(event)
        return predict(self, *arguments, **more)

    monkeypatch.setattr(sb3.PPO, "predict", later)
    main(["--num_timesteps=0", f"--load_path={agent}", "--play", "--play_steps=50", "--seed=0"])
    assert "stopped after 3 steps" in capsys.readouterr().out
