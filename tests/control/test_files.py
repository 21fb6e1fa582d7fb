from __future__ import annotations

import json

import numpy as np
import pytest

from dreamduck.control.controllers import ControllerForm
from dreamduck.control.files import RunFiles, read_controller, read_theta, rounded, run_of, to_card
from dreamduck.errors import ControllerError


@pytest.fixture
def files(tmp_path):
    return RunFiles.of(tmp_path / "log", "rnnenv", 16, 64)


def test_names_are_the_original_ones(files):
    assert files.path(".json").name == "rnnenv.cma.16.64.json"
    for ending in (".json", ".best.json", ".hist.json", ".hist_best.json", ".log.json", ".card.json"):
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


def test_the_card_tells_what_the_length_cannot(files):
    form = ControllerForm("zc")
    theta = np.linspace(-1, 1, form.size)
    files.write_theta(theta)
    assert read_controller(files.path(".json"), 64, 512).form.features == "zh"
    files.write_card(to_card(form, theta, command="train.py"))
    assert read_controller(files.path(".json"), 64, 512).form == form
    card = json.loads(files.path(".card.json").read_text())
    assert (card["command"], card["parameters"]) == ("train.py", 1154)
    with pytest.raises(ControllerError, match=r"64 latents.*32 and 256"):
        read_controller(files.path(".json"), 32, 256)


def test_car_racing_fits_its_own_world_model_only(tmp_path):
    path = tmp_path / "carracing.cma.16.64.json"
    path.write_text(json.dumps([[0.5] * 867], indent=2))
    assert read_theta(path).shape == (867,)
    with pytest.raises(ControllerError, match="867 parameters fit no controller"):
        read_controller(path, 64, 512)


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
def test_what_is_no_controller_is_refused(tmp_path, text):
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
