"""`CarRacing`, drawn on demand: its images are the same, and frames that nobody looks at cost nothing.

By itself it draws an image of 1000 x 800 in every frame, and takes nearly all of its time for that. Here it
draws once in a step of ours, and of the track only what lies near the car."""

from __future__ import annotations

import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

TRANSPARENT = (OrderEnforcing, PassiveEnvChecker, TimeLimit)  # wrappers that leave observations as they are
MODULE, CLASS = "gymnasium.envs.box2d.car_racing", "CarRacing"
MODE = "state_pixels"  # of the images that are observations
GRASS_STEPS = range(-20, 20, 2)  # patches of grass along each axis
ZOOMED = 1.0  # [s] from the start of an episode, after which the camera has come near


def drawing(env: Any) -> Drawing | None:
    """What draws an environment on demand; None where it is no `CarRacing`, or may change its images."""
    while isinstance(env, TRANSPARENT):
        env = env.env
    kind = type(env)
    return Drawing(env) if (kind.__module__, kind.__name__) == (MODULE, CLASS) else None


class Drawing:
    """Draws a `CarRacing` on demand.

    Args:
        env: the environment, unwrapped; its methods of drawing are replaced.
    """

    def __init__(self, env: Any) -> None:
        import gymnasium.envs.box2d.car_racing as game  # needs the extra

        self._env, self._game, self._draw = env, game, env._render
        side = game.GRASS_DIM
        corners = np.array([(1, 0), (0, 0), (0, 1), (1, 1)], float)
        places = np.array([(x, y) for x in GRASS_STEPS for y in GRASS_STEPS], float)
        self._grass = side * (places[:, np.newaxis] + corners)
        # the car is at a quarter of the image's height: an upper corner is the farthest that is seen
        farthest = np.hypot(game.WINDOW_W / 2, 0.75 * game.WINDOW_H) + 2 * game.MAX_SHAPE_DIM
        self._reach = farthest / (game.ZOOM * game.SCALE)
        self._road: tuple[Any, npt.NDArray[np.float64]] = None, np.zeros((0, 4, 2))
        env._render_road = types.MethodType(lambda _, *view: self._render_road(*view), env)

    @contextmanager
    def undrawn(self) -> Iterator[None]:
        """Steps within draw nothing that is observed."""
        self._env._render = lambda mode: self._env.state if mode == MODE else self._draw(mode)
        try:
            yield
        finally:
            del self._env._render

    def image(self) -> npt.NDArray[np.uint8]:
        """The observation of now, (96, 96, 3)."""
        self._env.state = self._draw(MODE)
        return self._env.state

    def _render_road(self, zoom: float, shift: tuple[float, float], angle: float) -> None:
        env, size = self._env, self._game.PLAYFIELD
        if self._road[0] is not env.road_poly:
            self._road = env.road_poly, np.array([corners for corners, _ in env.road_poly], float)
        field = [(size, size), (size, -size), (-size, -size), (-size, size)]

        def paint(polygon: Any, color: Any, clip: bool = True) -> None:
            env._draw_colored_polygon(env.surf, polygon, color, zoom, shift, angle, clip)

        paint(field, env.bg_color, clip=False)
        for index in self._near(self._grass):
            paint(self._grass[index].tolist(), env.grass_color)
        for index in self._near(self._road[1]):
            polygon, color = env.road_poly[index]
            paint(polygon, [int(level) for level in color])

    def _near(self, polygons: npt.NDArray[np.float64]) -> list[int]:
        """Those with a corner that may be seen."""
        if self._env.t < ZOOMED:
            return list(range(len(polygons)))
        away = polygons - np.array(self._env.car.hull.position)
        return np.flatnonzero((np.hypot(away[..., 0], away[..., 1]) <= self._reach).any(axis=1)).tolist()
