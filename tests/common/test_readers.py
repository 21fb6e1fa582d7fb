"""Harmful files: pipes, decompression bombs, links to elsewhere. Each is refused quickly, in one line."""

import io
import json
import os
import re
import shutil
import socket
import struct
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from dreamduck.common import readers, storage
from dreamduck.common.errors import ConfigError, ControllerError, DreamDuckError, RecordError, WeightsError
from dreamduck.common.files import archives, weights
from dreamduck.common.training_log import read_training_log
from dreamduck.controllers.controller_file import read_card, read_controller
from dreamduck.evaluation.final_evaluation import read_result
from dreamduck.evaluation.scoreboard import read_entries
from dreamduck.pipeline.stages import _read_stamp
from dreamduck.recordings import read_episode
from dreamduck.world_model import WorldModel, vae
from dreamduck.world_model.dynamics.start_states import read_initial, read_midway
from dreamduck.world_model.latents import read_series
from dreamduck.world_model.legacy import vae_json
from dreamduck.world_model.legacy.rnn_json import is_legacy, read_legacy
from dreamduck.world_model.mdn_rnn import files
from dreamduck.world_model.mdn_rnn.layout import FORMAT
from tests.world_model.mdn_rnn.helpers import SMALL, random_parameters, write_mdn_rnn
from tests.world_model.vae.helpers import parameters as vision_parameters

MEGABYTE = 1 << 20
READERS = {
    "a.json": readers.read_json,
    "a.npz": archives.read_npz,
    "a.txt": readers.read_text,
    "a.jsonl": read_training_log,
    "stamp.json": _read_stamp,
    "scores.json": read_entries,
    "verdict.json": lambda path: read_result(path, str),
    "c.json": lambda path: read_controller(path, 3, 4),
    "c.card.json": lambda path: read_card(path.with_name("c.json")),
    "initial_z.json": read_initial,
    "midway.npz": lambda path: read_midway(path, SMALL),
    "7.npz": read_episode,
    "series.npz": read_series,
    "vae.weights.h5": vae.files.read_parameters,
    "rnn.weights.h5": lambda path: FORMAT.read(path, SMALL, SMALL),
    "vae.json": lambda path: WorldModel.load(path.parent).vae,
    "rnn.json": lambda path: WorldModel.load(path.parent).dynamics,
    "old/rnn.json": read_legacy,
    "old/vae.json": vae_json.read_legacy,
    "a.bin": storage.fingerprint,
}


def make_special(path, kind):
    path.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to itself":
        path.symlink_to(path.name)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    else:
        path.symlink_to(kind)


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "/dev/zero", "/dev/stdin", "link to itself"])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_refused_at_once(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)  # a socket's path has a limit
    path = type(tmp_path)(name)
    make_special(path, kind)
    with pytest.raises(DreamDuckError, match=r"^[^\n]+$"):
        READERS[name](path)


def test_a_pipe_in_the_place_of_a_legacy_file_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "rnn.json")
    assert not is_legacy(tmp_path / "rnn.json")


def test_a_file_in_use_by_another_program_is_no_reason_to_wait(tmp_path):
    """What /proc shows has no size; it is read as far as the limit goes."""
    with pytest.raises(ConfigError, match="not JSON"):
        readers.read_json("/proc/self/status")
    with pytest.raises(ConfigError, match="at most 10 bytes"):
        readers.read_bytes("/proc/self/status", most=10)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[[" + "9" * 5001 + "]]", "an integer of 5001 digits"),
        ("[-" + "9" * 101 + "]", "an integer of 102 digits"),
        ("[1e999]", "beyond all limits"),
        ("[-1.5e400]", "beyond all limits"),
        ("[NaN]", "NaN is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        ("[" + "[]," * readers.JSON_CONTAINERS + "[]]", "at most 1000000 lists"),
        ('["\\ud800"]', "surrogates not allowed"),
        ('{"a": 1', "line 1"),
        ("", "line 1"),
        (" " * (readers.JSON_BYTES + 1), "at most 16777216 bytes"),
    ],
)
def test_json_has_limits(tmp_path, text, reason):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(
        RecordError, match=rf"^{re.escape(str(path))}: [^\n]*{reason}[^\n]*; write it again$"
    ):
        readers.read_json(path, RecordError, "write it again")


def test_json_of_ours_is_read_as_it_was_written(tmp_path):
    value = {"seed": 2**63 - 1, "small": 5e-324, "large": -1.7e308, "text": "ü😀", "none": [None, True]}
    storage.write_json(tmp_path / "a.json", value)
    assert readers.read_json(tmp_path / "a.json") == value


def archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as made:
        for name, data in members.items():
            made.writestr(name, data)


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(text):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def with_sizes(path, size):
    """Let a stored member claim more bytes than the file has."""
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\1\2")
    data[at + 20 : at + 28] = struct.pack("<LL", size, size)
    path.write_bytes(data)


PLAIN = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s), }\n"
BOMBS = {
    "gigabytes of zeros": lambda p: archive(
        p, {"a.npy": npy(np.zeros(34 * MEGABYTE))}, zipfile.ZIP_DEFLATED
    ),
    "a header of gigabytes": lambda p: archive(p, {"a.npy": header(PLAIN % "9999999999,")}),
    "a header beyond all integers": lambda p: archive(p, {"a.npy": header(PLAIN % ("9" * 400 + ","))}),
    "a shape whose product is small again": lambda p: archive(
        p, {"a.npy": header(PLAIN % "99999999, 99999999, 0, ") + bytes(8)}
    ),
    "a long string": lambda p: archive(p, {"a.npy": header(PLAIN.replace("<f8", "<U999999999") % "1,")}),
    "a member that claims more": lambda p: (
        archive(p, {"a.npy": npy(np.zeros(9))}),
        with_sizes(p, 2**31),
    ),
    "a header with code": lambda p: archive(p, {"a.npy": header("__import__('os').getpid()\n")}),
    "a structure": lambda p: archive(p, {"a.npy": npy(np.zeros(2, [("a", "f4"), ("b", "i4")]))}),
    "a later format": lambda p: archive(p, {"a.npy": b"\x93NUMPY\x02\x00" + npy(np.zeros(3))[8:]}),
    "truth values of 2": lambda p: archive(
        p, {"a.npy": npy(np.zeros(4, np.bool_))[:-4] + b"\x02\x00\x01\x00"}
    ),
    "characters outside Unicode": lambda p: archive(p, {"a.npy": npy(np.array("text"))[:-4] + b"\xff" * 4}),
    "one number less": lambda p: archive(p, {"a.npy": npy(np.arange(9.0))[:-8]}),
    "one number more": lambda p: archive(p, {"a.npy": npy(np.arange(9.0)) + bytes(8)}),
    "a shorter header": lambda p: archive(
        p, {"a.npy": bytes(b - (i == 8) for i, b in enumerate(npy(np.arange(9.0))))}
    ),
    "something else": lambda p: archive(p, {"a.txt": b"hello"}),
    "many members": lambda p: archive(p, {f"{i}.npy": b"" for i in range(archives.MEMBERS + 1)}),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_archives_have_limits(tmp_path, bomb):
    path = tmp_path / "a.npz"
    BOMBS[bomb](path)
    tracemalloc.start()
    try:
        with pytest.raises(RecordError, match=r"a\.npz: not a readable \.npz file \([^\n]+\); again$"):
            archives.read_npz(path, RecordError, "again")
        assert tracemalloc.get_traced_memory()[1] < 8 * MEGABYTE
    finally:
        tracemalloc.stop()


def test_members_that_share_their_bytes_are_refused(tmp_path):
    """The form of archives that inflate to petabytes: every entry of the list points to the same data."""
    path = tmp_path / "a.npz"
    archive(path, {"a.npy": npy(np.zeros(1000)), "b.npy": npy(np.zeros(9))})
    data = bytearray(path.read_bytes())
    first = data.find(b"PK\1\2")
    second = data.find(b"PK\1\2", first + 4)
    data[second + 16 : second + 28] = data[first + 16 : first + 28]  # checksum and sizes
    data[second + 42 : second + 46] = data[first + 42 : first + 46]  # where it is
    path.write_bytes(data)
    with pytest.raises(RecordError, match=r"a\.npz"):
        archives.read_npz(path, RecordError)


ARRAYS = {
    "scalar": np.array(2.5),
    "text": np.array("täxt"),
    "no text": np.array(""),
    "empty": np.zeros((0, 3), np.float32),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big end": np.arange(3, dtype=">i4"),
    "half": np.linspace(0, 1, 24, dtype=np.float16).reshape(2, 3, 4),
    "bool": np.array([True, False]),
    "words": np.array(["a", "bc"]),
}


@pytest.mark.parametrize("compress", [False, True])
def test_arrays_come_back_as_they_were(tmp_path, compress):
    storage.write_npz(tmp_path / "a.npz", ARRAYS, compress)
    found = archives.read_npz(tmp_path / "a.npz")
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def test_the_checksum_of_every_array_is_compared(tmp_path):
    path = tmp_path / "a.npz"
    storage.write_npz(path, {"a": np.arange(50.0), "b": np.arange(50.0)}, compress=False)
    data = path.read_bytes()
    for place in [m.start() + 128 + 80 for m in re.finditer(rb"\x93NUMPY", data)]:
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(RecordError, match="Bad CRC-32"):
            archives.read_npz(path, RecordError)


def test_a_large_archive_of_ours_is_no_bomb(tmp_path, monkeypatch):
    """Beyond 4 GB the list of members has another form, which the same code must find."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    storage.write_npz(tmp_path / "a.npz", {"a": np.arange(500.0)}, compress=False)
    assert b"PK\6\6" in (tmp_path / "a.npz").read_bytes()
    np.testing.assert_array_equal(archives.read_npz(tmp_path / "a.npz")["a"], np.arange(500.0))


@pytest.fixture
def folder(tmp_path):
    write_mdn_rnn(tmp_path, SMALL, random_parameters())
    vae.files.save(tmp_path, vision_parameters(z_size=4), {})
    return tmp_path


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("rnn", lambda folder: WorldModel.load(folder).dynamics),
        ("vae", lambda folder: WorldModel.load(folder).vae),
    ],
)
def test_weights_are_those_of_their_card(folder, name, load):
    path, card_path = folder / f"{name}.weights.h5", folder / f"{name}.json"
    data, card = path.read_bytes(), json.loads(card_path.read_text())
    load(folder)
    path.write_bytes(data[:5000] + bytes([data[5000] ^ 4]) + data[5001:])
    with pytest.raises(WeightsError, match=rf"{name}\.weights\.h5: expected the weights of {name}\.json"):
        load(folder)
    path.write_bytes(data)
    for wrong in ("0" * 16, None, 7, "", [card["weights"]]):
        card_path.write_text(json.dumps({**card, "weights": wrong}))
        with pytest.raises(WeightsError, match="expected the weights of"):
            load(folder)
    del card["weights"]
    card_path.write_text(json.dumps(card))  # of a folder from before
    load(folder)


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_a_kill_between_weights_and_card_leaves_weights_that_load(folder, monkeypatch, stop):
    """Each step of a save is the last one once; what is there then is the old pair or the new one."""
    old, new = random_parameters(seed=0), random_parameters(seed=5)
    replace = os.replace
    calls: list[str] = []

    def killed(source, target):
        if len(calls) == stop:
            raise KeyboardInterrupt
        calls.append(target)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            files.save(folder, new, SMALL, {"steps": 2})
    found = WorldModel.load(folder).dynamics
    expected = old if stop < 2 else new
    np.testing.assert_array_equal(found.parameters["head_end/kernel"], expected["head_end/kernel"])
    assert found.card.get("steps") == (None if stop < 2 else 2)
    files.save(folder, new, SMALL, {"steps": 3})
    assert WorldModel.load(folder).dynamics.card["steps"] == 3


def external_link(file, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["data"] = np.zeros((16, 1), np.float32)
    file["head_end/vars/0"] = h5py.ExternalLink(str(folder / "other.h5"), "data")


def external_storage(file, folder):
    (folder / "secret").write_bytes(bytes(64))
    file.create_dataset(
        "head_end/vars/0", (16, 1), np.float32, external=[(str(folder / "secret"), 0, h5py.h5f.UNLIMITED)]
    )


def virtual(file, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["data"] = np.zeros((16, 1), np.float32)
    layout = h5py.VirtualLayout((16, 1), np.float32)
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "data", (16, 1))
    file.create_virtual_dataset("head_end/vars/0", layout)


def soft_link(file, folder):
    file["elsewhere"] = np.zeros((16, 1), np.float32)
    file["head_end/vars/0"] = h5py.SoftLink("/elsewhere")


HDF5 = {
    "an external link": external_link,
    "external storage": external_storage,
    "a virtual data set": virtual,
    "a soft link": soft_link,
    "a group": lambda file, folder: file.create_group("head_end/vars/0"),
    "elements of 100 MB": lambda file, folder: file.create_dataset(
        "head_end/vars/0", (16, 1), np.dtype(("V", 100_000_000))
    ),
    "lists of numbers": lambda file, folder: file.create_dataset(
        "head_end/vars/0", (16, 1), h5py.vlen_dtype(np.float32)
    ),
    "parts larger than itself": lambda file, folder: file.create_dataset(
        "head_end/vars/0",
        (16, 1),
        np.float32,
        chunks=(1 << 14, 1 << 12),
        maxshape=(None, None),
        compression=9,
    ),
    "unknown compression": lambda file, folder: file.create_dataset(
        "head_end/vars/0", (16, 1), np.float32, compression="lzf"
    ),
    "terabytes": lambda file, folder: file.create_dataset(
        "head_end/vars/0", (1 << 20, 1 << 20), np.float32, chunks=(8, 8)
    ),
}


@pytest.mark.parametrize("case", HDF5)
def test_numbers_come_from_the_file_itself(tmp_path, case):
    write_mdn_rnn(tmp_path, SMALL, random_parameters())
    (tmp_path / "rnn.json").unlink()
    path = tmp_path / files.WEIGHTS
    with h5py.File(path, "a") as file:
        del file["head_end/vars/0"]
        HDF5[case](file, tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match=r"rnn\.weights\.h5: not a readable weights file \([^\n]+$"):
            FORMAT.read(path, SMALL, SMALL)
        assert tracemalloc.get_traced_memory()[1] < 8 * MEGABYTE
    finally:
        tracemalloc.stop()


def test_a_card_of_megabytes_is_refused(folder):
    card = json.loads((folder / "rnn.json").read_text())
    card["layers"] = [[1, 1]] * 300_000
    (folder / "rnn.json").write_text(json.dumps(card))
    assert (folder / "rnn.json").stat().st_size > weights.CARD_BYTES
    with pytest.raises(WeightsError, match=r"rnn\.json: cannot be read \(expected at most 1048576 bytes"):
        _ = WorldModel.load(folder).dynamics


@pytest.mark.parametrize(
    ("field", "value"),
    [("hidden", 1.5), ("hidden", True), ("z_size", "3"), ("actions", None), ("bias", [])],
)
def test_a_form_in_a_card_has_integers(tmp_path, field, value):
    (tmp_path / "c.json").write_text("[[1, 2, 3, 4, 5, 6, 7, 8]]")
    form = {"features": "z", "hidden": 0, "actions": 2, "z_size": 3, "hidden_size": 4, field: value}
    (tmp_path / "c.card.json").write_text(json.dumps({"form": form}))
    with pytest.raises(ControllerError, match=rf"c\.json: .*{field}: expected"):
        read_controller(tmp_path / "c.json", 3, 4)


def test_a_library_s_message_of_several_lines_becomes_one(tmp_path):
    def fail() -> None:
        with readers.in_words(tmp_path / "a.h5", WeightsError, "damaged", "train it again"):
            raise RuntimeError("one\n  two\t three " + "x" * 900)

    with pytest.raises(
        WeightsError, match=r"a\.h5: damaged \(one two three x{200,240}\.\.\.\); train it again$"
    ):
        fail()


def test_a_copy_of_a_folder_with_old_pairs_still_loads(folder, tmp_path):
    """The shipped weights, as anyone copies them."""
    from dreamduck import pretrained

    here = shutil.copytree(os.path.dirname(pretrained.__file__), tmp_path / "copy")
    assert WorldModel.load(here).dynamics.card["weights"] == storage.fingerprint(here / files.WEIGHTS)
    assert WorldModel.load(here).vae.z_size == 64
