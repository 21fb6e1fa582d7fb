"""Our own simulator core: N cars, each in its own copy of one map, stepped in one compiled call.

Its results equal gym-duckietown's, number
for number (tests/simulator/test_parity.py holds the two together), with neither GL nor a process of its
own. docs/simulator.md lists the differences: faults of upstream that are corrected here."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.config import integer
from dreamduck.common.errors import ConfigError, ResetNeeded, StartError
from dreamduck.common.processes.threads import SlicePool, cores
from dreamduck.simulator.base import (
    START_TILES,
    CarState,
    FloatArray,
    Frames,
    SimulatorConfig,
    Variation,
    check_reset,
    no_start,
)
from dreamduck.simulator.maps.lanes import map_lanes
from dreamduck.simulator.maps.map import DUCKIE
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.physics import objects
from dreamduck.simulator.physics import spawn as starts
from dreamduck.simulator.physics.collisions import on_road, static_boxes
from dreamduck.simulator.physics.dynamics import DELAYS, NOMINAL, command_ages, draw_dynamics
from dreamduck.simulator.physics.state import Cars, drive, make_cars, observe, place_car
from dreamduck.simulator.randomization import Appearance, draw_appearance, standard_appearance

if TYPE_CHECKING:
    from dreamduck.simulator.render.camera import Camera

FIRST_STEPS = 4096  # for so many steps the ages of commands are known from the beginning
VIEWS_KEPT = 4  # cameras of other sizes
CARS_A_SLICE = 8  # with fewer cars a thread does not pay
LEGACY_SEEDS = 2**32  # numpy's old generator, which upstream's moving objects draw from, takes no more


class NativeSimulator:
    """N cars on one map; see `dreamduck.simulator.base.Simulator` for what each method does.

    The result for a car depends neither on N nor on the number of threads.

    Args:
        config: the settings.
        num_cars: N, at least 1.
        threads: cores to use; by default as many as this process may.
    Raises:
        ConfigError: a setting is out of its range.
        MapError: the map is unknown or malformed.
        DependencyError: Duckietown's data is not installed.
    """

    def __init__(self, config: SimulatorConfig, num_cars: int = 1, threads: int | None = None) -> None:
        self.config = config
        self.num_cars = integer("num_cars", num_cars, 1)
        self.threads = cores() if threads is None else integer("threads", threads, 1)
        self.map = load_map(config.map_name)
        self._lanes = map_lanes(self.map)
        self._boxes = static_boxes(self.map)
        self._circles = starts.keep_away(self.map)
        self._template = objects.template(self.map)
        self._ages = _all_ages(FIRST_STEPS)
        walkers = sum(thing.behaviour == DUCKIE for thing in self.map.objects)
        # A walk and the wait after it take 3 seconds at least.
        walks = walkers * (2 + config.frame_skip // 90)
        self._cars: Cars = make_cars(num_cars, self._template, walks)
        self._streams: list[np.random.RandomState | None] = [None] * num_cars
        self._standard = standard_appearance(self.map, 1)
        self._appearance = standard_appearance(self.map, num_cars)
        self._bent = np.full(num_cars, config.distortion)
        self._ready = np.zeros(num_cars, dtype=np.bool_)
        self._camera: Camera | None = None
        self._views: dict[tuple[int, int], Camera] = {}
        self._pool = SlicePool(self.threads)

    def reset(
        self,
        seeds: Sequence[int],
        starts: FloatArray | None = None,
        cars: npt.NDArray[np.int64] | None = None,
        variations: Sequence[Variation] | None = None,
    ) -> CarState:
        """Begin an episode for the given cars; see `Simulator.reset`.

        Raises:
            ConfigError: seeds, cars or variations do not fit.
            StartError: a start cannot be driven from.
        """
        chosen, poses, variations = check_reset(self.config, self.num_cars, seeds, starts, cars, variations)
        self._check_starts(poses)
        self._ready[chosen] = False
        for car, seed, pose, variation in zip(chosen, seeds, poses, variations, strict=True):
            self._begin(int(car), int(seed), pose, variation)
            self._ready[car] = True
        return self._state()

    def step(self, actions: FloatArray) -> CarState:
        """Drive every car for `frame_skip` steps of physics; see `Simulator.step`.

        Raises:
            ResetNeeded: a car was never reset.
        """
        self._need_reset()
        array = np.ascontiguousarray(actions, dtype=np.float64)
        assert array.shape == (self.num_cars, 2)  # compiled code looks at no bounds
        longest = int(self._cars.steps.max()) + self.config.frame_skip
        if longest > self._ages.shape[1]:
            self._ages = _all_ages(2 * longest)

        def run(_: int, begin: int, stop: int) -> None:
            drive(
                self._lanes, self._boxes, self._cars, self._ages, array, self.config.frame_skip, begin, stop
            )

        self._pool.run(run, self.num_cars, min(self.threads, -(-self.num_cars // CARS_A_SLICE)))
        self._refill_walks()
        return self._state()

    def _refill_walks(self) -> None:
        """Replace the random walks that were used up in this step."""
        for car in np.flatnonzero(self._cars.walks_used):
            used, stream = int(self._cars.walks_used[car]), self._streams[car]
            if stream is not None:
                walks = self._cars.walks[car]
                walks[:] = np.concatenate([walks[used:], objects.draw_walks(stream, used)])
            self._cars.walks_used[car] = 0

    def mount_cameras(self, height: FloatArray, pitch: FloatArray) -> None:
        """Change the mounting of all cars' cameras, until their next reset.

        Args:
            height: (N,) times the height that each has.
            pitch: (N,) [degrees] further down than each looks.
        """
        self._appearance.camera_height[:] *= np.asarray(height, np.float32)
        self._appearance.camera_pitch[:] += np.asarray(pitch, np.float32)

    def scale_motors(self, left: FloatArray, right: FloatArray) -> None:
        """Make the motors of all cars stronger or weaker, until their next reset.

        Args:
            left: (N,) times as fast as each is.
            right: likewise.
        """
        gain, trim = self._cars.gain, self._cars.trim
        new_left, new_right = (gain - trim) * left, (gain + trim) * right
        gain[:], trim[:] = (new_right + new_left) / 2, (new_right - new_left) / 2

    def push(self, sideways: FloatArray) -> None:
        """Move all cars sideways at once; the next step checks whether they are still on the road.

        Args:
            sideways: (N,) [m] to the left of each.
        """
        frame, pose = self._cars.frame, self._cars.pose
        frame[:, 2] -= sideways * frame[:, 1]
        frame[:, 3] += sideways * frame[:, 0]
        pose[:, 0], pose[:, 1] = frame[:, 2], self._cars.height - frame[:, 3]

    def get_state(self) -> Any:
        """A snapshot of all cars; see `Simulator.get_state`."""
        return copy.deepcopy((self._cars, self._appearance, self._streams, self._ready, self._bent))

    def set_state(self, state: Any) -> CarState:
        """Return to a snapshot; see `Simulator.set_state`."""
        self._cars, self._appearance, self._streams, self._ready, self._bent = copy.deepcopy(state)
        return self._state()

    def _check_starts(self, poses: FloatArray) -> None:
        """Refuse starts (n, 3) that cannot be driven from; rows of nan are drawn."""
        for x, z, heading in poses[~np.isnan(poses).all(axis=1)]:
            given = f"({x:g}, {z:g}, {heading:g})"
            if not on_road(self._lanes, x, z, heading, 1.0):
                raise StartError(
                    f"start: expected a pose on the road of {self.map.name}, got {given}; give x and z in "
                    f"metres (tiles are {self.map.tile_size:g} m) and the heading in radians"
                )
            if starts.touches(self._boxes, self._template, x, z, heading):
                raise StartError(f"start: {given} touches an object on {self.map.name}; move it away")

    def _begin(self, car: int, seed: int, pose: FloatArray, variation: Variation) -> None:
        """Begin the episode of one car."""
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        rows, domain_rand = self._cars.objects[car], variation.domain_rand
        rows[:] = self._template
        self._bent[car] = variation.distortion
        for values, standard in zip(self._appearance, self._standard, strict=True):
            values[car] = standard[0]
        if len(rows):
            stream = np.random.RandomState(seed % LEGACY_SEEDS)
            objects.draw(rows, stream, domain_rand)
            walks = self._cars.walks[car]
            walks[:] = objects.draw_walks(stream, len(walks)) if domain_rand else objects.USUAL_WALK
            self._cars.walks_used[car] = 0
            self._streams[car] = stream if domain_rand and len(walks) else None
        given = None if np.isnan(pose).all() else (float(pose[0]), float(pose[1]), float(pose[2]))
        for _ in range(START_TILES):
            wheel_distance = draw_appearance(rng, self.map, domain_rand, self._appearance, car)
            if given is None:
                circles = starts.visible(self._circles, self._appearance.object_visible[car])
                given = starts.draw_start(
                    rng, self.map, self._lanes, self._boxes, rows, circles, self.config.start_angle
                )
            if given is not None:
                break
        else:
            raise no_start(self.map.name, self.config.start_angle)
        usual = NOMINAL._replace(wheel_distance=wheel_distance)
        dynamics = draw_dynamics(seed) if variation.dynamics_rand else usual
        place_car(self._cars, car, self.map.height * self.map.tile_size, dynamics, *given)
        observe(self._lanes, self._boxes, self._cars, car, False)

    def _need_reset(self) -> None:
        if not self._ready.all():
            missing = np.flatnonzero(~self._ready).tolist()
            raise ResetNeeded(f"expected reset() before anything else, cars {missing} were never reset")

    def _state(self) -> CarState:
        """A copy of the state for callers."""
        cars = self._cars
        return CarState(
            pose=cars.pose.copy(),
            speed=cars.speed.copy(),
            lane_dist=cars.lane[:, 0].copy(),
            lane_angle=cars.lane[:, 1].copy(),
            lane_tangent=cars.lane[:, 2:].copy(),
            tile=cars.tile.copy(),
            simulator_reward=cars.reward.copy(),
            proximity_penalty=cars.penalty.copy(),
            end=cars.end.copy(),
        )

    @property
    def appearance(self) -> Appearance:
        """The appearance of the world to each car; not to be changed."""
        return self._appearance

    @property
    def moving(self) -> FloatArray:
        """(N, M, 4) x, y, z [m], yaw [rad] of the moving objects, in the map's order."""
        return objects.moving_poses(self._cars.objects)

    @property
    def signals(self) -> npt.NDArray[np.int8]:
        """(N, S) the pattern, 0 or 1, of each traffic light."""
        return objects.light_patterns(self._cars.objects)

    def frames(self, out: Frames | None = None, cars: npt.NDArray[np.int64] | None = None) -> Frames:
        """What each car's camera sees now; see `Simulator.frames`.

        Args:
            out: (n, H, W, 3), written.
            cars: (n,) which; all by default.
        Raises:
            ResetNeeded: a car was never reset.
            ConfigError: `out` has the wrong shape or kind.
        """
        self._need_reset()
        shape = (self.num_cars if cars is None else len(cars), *self.config.frame_shape)
        if out is None:
            out = np.empty(shape, dtype=np.uint8)
        elif out.shape != shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
            raise ConfigError(f"out: expected contiguous uint8 {shape}, got {out.dtype} {out.shape}")
        if self._camera is None:
            self._camera = self._make_camera(self.config.camera_width, self.config.camera_height)
        return self._render(self._camera, slice(None) if cars is None else cars, out)

    def view(self, mode: str, width: int, height: int, car: int = 0) -> Frames:
        """An image for people; see `Simulator.view`.

        Raises:
            ConfigError: an unknown mode or car.
            ResetNeeded: a car was never reset.
        """
        self._need_reset()
        if mode not in ("camera", "top_down"):
            raise ConfigError(f"mode: expected camera or top_down, got {mode!r}")
        if not 0 <= car < self.num_cars:
            raise ConfigError(f"car: expected 0 to {self.num_cars - 1}, got {car}")
        size = (width, height)
        if size not in self._views:
            if len(self._views) >= VIEWS_KEPT:
                self._views.clear()
            self._views[size] = self._make_camera(*size)
        camera = self._views[size]
        if mode == "top_down":
            return camera.top_down(
                self._cars.pose[car], self._appearance, car, self.moving, self.signals, width, height
            )
        out = np.empty((1, height, width, 3), dtype=np.uint8)
        return self._render(camera, slice(car, car + 1), out)[0]

    def _render(self, camera: Camera, cars: slice | npt.NDArray[np.int64], out: Frames) -> Frames:
        appearance = Appearance._make(part[cars] for part in self._appearance)
        pose, bent = self._cars.pose[cars], self._bent[cars]
        camera.render(pose, appearance, self.moving[cars], self.signals[cars], out, bent)
        return out

    def _make_camera(self, width: int, height: int) -> Camera:
        """A camera of this size; textures and meshes are loaded at the first frame."""
        from dreamduck.simulator.render.camera import Camera

        return Camera(self.map, width, height, threads=self.threads)

    def close(self) -> None:
        """Free the threads and the cameras; calling it twice is harmless."""
        self._pool.close()
        self._camera = None
        self._views.clear()


def _all_ages(steps: int) -> npt.NDArray[np.int8]:
    """The ages of commands (DELAYS, steps) for each delay."""
    return np.stack([command_ages(steps, delay) for delay in DELAYS])
