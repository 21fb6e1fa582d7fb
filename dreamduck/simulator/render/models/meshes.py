"""Meshes: OBJ and MTL files as arrays, centred and coloured as upstream does it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import MapError
from dreamduck.common.readers import read_bytes
from dreamduck.simulator.maps import assets
from dreamduck.simulator.maps.obj_file import ObjFile, mesh_path, origin, read_obj

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
    """A surface's colour Kd, and the base name of its texture, if any."""

    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    texture: str | None = None


def load_mesh(name: str) -> tuple[Mesh, tuple[str, ...], tuple[Material, ...]]:
    """Read a mesh and its materials.

    Args:
        name: base name of the OBJ file.
    Returns:
        The mesh, and the names and properties of the materials that it uses, in alphabetical order.
    Raises:
        MapError: there is no such mesh, or its file cannot be read.
    """
    obj, known = read_obj(mesh_path(name)), _load_materials(name)
    of_table = [material if material in known else "" for material in obj.names]
    names = sorted({of_table[k] for k in np.unique(obj.materials)})
    numbers = [names.index(material) if material in names else -1 for material in of_table]
    materials = np.array(numbers, dtype=np.int32)[obj.materials]
    # Upstream draws material after material; the order decides which texture a traffic light changes.
    order = np.argsort(materials, kind="stable")
    colors = np.array([known[material].color for material in names], dtype=np.float32)
    mesh = _assemble(obj, obj.corners[order], materials[order], colors)
    return mesh, tuple(names), tuple(known[material] for material in names)


def _load_materials(name: str) -> dict[str, Material]:
    """The materials in the MTL file of a mesh, and under "" what is used without one."""
    texture = assets.resource(f"{name}.png")
    materials = {"": Material(texture=texture.name if texture else None)}
    path = assets.resource(f"{name}.mtl")
    if path is None:
        return materials
    current, line = "", ""
    try:
        text = read_bytes(path, MapError, most=assets.MESH_BYTES).decode(errors="replace")
        for line in text.splitlines():
            word, *rest = line.split() or [""]
            if word == "newmtl":
                current = rest[0]
                materials[current] = Material()
            elif word == "Kd":
                red, green, blue = (float(value) for value in rest)
                materials[current] = dataclasses.replace(materials[current], color=(red, green, blue))
            elif word == "map_Kd":
                materials[current] = dataclasses.replace(materials[current], texture=Path(rest[-1]).name)
    except (OSError, ValueError, IndexError) as err:
        raise MapError(
            f"{path}: expected materials in MTL form, cannot read {line!r:.80} ({err}); {assets.repair()}"
        ) from err
    return materials


def _assemble(
    obj: ObjFile,
    corners: npt.NDArray[np.int64],
    materials: npt.NDArray[np.int32],
    colors: npt.NDArray[np.float32],
) -> Mesh:
    """Put the tables together: one vertex for each different corner, its base at y = 0, centred.

    Args:
        obj: the tables.
        corners: (T, 3, 3), those of the file in another order.
        materials: (T,) which of the colours each triangle has.
        colors: (M, 3).
    """
    materials_of_corners = np.repeat(materials.astype(np.int64)[:, None], 3, axis=1)
    # One number for each kind of corner, so that sorting finds the equal ones fast.
    key = corners[..., 0] * (len(obj.texture_points) + 1) + corners[..., 1] + 1
    key = (key * len(obj.normals) + corners[..., 2]) * len(colors) + materials_of_corners
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    point, texture_point, normal = corners.reshape(-1, 3)[first].T
    vertices = np.zeros((ATTRIBUTES, len(first)), dtype=np.float32)
    vertices[X : Z + 1] = obj.points[point].T
    vertices[NX : NZ + 1] = obj.normals[normal].T
    vertices[RED : BLUE + 1] = colors[materials_of_corners.reshape(-1)[first]].T
    if len(obj.texture_points):
        vertices[U : V + 1] = np.where(texture_point >= 0, obj.texture_points[texture_point].T, 0.0)
    triangles = inverse.reshape(-1, 3).astype(np.int32)
    vertices[X : Z + 1] -= origin(np.moveaxis(vertices[X : Z + 1, triangles], 0, -1))[:, None]
    return Mesh(vertices, triangles, materials)
