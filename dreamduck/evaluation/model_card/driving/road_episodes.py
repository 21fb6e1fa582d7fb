"""Episodes of many policies in the native simulator, seen through the world model.

All policies begin at the same places. The frames of all cars on all maps are encoded together, step by
step, and only of cars that still drive and whose policy looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.command_line import progress
from dreamduck.common.seeding import derive
from dreamduck.evaluation.model_card.driving.ranked_policies import RankedPolicy
from dreamduck.simulator.road import Road, RoadConfig
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import FloatArray
from dreamduck.world_model.imagination.perception import Perception

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
START = 0x73746172  # a random stream of its own


class Outcomes(NamedTuple):
    """What episodes gave; P policies, E episodes each."""

    reward: npt.NDArray[np.float64]  # (D, E), summed
    length: IntArray  # (D, E), steps
    ended: BoolArray  # (D, E), whether it ended by itself; False where it was cut


class Trace(NamedTuple):
    """Observations and actions of one policy in E episodes; after an end all numbers are 0."""

    z: FloatArray  # (E, T, Z), before each step
    h: FloatArray  # (E, T, H), likewise
    action: FloatArray  # (E, T, A)

    @classmethod
    def empty(cls, episodes: int, steps: int, model: WorldModel) -> Trace:
        """Arrays for E episodes of T steps."""
        sizes = model.sizes
        widths = (sizes.z_size, sizes.hidden_size, sizes.action_size)
        return cls(*(np.zeros((episodes, steps, width), np.float32) for width in widths))

    def record(self, step: int, episodes: IntArray, values: Sequence[FloatArray], cars: BoolArray) -> None:
        """One step of these episodes, in which these cars drive."""
        for whole, value in zip(self, values, strict=True):
            whole[episodes, step] = value[cars]


class Starts(NamedTuple):
    """Where E episodes begin."""

    roads: tuple[RoadConfig, ...]  # one for each map
    road: IntArray  # (E,), which of them
    seeds: IntArray  # (E,)


def draw_starts(roads: Sequence[RoadConfig], episodes: int, seed: int) -> Starts:
    """E episodes, the maps in turn."""
    seeds = np.array([derive(seed, START, episode) for episode in range(episodes)], np.int64)
    return Starts(tuple(roads), np.arange(episodes) % len(roads), seeds)


def first_latents(model: WorldModel, starts: Starts) -> FloatArray:
    """The latents of the first frame of each episode, (E, Z)."""
    found = np.empty((len(starts.seeds), model.sizes.z_size), np.float32)
    for number, config in enumerate(starts.roads):
        rows = np.flatnonzero(starts.road == number)
        if len(rows):
            road = Road(config, len(rows))
            road.reset([int(seed) for seed in starts.seeds[rows]])
            found[rows] = model.encode(road.frames())
            road.close()
    return found


class _Fleet:
    """All cars of one map: every policy's, policy by policy.

    Args:
        config: of the road.
        policies: P.
        episodes: numbers of the episodes that begin on this map.
        seeds: of these.
    """

    def __init__(self, config: RoadConfig, policies: int, episodes: IntArray, seeds: IntArray) -> None:
        self.policy = np.repeat(np.arange(policies), len(episodes))
        self.episode = np.tile(episodes, policies)
        self.road = Road(config, len(self.policy))
        self.road.reset([int(seed) for seed in np.tile(seeds, policies)])


def drive_all(
    model: WorldModel,
    policies: Sequence[RankedPolicy],
    starts: Starts,
    steps: int,
    noises: Sequence[FloatArray],
    trace: Trace | None = None,
) -> Outcomes:
    """One episode of every policy from every start.

    Args:
        model: through which they see.
        policies: P.
        starts: of E episodes.
        steps: after which an episode is cut.
        noises: of each policy, (E, steps, 2).
        trace: filled in, where there is one policy; z and h of a policy that looks at them.
    """
    fleets = []
    for number, config in enumerate(starts.roads):
        chosen = np.flatnonzero(starts.road == number)
        if len(chosen):
            fleets.append(_Fleet(config, len(policies), chosen, starts.seeds[chosen]))
    policy = np.concatenate([fleet.policy for fleet in fleets])
    episode = np.concatenate([fleet.episode for fleet in fleets])
    edges = np.cumsum([0, *(len(fleet.policy) for fleet in fleets)])
    parts = [slice(edges[i], edges[i + 1]) for i in range(len(fleets))]
    sees = np.array([bool(each.features) for each in policies])[policy]
    perception = Perception(model.vae, model.dynamics, len(policy))
    rows = [np.flatnonzero(policy == number) for number in range(len(policies))]
    alive, reward = np.ones(len(policy), np.bool_), np.zeros(len(policy))
    length, actions = np.zeros(len(policy), np.int64), np.zeros((len(policy), 2), np.float32)
    for t in progress(range(steps), desc="road"):
        _look(perception, fleets, parts, alive & sees, actions, first=t == 0)
        seen = perception.perceived
        for number, each in enumerate(policies):
            mine = rows[number][alive[rows[number]]]
            if len(mine):
                wanted = each.act(seen[mine], perception.state.h[mine])
                actions[mine] = np.clip(wanted + noises[number][episode[mine], t], -1, 1)
        if trace is not None:
            trace.record(t, episode[alive], (perception.z, perception.state.h, actions), alive)
        for fleet, part in zip(fleets, parts, strict=True):
            if alive[part].any():
                step = fleet.road.step(np.where(alive[part, None], actions[part], 0.0))
                reward[part] += np.where(alive[part], step.reward, 0.0)
                length[part] += alive[part]
                alive[part] &= ~step.terminated
        if not alive.any():
            break
    for fleet in fleets:
        fleet.road.close()
    shape = (len(policies), len(starts.seeds))
    found = Outcomes(np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape, np.bool_))
    for whole, values in zip(found, (reward, length, ~alive), strict=True):
        whole[policy, episode] = values
    return found


def _look(
    perception: Perception,
    fleets: Sequence[_Fleet],
    parts: Sequence[slice],
    looking: BoolArray,
    actions: FloatArray,
    first: bool,
) -> None:
    """Encode what the given cars see, after their last actions."""
    cars = np.flatnonzero(looking)
    if not len(cars):
        return
    frames = np.concatenate(
        [
            fleet.road.frames(cars=np.flatnonzero(looking[part]))
            for fleet, part in zip(fleets, parts, strict=True)
            if looking[part].any()
        ]
    )
    if first:
        perception.reset(frames, cars)
    else:
        perception.step(frames, actions[cars], cars)
