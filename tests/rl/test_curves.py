"""Cards with learning curves, and their plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dreamduck.common.errors import CheckpointError, ConfigError
from dreamduck.common.storage import fingerprint
from dreamduck.rl.agents import agent_file
from dreamduck.rl.curves import MOST_POINTS, draw, main, read_card, read_curve
from tests.rl.agents.test_acting import trained

HEAD = "misc/total_timesteps,misc/time_elapsed,eprewmean,eplenmean\n"


def logs(folder: Path, count: int) -> Path:
    rows = "".join(f"{100 * i},{2.5 * i},{0.1 * i},{40 - i / 100}\n" for i in range(1, count))
    (folder / "progress.csv").write_text(HEAD + "50,1,nan,nan\n" + rows)
    return folder


def test_a_curve_is_thinned_and_keeps_its_last_point(tmp_path):
    curve = read_curve(logs(tmp_path, 1000))
    assert {len(column) for column in curve.values()} == {len(curve["steps"])}
    assert len(curve["steps"]) <= MOST_POINTS + 1
    assert curve["steps"][0] == 100  # the row without an episode is left out
    last = {name: column[-1] for name, column in curve.items()}
    assert last == {"steps": 99900, "seconds": 2497.5, "reward": 99.9, "length": 30.01}
    assert read_curve(logs(tmp_path, 3))["steps"] == [100, 200]


@pytest.mark.parametrize("text", [None, "a,b\n1,2\n", HEAD, HEAD + "1,2,x,4\n"])
def test_logs_without_a_curve_are_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "progress.csv").write_text(text)
    with pytest.raises(ConfigError, match=r"progress\.csv"):
        read_curve(tmp_path)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = "--env=DreamDuck-v0 --network=cnn_small --num_env=2 --num_timesteps=32 --log_interval=1"
    return trained(tmp_path_factory.mktemp("agent"), words)


def board(path: Path, agent: Path) -> Path:
    def entry(mark: str, reward: float) -> dict[str, Any]:
        world = {"map_name": "loop_empty", "simulator": "native"}
        key = {"fingerprint": mark, "world": world, "seconds": 60.0}
        return {"key": key, "summary": {"return": [reward, 0.0]}}

    found = [entry("another", 1.0), entry(fingerprint(agent), 2.0)]
    path.write_text(json.dumps({"entries": found}))
    return path


def test_an_agent_is_kept_with_its_card_and_drawn(agent, tmp_path, capsys):
    folder, out = logs(tmp_path, 50), tmp_path / "log" / "env.ppo2"
    words = ["keep", str(agent), f"--log_path={folder}", f"--out={out}", "--command=run.py --seed=0"]
    main([*words, f"--scores={board(tmp_path / 'scores.json', agent)}"])
    assert (
        agent_file.read(f"{out}.zip").weights["policy"].keys()
        == agent_file.read(agent).weights["policy"].keys()
    )
    card = read_card(f"{out}.card.json")
    assert (card["env"], card["steps"], card["command"]) == ("DreamDuck-v0", 32, "run.py --seed=0")
    assert card["agent"] == fingerprint(f"{out}.zip")
    assert [(score["map"], score["return"][0]) for score in card["scores"]] == [("loop_empty", 2.0)]
    assert {"torch", "stable-baselines3", "numpy"} <= set(card["versions"])
    assert str(tmp_path) not in json.dumps(card)

    main(words)  # the same agent again
    assert capsys.readouterr().out.split() == [f"{out}.card.json"] * 2
    Path(f"{out}.zip").write_bytes(b"another agent")
    with pytest.raises(ConfigError, match="got another agent; give --fresh"):
        main(words)
    assert Path(f"{out}.zip").read_bytes() == b"another agent"
    main([*words, "--fresh"])
    capsys.readouterr()

    drawn = tmp_path / "curves.png"
    main(["draw", f"{out}.card.json", f"{out}.card.json", f"--out={drawn}"])
    assert capsys.readouterr().out.split() == [str(drawn)]
    with Image.open(drawn) as image:
        assert image.size == (920, 340)
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 20


def test_bad_input_is_refused_and_writes_nothing(agent, tmp_path):
    logs(tmp_path, 5)
    out = tmp_path / "out" / "x"
    with pytest.raises(CheckpointError, match="no such file"):
        main(["keep", "/nowhere/agent", f"--log_path={tmp_path}", f"--out={out}"])
    with pytest.raises(ConfigError, match=r"progress\.csv"):
        main(["keep", str(agent), "--log_path=/nowhere", f"--out={out}"])
    (tmp_path / "scores.json").write_text('{"entries": [1]}')
    with pytest.raises(ConfigError, match="expected a scoreboard"):
        main(
            [
                "keep",
                str(agent),
                f"--log_path={tmp_path}",
                f"--out={out}",
                f"--scores={tmp_path}/scores.json",
            ]
        )
    assert not out.parent.exists()
    for text in ("[]", "{}", '{"kind": "agent", "env": "x", "curve": {"steps": []}}'):
        (tmp_path / "card.json").write_text(text)
        with pytest.raises(CheckpointError, match="expected the card of an agent"):
            draw([tmp_path / "card.json"], tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()
