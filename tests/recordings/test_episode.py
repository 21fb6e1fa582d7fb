"""Recordings on disk: read whole, or refused as damaged."""

import dataclasses
import io
import json
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from dreamduck.common.errors import RecordError
from dreamduck.recordings import episode as files
from dreamduck.recordings import read_episode, write_episode
from tests.recordings.helpers import episode


def npy(array, allow_pickle=False):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


def rewrite(path, replaced=None, without=(), compress=zipfile.ZIP_DEFLATED):
    """Change members of a recording, byte by byte."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name not in without}
    members.update(replaced or {})
    with zipfile.ZipFile(path, "w", compress) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def header(shape):
    """The beginning of an array file that claims a shape."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def spoil(path):
    """Zero some bytes of a file."""
    data = bytearray(path.read_bytes())
    data[100:160] = bytes(60)
    path.write_bytes(data)


@pytest.fixture
def path(tmp_path):
    write_episode(tmp_path / "7.npz", episode(5, 7, ends=True))
    return tmp_path / "7.npz"


def test_round_trip(path):
    made, read = episode(5, 7, ends=True), read_episode(path)
    for name in files.ARRAYS:
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))
        assert getattr(read, name).dtype == getattr(made, name).dtype
    assert read.meta == made.meta
    assert len(read) == 5


def test_numpy_reads_it_without_pickle(path):
    with np.load(path, allow_pickle=False) as data:
        assert set(data.files) == {*files.ARRAYS, "meta"}
        assert json.loads(str(data["meta"]))["map_name"] == "loop_empty"


def test_what_numpy_writes_is_read(tmp_path):
    made = episode(3)
    arrays = {name: getattr(made, name) for name in files.ARRAYS if name != "telemetry"}
    np.savez_compressed(tmp_path / "1.npz", **arrays, meta=np.array("{}"), notes=np.zeros(3))
    read = read_episode(tmp_path / "1.npz")
    assert read.telemetry is None
    np.testing.assert_array_equal(read.obs, made.obs)


def test_frames_can_be_left_out(path):
    read = read_episode(path, frames=False)
    assert read.obs.shape == (0, 64, 64, 3)
    assert read.action.shape == (5, 2)


def test_the_same_episode_gives_the_same_bytes(path, tmp_path):
    write_episode(tmp_path / "8.npz", episode(5, 7, ends=True))
    assert (tmp_path / "8.npz").read_bytes() == path.read_bytes()


class Trap:
    def __reduce__(self):
        return (os.mkdir, ("trap-was-sprung",))


DAMAGES = {
    "no reward": lambda p: rewrite(p, without=["reward.npy"]),
    "no meta": lambda p: rewrite(p, without=["meta.npy"]),
    "obs of another size": lambda p: rewrite(p, {"obs.npy": npy(np.zeros((5, 96, 96, 3), np.uint8))}),
    "obs as floats": lambda p: rewrite(p, {"obs.npy": npy(np.zeros((5, 64, 64, 3)))}),
    "no steps": lambda p: rewrite(p, {"obs.npy": npy(np.zeros((0, 64, 64, 3), np.uint8))}),
    "another length": lambda p: rewrite(p, {"action.npy": npy(np.zeros((6, 2), np.float32))}),
    "Fortran order": lambda p: rewrite(
        p, {"obs.npy": npy(np.asfortranarray(np.zeros((5, 64, 64, 3), np.uint8)))}
    ),
    "nan action": lambda p: rewrite(p, {"action.npy": npy(np.full((5, 2), np.nan, np.float32))}),
    "large action": lambda p: rewrite(p, {"action.npy": npy(np.full((5, 2), 1.5, np.float32))}),
    "infinite reward": lambda p: rewrite(p, {"reward.npy": npy(np.full(5, np.inf, np.float32))}),
    "done in the middle": lambda p: rewrite(p, {"done.npy": npy(np.arange(5) == 2)}),
    "meta is no text": lambda p: rewrite(p, {"meta.npy": npy(np.zeros(3))}),
    "meta is no JSON": lambda p: rewrite(p, {"meta.npy": npy(np.array("{"))}),
    "meta is a list": lambda p: rewrite(p, {"meta.npy": npy(np.array("[]"))}),
    "meta is deep": lambda p: rewrite(p, {"meta.npy": npy(np.array("[" * 60_000))}),
    "meta is long": lambda p: rewrite(p, {"meta.npy": npy(np.array("x" * 100_000))}),
    "a pickle": lambda p: rewrite(p, {"obs.npy": npy(np.array([Trap()], dtype=object), True)}),
    "a pickled meta": lambda p: rewrite(p, {"meta.npy": npy(np.array(Trap(), dtype=object), True)}),
    "data cut short": lambda p: rewrite(p, {"obs.npy": npy(np.zeros((5, 64, 64, 3), np.uint8))[:-9]}),
    "data too long": lambda p: rewrite(p, {"obs.npy": npy(np.zeros((5, 64, 64, 3), np.uint8)) + b"!"}),
    "no array": lambda p: rewrite(p, {"obs.npy": b"hello"}),
    "too many members": lambda p: rewrite(p, {f"{i}.npy": b"" for i in range(40)}),
    "empty file": lambda p: p.write_bytes(b""),
    "text": lambda p: p.write_bytes(b"an episode"),
    "an array, not an archive": lambda p: p.write_bytes(npy(np.zeros(3))),
    "a header of gigabytes": lambda p: rewrite(
        p, {"obs.npy": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + bytes(2_000_000)}
    ),
    "a shape without end": lambda p: rewrite(p, {"obs.npy": header((10**30, 64, 64, 3))}),
    "a shape below nothing": lambda p: rewrite(p, {"obs.npy": header((-5, 64, 64, 3))}),
    "lzma": lambda p: rewrite(p, compress=zipfile.ZIP_LZMA),
    "damaged lzma": lambda p: (rewrite(p, compress=zipfile.ZIP_LZMA), spoil(p)),
    "bzip2": lambda p: rewrite(p, compress=zipfile.ZIP_BZIP2),
    "meta beyond Unicode": lambda p: rewrite(p, {"meta.npy": npy(np.array("{}"))[:-8] + b"\xff" * 8}),
    "meta of endless digits": lambda p: rewrite(
        p, {"meta.npy": npy(np.array('{"a": ' + "1" * 5000 + "}"))}
    ),
    "half a file": lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused_by_name(path, damage, monkeypatch):
    monkeypatch.chdir(path.parent)
    DAMAGES[damage](path)
    with pytest.raises(RecordError, match=r"7\.npz"):
        read_episode(path)
    assert not (path.parent / "trap-was-sprung").exists()


def test_a_flipped_byte_is_found(path):
    data = bytearray(path.read_bytes())
    whole = read_episode(path)
    for place in np.random.default_rng(0).integers(0, len(data), 60):
        changed = data.copy()
        changed[place] ^= 0x55
        path.write_bytes(changed)
        try:
            read = read_episode(path)
        except RecordError:
            continue
        for name in ("obs", "action", "reward", "done"):  # a byte that carries no data
            np.testing.assert_array_equal(getattr(read, name), getattr(whole, name))


def test_a_zip_bomb_takes_no_memory(path):
    """Ten gigabytes of zeros behind a header that claims them."""
    header = npy(np.zeros((1, 64, 64, 3), np.uint8))[:128].replace(b"(1, 64", b"(900000, 64")
    header = header.replace(b" " * 5 + b"\n", b"\n")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.npy", header + bytes(50_000_000))
    os.rename(path, path.with_name("8.npz"))
    read_episode(path.with_name("8.npz"))  # an unknown member is not opened
    write_episode(path, episode(5))
    rewrite(path, {"obs.npy": header + bytes(50_000_000)})
    with pytest.raises(RecordError, match="900000 steps, expected 1 to 10000"):
        read_episode(path)


def test_a_million_members_take_no_memory(path):
    """Readers load an archive's whole list of members."""
    data = path.read_bytes()
    end = data.rfind(b"PK\5\6")
    start = struct.unpack("<4s4H2LH", data[end:])[6]
    entries = data[start : data.find(b"PK\1\2", start + 4)] * 200_000
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, len(entries), start, 0)
    path.write_bytes(data[:start] + entries + tail)
    tracemalloc.start()
    with pytest.raises(RecordError, match="too many members"):
        read_episode(path)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_two_members_of_one_name_are_refused(path):
    """Readers differ in which of them they take."""
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(path, "a") as archive,
    ):
        archive.writestr("action.npy", npy(np.zeros((5, 2), np.float32)))
    with pytest.raises(RecordError, match="two members of one name"):
        read_episode(path)


def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "1.npz")
    with pytest.raises(RecordError, match="not a file"):
        read_episode(tmp_path / "1.npz")


def test_links_that_lead_nowhere(tmp_path):
    (tmp_path / "1.npz").symlink_to("1.npz")
    (tmp_path / "2.npz").symlink_to("/nowhere/at/all")
    for name in ("1.npz", "2.npz"):
        with pytest.raises(RecordError, match=f"{name}: no such file"):
            read_episode(tmp_path / name)


@pytest.mark.parametrize("name", ["a.npz", "-1.npz", "1.npy", "٣.npz", "1.0.npz", "01.npz", f"{2**63}.npz"])
def test_other_names_are_foreign(tmp_path, name):
    write_episode(tmp_path / "1.npz", episode(2))
    (tmp_path / "1.npz").rename(tmp_path / name)
    with pytest.raises(RecordError, match=r"<seed>|a seed of at most"):
        read_episode(tmp_path / name)


def test_only_the_standard_form_is_written(tmp_path):
    made = episode(4)
    for bad, error, text in (
        ({"obs": made.obs[:3]}, RecordError, r"'obs' is uint8 \(3, 64, 64, 3\), expected uint8 \(T"),
        (
            {"action": made.action.astype(np.float64)},
            RecordError,
            r"'action' is float64 \(4, 2\), expected",
        ),
        ({"action": made.action * 5}, RecordError, r"an action lies outside \[-1, 1\]"),
        ({"reward": np.full(4, np.nan, np.float32)}, RecordError, "an action or a reward is not finite"),
        ({"meta": {"x": float("nan")}}, ValueError, "not JSON compliant"),
    ):
        with pytest.raises(error, match=text):
            write_episode(tmp_path / "1.npz", dataclasses.replace(made, **bad))
    assert not list(tmp_path.iterdir())
