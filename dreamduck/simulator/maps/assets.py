"""Duckietown's own maps, textures and meshes, found where pip installed them, or fetched at first use.

The data belongs to `duckietown-world-daffy`, which is never imported here (importing it is slow, noisy and
fails on newer Pythons)."""

from __future__ import annotations

import importlib.util
import os
from functools import lru_cache
from pathlib import Path

from dreamduck.common.errors import DependencyError, MapError
from dreamduck.simulator.maps.download import COMMAND, cached_folder, fetch
from dreamduck.simulator.maps.download import NAME as DISTRIBUTION

PACKAGE = "duckietown_world"
TILES = "textures/tiles-processed/photos"  # of the style that is upstream's default
# Ten times what Duckietown's largest mesh and image take.
MESH_BYTES, IMAGE_BYTES = 40_000_000, 40_000_000
TEXTURE_SUFFIXES = (".jpg", ".png", ".tga", ".bmp")


@lru_cache(maxsize=1)
def data_folder() -> Path:
    """The folder of Duckietown's data, with `maps`, `textures` and `meshes`.

    Raises:
        DependencyError: it can be neither found nor fetched, or a part of it is missing.
    """
    folder = installed_folder() or fetch()
    missing = [part for part in ("maps", TILES, "meshes") if not (folder / part).is_dir()]
    if missing:
        raise DependencyError(
            f"{folder}: expected the folders maps, {TILES} and meshes, {', '.join(missing)} missing; "
            f"{repair()}"
        )
    return folder


def installed_folder() -> Path | None:
    """The folder `gd1` of the data that pip installed, or None; the package is not imported."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "data" / "gd1"


def repair() -> str:
    """The remedy for damaged data."""
    if installed_folder() is None:
        return f"remove {cached_folder()} and fetch it again with: {COMMAND}"
    return f"install it again with: pip install --force-reinstall {DISTRIBUTION}"


def map_names() -> list[str]:
    """The names of all installed maps, in alphabetical order."""
    return sorted(path.stem for path in (data_folder() / "maps").glob("*.yaml"))


def map_path(name: str | os.PathLike[str]) -> Path:
    """The file of a map.

    Args:
        name: an installed map's name, with or without `.yaml`, or a path to a map file; `~` is the
            home folder. What ends in .yaml or .yml, or has a slash in it, is a path.
    Raises:
        MapError: there is no such map.
    """
    name = os.fspath(name)
    path, is_file = Path(os.path.expanduser(name)), name.endswith((".yaml", ".yml"))
    if is_file and _exists(path):
        return path
    if name.removesuffix(".yaml") in map_names():
        return data_folder() / "maps" / f"{name.removesuffix('.yaml')}.yaml"
    if is_file:
        raise MapError(
            f"map_name: expected a map file, found none at {str(path)!r:.300}; correct the path, or name "
            "an installed map, for example loop_empty"
        )
    raise MapError(
        f"map_name: expected a path to a .yaml file or one of {', '.join(map_names())}; got {name!r:.200}"
    )


def _exists(path: str | Path) -> bool:
    """Whether there is anything at a path; no for what no file system takes."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long; a zero byte
        return False


@lru_cache(maxsize=1)
def _resources() -> dict[str, Path]:
    """Every data file by its base name; of two with one name the alphabetically first path."""
    found: dict[str, Path] = {}
    for path in sorted(data_folder().rglob("*")):
        if path.is_file():
            found.setdefault(path.name, path)
    return found


def resource(name: str) -> Path | None:
    """The data file with this base name (`duckie.obj`), or None."""
    return _resources().get(name)


@lru_cache(maxsize=1)
def tile_textures() -> dict[str, Path]:
    """The image of each kind of tile that has one, in alphabetical order."""
    found: dict[str, Path] = {}
    for folder in sorted((data_folder() / TILES).iterdir()):
        paths = (folder / f"texture{suffix}" for suffix in TEXTURE_SUFFIXES)
        path = next((path for path in paths if path.is_file()), None)
        if path is not None:
            found[folder.name] = path
    return found
