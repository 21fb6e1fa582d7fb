"""What holds for all commands: `-h` answers at once, and git ignores what they write by default."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(
    path
    for folder in ("dreamduck", "scripts")
    for path in (ROOT / folder).rglob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    and (".parse_args(" in path.read_text(encoding="utf-8") or path.parent.name in ("dreamduck", "envs"))
)
HELP = """
import contextlib, io, runpy, sys
for path in sys.argv[1:]:
    sys.argv = [path, "-h"]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(path, run_name="__main__")
        code = "no exit"
    except SystemExit as err:
        code = err.code
    slow = [name for name in ("tensorflow", "keras", "gym_duckietown") if name in sys.modules]
    print(path, code, "usage" in said.getvalue(), *slow, sep="|")
    if slow:
        break
"""
DEFAULT_FOLDER = re.compile(r'(?:default=|option\(|Path\()"([a-z]+)(?:/[a-z]+)?"')


def test_the_scripts_are_found():
    names = {path.name for path in SCRIPTS}
    assert {"vae_train.py", "rnn_train.py", "series.py", "extract.py", "train.py", "model.py"} <= names
    assert {"env.py", "realenv.py", "rnnenv.py", "demo.py", "media.py", "__main__.py"} <= names


def test_help_loads_no_tensorflow(tmp_path):
    """No simulator either; all scripts run in one process."""
    done = subprocess.run(
        [sys.executable, "-c", HELP, *map(str, SCRIPTS)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{path}|0|True" for path in SCRIPTS]
    assert not list(tmp_path.iterdir())


def folders() -> set[str]:
    """The names of folders that commands write to by default, read from their sources."""
    found = set()
    for path in (ROOT / "dreamduck").rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            match = DEFAULT_FOLDER.search(line)
            if match and re.search(r"fold|images", line):
                found.add(match[1])
    return found


@pytest.mark.parametrize("place", ["", "dreamduck/envs"])
def test_what_commands_write_by_default_is_ignored_by_git(place):
    assert {"records", "weights", "series", "log", "videos", "scores", "gap", "loop"} <= folders()
    names = folders() | {"demo", "images", "models", "train_logs"}
    paths = [str(Path(place) / name / "file.json") for name in sorted(names)]
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *paths], capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode == 128:
        pytest.skip("not a git checkout")
    assert done.stdout.splitlines() == paths
