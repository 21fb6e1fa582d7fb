"""The page in a real Chromium: keys pressed, pixels read, sliders moved. See browser/scenarios.mjs."""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dreamduck.controllers.controller_file import RunFiles
from dreamduck.controllers.factory import FormConfig, model_sizes
from dreamduck.controllers.policy import ControllerForm, random_theta
from dreamduck.export import static_export
from dreamduck.export.static_export import main as export
from dreamduck.export.static_export import reference
from dreamduck.recordings import read_episode
from scripts import gallery
from tests.envs.test_gymenv import write_gym_model
from tests.web.model import write_categorical, write_ensemble, write_probe

pytestmark = pytest.mark.browser

SCENARIOS = Path(__file__).parent / "browser" / "scenarios.mjs"
NAMES = re.findall(r"^  async (\w+)\(", SCENARIOS.read_text(encoding="utf-8"), re.MULTILINE)
WRONG = "wrong_numbers_in_one_file"
GALLERY = "the_gallery"
OTHER = "another_environment"
ONE_FILE = [name for name in NAMES if name.endswith("one_file") or "one_file_" in name]
ROOT = Path(__file__).parents[2]
LARGEST = 15e6  # bytes of the file with the model that ships
PATIENCE = 240  # seconds for a scenario


class Serving:
    """The server as people start it, in a process of its own."""

    def __init__(self, folder: Path, flags: list[str]) -> None:
        self.folder, self.flags, self.port = folder, flags, 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "dreamduck", "drive", "--port", str(self.port), *self.flags]
        path = {**os.environ, "PYTHONPATH": str(ROOT)}  # for the environments of the tests
        self.process = subprocess.Popen(
            command, cwd=self.folder, env=path, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.fullmatch(r"Drive at (http://127\.0\.0\.1:(\d+)/)\n", line)
        assert found, line
        self.address, self.port = found[1], int(found[2])
        while not self.ask("status")["warm"]:  # after a change the road's code is compiled first
            time.sleep(0.2)

    def ask(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self.address + path) as answer:
            return json.loads(answer.read())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(timeout=PATIENCE) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def model(model_folder, tmp_path_factory) -> tuple[Path, str]:
    folder = shutil.copytree(model_folder, tmp_path_factory.mktemp("browser") / "model")
    write_ensemble(folder, 1e-6)  # no dream stays within this limit
    write_probe(folder)
    form = ControllerForm("zch")
    files = RunFiles.of(folder, "rnnenv", 1, 4)
    files.write_theta(random_theta(form, np.random.default_rng(0), 0.01))
    return folder, str(files.path(".json"))


@pytest.fixture(scope="module")
def serving(model, tmp_path_factory) -> Iterator[Serving]:
    flags = ["--weights", str(model[0]), "--controller", model[1], "--max-worlds", "20"]
    server = Serving(tmp_path_factory.mktemp("drive"), flags)
    yield server
    server.stop()


def play(name: str, address: str, serving: Serving | None = None) -> None:
    """Run a scenario; it may ask for the server to be stopped and started."""
    command = ["node", str(SCENARIOS), name, address]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    output: list[str] = []
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        for line in process.stdout:
            if line.startswith("@"):
                assert serving is not None
                getattr(serving, line[1:].strip())()
                process.stdin.write("done\n")
                process.stdin.flush()
            else:
                output.append(line)
        code = process.wait()
        watchdog.cancel()
    print("".join(output))
    assert code == 0, "".join(output)


def test_another_environment(tmp_path):
    weights = write_gym_model(tmp_path / "weights", "discrete")
    server = Serving(tmp_path, ["--weights", str(weights)])
    try:
        play(OTHER, server.address, server)
    finally:
        server.stop()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (*ONE_FILE, GALLERY, OTHER)])
def test_scenario(serving, name):
    play(name, serving.address, serving)
    if name == "recording_and_linking":
        episodes = sorted((serving.folder / "records").glob("*.npz"))
        assert episodes
        episode = read_episode(episodes[-1])
        assert len(episode) >= 15
        assert episode.meta["world"] == "road"
        assert episode.action[:, 0].mean() > 0.2


SHIPPED = ["--controller", "dreamduck/pretrained/controllers/rnnenv.cma.32.64.best.json"]


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory) -> Path:
    """The dream as one file, by the name of its weights: random, of either kind; those that ship."""
    folder = tmp_path_factory.mktemp("site") / "under" / "a path"
    folder.mkdir(parents=True)
    made = {"random": ["--weights", str(model[0]), "--controller", model[1]], "shipped": SHIPPED}
    other = write_categorical(tmp_path_factory.mktemp("categorical"))
    files = RunFiles.of(other, "rnnenv", 1, 4)
    form = FormConfig("zh").form(*model_sizes(other))
    files.write_theta(random_theta(form, np.random.default_rng(1), 0.01))
    made["categorical"] = ["--weights", str(other), "--controller", str(files.path(".json"))]
    for name, flags in made.items():
        export([str(folder / f"{name}.html"), *flags])
    return folder


@pytest.fixture(scope="module")
def site(folder) -> Iterator[str]:
    """The address of a web site that has the folder somewhere below its root."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder.parents[1])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/under/a%20path"
        server.shutdown()


@pytest.mark.parametrize("weights", ["random", "categorical", "shipped"])
@pytest.mark.parametrize("scenario", [name for name in ONE_FILE if name != WRONG])
def test_the_dream_as_one_file(folder, scenario, weights):
    play(scenario, (folder / f"{weights}.html").as_uri())


def test_one_file_at_another_temperature(tmp_path):
    """A hundred steps in which chance counts."""
    export([str(tmp_path / "dream.html"), "--temperature=0.7", *SHIPPED])
    play("the_dream_as_one_file", (tmp_path / "dream.html").as_uri())


@pytest.mark.parametrize("scenario", ["the_dream_as_one_file", "a_controller_evolves_in_one_file"])
def test_one_file_on_a_web_site(site, scenario):
    play(scenario, f"{site}/shipped.html")


def test_the_gallery_and_its_links(folder, tmp_path):
    """With the dream that ships, and white images instead of figures."""
    shutil.copy(folder / "shipped.html", tmp_path / gallery.DREAM)
    entries = [gallery.dream_entry(gallery.recorded_drives(tmp_path / gallery.DREAM))]
    for entry in gallery.ENTRIES:
        Image.new("RGB", (584, 314), "white").save(tmp_path / entry.file)
        entries.append(gallery.figure_entry(entry))
    (tmp_path / "index.html").write_text(gallery.PAGE.format(entries="\n".join(entries)), encoding="utf-8")
    play(GALLERY, (tmp_path / "index.html").as_uri())


def test_the_size_of_one_file(folder):
    assert (folder / "shipped.html").stat().st_size < LARGEST


def test_a_file_with_wrong_numbers(model, tmp_path, monkeypatch):
    """One number in 6,400 is off by as little as cannot be rounding."""

    def wrong(*given):
        arrays, about = reference(*given)
        arrays["z"][50, 7] += 2e-3
        return arrays, about

    monkeypatch.setattr(static_export, "reference", wrong)
    path = tmp_path / "dream.html"
    export([str(path), "--weights", str(model[0]), "--controller", model[1]])
    play(WRONG, path.as_uri())
