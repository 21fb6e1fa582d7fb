"""The objects of a map, as arrays that compiled code reads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import MapError
from dreamduck.simulator.maps import assets
from dreamduck.simulator.maps.map import CHASSIS_COLORS, TRAFFICLIGHT, Map, MapObject
from dreamduck.simulator.render.models.mesh_cache import load_model
from dreamduck.simulator.render.models.meshes import BLUE, RED, Material, Mesh, X, Z
from dreamduck.simulator.render.models.textures import Atlas
from dreamduck.simulator.render.raster import NO_TEXTURE, SIGNAL_TEXTURE
from dreamduck.simulator.render.vertices import BLOCK, IN_BLOCK, corner_offsets, in_blocks

CHASSIS = (
    "gkmodel0_chassis_geom0_mat_001-material",
    "gkmodel0_chassis_geom0_mat_001-material.001",
)
SIGN_MATERIAL = "April_Tag"
SIGNAL_CARDS = ("trafficlight_card0.jpg", "trafficlight_card1.jpg")
OWN_COLOR = "red"  # of the car itself, as seen from above


class Scene(NamedTuple):
    """The objects of a map. K of them, L levels of detail of all models together.

    Attributes:
        vertices: (total,) float32, in blocks of 16.
        triangles: (T, 3) uint32, places in the level's shaded vertices.
        textures: (T,) int32, numbers of textures, NO_TEXTURE or SIGNAL_TEXTURE.
        levels: (L, 4) int64: first float in `vertices`, blocks, first triangle, triangles.
        cells: (L,) float64, size of what the level leaves out, in the mesh's unit.
        objects: (K, 5) int64: first level, levels, index among the moving objects or -1, index among the
            traffic lights or -1, 1 for a closed surface.
        placements: (K, 4) float64: x, y, z [m], angle [rad]; where those stand that do not move.
        boxes: (K, 7) float64: least x, y, z, largest x, y, z in the mesh's unit, scale.
        texels: the textures, see `Textures`.
        table: likewise.
        cards: (2,) int64, the textures of traffic lights.
    """

    vertices: npt.NDArray[np.float32]
    triangles: npt.NDArray[np.uint32]
    textures: npt.NDArray[np.int32]
    levels: npt.NDArray[np.int64]
    cells: npt.NDArray[np.float64]
    objects: npt.NDArray[np.int64]
    placements: npt.NDArray[np.float64]
    boxes: npt.NDArray[np.float64]
    texels: npt.NDArray[np.uint32]
    table: npt.NDArray[np.int64]
    cards: npt.NDArray[np.int64]


def build_scene(map: Map, own_car: bool = False) -> Scene:
    """The objects of a map.

    Args:
        own_car: put one more duckiebot at the end, as the last of the moving objects.
    Raises:
        MapError: a mesh, material or texture is missing or cannot be read.
    """
    builder = _Builder()
    moving = signals = 0
    for thing in map.objects:
        where = moving if thing.moving else -1
        lamp = signals if thing.behaviour == TRAFFICLIGHT else -1
        moving, signals = moving + thing.moving, signals + (thing.behaviour == TRAFFICLIGHT)
        builder.add(thing.mesh, thing, where, lamp, thing.scale, (*thing.pos, thing.angle))
    if own_car:
        builder.add("duckiebot", None, moving, -1, 1.0, (0.0, 0.0, 0.0, 0.0))
    return builder.build()


class _Builder:
    """Collects objects; each model, once for each way it is coloured."""

    def __init__(self) -> None:
        self._atlas = Atlas()
        self._models: dict[object, tuple[int, int]] = {}
        self._meshes: list[tuple[Mesh, npt.NDArray[np.int32]]] = []
        self._cells: list[float] = []
        self._objects: list[tuple[int, ...]] = []
        self._placements: list[tuple[float, ...]] = []
        self._boxes: list[tuple[float, ...]] = []
        self._cards = [0, 0]

    def add(
        self,
        name: str,
        thing: MapObject | None,
        moving: int,
        signal: int,
        scale: float,
        placement: tuple[float, ...],
    ) -> None:
        """Add one object."""
        color = thing.color if thing is not None else CHASSIS_COLORS[OWN_COLOR]
        texture = thing.texture if thing is not None else None
        model = load_model(name)
        key = (name, color, texture, signal >= 0)
        if key not in self._models:
            numbers = [self._texture_number(name, m) for m in model.materials]
            if texture is not None and SIGN_MATERIAL in model.names:
                numbers[model.names.index(SIGN_MATERIAL)] = self._atlas.add(texture)
            if signal >= 0:
                numbers[0] = SIGNAL_TEXTURE  # upstream changes the first of the materials
                self._cards = [self._card(card) for card in SIGNAL_CARDS]
            self._models[key] = len(self._meshes), len(model.copies)
            for mesh, cell in zip(model.copies, model.cells, strict=True):
                textures = np.array(numbers, dtype=np.int32)[mesh.materials]
                self._meshes.append((_painted(mesh, model.names, color), textures))
                self._cells.append(float(cell))
        placements = model.copies[0].vertices[X : Z + 1]
        self._objects.append((*self._models[key], moving, signal, int(model.solid)))
        self._placements.append(placement)
        self._boxes.append((*placements.min(axis=1).tolist(), *placements.max(axis=1).tolist(), scale))

    def _texture_number(self, name: str, material: Material) -> int:
        """The number of a material's texture."""
        if material.texture is None:
            return NO_TEXTURE
        path = assets.resource(material.texture)
        if path is None:
            raise MapError(
                f"mesh {name!r}: expected its texture {material.texture} in {assets.data_folder()}, found "
                f"none; {assets.repair()}"
            )
        return self._atlas.add(path)

    def _card(self, name: str) -> int:
        return self._texture_number("trafficlight", Material(texture=name))

    def build(self) -> Scene:
        """All objects added so far."""
        table = np.zeros((len(self._meshes), 4), dtype=np.int64)
        first = np.zeros(2, dtype=np.int64)
        for row, (mesh, _) in zip(table, self._meshes, strict=True):
            blocks = -(-mesh.vertices.shape[1] // BLOCK)
            row[:] = first[0], blocks, first[1], len(mesh.triangles)
            first += blocks * IN_BLOCK, len(mesh.triangles)
        textures = self._atlas.build()
        return Scene(
            vertices=np.concatenate(
                [np.zeros(0, np.float32), *(in_blocks(mesh) for mesh, _ in self._meshes)]
            ),
            triangles=np.concatenate(
                [np.zeros((0, 3), np.uint32), *(corner_offsets(mesh) for mesh, _ in self._meshes)]
            ),
            textures=np.concatenate([np.zeros(0, np.int32), *(textures for _, textures in self._meshes)]),
            levels=table,
            cells=np.array(self._cells, dtype=np.float64),
            objects=np.array(self._objects, dtype=np.int64).reshape(-1, 5),
            placements=np.array(self._placements, dtype=np.float64).reshape(-1, 4),
            boxes=np.array(self._boxes, dtype=np.float64).reshape(-1, 7),
            texels=textures.texels,
            table=textures.table,
            cards=np.array(self._cards, dtype=np.int64),
        )


def _painted(mesh: Mesh, names: tuple[str, ...], color: tuple[float, float, float] | None) -> Mesh:
    """The mesh with its chassis in another colour."""
    chassis = [names.index(name) for name in CHASSIS if name in names]
    if color is None or not chassis:
        return mesh
    vertices = mesh.vertices.copy()
    corners = mesh.triangles[np.isin(mesh.materials, chassis)]
    vertices[RED : BLUE + 1, corners.reshape(-1)] = np.array(color, dtype=np.float32)[:, None]
    return Mesh(vertices, mesh.triangles, mesh.materials)
