import os
import signal
import stat
import subprocess
import sys

import numpy as np
import pytest

from dreamduck.common import storage
from dreamduck.common.errors import RecordError


def test_json_round_trip(tmp_path):
    path = tmp_path / "new" / "a.json"
    storage.write_json(path, {"a": [1, 2.5, None, "ü"]})
    assert storage.read_json(path) == {"a": [1, 2.5, None, "ü"]}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_what_is_not_a_number_is_not_json(tmp_path):
    path = tmp_path / "a.json"
    storage.write_json(path, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        storage.write_json(path, float("nan"))
    assert storage.read_json(path) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_damaged_json_is_named(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a":\n 1,}')
    with pytest.raises(RecordError, match=r"a\.json: not JSON, line 2"):
        storage.read_json(path, RecordError)
    with pytest.raises(RecordError, match="no such file"):
        storage.read_json(tmp_path / "b.json", RecordError)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordError, match="not a text file"):
        storage.read_json(path, RecordError)


def test_a_pickle_is_never_opened(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(RecordError, match="expected numbers or strings, got object"):
        storage.read_npz(path, RecordError)


def test_an_error_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half() -> None:
        with storage.replacing(path) as temporary:
            temporary.write_text("ne")
            raise RuntimeError("half done")

    with pytest.raises(RuntimeError, match="half"):
        write_half()
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_kill_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = (
        "import os, signal, sys; from dreamduck.common.storage import replacing\n"
        "with replacing(sys.argv[1]) as t:\n"
        "    t.write_text('ne'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_weights_keep_their_double_suffix(tmp_path):
    with storage.replacing(tmp_path / "vae.weights.h5") as temporary:
        assert temporary.name.endswith(".weights.h5")
        temporary.write_bytes(b"x")
    assert (tmp_path / "vae.weights.h5").read_bytes() == b"x"


def test_the_fingerprint_depends_on_the_contents(tmp_path):
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).write_text(text)
    a, b, c = (storage.fingerprint(tmp_path / n) for n in "abc")
    assert a == b != c
    assert len(a) == 16


def test_what_killed_writers_left_is_swept_away(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    here = storage._mark()
    old = [".tmp-old.npz", ".tmp-there-1-old.npz"]
    gone = [*old, f"{here}{child.pid}-1-abc.npz", f"{here}{'9' * 30}-1-abc.npz"]
    stay = [".index.json", ".tmp-new.npz", f"{here}{os.getpid()}-1-abc.npz", ".tmp-there-1-new.npz"]
    for name in gone + stay:
        (tmp_path / name).write_bytes(b"half")
    for name in (*old, ".index.json"):
        os.utime(tmp_path / name, (0, 0))
    os.mkfifo(tmp_path / ".tmp-pipe")
    (tmp_path / ".tmp-folder").mkdir()
    storage.sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*stay, ".tmp-pipe", ".tmp-folder"])
    storage.sweep(tmp_path / "nothing")


WRITER = """
import sys
from dreamduck.common.storage import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text(sys.argv[2])
    print("writing", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("elsewhere", [[], ["unshare", "--pid", "--fork", "--mount-proc"]])
def test_a_living_writer_keeps_its_temporary_file(tmp_path, elsewhere):
    """However old the file looks, and although another container's processes have other numbers."""
    if elsewhere and subprocess.run([*elsewhere, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no namespaces here")
    path = tmp_path / "a.txt"
    command = [*elsewhere, sys.executable, "-c", WRITER, str(path), "slow"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        (temporary,) = tmp_path.glob(".tmp-*")
        os.utime(temporary, (0, 0))
        storage.sweep(tmp_path)
        assert temporary.exists()
        writer.stdin.write("\n")
        writer.stdin.close()
        assert writer.wait() == 0
    assert path.read_text() == "slow"


def test_each_process_sweeps_each_folder_that_it_writes_to(tmp_path):
    code = (
        "import sys; from dreamduck.common.storage import replacing\n"
        "for path in sys.argv[1:]:\n"
        "    with replacing(path) as temporary: temporary.write_text('new')\n"
    )
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        (folder / f"{storage._mark()}{'9' * 30}-1-abc.txt").write_text("half")
    command = [sys.executable, "-c", code, *(str(folder / "a.txt") for folder in folders)]
    subprocess.run(command, check=True)
    for folder in folders:
        assert os.listdir(folder) == ["a.txt"]


def test_the_umask_is_never_changed(tmp_path, monkeypatch):
    """All threads share it: one that changes it for a moment changes the mode of others' files."""
    previous = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", None)
        storage.write_json(tmp_path / "a.json", 1)
    finally:
        monkeypatch.undo()
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o640


def test_an_error_of_the_system_names_the_target(tmp_path):
    path = tmp_path / "a.json"

    def fill() -> None:
        with storage.replacing(path) as temporary:
            temporary.unlink()
            temporary.symlink_to("/dev/full")
            temporary.write_text("x")

    with pytest.raises(OSError, match="No space left") as caught:
        fill()
    assert caught.value.filename == str(path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="exists") as caught:
        storage.write_json(tmp_path / "file" / "a.json", 1)
    assert caught.value.filename == str(tmp_path / "file")


def test_a_killed_writer_leaves_nothing_for_long(tmp_path):
    path = tmp_path / "a.npz"
    script = (
        "import os, signal\nfrom dreamduck.common.storage import replacing\n"
        f"with replacing({str(path)!r}) as t:\n"
        "    t.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert [name[:5] for name in os.listdir(tmp_path)] == [".tmp-"]
    storage.sweep(tmp_path)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"XDG_CACHE_HOME": "/a"}, "/a/dreamduck"),
        ({"LOCALAPPDATA": "/b"}, "/b/dreamduck"),
        ({"XDG_CACHE_HOME": "", "HOME": "/c"}, "/c/.cache/dreamduck"),
    ],
)
def test_the_cache_folder(given, expected, monkeypatch):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert str(storage.cache_folder()) == expected


def test_nothing_is_cached_without_a_home(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert str(storage.cache_folder()).startswith(os.devnull)
