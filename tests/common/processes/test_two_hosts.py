"""A host that drops off the network in the middle of a run."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import dreamduck
from tests.common.processes import two_hosts

pytestmark = pytest.mark.slow
SCRIPTS = Path(dreamduck.__file__).parent / "envs"
TIMEOUT = 10


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    try:
        made = two_hosts.make(tmp_path_factory.mktemp("hosts"))
    except two_hosts.Unavailable as err:
        pytest.skip(f"two hosts cannot be made here: {err}")
    yield made
    made.close()


def searched(folder: Path) -> Any:
    """The best controller and the history but for its seconds."""
    history = json.loads((folder / "rnnenv.cma.2.4.hist.json").read_text())
    best = json.loads((folder / "rnnenv.cma.2.4.best.json").read_text())
    return best, [[row[0], *row[2:]] for row in history]


def recorded(folder: Path) -> Any:
    return {path.name: path.read_bytes() for path in folder.glob("[0-9]*.npz")}


def scored(folder: Path) -> Any:
    entries = json.loads((folder / "scores.json").read_text())["entries"]
    return [(entry["key"]["row"], entry["episodes"], entry["paths"]) for entry in entries]


def compared(folder: Path) -> Any:
    return json.loads((folder / "gap.json").read_text())["rows"]


SEARCH = ["-n=4", "--num_episode=2", "--max-steps=20", "--components=3", "--eval_steps=20"]
JUDGE = ["--eval-episodes=4", "--eval-seconds=2"]
MAPS = "--maps=loop_empty,small_loop"
COMMANDS: dict[str, tuple[list[str], str, str, Any]] = {
    # command, its flag for the folder, the file after which the cable is cut, what must be the same
    "train": (
        [str(SCRIPTS / "train.py"), "rnnenv", *SEARCH, "--generations=200"],
        "--log",
        "rnnenv.cma.2.4.hist.json",
        searched,
    ),
    "extract": (
        [str(SCRIPTS / "extract.py"), MAPS, "--max-trials=60", "--max-frames=120", "--batch=2"],
        "--records",
        "*.npz",
        recorded,
    ),
    "scoreboard": (
        ["-m", "dreamduck", "scoreboard", MAPS, "--episodes=24", "--seconds=40", "--cars=4"],
        "--out",
        "scores.json",
        scored,
    ),
    "gap": (
        [
            "-m",
            "dreamduck",
            "temperature-sweep",
            *SEARCH,
            "--generations=80",
            "--temperatures=0.3,0.5,1.0",
            *JUDGE,
        ],
        "--out",
        "temperature-0.3/verdict.json",
        compared,
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_lost_host_is_named_and_the_run_continues_without_it(hosts, weights, tmp_path, name):
    words, flag, awaited, result = COMMANDS[name]
    more = [] if name == "extract" else ["--weights", str(weights)]
    more += [f"--log={tmp_path / 'coverage'}"] if name == "extract" else []

    def command(folder: str) -> list[str]:
        return [*words, *more, "-q", f"--rank-timeout={TIMEOUT}", flag, str(tmp_path / folder)]

    run = hosts.start(command("cut"))
    end = time.monotonic() + 120
    while not list((tmp_path / "cut").glob(awaited)):
        assert run.poll() is None, run.communicate()[0]
        if time.monotonic() > end:
            run.kill()
            pytest.fail(run.communicate()[0])
        time.sleep(0.05)
    hosts.cut()
    try:
        started = time.monotonic()
        output, _ = run.communicate(timeout=TIMEOUT + 15)
        assert run.returncode != 0, "it ended before the cable was cut: make the test longer"
        # TensorFlow may say something about the processor when it starts.
        said = [line for line in output.splitlines() if not line.startswith(("WARNING: All log", "I0000"))]
        assert len(said) == 1, output
        assert said[0].startswith("error: rank 1 on h2: lost"), output
        while found := hosts.running():
            assert time.monotonic() < started + TIMEOUT + 20, found
            time.sleep(0.2)
    finally:
        hosts.mend()
    for folder, where in (("cut", "h1"), ("whole", "h1,h2")):
        again = hosts.start(command(folder), where)
        output, _ = again.communicate(timeout=300)
        assert again.returncode == 0, output
    one, two = result(tmp_path / "cut"), result(tmp_path / "whole")
    assert one
    assert one == two
