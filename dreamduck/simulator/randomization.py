"""Randomization at every reset: light, colours, camera and wheels, from upstream's random stream.

The numbers are taken from the generator in the same order
as gym-duckietown takes them, so that the same seed gives the same episode there and here. Without domain
randomisation most of them are fixed, but the triangles below the ground are still drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.simulator.maps.map import Map
from dreamduck.simulator.robot import CAMERA_FOV, CAMERA_HEIGHT, CAMERA_PITCH, WHEEL_DISTANCE

FloatArray32 = npt.NDArray[np.float32]
Numbers = npt.NDArray[Any]

SKY = (0.45, 0.82, 1.0)
WALL = (0.64, 0.71, 0.28)
GROUND = (0.15, 0.15, 0.15)
LIGHT = (0.0, 3.0, 0.0, 1.0)
AMBIENT, DIFFUSE = 0.25, 0.35
HORIZONS = ((SKY, 0.1), (WALL, 0.1), ((0.15,) * 3, 0.4), ((0.9,) * 3, 0.4))  # colour, spread
JUNK_VERTICES = 36  # of triangles that upstream puts below the ground, out of sight


class Appearance(NamedTuple):
    """The appearance of the world to each of N cars; all arrays have N rows, and are float32 unless said.

    Attributes:
        camera_height: (N,) [m].
        camera_pitch: (N,) [degrees] down.
        camera_fov: (N,) [degrees] vertical.
        camera_noise: (N, 3) [m] added to the car's position for the camera (0 without randomisation).
        horizon: (N, 3) RGB, 0 to 1 (the ground can exceed neither by much; not clipped).
        ground: likewise.
        light_pos: (N, 4) as given to GL in eye coordinates: w = 1 a place [m], w = 0 a direction.
        ambient: (N, 3) of light 0.
        diffuse: likewise.
        tile_color: (N, tiles, 3) multiplies the texture; tiles as in `Map.tiles`, 1 where there is none.
        object_color: (N, objects, 3) likewise, objects as in `Map.objects`.
        object_visible: (N, objects) bool.
    """

    camera_height: FloatArray32
    camera_pitch: FloatArray32
    camera_fov: FloatArray32
    camera_noise: FloatArray32
    horizon: FloatArray32
    ground: FloatArray32
    light_pos: FloatArray32
    ambient: FloatArray32
    diffuse: FloatArray32
    tile_color: FloatArray32
    object_color: FloatArray32
    object_visible: npt.NDArray[np.bool_]


def standard_appearance(map: Map, num_cars: int) -> Appearance:
    """The appearance without domain randomisation."""

    def rows(values: Sequence[float]) -> FloatArray32:
        return np.tile(np.array(values, dtype=np.float32), (num_cars, 1))

    def ones(count: int) -> FloatArray32:
        return np.ones((num_cars, count, 3), dtype=np.float32)

    return Appearance(
        camera_height=np.full(num_cars, CAMERA_HEIGHT, dtype=np.float32),
        camera_pitch=np.full(num_cars, CAMERA_PITCH, dtype=np.float32),
        camera_fov=np.full(num_cars, CAMERA_FOV, dtype=np.float32),
        camera_noise=rows((0.0, 0.0, 0.0)),
        horizon=rows(SKY),
        ground=rows(GROUND),
        light_pos=rows(LIGHT),
        ambient=rows((AMBIENT,) * 3),
        diffuse=rows((DIFFUSE,) * 3),
        tile_color=ones(len(map.tiles)),
        object_color=ones(len(map.objects)),
        object_visible=np.ones((num_cars, len(map.objects)), dtype=np.bool_),
    )


def draw_appearance(
    rng: np.random.Generator, map: Map, domain_rand: bool, appearance: Appearance, car: int
) -> float:
    """Draw the appearance of one car, in upstream's order, up to where it draws the start.

    Args:
        rng: the episode's generator; advanced.
        domain_rand: whether the draws take effect.
        appearance: row `car` is written (left as it is without domain randomisation).
    Returns:
        The distance between the wheels [m].
    """
    angle, fov, height = rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.2), rng.uniform(0.92, 1.08)
    noise = rng.uniform(-0.005, 0.005, size=3)
    mode = int(rng.integers(0, 4, size=1)[0])
    light = rng.uniform((-150, 170, -150), (150, 220, 150), size=3)
    rng.normal(0, 0.02, size=1)  # the trim of the wheels, which is not used
    if not domain_rand:
        rng.random(4 * JUNK_VERTICES)
        return WHEEL_DISTANCE
    appearance.camera_noise[car] = noise
    appearance.horizon[car] = _perturb(rng, *HORIZONS[mode])
    appearance.light_pos[car] = (*light, 0.0)
    appearance.ambient[car] = _perturb(rng, (AMBIENT,) * 4, 0.3)[:3]
    appearance.diffuse[car] = _perturb(rng, (DIFFUSE,) * 4, 0.99)[:3]
    appearance.ground[car] = _perturb(rng, GROUND, 0.3)
    wheel_distance = WHEEL_DISTANCE * rng.uniform(1 - 0.1, 1 + 0.1)
    appearance.camera_height[car] = CAMERA_HEIGHT * height
    appearance.camera_pitch[car] = CAMERA_PITCH * angle
    appearance.camera_fov[car] = CAMERA_FOV * fov
    rng.random(7 * JUNK_VERTICES)
    for index, tile in enumerate(map.tiles):
        if tile is not None:
            appearance.tile_color[car, index] = _perturb(rng, (1.0,) * 4, 0.2)[:3]
    for index, thing in enumerate(map.objects):
        appearance.object_color[car, index] = _perturb(rng, (1.0,) * 4, 0.3)[:3]
        appearance.object_visible[car, index] = not thing.optional or rng.integers(0, 2) == 0
    return wheel_distance


def _perturb(rng: np.random.Generator, values: Sequence[float], scale: float = 0.1) -> Numbers:
    """The values, each times its own number within `scale` of 1."""
    return np.array(values) * rng.uniform(1 - scale, 1 + scale, size=len(values))
