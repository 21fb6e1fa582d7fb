"""The cars' frames, many a call, by a renderer of our own, without OpenGL.

Held to upstream's frames by tests."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError, StartError
from dreamduck.common.processes.threads import SlicePool
from dreamduck.simulator.base import FloatArray, Frames
from dreamduck.simulator.maps.map import Map
from dreamduck.simulator.randomization import Appearance
from dreamduck.simulator.render.distortion import lens_map
from dreamduck.simulator.render.frame import make_buffers, render_frames
from dreamduck.simulator.render.models.textures import TileTextures, tile_textures
from dreamduck.simulator.render.scene import Scene, build_scene

TOP_BORDER = 0.1  # [m] around the map seen from above
TOP_TILT = 0.01  # [m] from what is straight below to where the camera above looks
NOT_ABOVE = np.zeros(0)
BIGGEST, SMALLEST = 4096, 1  # [pixels]


class Camera:
    """Draws the frames of cars on one map.

    Args:
        map: the map.
        width: of the frames [pixels].
        height: likewise.
        distortion: bend the frames as the Duckiebot's fish-eye lens does.
        threads: how many cores to use; the frames do not depend on it.
    Raises:
        ConfigError: a size or the number of threads is out of range.
        MapError: a mesh or image is missing or cannot be read.
    """

    def __init__(
        self, map: Map, width: int, height: int, distortion: bool = False, threads: int = 1
    ) -> None:
        for name, value in (("width", width), ("height", height)):
            if not SMALLEST <= value <= BIGGEST:
                raise ConfigError(f"camera {name}: expected {SMALLEST} to {BIGGEST} pixels, got {value}")
        if threads < 1:
            raise ConfigError(f"threads: expected at least 1, got {threads}")
        self.map, self.width, self.height, self.threads = map, width, height, threads
        self._tiles = _tile_textures(map)
        self._scene = build_scene(map)
        self._distortion = distortion
        self._lenses: dict[bool, npt.NDArray[np.int64]] = {False: np.zeros(0, dtype=np.int64)}
        self._buffers = [make_buffers(self._scene, width, height) for _ in range(threads)]
        self._pool = SlicePool(threads)
        self._scene_from_above: Scene | None = None

    def render(
        self,
        pose: FloatArray,
        appearance: Appearance,
        moving: FloatArray,
        signals: npt.NDArray[np.int8],
        out: Frames,
        distortion: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Draw the frames of N cars; one call at a time.

        Args:
            pose: (N, 3) x [m], z [m], heading [rad].
            appearance: with N rows.
            moving: (N, M, 4) x, y, z [m], angle about y [rad] of the moving objects of each car's world.
            signals: (N, S) 0 or 1, the pattern that each traffic light shows.
            out: (N, height, width, 3) uint8, written.
            distortion: (N,) which frames are bent; by default as the camera was made.
        Raises:
            StartError: a pose is not finite.
        """
        count = len(pose)
        pose, moving = np.ascontiguousarray(pose, np.float64), np.ascontiguousarray(moving, np.float64)
        signals = np.ascontiguousarray(signals, np.int8)
        if not np.isfinite(pose).all():
            raise StartError(f"pose: expected finite numbers x, z, heading, got {pose.tolist()!r:.80}")

        bent = [self._distortion] * count if distortion is None else distortion.tolist()
        if True in bent and True not in self._lenses:
            self._lenses[True] = lens_map(self.width, self.height)

        def draw(piece: int, first: int, last: int) -> None:
            for one, run in itertools.groupby(range(first, last), bent.__getitem__):
                cars = list(run)
                render_frames(
                    pose, appearance, moving, signals, self._tiles, self._scene,
                    self._buffers[piece], NOT_ABOVE, self._lenses[one], cars[0], cars[-1] + 1, out,
                )  # fmt: skip

        self._pool.run(draw, count, min(self.threads, count))

    def top_down(
        self,
        pose: FloatArray,
        appearance: Appearance,
        car: int,
        moving: FloatArray,
        signals: npt.NDArray[np.int8],
        width: int,
        height: int,
    ) -> Frames:
        """The whole map from above, with one car on it; for people.

        Args:
            pose: (3,) x [m], z [m], heading [rad] of the car.
            appearance: as for `render`.
            moving: likewise.
            signals: likewise.
            car: which row of these is meant.
            width: of the image [pixels].
            height: likewise.
        Returns:
            (height, width, 3) uint8.
        """
        if self._scene_from_above is None:
            self._scene_from_above = build_scene(self.map, own_car=True)
        scene = self._scene_from_above
        middle = self.map.width * self.map.tile_size / 2, self.map.height * self.map.tile_size / 2
        half = math.radians(float(appearance.camera_fov[car])) / 2
        above = np.array([middle[0], (max(middle) + TOP_BORDER) / math.tan(half), middle[1], TOP_TILT])
        itself = np.array([[pose[0], 0.0, pose[1], pose[2]]])
        things = np.concatenate([moving[car], itself])[None]
        out = np.zeros((1, height, width, 3), dtype=np.uint8)
        one = Appearance._make(values[car : car + 1] for values in appearance)
        buffers, plain = make_buffers(scene, width, height), np.zeros(0, dtype=np.int64)
        own = np.ascontiguousarray(pose, dtype=np.float64)[None]
        render_frames(
            own, one, things, signals[car : car + 1], self._tiles, scene, buffers, above, plain, 0, 1, out
        )
        return out[0]


def _tile_textures(map: Map) -> TileTextures:
    """The images of a map's tiles."""
    tiles = [(tile.i, tile.j, tile.angle, tile.texture) for tile in map.tiles if tile is not None]
    return tile_textures((map.width, map.height), map.tile_size, tiles)
