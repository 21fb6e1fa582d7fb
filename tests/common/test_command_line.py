import errno
import logging
import os
import re
import shlex
import subprocess
import sys

import pytest

from dreamduck.common import command_line
from dreamduck.common.errors import MapError


def exit_code(main, argv=()):
    with pytest.raises(SystemExit) as caught:
        command_line.run(main, argv)
    return caught.value.code


def test_our_errors_are_one_line_and_code_2(capsys):
    def main(argv):
        raise MapError("no map 'x'")

    assert exit_code(main) == 2
    assert capsys.readouterr().err == "error: no map 'x'\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--number", "a"], "argument --number: invalid int value: 'a'"),
        (["--nombre", "1"], "unrecognized arguments: --nombre 1"),
    ],
)
def test_bad_flags_are_one_line_and_code_2(capsys, monkeypatch, words, text):
    monkeypatch.setattr(sys, "argv", ["dreamduck it"])
    parser = command_line.parser("")
    parser.add_argument("--number", type=int)
    assert exit_code(parser.parse_args, words) == 2
    assert capsys.readouterr().err == f"error: {text}; `dreamduck it -h` lists the flags\n"


def test_other_ends():
    def interrupted(argv):
        raise KeyboardInterrupt

    assert exit_code(lambda argv: None) == 0
    assert exit_code(lambda argv: 3) == 3
    assert exit_code(interrupted) == 130


def test_of_many_ranks_that_fail_alike_one_speaks(capsys, monkeypatch):
    def main(argv):
        raise MapError("no map 'x'")

    monkeypatch.setattr(command_line, "RANK_WAIT", 0.0)
    monkeypatch.setenv("PMI_RANK", "1")
    assert exit_code(main) == 2
    assert capsys.readouterr().err == ""  # there is no rank 0 any more: it had the same to say
    monkeypatch.setattr(command_line, "_sibling_with", lambda word: word == "PMI_RANK=0")
    assert exit_code(main) == 2
    assert capsys.readouterr().err == "error: no map 'x'\n"


def test_other_errors_keep_their_traceback():
    def main(argv):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command_line.run(main, [])


def test_quiet_hides_the_bar(capsys):
    ours = logging.getLogger("dreamduck")
    before = ours.level
    try:
        command_line.start_logging(command_line.parser("x").parse_args(["-q"]))
        assert list(command_line.progress(range(3))) == [0, 1, 2]
        assert capsys.readouterr().err == ""
    finally:
        ours.setLevel(before)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "a.npz"),
            "a.npz: No space left on device; free some",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "r/a"),
            "r/a: Read-only file system; choose a folder",
        ),
        (OSError(errno.EMFILE, "Too many open files", "x"), "x: Too many open files; .*ulimit -n"),
        (FileExistsError(errno.EEXIST, "File exists", "a"), "a: File exists; a file stands where a folder"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error\n"),
        (MemoryError("a great array"), r"not enough memory \(a great array\)"),
    ],
)
def test_errors_of_the_system_are_one_line_and_code_2(capsys, error, text):
    def main(argv):
        raise error

    assert exit_code(main) == 2
    message = capsys.readouterr().err
    assert re.match(f"error: {text}", message)
    assert message.count("\n") == 1


COMMAND = """
import sys
from dreamduck.common import command_line as cli
cli.run(lambda argv: print("much to tell " * int(argv[0])), sys.argv[1:])
"""


def run_to(output, times):
    return subprocess.run(
        [sys.executable, "-c", COMMAND, str(times)],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("times", [1, 100_000])
def test_an_output_that_takes_nothing(times):
    with open("/dev/full", "w") as full:
        done = run_to(full, times)
    assert done.returncode == 2
    assert (
        done.stderr == "error: No space left on device; free some space and give the same command again\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    done = run_to(writing, times)  # as `| head` does
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
    closed = f"{sys.executable} -c {shlex.quote(COMMAND)} {times} >&-"
    done = subprocess.run(closed, shell=True, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_resumes_once_there_is_room(tmp_path):
    """On a full disk in miniature: files may have 100 bytes."""
    code = (
        "import resource, signal, sys; from dreamduck.common import command_line as cli, storage\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))\n"
        "cli.run(lambda argv: storage.write_text(argv[0], 'x' * 500), sys.argv[1:])\n"
    )
    path = tmp_path / "a.txt"
    path.write_text("old")
    done = [
        subprocess.run(
            [sys.executable, "-c", code, str(path), limit], capture_output=True, text=True, check=False
        )
        for limit in ("100", "1000")
    ]
    assert [one.returncode for one in done] == [2, 0]
    assert done[0].stderr == f"error: {path}: File too large\n"
    assert path.read_text() == "x" * 500
    assert len(list(tmp_path.iterdir())) == 1
