import logging

import pytest

from dreamduck import cli
from dreamduck.errors import MapError


def exit_code(main, argv=()):
    with pytest.raises(SystemExit) as caught:
        cli.run(main, argv)
    return caught.value.code


def test_our_errors_are_one_line_and_code_2(capsys):
    def main(argv):
        raise MapError("no map 'x'")

    assert exit_code(main) == 2
    assert capsys.readouterr().err == "error: no map 'x'\n"


def test_other_ends():
    def interrupted(argv):
        raise KeyboardInterrupt

    assert exit_code(lambda argv: None) == 0
    assert exit_code(lambda argv: 3) == 3
    assert exit_code(interrupted) == 130


def test_of_many_ranks_that_fail_alike_one_speaks(capsys, monkeypatch):
    def main(argv):
        raise MapError("no map 'x'")

    monkeypatch.setattr(cli, "RANK_WAIT", 0.0)
    monkeypatch.setenv("PMI_RANK", "1")
    assert exit_code(main) == 2
    assert capsys.readouterr().err == ""  # there is no rank 0 any more: it had the same to say
    monkeypatch.setattr(cli, "_sibling_with", lambda word: word == "PMI_RANK=0")
    assert exit_code(main) == 2
    assert capsys.readouterr().err == "error: no map 'x'\n"


def test_other_errors_keep_their_traceback():
    def main(argv):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli.run(main, [])


def test_quiet_hides_the_bar(capsys):
    ours = logging.getLogger("dreamduck")
    before = ours.level
    try:
        cli.start_logging(cli.parser("x").parse_args(["-q"]))
        assert list(cli.progress(range(3))) == [0, 1, 2]
        assert capsys.readouterr().err == ""
    finally:
        ours.setLevel(before)
