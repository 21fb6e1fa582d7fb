import subprocess
import sys

from dreamduck.simulator.compiled import STAMP, forget_stale

INNER = "from numba import njit\n@njit(cache=True)\ndef inner(x):\n    return x + {}\n"
OUTER = (
    "from numba import njit\nfrom inner import inner\n"
    "@njit(cache=True)\ndef outer(x):\n    return inner(x)\n"
)
RUN = "import sys; sys.path.insert(0, sys.argv[1]); from outer import outer; print(outer(1))"


def run(folder):
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder)], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def test_a_changed_callee_is_compiled_anew(tmp_path):
    (tmp_path / "inner.py").write_text(INNER.format(1))
    (tmp_path / "outer.py").write_text(OUTER)
    assert not forget_stale(tmp_path)
    assert run(tmp_path) == 2
    assert not forget_stale(tmp_path), "nothing has changed"
    assert list((tmp_path / "__pycache__").glob("*.nbi"))
    (tmp_path / "inner.py").write_text(INNER.format(100))
    assert forget_stale(tmp_path)
    assert run(tmp_path) == 101


def test_a_folder_that_cannot_be_written_is_left_alone(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr("dreamduck.simulator.compiled.replacing", refuse)
    assert not forget_stale(tmp_path)
    assert not (tmp_path / "__pycache__" / STAMP).exists()
