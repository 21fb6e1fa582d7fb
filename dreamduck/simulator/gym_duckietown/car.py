"""One car in gym-duckietown, made bit-for-bit the same for the same seed; in the worker process only.

To be imported after
`patches.prepare`. Three things made an episode depend on the one before it, and are put
right at a reset: the light was placed under the last frame's view matrix, in whatever GL context was
current; moving objects stayed where they had got to; and they draw from numpy's global generator."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import geometry
import gym_duckietown.simulator as upstream
import numpy as np
import numpy.typing as npt
from gym_duckietown.envs import DuckietownEnv
from gym_duckietown.exceptions import NotInLane
from pyglet import gl

from dreamduck.common.errors import StartError
from dreamduck.simulator.base import (
    END_COLLISION,
    END_NONE,
    END_OFF_ROAD,
    INVALID_POSE_REWARD,
    START_TILES,
    Frames,
    no_start,
    wrapped,
)
from dreamduck.simulator.maps.map_yaml import read_yaml
from dreamduck.simulator.render.distortion import lens_map
from dreamduck.simulator.robot import DELAY

SAMPLES = 4  # of the antialiasing, as upstream has it
NO_LIMIT = 10**9  # [steps] episodes are cut by the worlds, not here
LEGACY_SEEDS = 2**32  # numpy's global generator takes no larger seed
SIZES_KEPT = 4  # frame buffers of other sizes; they are never freed by upstream


class UpstreamCar(DuckietownEnv):
    """Gym-duckietown's environment with our map look-up, determinism and lens.

    Args:
        map_path: the map's file.
        config: the fields of `SimulatorConfig`.
    """

    def __init__(self, map_path: str, config: dict[str, Any]) -> None:
        self._quiet = True  # the constructor resets and renders; its frame is not used
        self._buffers: OrderedDict[tuple[int, int], tuple[Any, Any, Frames]] = OrderedDict()
        self._bent, self._delay = bool(config["distortion"]), DELAY
        self.end = END_NONE
        self.last_reward = 0.0
        super().__init__(
            map_name=map_path,
            max_steps=NO_LIMIT,
            domain_rand=config["domain_rand"],
            distortion=False,  # bent here, rightly at every size
            frame_skip=config["frame_skip"],
            camera_width=config["camera_width"],
            camera_height=config["camera_height"],
            seed=0,
            accept_start_angle_deg=config["start_angle"],
        )
        self._quiet = False

    def _load_map(self, map_name: str) -> None:
        """Read exactly this file; upstream takes the name of the file and searches for it."""
        self.map_file_path = map_name
        self.map_name = Path(map_name).stem
        self.map_data = read_yaml(Path(map_name))
        self._interpret_map(self.map_data)

    def _load_objects(self, map_data: Any) -> None:
        super()._load_objects(map_data)
        for thing in self.objects:
            if hasattr(thing, "wiggle"):  # a one-element array, which ctypes does not take any more
                thing.wiggle = float(np.asarray(thing.wiggle).reshape(-1)[0])

    def begin(
        self,
        seed: int,
        start: Sequence[float] | None,
        domain_rand: bool,
        distortion: bool,
        gain: float,
        trim: float,
        delay: float,
        wheel_distance: float | None,
    ) -> None:
        """Reset to the episode of this seed.

        Args:
            seed: of the episode.
            start: x [m], z [m], heading [rad]; None: it is drawn.
            domain_rand: see `SimulatorConfig`.
            distortion: likewise.
            gain: of the motors, see `Dynamics`.
            trim: likewise.
            delay: [s].
            wheel_distance: [m]; None: what the reset draws.
        Raises:
            StartError: the start is off the road or touches something.
        """
        self.domain_rand, self._bent = domain_rand, distortion
        self.gain, self.trim, self._delay = gain, trim, delay
        np.random.seed(seed % LEGACY_SEEDS)  # noqa: NPY002  (upstream's objects draw from it)
        self._load_objects(self.map_data)
        self.seed(seed)
        self.shadow_window.switch_to()
        gl.glMatrixMode(gl.GL_MODELVIEW)
        gl.glLoadIdentity()
        self._quiet = True
        for _ in range(START_TILES):
            self.reset()
            if start is not None or self.start_pose is not None or not self._gave_up():
                break
        else:
            raise no_start(self.map_name, self.accept_start_angle_deg)
        self._quiet = False
        if wheel_distance is not None:
            self.wheel_dist = wheel_distance
        self.end, self.last_reward = END_NONE, 0.0
        if start is not None:
            self._check_start(*start)
        x, z, heading = start or (self.cur_pos[0], self.cur_pos[2], self.cur_angle)
        self.place(x, z, wrapped(heading))

    def _gave_up(self) -> bool:
        """Whether upstream found no start and put the car where it puts it then."""
        return tuple(self.cur_pos) == (1, 0, 1) and self.cur_angle == 1

    def _check_start(self, x: float, z: float, heading: float) -> None:
        pos = np.array([x, 0.0, z])
        at = f"start: ({x:.3f} m, {z:.3f} m, {heading:.3f} rad) on map {self.map_name}"
        if not self._on_road(pos, heading):
            tiles = ", ".join(str(tile["coords"]) for tile in self.drivable_tiles[:12])
            raise StartError(
                f"{at} is not on the road; expected a place whose wheels and nose are on drivable tiles, "
                f"(i, j) = {tiles}..., each {self.road_tile_size} m wide, x from i and z from j upwards"
            )
        if self._touches(pos, heading):
            raise StartError(f"{at} touches an object; expected a free place, choose one farther off")

    def place(self, x: float, z: float, heading: float) -> None:
        """Put the car there, at rest."""
        self.cur_pos, self.cur_angle, self.speed = np.array([x, 0.0, z]), heading, 0.0
        dynamics = upstream.get_DB18_nominal(delay=self._delay)
        at_rest = geometry.se2_from_linear_angular([0.0, 0.0], 0.0)
        self.state = dynamics.initialize(
            c0=(self.cartesian_from_weird(self.cur_pos, heading), at_rest), t0=0
        )

    def drive(self, throttle: float, steering: float) -> None:
        """One step of the world, `frame_skip` steps of physics."""
        self._quiet = True
        _, reward, done, _ = self.step(np.array([throttle, steering]))
        self._quiet = False
        self.last_reward = float(reward)
        self.end = END_NONE
        if done:
            self.last_reward = INVALID_POSE_REWARD
            on_road = self._on_road(self.cur_pos, self.cur_angle)
            self.end = END_COLLISION if on_road else END_OFF_ROAD  # off the road counts first

    def _on_road(self, pos: Any, heading: float) -> bool:
        """Whether the four points that must be on drivable tiles are: centre, left, right, front."""
        centre = upstream._actual_center(pos, heading)
        ahead, right = upstream.get_dir_vec(heading), upstream.get_right_vec(heading)
        side, nose = 0.5 * upstream.ROBOT_WIDTH * right, 0.5 * upstream.ROBOT_LENGTH * ahead
        points = (centre, centre - side, centre + side, centre + nose)
        return all(self._drivable_pos(point) for point in points)

    def _touches(self, pos: Any, heading: float) -> bool:
        """Whether upstream counts the pose as a collision; it shifts the centre twice, so does this."""
        corners = upstream.get_agent_corners(upstream._actual_center(pos, heading), heading)
        return bool(self._collision(corners))

    def car_state(self) -> dict[str, Any]:
        """The fields of one row of `CarState`."""
        pos, heading = self.cur_pos, wrapped(float(self.cur_angle))
        dist = angle = math.nan
        tangent = [math.nan, math.nan]
        try:
            lane = self.get_lane_pos2(pos, heading)
        except NotInLane:
            pass
        else:
            dist, angle = float(lane.dist), float(lane.angle_rad)
            _, along = self.closest_curve_point(pos, heading)
            tangent = [float(along[0]), float(along[2])]
        return {
            "pose": [float(pos[0]), float(pos[2]), heading],
            "speed": float(self.speed),
            "lane_dist": dist,
            "lane_angle": angle,
            "lane_tangent": tangent,
            "tile": list(self.get_grid_coords(pos)),
            "simulator_reward": self.last_reward,
            "proximity_penalty": float(self.proximity_penalty2(pos, heading)),
            "end": self.end,
        }

    def _render_img(self, *arguments: Any, **options: Any) -> Frames:
        """Upstream's drawing; its read-out writes past the array where a row is no multiple of 4 bytes."""
        self.shadow_window.switch_to()
        gl.glPixelStorei(gl.GL_PACK_ALIGNMENT, 1)
        return super()._render_img(*arguments, **options)

    def render_obs(self, segment: bool = False) -> Frames | None:
        """The camera's frame; upstream's own calls in the middle of a step are skipped."""
        if self._quiet:
            return None
        frame = super().render_obs(segment)
        return bend(frame) if self._bent else frame

    def image(self, mode: str, width: int, height: int) -> Frames:
        """The camera's view or the whole map from above, at any size."""
        key = (width, height)
        if key not in self._buffers:
            self.shadow_window.switch_to()
            buffers = upstream.create_frame_buffers(width, height, SAMPLES)
            self._buffers[key] = (*buffers, np.zeros((height, width, 3), dtype=np.uint8))
            if len(self._buffers) > SIZES_KEPT:
                self._free(*self._buffers.popitem(last=False)[1][:2])
        self._buffers.move_to_end(key)
        frame = self._render_img(width, height, *self._buffers[key], top_down=mode == "top_down")
        return bend(frame) if self._bent and mode == "camera" else frame

    @staticmethod
    def _free(*buffers: Any) -> None:
        for buffer in buffers:
            gl.glDeleteFramebuffers(1, buffer)

    def object_states(self) -> list[dict[str, Any]]:
        """Every object on the map as it is now."""
        return [
            {
                "kind": thing.kind,
                "pos": [float(value) for value in thing.pos],
                "angle": float(thing.angle),
                "y_rot": float(thing.y_rot),
                "scale": float(thing.scale),
                "static": bool(thing.static),
                "visible": bool(thing.visible),
                "color": [float(value) for value in thing.color],
                "corners": np.asarray(thing.obj_corners, dtype=np.float64).tolist(),
                "safety_radius": float(thing.safety_radius),
                "pattern": int(getattr(thing, "pattern", 0)),
            }
            for thing in self.objects
        ]

    def appearance(self) -> dict[str, Any]:
        """What was drawn at the reset."""
        drawn = self.randomization_settings if self.domain_rand else {}
        return {
            "horizon": [float(v) for v in self.horizon_color],
            "ground": [float(v) for v in self.ground_color],
            "light_pos": self._light(gl.GL_POSITION),
            "ambient": self._light(gl.GL_AMBIENT)[:3],
            "diffuse": self._light(gl.GL_DIFFUSE)[:3],
            "camera_height": float(self.cam_height),
            "camera_pitch": float(self.cam_angle[0]),
            "camera_fov": float(self.cam_fov_y),
            "camera_noise": [float(v) for v in drawn.get("camera_noise", (0, 0, 0))],
            "wheel_distance": float(self.wheel_dist),
            "tile_color": [
                [math.nan] * 4 if tile is None else [float(v) for v in tile["color"]] for tile in self.grid
            ],
        }

    def _light(self, name: int) -> list[float]:
        self.shadow_window.switch_to()
        values = (gl.GLfloat * 4)()
        gl.glGetLightfv(gl.GL_LIGHT0, name, values)
        return list(values)


def bend(frame: Frames) -> Frames:
    """The image (H, W, 3) as the lens shows it; upstream's own way is right at 640x480 alone."""
    height, width, _ = frame.shape
    return frame.reshape(-1, 3)[_lens(width, height)].reshape(frame.shape)


@lru_cache(maxsize=SIZES_KEPT)
def _lens(width: int, height: int) -> npt.NDArray[np.int64]:
    return lens_map(width, height)
