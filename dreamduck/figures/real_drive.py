"""Real drives: in the simulator, through a large camera, or from recordings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamduck.common.errors import ConfigError
from dreamduck.controllers.evaluator import Policy
from dreamduck.recordings import TELEMETRY, find_recordings, read_episode
from dreamduck.simulator.base import CarState, FloatArray, Frames
from dreamduck.simulator.road import Road, RoadConfig


class RealDrive(NamedTuple):
    """T steps of one drive.

    Attributes:
        frames: (T, 64, 64, 3), what the world model sees.
        images: T of them, (side, side, 3), for people; none where they were not wanted.
        above: likewise, the map from above.
        actions: (T, A), taken at each frame.
        lane_dist: (T,) [m] right of the lane's centre; nan where it is not known.
    """

    frames: Frames
    images: list[Frames]
    above: list[Frames]
    actions: npt.NDArray[np.float32]
    lane_dist: FloatArray


class Commanded:
    """A policy up to a step, and one action from there on.

    Args:
        policy: drives at first.
        action: [throttle, steering].
        first: the step from which it is taken.
    """

    needs_frames = True

    def __init__(self, policy: Policy, action: tuple[float, float], first: int) -> None:
        self._policy, self._action, self._first = policy, action, first
        self._step = 0

    def start(self, seeds: Sequence[int]) -> None:
        """Episodes begin."""
        self._policy.start(seeds)
        self._step = 0

    def act(self, state: CarState, frames: Frames | None) -> npt.NDArray[np.float64]:
        """Act as the policy does, or as commanded."""
        self._step += 1
        if self._step > self._first:
            return np.tile(self._action, (len(state.pose), 1))
        return np.asarray(self._policy.act(state, frames), np.float64)


def drive(
    policy: Policy,
    config: RoadConfig,
    seeds: Sequence[int],
    steps: int,
    side: int = 0,
    above: bool = False,
) -> list[RealDrive]:
    """One drive for each seed, up to its end or for so many steps.

    Args:
        policy: acts for all cars.
        config: the road.
        seeds: one a car.
        steps: at most.
        side: of the images of the first car [pixels]; 0 for none.
        above: whether the map from above is wanted.
    """
    road = Road(config, len(seeds))
    state = road.reset(seeds)
    policy.start(seeds)
    frames, actions, offsets, images, maps = [], [], [], [], []
    length = np.full(len(seeds), steps)
    for step in range(steps):
        frames.append(road.frames().copy())
        offsets.append(state.lane_dist.copy())
        if side:
            images.append(road.view("camera", side, side))
        if above:
            maps.append(road.view("top_down", side, side))
        actions.append(np.clip(np.asarray(policy.act(state, frames[-1]), np.float32), -1, 1))
        taken = road.step(actions[-1])
        state = taken.state
        length = np.where(taken.terminated & (length == steps), step + 1, length)
        if (length <= step + 1).all():
            break
    road.close()
    return [
        RealDrive(
            np.stack([frame[car] for frame in frames[:end]]),
            images[:end],
            maps[:end],
            np.stack([action[car] for action in actions[:end]]),
            np.array([offset[car] for offset in offsets[:end]]),
        )
        for car, end in enumerate(length.tolist())
    ]


def recorded_drives(
    folder: str, seed: int, count: int, shortest: int, steps: int, side: int = 0
) -> list[RealDrive]:
    """Drives from recordings, one episode after another, from the one that the seed chooses.

    Args:
        folder: of the recordings.
        seed: of the first of them.
        count: drives.
        shortest: steps that an episode must have.
        steps: after which one is cut.
        side: of the images [pixels]; 0 for none.
    Raises:
        ConfigError: no episode is long enough.
        RecordError: a recording is damaged.
    """
    paths = find_recordings(folder).paths
    drives: list[RealDrive] = []
    for number in range(len(paths)):
        episode = read_episode(paths[(seed + number) % len(paths)])
        if len(episode) >= shortest:
            frames = episode.obs[:steps]
            dist = np.full(len(frames), np.nan)
            if episode.telemetry is not None:
                dist = episode.telemetry[:steps, TELEMETRY.index("lane_dist")].astype(np.float64)
            images = [enlarge(frame, side) for frame in frames] if side else []
            drives.append(RealDrive(frames, images, [], episode.action[:steps], dist))
        if len(drives) == count:
            break
    if not drives:
        raise ConfigError(
            f"records: expected an episode of {shortest} steps or more in {folder}, found none"
        )
    return drives


def enlarge(frame: Frames, side: int) -> Frames:
    """A small frame as an image, (side, side, 3)."""
    return np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC))
