"""Models: meshes at all levels of detail; large ones are kept ready in the user's cache folder.

Reading and simplifying the duckiebot's mesh takes a third of
a second; reading the cached model takes a hundredth. It is only used if the mesh's files and this
package's code are still the same; it may be removed at any time, and where no file can be written, none
is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.storage import cache_folder, read_npz, write_npz
from dreamduck.simulator.maps import assets, obj_file
from dreamduck.simulator.render.models import meshes, simplify
from dreamduck.simulator.render.models.meshes import ATTRIBUTES, Material, Mesh, load_mesh
from dreamduck.simulator.render.models.simplify import SMALLEST, is_solid, levels

CODE = (obj_file, meshes, simplify, sys.modules[__name__])
LARGE = 250_000  # bytes of an OBJ file; smaller ones are read as fast as their cache would be


class Model(NamedTuple):
    """A mesh at all levels of detail, with its materials.

    Attributes:
        copies: the mesh, and coarser and coarser ones.
        cells: (L,) float32, the size of what each copy leaves out, in the mesh's own unit.
        solid: whether its surface is closed.
        names: in the order of `Mesh.materials`.
        materials: likewise.
    """

    copies: tuple[Mesh, ...]
    cells: npt.NDArray[np.float32]
    solid: bool
    names: tuple[str, ...]
    materials: tuple[Material, ...]


@lru_cache(maxsize=64)
def load_model(name: str) -> Model:
    """A mesh with its coarser copies.

    Raises:
        MapError: there is no such mesh, or its file cannot be read.
    """
    path = assets.resource(f"{name}.obj")
    if path is None or path.stat().st_size < LARGE:
        return _build(name)
    key, kept = _key(name), cache_folder() / "meshes" / f"{name}.npz"
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return _unpack(read_npz(kept, ValueError), key)
    model = _build(name)
    with contextlib.suppress(OSError):
        write_npz(kept, _pack(model, key), compress=False)
    return model


def _build(name: str) -> Model:
    mesh, names, materials = load_mesh(name)
    if len(mesh.triangles) <= SMALLEST:
        return Model((mesh,), np.zeros(1, dtype=np.float32), is_solid(mesh), names, materials)
    copies, cells = levels(mesh, [material.texture is not None for material in materials])
    return Model(tuple(copies), cells, is_solid(mesh), names, materials)


def _key(name: str) -> str:
    """A fingerprint of the mesh's files and of the code that reads them."""
    digest = hashlib.sha256()
    files = [assets.resource(f"{name}.{suffix}") for suffix in ("obj", "mtl")]
    for path in (*files, *(Path(str(module.__file__)) for module in CODE)):
        digest.update(b"-" if path is None else path.read_bytes())
    return digest.hexdigest()


def _pack(model: Model, key: str) -> dict[str, npt.NDArray[np.generic]]:
    """A model as arrays to write."""
    properties = {
        "key": key,
        "solid": model.solid,
        "names": model.names,
        "materials": [(material.color, material.texture) for material in model.materials],
    }
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "cells": model.cells,
        "properties": np.array(json.dumps(properties)),
    }
    for level, mesh in enumerate(model.copies):
        for part, array in mesh._asdict().items():
            arrays[f"{part}{level}"] = array
    return arrays


def _unpack(arrays: dict[str, npt.NDArray[np.generic]], key: str) -> Model:
    """The inverse of `_pack`; a ValueError, KeyError or TypeError if it is not what `key` stands for."""
    properties = json.loads(str(arrays["properties"]))
    if properties["key"] != key:
        raise ValueError("kept of other files")
    copies = tuple(
        Mesh(
            arrays[f"vertices{level}"].astype(np.float32, copy=False).reshape(ATTRIBUTES, -1),
            arrays[f"triangles{level}"].astype(np.int32, copy=False).reshape(-1, 3),
            arrays[f"materials{level}"].astype(np.int32, copy=False),
        )
        for level in range(arrays["cells"].size)
    )
    materials = tuple(Material(tuple(color), texture) for color, texture in properties["materials"])
    cells = arrays["cells"].astype(np.float32, copy=False)
    return Model(copies, cells, bool(properties["solid"]), tuple(properties["names"]), materials)
