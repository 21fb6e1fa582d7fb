"""Duckietown's data, fetched by pip as the source archive of its package; nothing of the package is run.

The package itself needs about a hundred others and fails at import on Python 3.12 and newer. pip asks the
build backend of a source archive for metadata before it keeps the archive; a stand-in answers (PEP 517)."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from dreamduck.common.errors import DependencyError
from dreamduck.common.storage import cache_folder

log = logging.getLogger(__name__)

NAME, VERSION = "duckietown-world-daffy", "6.4.3"
SHA256 = "0300dc7eb47bac635d1bc1fb61cf2dc2df0548d3179d95e2c475d6943d2a1d5f"
INSIDE = PurePosixPath(f"{NAME}-{VERSION}", "src", "duckietown_world", "data", "gd1")
SUFFIXES = {".yaml", ".obj", ".mtl", ".png", ".jpg", ".tga", ".bmp"}
COMMAND = "dreamduck fetch-data"
PIP = (
    *("-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"),
    *("--no-binary", NAME, "--use-pep517", "--no-build-isolation", f"{NAME}=={VERSION}"),
)
BACKEND = f"""
import pathlib

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = pathlib.Path(folder, "{NAME.replace("-", "_")}-{VERSION}.dist-info")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: {NAME}\\nVersion: {VERSION}\\n")
    return info.name

def build_wheel(*arguments, **settings):
    raise RuntimeError("only the archive is wanted")

class __legacy__:
    prepare_metadata_for_build_wheel = staticmethod(prepare_metadata_for_build_wheel)
    build_wheel = staticmethod(build_wheel)
"""


def cached_folder() -> Path:
    """Where the fetched data lies, or will lie, in the user's cache."""
    return cache_folder() / f"duckietown-world-{VERSION}"


def fetch() -> Path:
    """Fetch the data into the user's cache, unless it is there; several processes fetch it once.

    Returns:
        The folder with `maps`, `textures` and `meshes`.
    Raises:
        DependencyError: no network, no pip, or a cache that cannot be written.
    """
    target = cached_folder()
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target.parent / ".duckietown-world.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_dir():
                log.warning("Fetching Duckietown's maps, textures and meshes (56 MB, once) into %s", target)
                with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as temporary:
                    unpack(download(Path(temporary)), Path(temporary) / "gd1")
                    os.rename(Path(temporary) / "gd1", target)
    except OSError as err:
        raise DependencyError(f"{target}: Duckietown's data cannot be kept there ({err})") from err
    return target


def download(folder: Path) -> Path:
    """Let pip put the archive into a folder.

    Raises:
        DependencyError: pip fails, or the download has another checksum.
    """
    stand_in = folder / "backend" / "setuptools"
    stand_in.mkdir(parents=True)
    (stand_in / "__init__.py").touch()
    (stand_in / "build_meta.py").write_text(BACKEND, encoding="utf-8")
    paths = [str(stand_in.parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PIP_REQUIRE_VIRTUALENV": "0",
    }
    command = [sys.executable, *PIP, "--dest", str(folder)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    archive = folder / f"{NAME}-{VERSION}.tar.gz"
    if done.returncode or not archive.is_file():
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip said nothing"]
        reason = next((line for line in lines if line.startswith("ERROR:")), lines[-1])
        raise DependencyError(
            f"Duckietown's maps, textures and meshes are missing, and pip could not fetch them "
            f"({reason:.300}); connect to the network and give the command again, or once: {COMMAND}"
        )
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise DependencyError(
            f"{archive.name}: expected SHA-256 {SHA256}, got {found}; pip's index holds another archive"
        )
    return archive


def unpack(archive: Path, folder: Path) -> None:
    """Write the maps, textures and meshes of the archive, plain files alone, under a folder."""
    with tarfile.open(archive) as content:
        for member in content:
            path = PurePosixPath(member.name)
            if not path.is_relative_to(INSIDE) or path.suffix not in SUFFIXES or ".." in path.parts:
                continue
            source = content.extractfile(member) if member.isfile() else None
            if source is not None:
                target = folder / path.relative_to(INSIDE)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read())
