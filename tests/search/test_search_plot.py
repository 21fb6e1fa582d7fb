from __future__ import annotations

import json

import pytest

from dreamduck.common.errors import ControllerError
from dreamduck.controllers.controller_file import RunFiles
from dreamduck.search.search_plot import draw_run, main, read_evaluations, read_history

ROWS = [[g, 40 * g, 10.0 + g, 5.0, 20.0 + g, 3.0, 0.1, 100.0, 200] for g in range(1, 30)]
EVALUATION = [25, 1000, "improvement", 1.0, "curr", 33.0, "prev", 32.0, "best", 33.0]


@pytest.fixture
def files(tmp_path):
    made = RunFiles(tmp_path / "doomrnn.cma.16.64")
    made.path(".hist.json").write_text(json.dumps(ROWS, indent=0, separators=(",", ":")))
    made.path(".hist_best.json").write_text(json.dumps([EVALUATION]))
    return made


def test_the_picture_shows_evaluations(files, tmp_path):
    assert read_evaluations(files) == [(25.0, 33.0)]
    with_them = draw_run(files).read_bytes()
    files.path(".hist_best.json").unlink()
    assert read_evaluations(files) == []
    assert draw_run(files, tmp_path / "other.png").read_bytes() != with_them


def test_the_command_takes_any_file_of_a_run(files, capsys):
    main([str(files.path(".json"))])
    assert capsys.readouterr().out.strip() == str(files.path(".png"))
    assert files.path(".png").read_bytes().startswith(b"\x89PNG")


def test_the_command_writes_where_it_is_told(files, tmp_path, capsys):
    target = tmp_path / "mine.png"
    main([str(files.path(".json")), "-o", str(target)])
    assert capsys.readouterr().out.strip() == str(target)
    assert target.read_bytes().startswith(b"\x89PNG")
    assert not files.path(".png").exists()


def test_one_file_cannot_hold_several_runs(files, tmp_path, capsys):
    name, target = str(files.path(".json")), tmp_path / "mine.png"
    with pytest.raises(SystemExit) as stopped:
        main([name, name, "-o", str(target)])
    assert stopped.value.code == 2
    assert "--output: expected a single run" in capsys.readouterr().err
    assert not target.exists()


def test_the_command_draws_again_while_it_watches(files, monkeypatch, capsys):
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        files.path(".png").unlink()  # made again, or this fails
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        main([str(files.path(".json")), "--watch", "7.5"])
    assert slept == [7.5] * 3
    assert capsys.readouterr().out.splitlines() == [str(files.path(".png"))] * 3


@pytest.mark.parametrize(
    "text", ["{}", "[[1]]", '[["a", 2, 3, 4, 5, 6, 7, 8, 9]]', "[[1,2,3,4,5,6,7,8,NaN]]"]
)
def test_what_is_no_history_is_refused(files, text):
    files.path(".hist.json").write_text(text)
    with pytest.raises(ControllerError, match=r"rows of 9 numbers|NaN is not JSON"):
        read_history(files)


def test_a_missing_history_is_named(tmp_path):
    with pytest.raises(ControllerError, match="no such file"):
        draw_run(RunFiles(tmp_path / "nothing"))
