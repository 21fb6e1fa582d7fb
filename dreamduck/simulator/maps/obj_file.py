"""OBJ files, Wavefront's form of a mesh, as tables of numbers.

Parsed with numpy, because the largest of Duckietown's has 22,142 triangles."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import MapError
from dreamduck.common.readers import read_bytes
from dreamduck.simulator.maps import assets

FloatArray32 = npt.NDArray[np.float32]


class ObjFile(NamedTuple):
    """The tables of an OBJ file; indices count from 0.

    Attributes:
        points: (P, 3) float64.
        normals: (N, 3) float64.
        texture_points: (K, 2) float64.
        corners: (T, 3, 3) int64, for each corner of each triangle its point, texture point (-1: none) and
            normal.
        materials: (T,) int64, which of `names` each triangle has.
        names: of the materials, in the file's order; the first is "", for triangles before any name.
    """

    points: npt.NDArray[np.float64]
    normals: npt.NDArray[np.float64]
    texture_points: npt.NDArray[np.float64]
    corners: npt.NDArray[np.int64]
    materials: npt.NDArray[np.int64]
    names: list[str]


def mesh_path(name: str) -> Path:
    """The file of a mesh.

    Raises:
        MapError: there is no such mesh.
    """
    path = assets.resource(f"{name}.obj")
    if path is None:
        raise MapError(
            f"mesh {name!r}: expected a file {name}.obj in {assets.data_folder() / 'meshes'}, found none; "
            f"correct the map, or {assets.repair()}"
        )
    return path


@lru_cache(maxsize=32)
def read_obj(path: Path) -> ObjFile:
    """Read an OBJ file.

    Raises:
        MapError: it cannot be read, or has anything but triangles with normals.
    """
    try:
        return _parse(read_bytes(path, MapError, most=assets.MESH_BYTES).decode(errors="replace"))
    except (ValueError, IndexError) as err:
        raise MapError(
            f"{path}: expected triangles in OBJ form, cannot read them ({err}); {assets.repair()}"
        ) from err


def _parse(text: str) -> ObjFile:
    tables: Mapping[str, list[str]] = {"v": [], "vn": [], "vt": [], "f": []}
    names, starts = [""], [0]
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word in tables:
            tables[word].append(rest)
        elif word == "usemtl":
            names.append(rest.strip())
            starts.append(len(tables["f"]))
    faces = [row.replace("//", "/0/").replace("/", " ") for row in tables["f"]]
    corners = _numbers(faces, 9, np.int64).reshape(-1, 3, 3) - 1
    if not len(corners):
        raise ValueError("no faces")
    points, normals = _numbers(tables["v"], 3, np.float64), _numbers(tables["vn"], 3, np.float64)
    texture_points = _numbers([" ".join(row.split()[:2]) for row in tables["vt"]], 2, np.float64)
    for column, (least, limit) in enumerate(
        [(0, len(points)), (-1, len(texture_points)), (0, len(normals))]
    ):
        if corners[..., column].min() < least or corners[..., column].max() >= limit:
            raise ValueError(f"a face names something beyond the {limit} given")
    materials = np.searchsorted(starts, np.arange(len(corners)), side="right") - 1
    return ObjFile(points, normals, texture_points, corners, materials, names)


def _numbers(rows: list[str], columns: int, kind: type) -> npt.NDArray[Any]:
    """Rows of numbers, all of the same length, as an array."""
    values: npt.NDArray[Any] = np.array(" ".join(rows).split(), dtype=kind)
    if values.size != len(rows) * columns:
        raise ValueError(
            f"expected {columns} numbers on each of {len(rows)} lines, got {values.size} in all"
        )
    return values.reshape(-1, columns)


def origin(triangles: FloatArray32) -> FloatArray32:
    """The point that upstream makes the origin of a mesh: its middle in x and z, its base in y.

    For the far side upstream takes the least of the largest first, second and third corners of the
    triangles; the meshes are nearly symmetrical, so it hardly shows, but collisions depend on it.

    Args:
        triangles: (T, 3, 3) triangle, corner, axis.
    Returns:
        (3,).
    """
    low = triangles.min(axis=(0, 1))
    middle = (low + triangles.max(axis=0).min(axis=0)) / np.float32(2)
    return np.array([middle[0], low[1], middle[2]], dtype=np.float32)


@lru_cache(maxsize=64)
def mesh_extent(name: str) -> tuple[FloatArray32, FloatArray32]:
    """The least and the largest coordinates of a mesh, after it was centred as upstream centres it.

    Returns:
        (3,), (3,).
    Raises:
        MapError: there is no such mesh, or its file cannot be read.
    """
    obj = read_obj(mesh_path(name))
    triangles = obj.points.astype(np.float32)[obj.corners[:, :, 0]]
    center = origin(triangles)
    return triangles.min(axis=(0, 1)) - center, triangles.max(axis=(0, 1)) - center
