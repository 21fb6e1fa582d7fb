"""Coarser copies of a mesh, for when it is small in the frame.

Vertices that share a cell of a grid become one, and triangles that
thereby lose a side are dropped; a cell is chosen smaller than half a pixel, so that it hardly shows.

Source: Rossignac & Borrel 1993, "Multi-resolution 3D approximations for rendering complex scenes"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dreamduck.simulator.render.models.meshes import ATTRIBUTES, NX, NZ, Mesh, U, V, X, Z

SMALLEST = 2000  # triangles; a mesh with no more than these is not simplified
GAIN = 0.75  # a copy is kept if it has at most this part of the triangles of the one before
OPEN_EDGES = 0.005  # of all edges; a surface with no more counts as closed
TEXTURE_CELLS = 16  # vertices whose places on a texture are farther apart stay apart
FINEST, COARSEST = 1 / 256, 1 / 10  # cells, as parts of the mesh's longest side


def levels(mesh: Mesh, textured: Sequence[bool]) -> tuple[list[Mesh], npt.NDArray[np.float32]]:
    """A mesh and coarser and coarser copies.

    Args:
        textured: for each material, whether it shows a texture.
    Returns:
        The copies, the mesh itself first, and (L,) float32 the size of their cells, 0 for the first, in the
        mesh's own unit.
    """
    points = mesh.vertices[X : Z + 1]
    extent = float((points.max(axis=1) - points.min(axis=1)).max())
    copies, cells = [mesh], [0.0]
    part = FINEST
    while part <= COARSEST and len(copies[-1].triangles) > SMALLEST:
        copy = cluster(mesh, extent * part, textured)
        if len(copy.triangles) <= GAIN * len(copies[-1].triangles):
            copies.append(copy)
            cells.append(extent * part)
        part *= 2**0.5
    return copies, np.array(cells, dtype=np.float32)


def is_solid(mesh: Mesh) -> bool:
    """Whether the surface is closed, or nearly: each edge of a triangle is another's, the other way round.

    From outside the back of such a surface is invisible.
    """
    _, point = np.unique(np.round(mesh.vertices[X : Z + 1], 6), axis=1, return_inverse=True)
    corners = point.reshape(-1)[mesh.triangles]  # (T, 3)
    ends = np.roll(corners, -1, axis=1)
    real = corners != ends
    along, back = corners[real] << 32 | ends[real], ends[real] << 32 | corners[real]
    return bool((~np.isin(along, back)).mean() <= OPEN_EDGES)


def cluster(mesh: Mesh, cell: float, textured: Sequence[bool]) -> Mesh:
    """The mesh with the vertices of each cubic cell put together.

    The place is the mean over the cell, so that no cracks open; where some of its vertices show a texture,
    over these alone, so that the texture does not slide. Normals, colours and texture coordinates
    are means over those vertices of the cell that have one material, face the same way and show the same
    part of their texture.

    Args:
        cell: the side of a cell, in the mesh's own unit.
        textured: for each material, whether it shows a texture.
    """
    points = mesh.vertices[X : Z + 1]
    grid = np.floor((points - points.min(axis=1, keepdims=True)) / cell).astype(np.int64)  # (3, V)
    _, box = np.unique(grid[0] << 40 | grid[1] << 20 | grid[2], return_inverse=True)
    material = np.zeros(points.shape[1], dtype=np.int64)
    material[mesh.triangles] = mesh.materials[:, None]
    signs = (mesh.vertices[NX : NZ + 1] > 0).astype(np.int64)
    texture_cells = np.floor(mesh.vertices[U : V + 1] * TEXTURE_CELLS).astype(np.int64) & 255
    kind = material << 3 | signs[0] << 2 | signs[1] << 1 | signs[2]
    kind = kind << 16 | texture_cells[0] << 8 | texture_cells[1]
    _, first, group = np.unique(box << 32 | kind, return_index=True, return_inverse=True)
    merged = np.stack([_mean(row, group) for row in mesh.vertices]).astype(np.float32)
    shown = np.array(textured)[material]
    weight = np.where(shown, 1.0, np.bincount(box, shown)[box] == 0)
    for axis in range(X, Z + 1):
        merged[axis] = (np.bincount(box, weight * mesh.vertices[axis]) / np.bincount(box, weight))[
            box[first]
        ]
    length = np.linalg.norm(merged[NX : NZ + 1], axis=0)
    merged[NX : NZ + 1] /= np.where(length > 1e-6, length, 1.0)
    corners = box[mesh.triangles]
    whole = (
        (corners[:, 0] != corners[:, 1])
        & (corners[:, 1] != corners[:, 2])
        & (corners[:, 2] != corners[:, 0])
    )
    triangles, materials, corners = group[mesh.triangles[whole]], mesh.materials[whole], corners[whole]
    # Of several triangles between the same three cells one is enough.
    key = np.concatenate([np.sort(corners, axis=1), materials[:, None]], axis=1)
    _, kept = np.unique(key, axis=0, return_index=True)
    kept.sort()
    return _compact(Mesh(merged, triangles[kept].astype(np.int32), materials[kept]))


def _mean(values: npt.NDArray[np.float32], group: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The mean of the values of each group."""
    return np.bincount(group, values) / np.bincount(group)


def _compact(mesh: Mesh) -> Mesh:
    """The mesh without the vertices that no triangle uses."""
    used, triangles = np.unique(mesh.triangles, return_inverse=True)
    vertices = mesh.vertices[:, used] if len(used) else np.zeros((ATTRIBUTES, 0), dtype=np.float32)
    return Mesh(np.ascontiguousarray(vertices), triangles.reshape(-1, 3).astype(np.int32), mesh.materials)
