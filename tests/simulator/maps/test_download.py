"""Duckietown's data from pip, for Pythons where its package is not installed."""

import io
import logging
import multiprocessing
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from dreamduck.common.errors import DependencyError
from dreamduck.simulator.maps import assets, download

INSIDE = str(download.INSIDE)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no installed package."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(assets, "PACKAGE", "no_such_duckietown_world")
    assets.data_folder.cache_clear()
    yield tmp_path / "cache"
    assets.data_folder.cache_clear()


def archive(path: Path, names: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as content:
        for name, data in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            content.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo(f"{INSIDE}/maps/link.yaml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        content.addfile(link)
    return path


GOOD = {
    f"{INSIDE}/maps/loop_empty.yaml": b"tiles",
    f"{INSIDE}/meshes/duckie/duckie.obj": b"v 0 0 0",
    f"{INSIDE}/{assets.TILES}/asphalt/texture.jpg": b"jpg",
}


def test_only_the_data_is_unpacked(tmp_path):
    bad = {
        f"{INSIDE}/../../../../../../escaped.yaml": b"x",
        f"{INSIDE}/maps/../../escaped.yaml": b"x",
        "/escaped.yaml": b"x",
        f"{INSIDE}/meshes/duckie/duckie.blend": b"x",
        f"{INSIDE}/setup.py": b"x",
        "duckietown-world-daffy-6.4.3/setup.py": b"x",
    }
    download.unpack(archive(tmp_path / "a.tar.gz", {**GOOD, **bad}), tmp_path / "out" / "gd1")
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    wanted = {"out/gd1/" + name.removeprefix(f"{INSIDE}/") for name in GOOD}
    assert written == {"a.tar.gz", *wanted}


def count_and_unpack(folder: Path) -> Path:
    with open(os.environ["COUNT"], "a") as file:
        file.write("fetched\n")
    return archive(folder / "a.tar.gz", GOOD)


def fetch_once(_: int) -> str:
    download.download = count_and_unpack
    return str(download.fetch())


def test_several_processes_fetch_it_once(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("COUNT", str(tmp_path / "count"))
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        folders = set(pool.map(fetch_once, range(6)))
    assert folders == {str(download.cached_folder())}
    assert (tmp_path / "count").read_text() == "fetched\n"
    assert sorted(p.name for p in (cache / "dreamduck").iterdir()) == [
        ".duckietown-world.lock",
        download.cached_folder().name,
    ]


def test_what_was_fetched_is_found_and_logged_once(cache, monkeypatch, caplog):
    monkeypatch.setattr(download, "download", lambda folder: archive(folder / "a.tar.gz", GOOD))
    with caplog.at_level(logging.WARNING):
        assert assets.map_names() == ["loop_empty"]
        assets.data_folder.cache_clear()
        assert assets.data_folder() == download.cached_folder()
    (line,) = caplog.messages
    assert line.startswith("Fetching Duckietown's maps, textures and meshes (56 MB, once) into ")


def test_no_network_is_reported_in_one_line(cache, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(
        DependencyError, match=r"could not fetch them \(ERROR: .*dreamduck fetch-data$"
    ) as caught:
        assets.data_folder()
    assert "\n" not in str(caught.value)
    assert not download.cached_folder().exists()


def test_another_archive_is_refused(cache, monkeypatch):
    def pip(command, cwd, **_):
        archive(Path(cwd) / f"{download.NAME}-{download.VERSION}.tar.gz", GOOD)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(DependencyError, match="expected SHA-256 0300dc7e"):
        assets.data_folder()
    assert not download.cached_folder().exists()


def test_a_cache_that_cannot_be_written_is_reported(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DependencyError, match="cannot be kept there"):
        download.fetch()


def test_damaged_data_that_was_fetched_is_to_be_fetched_again(cache):
    (download.cached_folder() / "maps").mkdir(parents=True)
    with pytest.raises(
        DependencyError, match=r"missing; remove .* fetch it again with: dreamduck fetch-data"
    ):
        assets.data_folder()
