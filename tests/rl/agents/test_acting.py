"""Agents from their files as policies, and as entries of the scoreboard."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamduck.cli import scoreboard as board_command
from dreamduck.common.config import replace
from dreamduck.common.errors import CheckpointError, ControllerError
from dreamduck.common.storage import fingerprint
from dreamduck.controllers.factory import WorldConfig
from dreamduck.evaluation import entries as rows
from dreamduck.evaluation import report, scoreboard
from dreamduck.evaluation.entries import Entry, check_agent, training_budget
from dreamduck.evaluation.runner import Runner
from dreamduck.pretrained import AGENTS
from dreamduck.rl.agents import agent_file
from dreamduck.rl.agents.acting import AgentInfo, AgentPolicy, about
from dreamduck.rl.curves import read_card
from dreamduck.rl.run import main
from dreamduck.rl.sb3 import sb3, sb3_contrib, th
from dreamduck.simulator.road import RoadConfig
from dreamduck.world_model.model_config import ModelConfig
from tests.envs.models import OBSERVATION, write_model
from tests.rl.agents.test_agent_file import Trap, rewritten
from tests.rl.environments.test_wrappers import QUICK
from tests.rl.test_command import DOT
from tests.rl.test_command import QUICK as SHORT

BOARD = ["--episodes", "3", "--cars", "3", "--seconds", "2", "--maps", "loop_empty", "-q", "--rows", ""]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), vae=True)


def trained(folder: Path, words: str, name: str = "agent") -> Path:
    path = folder / name
    ends = [f"--save_path={path}", f"--log_path={folder / (name + '.log')}"]
    main([*shlex.split(words), *shlex.split(QUICK), *ends])
    return path


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = "--env=DreamDuck-v0 --network=cnn_small --num_env=2 --num_timesteps=32 --normalize_returns=True"
    return trained(tmp_path_factory.mktemp("road"), words)


@pytest.fixture(scope="module")
def dream(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    words = f'--env=DreamDuck-v2 --num_env=2 --num_timesteps=64 --env_kwargs=\'{{"weights": "{weights}"}}\''
    return trained(
        tmp_path_factory.mktemp("dream"), words + " --normalize_observations=True --num_hidden=8"
    )


def test_an_agent_of_another_world_model_is_named_or_refused(dream, tmp_path, caplog):
    other = write_model(tmp_path / "other", end=-2.5, vae=True)
    words = [
        f"--load_path={dream}",
        "--num_timesteps=0",
        "--env_kwargs=" + json.dumps({"weights": str(other)}),
    ]
    main([*words, f"--save_path={tmp_path / 'warned'}"])
    assert "made with another world model" in caplog.text
    with pytest.raises(ControllerError, match="made with another world model"):
        main([*words, f"--save_path={tmp_path / 'refused'}", "--strict"])
    assert (tmp_path / "warned").exists()
    assert not (tmp_path / "refused").exists()


def test_agent_info_from_the_card(road, dream):
    found, other = about(road), about(dream)
    assert found == AgentInfo("DreamDuck-v0", (64, 64, 3), 32, found.seconds, {}, {}, "cnn_small")
    assert (found.sees_frames, found.dreamt) == (True, False)
    assert (other.env_id, other.shape, other.steps) == ("DreamDuck-v2", (OBSERVATION,), 64)
    assert (other.sees_frames, other.dreamt) == (False, True)
    assert found.seconds > 0


def test_it_acts_as_stable_baselines3_would(road, dream):
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    expected, _ = sb3.PPO.load(road, device="cpu").predict(frames, deterministic=True)
    np.testing.assert_allclose(AgentPolicy(road).act(frames), expected, rtol=1e-5, atol=1e-6)

    seen = np.random.default_rng(0).normal(0, 3, (5, OBSERVATION)).astype(np.float32)
    arrays = agent_file.read(dream).normalize
    scaled = np.clip((seen - arrays["obs_mean"]) / np.sqrt(arrays["obs_var"] + 1e-8), -5, 5)
    expected, _ = sb3.PPO.load(dream, device="cpu").predict(scaled.astype(np.float32), deterministic=True)
    actions = AgentPolicy(dream).act(seen)
    np.testing.assert_allclose(actions, expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(actions) > 0


def test_start_resets_the_recurrent_state(tmp_path, weights):
    world = f'--env_kwargs=\'{{"weights": "{weights}"}}\''
    words = f"--env=DreamDuck-v1 --network=lstm --nlstm=4 --num_timesteps=8 {world}"
    actor = AgentPolicy(trained(tmp_path, words))
    assert isinstance(actor.model, sb3_contrib.RecurrentPPO)
    seen = np.ones((2, OBSERVATION), np.float32)
    first, second = actor.act(seen), actor.act(seen)
    assert not np.array_equal(first, second)
    actor.start()
    np.testing.assert_array_equal(actor.act(seen), first)


def test_other_observations_are_refused(road):
    with pytest.raises(
        CheckpointError, match=r"learned from observations \(64, 64, 3\), got \(32, 32, 3\)"
    ):
        AgentPolicy(road).act(np.zeros((1, 32, 32, 3), np.uint8))


def test_files_of_other_agents_are_refused(road, tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        about(tmp_path / "none")
    main([*DOT, *SHORT, f"--save_path={tmp_path / 'dot'}", f"--log_path={tmp_path / 'log'}"])
    with pytest.raises(CheckpointError, match="learned in Dot-v0; expected one of DreamDuck-v0"):
        about(tmp_path / "dot")
    with pytest.raises(CheckpointError, match=r"expected an agent that python -m baselines\.run saved"):
        about(rewritten(road, tmp_path / "plain.zip", **{"dreamduck.json": None}))
    card = agent_file.read(road).card
    assert card is not None
    for number, space in enumerate(([1], {"shape": "x"}, {"shape": [64, 64, 3], "dtype": "float32"})):
        text = json.dumps({**card, "observation_space": space}).encode()
        reason = r"dreamduck\.json is damaged" if number < 2 else "expected an agent of Duckietown"
        with pytest.raises(CheckpointError, match=reason):
            about(rewritten(road, tmp_path / f"{number}.zip", **{"dreamduck.json": text}))


def test_nothing_in_the_file_is_run(road, tmp_path):
    target, buffer = tmp_path / "touched", io.BytesIO()
    th.save({"a": Trap(target)}, buffer)
    bad = rewritten(road, tmp_path / "bad.zip", **{"policy.pth": buffer.getvalue()})
    with pytest.raises(CheckpointError, match=r"policy\.pth holds something else than weights"):
        AgentPolicy(bad)
    assert not target.exists()


def entries(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "scores.json").read_text())["entries"]
    return {entry["key"]["row"]: entry for entry in found}


def test_agents_are_entries_of_the_scoreboard(road, dream, weights, tmp_path):
    flags = [*BOARD, "--weights", str(weights), "--out", str(tmp_path)]
    board_command.main([*flags, "--agent", f"on the road={road}", "--agent", f"in the dream={dream}"])
    first, second = entries(tmp_path).values()
    assert first["summary"]["episodes"] == second["summary"]["episodes"] == 3
    assert (first["key"]["kind"], first["key"]["weights"]) == ("agent", {})
    assert set(second["key"]["weights"]) >= {"vae.weights.h5", "rnn.weights.h5"}
    seconds = about(road).seconds, about(dream).seconds
    assert min(seconds) > 0
    minutes = [round(each / 60, 1) for each in seconds]
    assert first["cost"] == {"simulator_steps": 32, "dream_steps": 0, "minutes": minutes[0]}
    assert second["cost"] == {"simulator_steps": 0, "dream_steps": 64, "minutes": minutes[1]}
    text = (tmp_path / "scores.md").read_text()
    assert "| steps in the simulator | steps in the dream | minutes |" in text
    assert "| 32 | 0 | " in text
    assert "| 0 | 64 | " in text


def test_training_cost_is_added_to_older_entries(road, tmp_path, monkeypatch):
    flags = [*BOARD, "--out", str(tmp_path), "--agent", f"on the road={road}"]
    monkeypatch.setattr(scoreboard, "training_budget", lambda row, folder: None)
    board_command.main(flags)
    assert "cost" not in entries(tmp_path)["on the road"]
    assert "steps in the simulator" not in (tmp_path / "scores.md").read_text()
    monkeypatch.setattr(scoreboard, "training_budget", rows.training_budget)
    monkeypatch.setattr(Runner, "__call__", lambda *_: pytest.fail("drove again"))
    board_command.main(flags)
    assert entries(tmp_path)["on the road"]["cost"]["simulator_steps"] == 32


def test_training_cost_includes_the_world_model(dream, tmp_path):
    row = Entry("agent of the dream", "agent", str(dream))
    assert "model" not in (training_budget(row, tmp_path) or {})
    (tmp_path / "vae.json").write_text('{"seconds": 60, "data": {"frames": 1000}}')
    (tmp_path / "rnn.json").write_text('{"seconds": 120}')
    found = training_budget(row, tmp_path)
    assert found is not None
    assert found["model"] == {"simulator_steps": 1000, "minutes": 3.0}
    made = {"simulator_steps": 0, "dream_steps": 2345, "minutes": 4.6, "model": found["model"]}
    three = [0.5, 0.25, 0.75]
    summary = {"episodes": 2, **dict.fromkeys(("alive", "collisions", *report.MEASURES), three)}
    key = {"row": "x", "seconds": 4, "seed": 0, "world": {"simulator": "native", "map_name": "udem1"}}
    entry = {"key": key, "summary": summary}
    text = report.table([{**entry, "cost": made}, entry])
    assert [line.split(" | ")[-3:] for line in text.splitlines()[-2:]] == [
        ["1,000", "2,345", "8 |"],
        ["", "", " |"],
    ]


def test_training_cost_of_a_controller_is_in_its_card(tmp_path):
    path = tmp_path / "rnnenv.cma.4.8.json"
    path.write_text("[[0.0]]")
    assert training_budget(Entry("evolved", "controller", str(path)), tmp_path) is None
    card = {"world_steps": 500, "seconds": 90.0, "world": {"env": "rnnenv"}}
    (tmp_path / "rnnenv.cma.4.8.card.json").write_text(json.dumps(card))
    found = training_budget(Entry("evolved", "controller", str(path)), tmp_path)
    assert found == {"simulator_steps": 0, "dream_steps": 500, "minutes": 1.5}
    assert training_budget(Entry("random"), tmp_path) is None


def test_an_agent_that_does_not_fit_is_refused_before_the_evaluation(road, dream, weights, tmp_path):
    small = WorldConfig(road=replace(RoadConfig(), camera_width=32, camera_height=32))
    with pytest.raises(
        CheckpointError, match=r"learned from observations \(64, 64, 3\), here they are \(32"
    ):
        check_agent(str(road), small)
    with pytest.raises(CheckpointError, match=r"here they are \(576,\)"):
        check_agent(str(dream), WorldConfig())
    check_agent(str(dream), WorldConfig(model=ModelConfig(weights=str(weights))))
    with pytest.raises(CheckpointError, match="no such file"):
        board_command.main([*BOARD, "--out", str(tmp_path / "board"), "--agent", "x=/nowhere/agent"])
    assert not (tmp_path / "board").exists()


@pytest.mark.parametrize("name", ["env.ppo2", "rnnenv.ppo2"])
def test_the_agents_that_ship_fit_what_ships(name):
    log = AGENTS
    card, path = read_card(log / f"{name}.card.json"), log / f"{name}.zip"
    assert card["agent"] == fingerprint(path)
    found = about(path)
    assert (card["env"], card["steps"]) == (found.env_id, found.steps)
    assert 0.9 * found.steps < card["curve"]["steps"][-1] <= found.steps
    check_agent(str(path), WorldConfig())
    assert {score["map"] for score in card["scores"]} == {"loop_empty", "udem1", "small_loop"}
    assert path.stat().st_size < 3_000_000
    assert sb3.PPO.load(path, device="cpu").action_space.shape == (2,)  # its pickles name modules of ours
