"""Every flag of the command changes what comes out, or is refused where it could not."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamduck.common.errors import DreamDuckError
from dreamduck.rl.agents import agent_file
from dreamduck.rl.arguments import Flags
from dreamduck.rl.run import main
from tests.rl.test_command import entries_of

TOYS = "tests.rl.toys"
BASE = {"env": f"{TOYS}:Dot-v0", "seed": "3", "num_timesteps": "96", "num_env": "2", "progress": "no"}
BASE |= {"save_path": "{}/agent", "log_path": "{}/log"}
BASE |= {"nsteps": "24", "nminibatches": "2", "log_interval": "1"}


@dataclasses.dataclass
class Seen:
    """What a run left."""

    folder: Path
    out: str
    err: str
    log: str

    @property
    def card(self) -> dict[str, Any]:
        card = agent_file.read(self.folder / "agent").card
        assert card is not None
        return card

    @property
    def plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = self.card["plan"]
        return plan

    @property
    def weights(self) -> list[float]:
        return [
            float(w.double().sum())
            for w in agent_file.read(self.folder / "agent").weights["policy"].values()
        ]

    def files(self, pattern: str) -> list[str]:
        return sorted(path.name for path in self.folder.glob(pattern))


@pytest.fixture
def run(tmp_path, capsys, caplog, monkeypatch) -> Callable[..., Seen]:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    def once(name: str, **flags: Any) -> Seen:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        words = []
        for key, value in {**BASE, **flags}.items():
            if value in ("yes", "no"):
                words.append(f"--{'' if value == 'yes' else 'no-'}{key}")
            elif value is not None:
                words.append(f"--{key}={str(value).replace('{}', str(folder))}")
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)  # a progress bar wants one
        main(words)
        printed = capsys.readouterr()
        return Seen(folder, printed.out, printed.err, caplog.text)

    return once


Effect = tuple[dict[str, Any], Callable[[Seen, Seen], bool]]
EFFECTS: dict[str, Effect] = {
    "env": ({"env": f"{TOYS}:DotPair-v0"}, lambda a, b: b.card["env"] == "DotPair-v0"),
    "env_type": ({"env_type": "mujoco"}, lambda a, b: b.plan["normalize_returns"]),
    "env_kwargs": (
        {"env_kwargs": json.dumps({"images": True}), "network": "cnn_small"},
        lambda a, b: b.card["observation_space"]["shape"] == [64, 64, 3],
    ),
    "extra_import": (
        {"env": "Dot-v0", "extra_import": TOYS},
        lambda a, b: a.weights == b.weights,
    ),
    "seed": ({"seed": "4"}, lambda a, b: a.weights != b.weights),
    "alg": ({"alg": "a2c", "nminibatches": None}, lambda a, b: b.plan["engine"] == "A2C"),
    "num_timesteps": ({"num_timesteps": "144"}, lambda a, b: b.card["training"]["step"] == 144),
    "network": ({"network": "lstm"}, lambda a, b: b.plan["engine"] == "RecurrentPPO"),
    "gamestate": ({"gamestate": "x"}, lambda a, b: "Gym Retro" in b.log and "Gym Retro" not in a.log),
    "num_env": ({"num_env": "4"}, lambda a, b: b.plan["num_env"] == 4),
    "vec_env": ({"vec_env": "subproc"}, lambda a, b: a.weights == b.weights),
    "reward_scale": ({"reward_scale": "0.001"}, lambda a, b: a.weights != b.weights),
    "save_path": ({"save_path": None}, lambda a, b: b.files("agent") == []),
    "save_video_interval": (
        {"save_video_interval": "30", "save_video_length": "4"},
        lambda a, b: b.files("log/videos/*") == ["vid-0.mp4", "vid-30.mp4"],
    ),
    "log_path": ({"log_path": "{}/other"}, lambda a, b: b.files("*/progress.csv") == ["progress.csv"]),
    "checkpoint_seconds": (
        {"checkpoint_seconds": "0"},
        lambda a, b: (a.files("log/checkpoints/*"), b.files("log/checkpoints/*")) == (["00002"], []),
    ),
    "progress": ({"progress": "yes"}, lambda a, b: "/96" in b.err and "/96" not in a.err),
    "play": ({"play": "yes"}, lambda a, b: b.files("log/play.mp4") == ["play.mp4"]),
    "play_episodes": (
        {"play": "yes", "play_episodes": "2"},
        lambda a, b: b.out.count("episode_len=20") == 2,
    ),
    "play_steps": ({"play": "yes", "play_steps": "7"}, lambda a, b: "episode_len" not in b.out),
    "video": ({"play": "yes", "video": "{}/x.gif"}, lambda a, b: b.files("x.gif") == ["x.gif"]),
}
ELSEWHERE = {  # what needs two runs; where it is tested
    "resume": "test_command.test_resumed_logs_have_every_step_once",
    "fresh": "test_command.test_an_agent_is_not_written_over",
    "recipe": "test_command.test_a_recipe_sets_the_defaults",
    "strict": "test_acting.test_an_agent_of_another_world_model_is_named_or_refused",
    "save_video_length": "test_the_length_of_a_video",
}


def test_every_flag_is_tested():
    assert {*EFFECTS, *ELSEWHERE} == {field.name for field in dataclasses.fields(Flags)}
    assert not {*EFFECTS} & {*ELSEWHERE}


@pytest.mark.parametrize("flag", EFFECTS)
def test_each_flag_has_an_effect(run, flag):
    flags, changes = EFFECTS[flag]
    plain = run("plain")
    assert changes(plain, run("other", **flags))
    assert entries_of(plain.folder / "log")


def test_the_length_of_a_video(run):
    import imageio_ffmpeg

    counts = []
    for length in (4, 9):
        folder = run(str(length), save_video_interval="48", save_video_length=length).folder
        counts.append(imageio_ffmpeg.count_frames_and_secs(str(folder / "log" / "videos" / "vid-0.mp4"))[0])
    assert counts == [4, 9]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"play_steps": "5"}, "give --play too"),
        ({"play_episodes": "5"}, "give --play too"),
        ({"save_video_length": "5"}, "give --save_video_interval too"),
        ({"extra_import": "tests.rl.nothing"}, "cannot import"),
        ({"env_kwargs": "[]"}, "JSON object"),
        ({"env_kwargs": "[" * 100_000}, "JSON object"),
        ({"fresh": "yes", "save_path": None}, "give --save_path too"),
        ({"resume": "yes", "fresh": "yes"}, "one of the two"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_flag_without_effect_is_refused(run, flags, message):
    with pytest.raises(DreamDuckError, match=message) as caught:
        run("bad", **flags)
    assert len(str(caught.value)) < 400


def test_the_weights_are_finite(run):
    assert np.isfinite(run("plain").weights).all()
