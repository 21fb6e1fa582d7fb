"""Meshes: OBJ and MTL files as arrays, centred and coloured as upstream does it.

Parsed with numpy, because the largest has 22,142
triangles."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import MapError
from dreamduck.simulator.maps import assets

X, Y, Z, NX, NY, NZ, RED, GREEN, BLUE, U, V = range(11)  # the rows of `Mesh.vertices`
ATTRIBUTES = 11


class Mesh(NamedTuple):
    """Triangles.

    Attributes:
        vertices: (11, V) float32: place, normal (as in the file), colour (Kd), texture coordinates.
        triangles: (T, 3) int32, each a column of `vertices`.
        materials: (T,) int32, an index into the list of materials, whose order is alphabetical.
    """

    vertices: npt.NDArray[np.float32]
    triangles: npt.NDArray[np.int32]
    materials: npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class Material:
    """What a surface is like: its colour Kd, and the base name of its picture, if any."""

    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    picture: str | None = None


def load_mesh(name: str) -> tuple[Mesh, tuple[str, ...], tuple[Material, ...]]:
    """Read a mesh and its materials.

    Args:
        name: base name of the OBJ file.
    Returns:
        The mesh, and the names and properties of the materials that it uses, in alphabetical order.
    Raises:
        MapError: there is no such mesh, or its file cannot be read.
    """
    path = assets.resource(f"{name}.obj")
    if path is None:
        raise MapError(
            f"mesh {name!r}: expected a file {name}.obj in {assets.data_folder() / 'meshes'}, found none; "
            f"correct the map, or {assets.repair()}"
        )
    known = _load_materials(name)
    try:
        points, normals, places, faces, used = _parse(
            assets.read_file(path, assets.MESH_BYTES).decode(errors="replace")
        )
        resolved = [material if material in known else "" for material in used]
        names = sorted({resolved[k] for k in np.unique(faces[:, 9])})
        numbers = [names.index(material) if material in names else -1 for material in resolved]
        per_face = np.array(numbers, dtype=np.int32)[faces[:, 9]]
        # Upstream draws material after material; the order decides which picture a traffic light changes.
        order = np.argsort(per_face, kind="stable")
        faces, per_face = faces[order], per_face[order]
        colors = np.array([known[m].color for m in names], dtype=np.float32)
        mesh = _assemble(points, normals, places, faces, per_face, colors)
    except (OSError, ValueError, IndexError) as err:
        raise MapError(
            f"{path}: expected triangles in OBJ form, cannot read them ({err}); {assets.repair()}"
        ) from err
    return mesh, tuple(names), tuple(known[m] for m in names)


def _load_materials(name: str) -> dict[str, Material]:
    """The materials in the MTL file of a mesh, and under "" what is used without one."""
    picture = assets.resource(f"{name}.png")
    materials = {"": Material(picture=picture.name if picture else None)}
    path = assets.resource(f"{name}.mtl")
    if path is None:
        return materials
    current, line = "", ""
    try:
        for line in assets.read_file(path, assets.MESH_BYTES).decode(errors="replace").splitlines():
            word, *rest = line.split() or [""]
            if word == "newmtl":
                current = rest[0]
                materials[current] = Material()
            elif word == "Kd":
                red, green, blue = (float(value) for value in rest)
                materials[current] = dataclasses.replace(materials[current], color=(red, green, blue))
            elif word == "map_Kd":
                materials[current] = dataclasses.replace(materials[current], picture=Path(rest[-1]).name)
    except (OSError, ValueError, IndexError) as err:
        raise MapError(
            f"{path}: expected materials in MTL form, cannot read {line!r:.80} ({err}); "
            f"{assets.repair()}"
        ) from err
    return materials


Numbers = npt.NDArray[Any]


def _parse(text: str) -> tuple[Numbers, Numbers, Numbers, Numbers, list[str]]:
    """The tables of an OBJ file.

    Returns:
        points (P, 3), normals (N, 3), texture coordinates (K, 2); faces (F, 10) int64: for each corner
        point, texture coordinate (-1 for none) and normal, counted from 0, then which of the last,
        the names of the materials.
    """
    tables: Mapping[str, list[str]] = {"v": [], "vn": [], "vt": [], "f": []}
    used, starts = [""], [0]
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word in tables:
            tables[word].append(rest)
        elif word == "usemtl":
            used.append(rest.strip())
            starts.append(len(tables["f"]))
    corners = _numbers([row.replace("//", "/0/").replace("/", " ") for row in tables["f"]], 9, np.int64) - 1
    material = np.searchsorted(starts, np.arange(len(corners)), side="right")[:, None] - 1
    places = _numbers([" ".join(row.split()[:2]) for row in tables["vt"]], 2, np.float64)
    faces = np.concatenate([corners, material], axis=1)
    return _numbers(tables["v"], 3, np.float64), _numbers(tables["vn"], 3, np.float64), places, faces, used


def _numbers(rows: list[str], columns: int, kind: type) -> Numbers:
    """Rows of numbers, all of the same length, as an array."""
    values: Numbers = np.array(" ".join(rows).split(), dtype=kind)
    if values.size != len(rows) * columns:
        raise ValueError(
            f"expected {columns} numbers on each of {len(rows)} lines, got {values.size} in all"
        )
    return values.reshape(-1, columns)


def _assemble(
    points: Numbers, normals: Numbers, places: Numbers, faces: Numbers, materials: Numbers, colors: Numbers
) -> Mesh:
    """Put the tables together: one vertex for each different corner, its base at y = 0, centred."""
    if not len(faces):
        raise ValueError("no faces")
    corners = np.empty((len(faces), 3, 4), dtype=np.int64)
    corners[:, :, :3] = faces[:, :9].reshape(-1, 3, 3)
    corners[:, :, 3] = materials[:, None]
    limits = (len(points), len(places), len(normals))
    for column, limit in enumerate(limits):
        low = -1 if column == 1 else 0
        if corners[:, :, column].min() < low or corners[:, :, column].max() >= limit:
            raise ValueError(f"a face names something beyond the {limit} given")
    # One number for each kind of corner, so that sorting finds the equal ones fast.
    shifted = corners + np.array([0, 1, 0, 0])
    key = ((shifted[..., 0] * (limits[1] + 1) + shifted[..., 1]) * limits[2] + shifted[..., 2]) * len(
        colors
    )
    _, first, inverse = np.unique(key + shifted[..., 3], return_index=True, return_inverse=True)
    point, place, normal, material = corners.reshape(-1, 4)[first].T
    vertices = np.zeros((ATTRIBUTES, len(first)), dtype=np.float32)
    vertices[X : Z + 1] = points[point].T
    vertices[NX : NZ + 1] = normals[normal].T
    vertices[RED : BLUE + 1] = colors[material].T
    if len(places):
        vertices[U : V + 1] = np.where(place >= 0, places[place].T, 0.0)
    triangles = inverse.reshape(-1, 3).astype(np.int32)
    shape = vertices[X : Z + 1, triangles]  # (3, T, corner)
    low = shape.min(axis=(1, 2))
    # Upstream takes for the far side the least of the largest first, second and third corners.
    middle = (low + shape.max(axis=1).min(axis=1)) / np.float32(2)
    vertices[X : Z + 1] -= np.array([middle[0], low[1], middle[2]])[:, None]
    return Mesh(vertices, triangles, materials.astype(np.int32))
