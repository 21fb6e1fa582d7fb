from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dreamduck.common.errors import ControllerError
from dreamduck.controllers.controller_file import (
    RunFiles,
    read_controller,
    read_theta,
    rounded,
    run_of,
    to_card,
)
from dreamduck.controllers.factory import model_sizes
from dreamduck.controllers.policy import ControllerForm
from dreamduck.pretrained import CONTROLLERS, FOLDER

LOG = Path(__file__).parents[2] / "log"
ENDINGS = (".json", ".best.json", ".hist.json", ".hist_best.json", ".log.json", ".card.json")
SHIPPED = [LOG / f"rnnenv.cma.16.2{ending}" for ending in ENDINGS]  # a user's own runs lie beside them


@pytest.fixture
def files(tmp_path):
    return RunFiles.of(tmp_path / "log", "rnnenv", 16, 64)


def test_names_are_the_original_ones(files):
    assert files.path(".json").name == "rnnenv.cma.16.64.json"
    for ending in ENDINGS:
        assert run_of(files.path(ending)) == files


def test_bytes_are_as_the_original_writes_them(files):
    """Forms read off WorldModelsExperiments' own files: indents, separators, no last line break."""
    files.write_theta([0.123456, -1.0, 2.00004])
    assert files.path(".json").read_bytes() == b"[\n  [\n    0.1235,\n    -1.0,\n    2.0\n  ]\n]"
    files.write_history([[1, 57, 305.45, 144.62, 465.81, 84.82, 0.09859, 305.45, 465]])
    assert files.path(".hist.json").read_bytes() == (
        b"[\n[\n1,\n57,\n305.45,\n144.62,\n465.81,\n84.82,\n0.09859,\n305.45,\n465\n]\n]"
    )
    log = [[25, 701.375, [0.0238, 0.0134]]]
    best = [[25, 1232, "improvement", 395.92, "curr", 701.375, "prev", 305.45, "best", 701.375]]
    files.write_evaluations(log, best, [0.0238, 0.0134], 701.375)
    assert files.path(".log.json").read_bytes() == b"[[25, 701.375, [0.0238, 0.0134]]]"
    assert files.path(".best.json").read_bytes() == b"[\n[\n0.0238,\n0.0134\n],\n701.375\n]"
    assert files.path(".hist_best.json").read_bytes() == (
        b'[\n[\n25,\n1232,\n"improvement",\n395.92,\n"curr",\n701.375,\n"prev",\n305.45,\n'
        b'"best",\n701.375\n]\n]'
    )


def test_theta_comes_back_from_each_kind_of_file(files):
    theta = np.random.default_rng(0).normal(size=130)
    files.write_theta(theta)
    log = [
        [25, 3.0, rounded(theta * 0).tolist()],
        [50, 4.5, rounded(theta).tolist()],
        [75, 4.0, [0.0] * 130],
    ]
    files.write_evaluations(log, [], theta, 4.5)
    for ending in (".json", ".best.json", ".log.json"):
        assert np.array_equal(read_theta(files.path(ending)), rounded(theta))


@pytest.mark.parametrize(
    "size", [130, 1154, 2178, 1088], ids=["z", "zh", "zch", "single output without bias"]
)
def test_a_file_of_the_original_code_needs_no_card(tmp_path, size):
    path = tmp_path / "doomrnn.cma.16.64.best.json"
    path.write_text(json.dumps([[0.01] * size, 958.5], indent=0, separators=(",", ": ")))
    controller = read_controller(path, 64, 512)
    assert controller.form.size == size
    assert controller(np.ones(1088, dtype=np.float32)).shape == (2,)


def test_the_card_holds_the_form_of_a_controller(files):
    form = ControllerForm("zc")
    theta = np.linspace(-1, 1, form.size)
    files.write_theta(theta)
    assert read_controller(files.path(".json"), 64, 512).form.features == "zh"
    files.write_card(to_card(form, theta, command="train.py"))
    assert read_controller(files.path(".json"), 64, 512).form == form
    card = json.loads(files.path(".card.json").read_text())
    assert (card["command"], card["parameters"]) == ("train.py", 1154)
    with pytest.raises(ControllerError, match=r"64 latents.*32, 256 and 256"):
        read_controller(files.path(".json"), 32, 256)


def test_car_racing_fits_its_own_world_model_only(tmp_path):
    path = tmp_path / "carracing.cma.16.64.json"
    path.write_text(json.dumps([[0.5] * 867], indent=2))
    assert read_theta(path).shape == (867,)
    with pytest.raises(ControllerError, match=r"867 parameters .* three actions"):
        read_controller(path, 64, 512)
    with pytest.raises(ControllerError, match=r"867 parameters .* three actions"):
        read_controller(path, 32, 256)
    form = ControllerForm("zh", actions=3, z_size=7, hidden_size=9)
    run_of(path).write_theta(np.full(form.size, 0.25))
    run_of(path).write_card(to_card(form, np.full(form.size, 0.25)))
    with pytest.raises(ControllerError, match=r"expected one action .* got a controller of 3 actions"):
        read_controller(path, 7, 9)


def test_the_history_of_a_search_is_no_controller(files):
    """Nine figures a generation are no theta, whatever the file is called."""
    row = [1, 3, 0.25, -1.5, 2.5, 0.75, 0.11, 39.5, 40]
    for count in (1, 2, 5):
        files.write_history([[number + 1, *row[1:]] for number in range(count)])
        with pytest.raises(ControllerError, match=r"history of a search.*rnnenv\.cma\.16\.64\.best\.json"):
            read_theta(files.path(".hist.json"))
    renamed = files.path(".hist.json").rename(files.base.with_name("mine.json"))
    with pytest.raises(ControllerError, match="expected a controller"):
        read_theta(renamed)
    files.write_evaluations([], [[3, 1, "improvement", 0.5, "curr", 0.5]], row, 0.5)
    with pytest.raises(ControllerError, match="history of a search"):
        read_theta(files.path(".hist_best.json"))


@pytest.mark.parametrize("text", ["[[0.5, 1.5], [0.25, 2.5]]", "[[0.5, 1.5], 2.0, 3.0]", "[[0.5], true]"])
def test_lists_of_another_form_are_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ControllerError, match="expected a controller"):
        read_theta(path)


@pytest.mark.parametrize(
    "path",
    [*SHIPPED, *sorted(CONTROLLERS.glob("*.cma.*.json"))],
    ids=lambda path: path.name,
)
def test_files_that_ship_are_read_or_refused_with_words(path):
    if path.name.endswith((".hist.json", ".hist_best.json", ".card.json")):
        with pytest.raises(ControllerError, match="expected a controller"):
            read_theta(path)
    else:
        assert read_controller(path, *model_sizes(FOLDER)).theta.size >= 130


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "[]",
        "[[]]",
        "[[[1.0]]]",
        '["a"]',
        '[["1.0", 2]]',
        "[[1.0, null]]",
        "[[1.0, true]]",
        "[[1.0, [2.0]]]",
        "[[1.0, NaN]]",
        "[[1.0, 1e999]]",
        "3",
        "null",
    ],
)
def test_files_that_are_no_controllers_are_refused(tmp_path, text):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ControllerError, match=r"bad\.json"):
        read_theta(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ControllerError, match="no such file"):
        read_theta(tmp_path / "none.json")


def test_a_damaged_card_is_refused(files):
    files.write_theta(np.zeros(130))
    for text in ("[]", "{", '{"form": {"colour": 1}}', '{"form": {"features": "q"}}'):
        files.path(".card.json").write_text(text)
        with pytest.raises(ControllerError):
            read_controller(files.path(".json"), 64, 512)
