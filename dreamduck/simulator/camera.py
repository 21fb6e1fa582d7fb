"""What the cars see: many frames a call, by a renderer of our own, without OpenGL.

Flow: scene, ground, raster, lens -> [camera] -> native. Held to upstream's frames by tests."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dreamduck.errors import ConfigError
from dreamduck.simulator import ground as g
from dreamduck.simulator.base import FloatArray, Frames
from dreamduck.simulator.ground import draw_ground
from dreamduck.simulator.maps import Map
from dreamduck.simulator.randomization import Looks
from dreamduck.simulator.raster import (
    NEAR,
    OUT_BLOCK,
    SHADED,
    clear_samples,
    draw_triangles,
    place_object,
    resolve,
    shade_vertices,
)
from dreamduck.simulator.scene import Scene, build_scene
from dreamduck.simulator.textures import TileTextures, tile_textures

FORWARD = 0.066  # [m] from the middle of the axle to the lens
TOP_BORDER = 0.1  # [m] around the map seen from above
SIMPLIFY = 0.5  # [pixels] a mesh may be simplified by so much
BIGGEST, SMALLEST = 4096, 1  # [pixels]


class Room(NamedTuple):
    """Memory that drawing one frame needs; one for each thread."""

    rows: npt.NDArray[np.uint32]  # (13, W)
    depths: npt.NDArray[np.float32]  # (H, W, 4)
    colors: npt.NDArray[np.uint32]  # (H, W, 4)
    shaded: npt.NDArray[np.float32]  # vertices of the largest mesh
    turns: npt.NDArray[np.float32]  # (K, 4, 3)
    shown: npt.NDArray[np.int64]  # (K,) level of detail, -1 where an object is not in the picture
    corners: npt.NDArray[np.float32]  # (4, SHADED)
    car_view: npt.NDArray[np.float64]  # (VIEW_SIZE,)


@njit(cache=True, error_model="numpy")
def _set_view(x: float, z: float, heading: float, looks: Any, car: int, view: Any) -> None:
    """Write down one car's camera (see the fields in `ground`)."""
    pitch, half = math.radians(looks.camera_pitch[car]), math.radians(looks.camera_fov[car]) / 2
    cos, sin = math.cos(heading), math.sin(heading)
    view[g.EYE_X] = x + looks.camera_noise[car, 0] + FORWARD * cos
    view[g.EYE_Y] = looks.camera_height[car] + looks.camera_noise[car, 1]
    view[g.EYE_Z] = z + looks.camera_noise[car, 2] - FORWARD * sin
    view[g.COS_HEADING], view[g.SIN_HEADING] = cos, sin
    view[g.COS_PITCH], view[g.SIN_PITCH] = math.cos(pitch), math.sin(pitch)
    view[g.TAN_HALF] = math.tan(half)
    for k in range(3):
        view[g.SKY_R + k] = looks.horizon[car, k]
        view[g.GROUND_R + k] = looks.ground[car, k]
        view[g.AMBIENT_R + k] = looks.ambient[car, k]
        view[g.DIFFUSE_R + k] = looks.diffuse[car, k]
    for k in range(4):
        view[g.LIGHT_X + k] = looks.light_pos[car, k]


@njit(cache=True, error_model="numpy")
def _look_down(x: float, y: float, z: float, back: float, view: Any) -> None:
    """Put the camera above the map, its upper edge towards -z, looking `back` [m] beside what is below."""
    length = math.sqrt(y * y + back * back)
    view[g.EYE_X], view[g.EYE_Y], view[g.EYE_Z] = x, y, z
    view[g.COS_HEADING], view[g.SIN_HEADING] = 0.0, 1.0
    view[g.COS_PITCH], view[g.SIN_PITCH] = back / length, y / length


@njit(cache=True, error_model="numpy")
def _find_objects(view: Any, scene: Any, visible: Any, moving: Any, room: Any, part: Any) -> None:
    """Find out which objects are in the picture, and how detailed each must be.

    Args:
        visible: (K,) bool. moving: (M, 4) float64.
        part: (4,) int64, written: left, top, right, bottom of what they cover.
    """
    height, width = room.depths.shape[0], room.depths.shape[1]
    focal = height / 2 / view[g.TAN_HALF]
    part[0], part[1], part[2], part[3] = width, height, 0, 0
    for k in range(scene.objects.shape[0]):
        room.shown[k] = -1
        if k < visible.shape[0] and not visible[k]:
            continue
        place, box, scale = scene.places[k], scene.boxes[k], scene.boxes[k, 6]
        if scene.objects[k, 2] >= 0:
            place = moving[scene.objects[k, 2]]
        turn = room.turns[k]
        place_object(view, place[0], place[1], place[2], place[3], scale, turn)
        near, far = 1e9, -1e9
        left = top = 1e9
        right = bottom = -1e9
        for corner in range(8):
            x, y, z = box[3 * (corner & 1)], box[1 + 3 * (corner >> 1 & 1)], box[2 + 3 * (corner >> 2)]
            ahead = x * turn[0, 2] + y * turn[1, 2] + z * turn[2, 2] + turn[3, 2]
            near, far = min(near, ahead), max(far, ahead)
            px = (x * turn[0, 0] + y * turn[1, 0] + z * turn[2, 0] + turn[3, 0]) * focal / max(ahead, NEAR)
            py = (x * turn[0, 1] + y * turn[1, 1] + z * turn[2, 1] + turn[3, 1]) * focal / max(ahead, NEAR)
            left, right = min(left, width / 2 + px), max(right, width / 2 + px)
            top, bottom = min(top, height / 2 - py), max(bottom, height / 2 - py)
        if far < NEAR or near > g.FAR:
            continue
        if near < NEAR:
            left, top, right, bottom = 0.0, 0.0, float(width), float(height)
        if right < 0 or left > width or bottom < 0 or top > height:
            continue
        part[0], part[1] = min(part[0], max(0, int(left))), min(part[1], max(0, int(top)))
        part[2] = max(part[2], min(width, int(right) + 1))
        part[3] = max(part[3], min(height, int(bottom) + 1))
        level, last = scene.objects[k, 0], scene.objects[k, 0] + scene.objects[k, 1] - 1
        coarse = SIMPLIFY * max(near, NEAR) / focal / scale
        while level < last and scene.cells[level + 1] <= coarse:
            level += 1
        room.shown[k] = level


@njit(cache=True, error_model="numpy")
def _draw_objects(
    view: Any, scene: Any, visible: Any, moving: Any, signals: Any, room: Any, out: Any
) -> None:
    """Draw all objects over the ground."""
    part = np.zeros(4, dtype=np.int64)
    _find_objects(view, scene, visible, moving, room, part)
    left, top, right, bottom = part[0], part[1], part[2], part[3]
    if left >= right or top >= bottom:
        return
    height, width = out.shape[0], out.shape[1]
    clear_samples(view, left, top, right, bottom, room.depths, room.colors)
    lens = np.array([width / 2, height / 2, height / 2 / view[g.TAN_HALF]], dtype=np.float32)
    lamp, light = np.empty(4, dtype=np.float32), np.empty(6, dtype=np.float32)
    for k in range(4):
        lamp[k] = view[g.LIGHT_X + k]
    for k in range(3):
        light[k], light[3 + k] = g.SCENE_AMBIENT + view[g.AMBIENT_R + k], view[g.DIFFUSE_R + k]
    for k in range(scene.objects.shape[0]):
        if room.shown[k] < 0:
            continue
        level = scene.levels[room.shown[k]]
        scale = scene.boxes[k, 6]
        shade_vertices(room.turns[k], scale, lens, lamp, light, scene.vertices, level[0], level[1], room.shaded)
        signal = scene.cards[signals[scene.objects[k, 3]]] if scene.objects[k, 3] >= 0 else -1
        draw_triangles(
            scene.triangles, scene.pictures, signal, level[2], level[3], room.shaded,
            lens, scene.texels, scene.table, room.depths, room.colors, room.corners,
        )  # fmt: skip
    resolve(left, top, right, bottom, room.colors, out)


@njit(cache=True, error_model="numpy", nogil=True)
def _render(
    pose: Any, looks: Any, moving: Any, signals: Any, tiles: Any, scene: Any, room: Any, first: int, last: int, out: Any
) -> None:
    """Draw the frames of the cars from `first` up to, but without, `last`."""
    for car in range(first, last):
        _set_view(pose[car, 0], pose[car, 1], pose[car, 2], looks, car, room.car_view)
        draw_ground(room.car_view, tiles, out[car], room.rows)
        _draw_objects(room.car_view, scene, looks.object_visible[car], moving[car], signals[car], room, out[car])


class Camera:
    """Draws what cars on one map see.

    Args:
        map: the map.
        width, height: of the frames [pixels].
        distortion: bend the frames as the Duckiebot's fish-eye lens does.
        threads: how many cores to use; the frames do not depend on it.
    Raises:
        ConfigError: a size or the number of threads is out of range.
        MapError: a mesh or picture is missing or cannot be read.
    """

    def __init__(self, map: Map, width: int, height: int, distortion: bool = False, threads: int = 1) -> None:
        for name, value in (("width", width), ("height", height)):
            if not SMALLEST <= value <= BIGGEST:
                raise ConfigError(f"camera {name}: expected {SMALLEST} to {BIGGEST} pixels, got {value}")
        if threads < 1:
            raise ConfigError(f"threads: expected at least 1, got {threads}")
        self.map, self.width, self.height, self.threads = map, width, height, threads
        self.distortion = distortion
        self._tiles = _tile_textures(map)
        self._scene = build_scene(map)
        self._rooms = [_make_room(self._scene, width, height) for _ in range(threads)]
        self._pool: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def render(
        self, pose: FloatArray, looks: Looks, moving: FloatArray, signals: npt.NDArray[np.int8], out: Frames
    ) -> None:
        """Draw the frames of N cars.

        Args:
            pose: (N, 3) x [m], z [m], heading [rad].
            looks: with N rows.
            moving: (N, M, 4) x, y, z [m], angle about y [rad] of the moving objects of each car's world.
            signals: (N, S) 0 or 1, the pattern that each traffic light shows.
            out: (N, height, width, 3) uint8, written.
        """
        count = len(pose)
        pieces = min(self.threads, count)
        if pieces <= 1:
            _render(pose, looks, moving, signals, self._tiles, self._scene, self._rooms[0], 0, count, out)
            return
        bounds = [count * k // pieces for k in range(pieces + 1)]
        tasks = [
            self._workers().submit(
                _render, pose, looks, moving, signals, self._tiles, self._scene, room, first, last, out
            )
            for room, first, last in zip(self._rooms, bounds, bounds[1:], strict=False)
        ]
        for task in tasks:
            task.result()

    def _workers(self) -> ThreadPoolExecutor:
        """Threads of this very process: those of a parent do not survive a fork."""
        if self._pool is None or self._process != os.getpid():
            self._pool, self._process = ThreadPoolExecutor(self.threads, "camera"), os.getpid()
        return self._pool


def _tile_textures(map: Map) -> TileTextures:
    """The pictures of a map's tiles."""
    tiles = [(tile.i, tile.j, tile.angle, tile.texture) for tile in map.tiles if tile is not None]
    return tile_textures((map.width, map.height), map.tile_size, tiles)


def _make_room(scene: Scene, width: int, height: int) -> Room:
    """Memory to draw a frame in."""
    blocks = int(scene.levels[:, 1].max(initial=0))
    return Room(
        rows=np.zeros((13, width), dtype=np.uint32),
        depths=np.zeros((height, width, 4), dtype=np.float32),
        colors=np.zeros((height, width, 4), dtype=np.uint32),
        shaded=np.zeros(blocks * OUT_BLOCK, dtype=np.float32),
        turns=np.zeros((len(scene.objects), 4, 3), dtype=np.float32),
        shown=np.zeros(len(scene.objects), dtype=np.int64),
        corners=np.zeros((4, SHADED), dtype=np.float32),
        car_view=np.zeros(g.VIEW_SIZE, dtype=np.float64),
    )
