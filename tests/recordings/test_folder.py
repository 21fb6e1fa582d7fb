"""Folders of recordings: what is whole, what is held out."""

import os

import numpy as np
import pytest

from dreamduck.common.errors import RecordError
from dreamduck.recordings import find_recordings, folder, held_out, reread, scan, write_episode
from tests.recordings.helpers import episode, folder_of_episodes


def test_whole_episodes_are_found_in_the_order_of_seeds(tmp_path):
    folder_of_episodes(tmp_path, [3] * 12)
    found = scan(tmp_path)
    assert found.seeds == tuple(range(12))
    assert found.lengths.tolist() == [3] * 12
    assert not found.skipped
    assert found.chosen([4, 2]).seeds == (4, 2)


def test_damaged_and_foreign_files_are_named_and_counted(tmp_path):
    folder_of_episodes(tmp_path, [3, 4, 5])
    (tmp_path / "1.npz").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "9.npz").mkdir()
    (tmp_path / ".tmp-5-abc.npz").write_bytes(b"left by a kill")
    found = scan(tmp_path)
    assert found.seeds == (0, 2)
    assert [path.name for path, _ in found.skipped] == ["1.npz", "9.npz", "notes.txt"]
    assert "not a readable" in found.skipped[0][1]


def test_names_stay_on_one_line(tmp_path, caplog):
    folder_of_episodes(tmp_path, [3])
    odd = ["7\n.npz", "\x1b[31mred.npz", os.fsdecode(b"\xff.npz"), "Straße.npz"]
    for name in odd:
        (tmp_path / name).write_bytes(b"")
    assert find_recordings(tmp_path).seeds == (0,)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(odd) + 1
    assert all(line.isprintable() for line in lines)
    for name in (r"7\n.npz", r"\x1b[31mred.npz", r"\udcff.npz", "Straße.npz"):
        assert any(name in line for line in lines)


def test_a_second_scan_reads_only_what_changed(tmp_path, monkeypatch):
    folder_of_episodes(tmp_path, [3, 4, 5])
    scan(tmp_path)
    read = []

    def reader(path):
        read.append(path.name)
        return episode(6)

    monkeypatch.setattr(folder, "read_episode", reader)
    write_episode(tmp_path / "1.npz", episode(6))
    assert scan(tmp_path).lengths.tolist() == [3, 6, 5]
    assert read == ["1.npz"]


@pytest.mark.parametrize("text", ["{", "[]", '{"0.npz": 3}', '{"0.npz": [1, 2, -5]}', "[" * 100_000])
def test_an_odd_index_counts_as_none(tmp_path, text):
    folder_of_episodes(tmp_path, [3])
    (tmp_path / folder.INDEX).write_text(text)
    assert scan(tmp_path).lengths.tolist() == [3]


def test_damage_behind_the_indexs_back_is_found_at_the_second_start(tmp_path):
    """A file whose bytes changed under its old size and time."""
    folder_of_episodes(tmp_path, [3, 4])
    found = scan(tmp_path)
    path = found.paths[1]
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert len(scan(tmp_path).paths) == 2
    assert len(reread(found.paths[0], 3)) == 3
    with pytest.raises(RecordError, match=r"1\.npz"):
        reread(path, 4)
    again = scan(tmp_path)
    assert again.seeds == (0,)
    assert [skipped.name for skipped, _ in again.skipped] == ["1.npz"]


def test_the_error_of_a_missing_folder_names_the_command(tmp_path):
    with pytest.raises(RecordError, match=r"no such folder; record episodes with dreamduck record"):
        scan(tmp_path / "records")
    assert scan(tmp_path).seeds == ()


def test_a_folder_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    folder_of_episodes(tmp_path, [3])

    def refuse(*_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr(folder, "write_json", refuse)
    assert scan(tmp_path).lengths.tolist() == [3]
    assert os.listdir(tmp_path) == ["0.npz"]


def test_held_out_goes_by_seed_alone():
    many = held_out(range(2000))
    assert 0.03 < many.mean() < 0.07
    np.testing.assert_array_equal(held_out(range(1000, 2000)), many[1000:])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10])
def test_few_episodes_are_split_too(count):
    by_seed = held_out(range(2000))[:count]
    assert not count or by_seed[0]
    np.testing.assert_array_equal(held_out(range(count)), [False] if count == 1 else by_seed)


def test_one_episode_is_always_held_out_and_one_is_not():
    by_seed = held_out(range(2000))
    for seeds, count in ((np.flatnonzero(by_seed)[:3], 2), (np.flatnonzero(~by_seed)[:5], 1)):
        out = held_out(seeds)
        assert out.sum() == count
        np.testing.assert_array_equal(held_out(seeds[::-1]), out[::-1])  # whatever their order
