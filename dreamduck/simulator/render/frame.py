"""Drawing a whole frame: compiled, and without the interpreter's lock."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.compiled import njit
from dreamduck.simulator.base import FloatArray, Frames
from dreamduck.simulator.randomization import Appearance
from dreamduck.simulator.render.camera_parameters import (
    AMBIENT_R,
    CAMERA_PARAMETERS,
    DIFFUSE_R,
    FAR,
    LIGHT_X,
    SCENE_AMBIENT,
    TAN_HALF,
    set_camera,
    set_camera_above,
)
from dreamduck.simulator.render.ground import draw_ground
from dreamduck.simulator.render.models.textures import TileTextures
from dreamduck.simulator.render.raster import clear_samples, draw_triangles, resolve
from dreamduck.simulator.render.scene import Scene
from dreamduck.simulator.render.vertices import NEAR, OUT_BLOCK, place_object, shade_vertices

SIMPLIFY = 0.5  # [pixels] a mesh may be simplified by so much


class FrameBuffers(NamedTuple):
    """Memory that drawing one frame needs; one for each thread."""

    rows: npt.NDArray[np.uint32]  # (13, W)
    plain: npt.NDArray[np.uint8]  # (H, W, 3), before the lens
    depths: npt.NDArray[np.float32]  # (H, W, 4)
    colors: npt.NDArray[np.uint32]  # (H, W, 4)
    shaded: npt.NDArray[np.float32]  # vertices of the largest mesh
    turns: npt.NDArray[np.float32]  # (K, 4, 3)
    shown: npt.NDArray[np.int64]  # (K,) level of detail, -1 where an object is not in the image
    whole: npt.NDArray[np.bool_]  # (K,) whether all of it is beyond the near plane
    polygon: npt.NDArray[np.float32]  # (OUT_BLOCK,)
    camera: npt.NDArray[np.float64]  # (CAMERA_PARAMETERS,)


@njit(error_model="numpy")
def _find_objects(
    camera: FloatArray,
    scene: Scene,
    visible: npt.NDArray[np.bool_],
    moving: FloatArray,
    buffers: FrameBuffers,
    part: npt.NDArray[np.int64],
) -> None:
    """Find the objects in the image, and the level of detail of each.

    Args:
        visible: (K,) bool.
        moving: (M, 4) float64.
        part: (4,) int64, written: left, top, right, bottom of what they cover.
    """
    height, width = buffers.depths.shape[0], buffers.depths.shape[1]
    focal = height / 2 / camera[TAN_HALF]
    part[0], part[1], part[2], part[3] = width, height, 0, 0
    for k in range(scene.objects.shape[0]):
        buffers.shown[k] = -1
        if k < visible.shape[0] and not visible[k]:
            continue
        placement, box, scale = scene.placements[k], scene.boxes[k], scene.boxes[k, 6]
        if scene.objects[k, 2] >= 0:
            placement = moving[scene.objects[k, 2]]
        turn = buffers.turns[k]
        place_object(camera, placement[0], placement[1], placement[2], placement[3], scale, turn)
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
        if far < NEAR or near > FAR:
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
        buffers.shown[k], buffers.whole[k] = level, near >= NEAR


@njit(error_model="numpy")
def _draw_objects(
    camera: FloatArray,
    scene: Scene,
    visible: npt.NDArray[np.bool_],
    moving: FloatArray,
    signals: npt.NDArray[np.int8],
    buffers: FrameBuffers,
    out: Frames,
) -> None:
    """Draw all objects over the ground."""
    part = np.zeros(4, dtype=np.int64)
    _find_objects(camera, scene, visible, moving, buffers, part)
    left, top, right, bottom = part[0], part[1], part[2], part[3]
    if left >= right or top >= bottom:
        return
    height, width = out.shape[0], out.shape[1]
    clear_samples(camera, left, top, right, bottom, buffers.depths, buffers.colors)
    lens = np.array([width / 2, height / 2, height / 2 / camera[TAN_HALF]], dtype=np.float32)
    lamp, light = np.empty(4, dtype=np.float32), np.empty(6, dtype=np.float32)
    for k in range(4):
        lamp[k] = camera[LIGHT_X + k]
    for k in range(3):
        light[k], light[3 + k] = SCENE_AMBIENT + camera[AMBIENT_R + k], camera[DIFFUSE_R + k]
    for k in range(scene.objects.shape[0]):
        if buffers.shown[k] < 0:
            continue
        level = scene.levels[buffers.shown[k]]
        scale = scene.boxes[k, 6]
        shade_vertices(
            buffers.turns[k], scale, lens, lamp, light, scene.vertices, level[0], level[1], buffers.shaded
        )
        signal = scene.cards[signals[scene.objects[k, 3]]] if scene.objects[k, 3] >= 0 else -1
        draw_triangles(
            scene.triangles, scene.textures, signal, level[2], level[3],
            buffers.whole[k], buffers.whole[k] and scene.objects[k, 4] == 1, buffers.shaded, lens,
            scene.texels, scene.table, buffers.depths, buffers.colors, buffers.polygon,
        )  # fmt: skip
    resolve(left, top, right, bottom, buffers.colors, out)


@njit(error_model="numpy")
def _bend(plain: Frames, lens: npt.NDArray[np.int64], out: Frames) -> None:
    """Distort an image by the lens: lens (H * W,) int64 says where each pixel comes from."""
    width = out.shape[1]
    for k in range(lens.shape[0]):
        y, x = k // width, k % width
        from_y, from_x = lens[k] // width, lens[k] % width
        for channel in range(3):
            out[y, x, channel] = plain[from_y, from_x, channel]


@njit(error_model="numpy", nogil=True)
def render_frames(
    pose: FloatArray,
    appearance: Appearance,
    moving: FloatArray,
    signals: npt.NDArray[np.int8],
    tiles: TileTextures,
    scene: Scene,
    buffers: FrameBuffers,
    above: FloatArray,
    lens: npt.NDArray[np.int64],
    first: int,
    last: int,
    out: Frames,
) -> None:
    """Draw the frames of the cars from `first` up to, but without, `last`.

    Args:
        above: (0,) float64, or (4,) x, y, z, tilt for a camera above the map (see `set_camera_above`).
        lens: (0,) int64, or (H * W,) where each pixel of the distorted image comes from.
    """
    for car in range(first, last):
        camera, target = buffers.camera, buffers.plain if lens.size else out[car]
        set_camera(pose[car, 0], pose[car, 1], pose[car, 2], appearance, car, camera)
        if above.size:
            set_camera_above(above[0], above[1], above[2], above[3], camera)
        draw_ground(camera, tiles, target, buffers.rows)
        _draw_objects(
            camera, scene, appearance.object_visible[car], moving[car], signals[car], buffers, target
        )
        if lens.size:
            _bend(target, lens, out[car])


def make_buffers(scene: Scene, width: int, height: int) -> FrameBuffers:
    """Memory to draw a frame in."""
    blocks = int(scene.levels[:, 1].max(initial=0))
    return FrameBuffers(
        rows=np.zeros((13, width), dtype=np.uint32),
        plain=np.zeros((height, width, 3), dtype=np.uint8),
        depths=np.zeros((height, width, 4), dtype=np.float32),
        colors=np.zeros((height, width, 4), dtype=np.uint32),
        shaded=np.zeros(blocks * OUT_BLOCK, dtype=np.float32),
        turns=np.zeros((len(scene.objects), 4, 3), dtype=np.float32),
        shown=np.zeros(len(scene.objects), dtype=np.int64),
        whole=np.zeros(len(scene.objects), dtype=np.bool_),
        polygon=np.zeros(OUT_BLOCK, dtype=np.float32),
        camera=np.zeros(CAMERA_PARAMETERS, dtype=np.float64),
    )
