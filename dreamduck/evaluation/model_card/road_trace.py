"""Policies of [z, h] on the native road, many cars at once, with all that they saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import derive
from dreamduck.evaluation.model_card.bootstrap import IntArray
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.simulator.road import Road, RoadConfig
from dreamduck.world_model.imagination.perception import Perception
from dreamduck.world_model.mdn_rnn.layout import FloatArray

# z (B, Z), h (B, H), step, numbers of the episodes (B,) -> actions (B, A)
EpisodePolicy = Callable[[FloatArray, FloatArray, int, IntArray], npt.ArrayLike]


class RoadTrace(NamedTuple):
    """E episodes of one policy; behind an end all numbers are 0."""

    z: FloatArray  # (E, T, Z), of the frame before each step
    h: FloatArray  # (E, T, H), likewise
    action: FloatArray  # (E, T, A)
    length: IntArray  # (E,), steps up to the end, the ending one included


def drive_road(
    dreams: Dreams,
    policy: EpisodePolicy,
    roads: Sequence[RoadConfig],
    episodes: int,
    steps: int,
    seed: int,
) -> RoadTrace:
    """One episode after the other, each on the next map.

    Args:
        dreams: the world model that the policy sees through.
        policy: what acts.
        roads: that the episodes take in turn.
        episodes: E.
        steps: T, after which an episode is cut.
        seed: of the starts.
    """
    z_size, actions, hidden = dreams.sizes
    sizes = (z_size, hidden, actions)
    z, h, action = (np.zeros((episodes, steps, size), np.float32) for size in sizes)
    found = RoadTrace(z, h, action, np.zeros(episodes, np.int64))
    for number, config in enumerate(roads):
        here = np.arange(number, episodes, len(roads))
        if len(here):
            road = Road(config, len(here))
            try:
                _drive(dreams, policy, road, here, [derive(seed, int(e)) for e in here], found)
            finally:
                road.close()
    return found


def _drive(
    dreams: Dreams,
    policy: EpisodePolicy,
    road: Road,
    episodes: IntArray,
    seeds: Sequence[int],
    found: RoadTrace,
) -> None:
    """One episode for each car of a road; fills in the trace."""
    model = dreams.model
    perception = Perception(model.vae, model.dynamics, len(episodes))
    road.reset(seeds)
    cars = np.arange(len(episodes))  # still driving
    actions = np.zeros((len(episodes), found.action.shape[2]), np.float32)
    for step in range(found.z.shape[1]):
        frames, rows = road.frames(cars=cars), episodes[cars]
        if step:
            perception.step(frames, actions[cars], cars)
        else:
            perception.reset(frames)
        z, h = perception.z[cars], perception.state.h[cars]
        actions[:] = 0
        actions[cars] = np.clip(np.asarray(policy(z, h, step, rows), np.float32), -1, 1)
        found.z[rows, step], found.h[rows, step], found.action[rows, step] = z, h, actions[cars]
        found.length[rows] = step + 1
        cars = cars[~road.step(actions).terminated[cars]]
        if not len(cars):
            break
