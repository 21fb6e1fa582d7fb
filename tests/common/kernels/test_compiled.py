"""The cache of compiled code: never stale, and no damage to its files is fatal."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

from dreamduck.common.kernels import compiled

PACKAGE = compiled.PACKAGE
SPEED = (
    "import numpy as np\n"
    "from dreamduck.simulator.physics.dynamics import integrate\n"
    "frame, velocity = np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(2)\n"
    "integrate(frame, velocity, 0.5, 0.5)\n"
    "print(round(float(velocity[0]), 6), sum(integrate.stats.cache_hits.values()))\n"
)


@pytest.fixture
def copy(tmp_path):
    """A copy of the package that may be changed, without any compiled code."""
    (tmp_path / "tmp").mkdir()
    shutil.copytree(PACKAGE, tmp_path / "dreamduck", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def isolated(folder):
    """The environment of a process that finds this package, and no compiled code from elsewhere."""
    own = {"PYTHONPATH": folder, "HOME": folder / "home", "TMPDIR": folder / "tmp", "XDG_CACHE_HOME": ""}
    return {**os.environ, **{name: str(value) for name, value in own.items()}}


def run(folder, code=SPEED, **environment):
    """What a process with this package says: the speed, and how often the cache was of use."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**isolated(folder), **environment},
        cwd=folder,
    )
    assert not done.stderr
    return done.stdout.split()


def entries(folder):
    return sorted(folder.rglob(f"*{compiled.SUFFIX}"))


def edit(path, old, new):
    """Change one place of a file."""
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def slower(folder):
    """Change a number that compiled code in another file was made with."""
    edit(folder / "dreamduck/simulator/robot.py", "LINEAR_GAIN = 1.5", "LINEAR_GAIN = 0.5")


@pytest.mark.parametrize("setting", ["", "NUMBA_CACHE_DIR"])
def test_changed_code_is_compiled_again_and_unchanged_code_is_not(copy, setting):
    environment = {setting: str(copy / "chosen")} if setting else {}
    assert run(copy, **environment) == ["0.05", "0"]
    (entry,) = entries(copy)
    assert entry.is_relative_to(copy / "chosen" if setting else copy / "dreamduck/__pycache__")
    assert run(copy, **environment) == ["0.05", "1"]
    slower(copy)
    assert run(copy, **environment) == ["0.016667", "0"]


CALLER = (
    "from dreamduck.common.kernels.compiled import njit\n"
    "from dreamduck.simulator.deep import called\n"
    "@njit\n"
    "def caller(x):\n"
    "    return called(x)\n"
)
CALLED = "from dreamduck.common.kernels.compiled import njit\n@njit\ndef called(x):\n    return x + 1\n"
CALL = (
    "from dreamduck.simulator.render.caller import caller\n"
    "print(caller(1), sum(caller.stats.cache_hits.values()))\n"
)


def test_an_edit_of_a_called_function_in_another_folder_counts(copy):
    called = copy / "dreamduck/simulator/deep/called.py"
    called.parent.mkdir()
    called.write_text(CALLED)
    (called.parent / "__init__.py").write_text("from dreamduck.simulator.deep.called import called\n")
    (copy / "dreamduck/simulator/render/caller.py").write_text(CALLER)
    assert run(copy, CALL) == ["2", "0"]
    assert run(copy, CALL) == ["2", "1"]
    edit(called, "x + 1", "x + 2")
    assert run(copy, CALL) == ["3", "0"]


def test_an_edit_of_what_no_kernel_uses_does_not_count(copy):
    assert run(copy) == ["0.05", "0"]
    edit(copy / "dreamduck/simulator/road.py", "CRASH_COST = 1.0", "CRASH_COST = 2.0")
    assert run(copy) == ["0.05", "1"]


def test_every_kernel_and_what_it_imports_is_hashed():
    names = set(compiled.kernel_sources())
    for path in PACKAGE.rglob("*.py"):
        if re.search(r"\bnjit\b", path.read_text()):
            assert str(path.relative_to(PACKAGE.parent)) in names
    assert {"dreamduck/simulator/robot.py", "dreamduck/simulator/base.py"} < names  # constants of kernels
    assert not {name for name in names if name.startswith(("dreamduck/envs", "dreamduck/web"))}


def test_damaged_entries_are_compiled_again(copy):
    run(copy)
    (entry,) = entries(copy)
    content = entry.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 4
    other = b"cos\nno_such\n."
    for damaged in (
        b"",
        content[: len(content) // 2],
        bytes(flipped),
        hashlib.sha256(other).digest() + other,
    ):
        entry.write_bytes(damaged)
        assert run(copy) == ["0.05", "0"]
        assert len(entry.read_bytes()) == len(content)
    assert run(copy) == ["0.05", "1"]


def test_without_any_folder_it_is_compiled_each_time(monkeypatch):
    monkeypatch.setattr(compiled, "_folders", lambda create=False: iter(()))

    @compiled.njit(error_model="numpy")
    def half(x):
        return x / 2

    assert half(3.0) == 1.5
    assert half(3) == 1.5
    cache = half._cache  # type: ignore[attr-defined]
    cache.flush()
    assert cache.cache_path == ""


@pytest.mark.skipif(not shutil.which("unshare") or os.getuid() != 0, reason="needs mounts of its own")
@pytest.mark.parametrize("kind", ["home", "temporary"])
def test_where_the_installation_cannot_be_written(copy, kind):
    """Then the next place is taken: the home folder, or a folder for temporary files."""
    home, temporary = copy / "home", copy / "tmp"
    home.mkdir()
    locked = [copy / "dreamduck", home][: 1 if kind == "home" else 2]
    mounts = "".join(f"mount --bind {p} {p} && mount -o remount,ro,bind {p} && " for p in locked)
    command = f'{mounts} for k in 1 2; do {sys.executable} -W error -c "$CODE" || exit 1; done'
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", command],
        capture_output=True,
        text=True,
        cwd=copy,
        env={**isolated(copy), "CODE": SPEED},
    )
    if "permission denied" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("mounts are not allowed here")
    assert done.stdout.split() == ["0.05", "0", "0.05", "1"], done.stderr
    assert not done.stderr
    (entry,) = entries(copy)
    assert entry.is_relative_to(home if kind == "home" else temporary)


def test_no_temporary_folder_of_others_is_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    own = tmp_path / f"dreamduck-{os.getuid()}"
    own.mkdir(mode=0o777)
    own.chmod(0o777)
    assert compiled._own_temporary(create=True) is None
    own.chmod(0o700)
    assert compiled._own_temporary(create=True) == own
    own.rename(tmp_path / "elsewhere")
    own.symlink_to(tmp_path / "elsewhere")
    assert compiled._own_temporary(create=True) is None


def test_old_versions_are_removed(copy):
    cache = copy / "dreamduck" / "__pycache__"
    for k in range(8):
        old = cache / f"{compiled.PREFIX}{k}"
        old.mkdir(parents=True)
        (old / f"x{compiled.SUFFIX}").write_bytes(b"")
        os.utime(old, (k, k))
    (cache / "cars.drive-101.py311.nbi").write_bytes(b"")
    (cache / "other.pyc").write_bytes(b"")
    run(copy)
    left = {path.name for path in cache.iterdir() if path.name.startswith(compiled.PREFIX)}
    assert len(left) == compiled.KEPT
    assert {f"{compiled.PREFIX}{k}" for k in (5, 6, 7)} < left
    assert not list(cache.glob("*.nbi"))
    assert (cache / "other.pyc").exists()


def test_many_processes_at_once(copy):
    command = [sys.executable, "-W", "error", "-c", SPEED]
    environment = isolated(copy)
    started = [
        subprocess.Popen(
            command,
            cwd=copy,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in started:
        out, err = process.communicate()
        assert (out.split()[0], err) == ("0.05", "")
    assert len(entries(copy)) == 1
    assert run(copy) == ["0.05", "1"]


def test_every_compiled_function_of_the_package_has_this_cache():
    for path in PACKAGE.rglob("*.py"):
        if path.name not in ("compiled.py", "tile.py"):  # the tile is compiled within its callers
            text = path.read_text()
            assert "from numba" not in text, path
            assert "import numba" not in text, path
