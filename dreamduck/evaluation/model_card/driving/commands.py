"""Commands held from the same states, on the road and in dreams: for steering, and for standing still.

The native simulator drives copies of one car, with the expert, up to a state; from there each copy holds
another command. The frames until then are what the dreams start from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import derive
from dreamduck.evaluation.model_card.dreams import Context, Dreams
from dreamduck.evaluation.model_card.driving.collection import ENVIRONMENT_ID, road_config
from dreamduck.evaluation.model_card.driving.data import RealData
from dreamduck.evaluation.model_card.driving.maps_here import maps_here, spread
from dreamduck.simulator.expert import Expert, ExpertConfig
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.road import Road
from dreamduck.world_model.dynamics import FloatArray
from dreamduck.world_model.vae.layout import Frames

NO_ROAD = "the native simulator has no such environment or maps"


class Responses(NamedTuple):
    """S states, C commands, K times from the state on (the first is the state itself)."""

    context: Context  # S of them
    frames: Frames  # (S, C, K, 64, 64, 3)
    pose: npt.NDArray[np.float64]  # (S, C, K, 3) x [m], z [m], heading [rad]
    on_road: npt.NDArray[np.bool_]  # (S, C, K)
    maps: tuple[str, ...]  # (S,)


def road_maps(data: RealData) -> tuple[str, ...]:
    """The held-out episodes' maps, where the native simulator has them all; else none."""
    maps = tuple(sorted(set(data.held_out.maps)))
    known = data.environment.get("id", ENVIRONMENT_ID) == ENVIRONMENT_ID and maps_here(maps) == maps
    return spread(maps) if known else ()


def road_responses(
    dreams: Dreams,
    environment: dict[str, Any],
    maps: Sequence[str],
    states: int,
    commands: FloatArray,
    warmup: int,
    times: Sequence[int],
    seed: int,
) -> Responses:
    """Drive to the states, then hold the commands.

    Args:
        dreams: encodes the frames of the contexts.
        environment: what a step means.
        maps: that the states take in turn.
        states: S.
        commands: (C, 2) throttle and steering.
        warmup: frames up to each state.
        times: (K,) steps behind the state, ascending, from 0.
        seed: of the starts.
    """
    parts = [
        _on_map(
            dreams,
            Road(road_config(environment, name), len(numbers) * len(commands)),
            Expert(
                load_map(name), ExpertConfig(steering_gain=float(environment.get("steering_gain", 1.0)))
            ),
            [derive(seed, number) for number in numbers],
            commands,
            warmup,
            times,
        )
        for place, name in enumerate(maps)
        if (numbers := range(place, states, len(maps)))
    ]
    z, action, frames, pose, on_road = (np.concatenate(part) for part in zip(*parts, strict=True))
    names = tuple(name for place, name in enumerate(maps) for _ in range(place, states, len(maps)))
    return Responses(Context(z, action), frames, pose, on_road, names)


def _on_map(
    dreams: Dreams,
    road: Road,
    expert: Expert,
    seeds: Sequence[int],
    commands: FloatArray,
    warmup: int,
    times: Sequence[int],
) -> tuple[npt.NDArray[Any], ...]:
    """The context's z and action, frames, poses and whether on the road, of one map; closes the road."""
    count, copies = len(seeds), len(commands)
    frames, actions = [], []
    try:
        state = road.reset([seed for seed in seeds for _ in range(copies)])
        for t in range(warmup):
            frames.append(road.frames()[::copies].copy())
            if t + 1 < warmup:
                # all copies get the action of the first, as single precision keeps it
                chosen = expert(state)[::copies].astype(np.float32)
                actions.append(chosen)
                state = road.step(np.repeat(chosen, copies, axis=0)).state
        held, alive = np.tile(commands, (count, 1)), np.ones(count * copies, np.bool_)
        seen: list[tuple[Frames, Any, Any]] = []
        for t in range(max(times) + 1):
            if t in times:
                seen.append((road.frames().copy(), state.pose.copy(), alive.copy()))
            step = road.step(held)
            state, alive = step.state, alive & ~step.terminated
    finally:
        road.close()
    shown = np.stack(frames, axis=1)
    z = dreams.model.encode(shown.reshape(-1, *shown.shape[2:])).reshape(count, warmup, -1)
    columns = (np.stack(column, axis=1) for column in zip(*seen, strict=True))
    return (
        z,
        np.stack(actions, axis=1),
        *(column.reshape(count, copies, *column.shape[1:]) for column in columns),
    )


def dreamt_responses(
    dreams: Dreams, context: Context, commands: FloatArray, times: Sequence[int], copies: int, seed: int
) -> Frames:
    """Hold the commands in dreams that start from the same states.

    Args:
        dreams: of the world model.
        context: S states.
        commands: (C, 2).
        times: (K,) steps behind the state, ascending, from 0.
        copies: D, dreams of each state and command.
        seed: of the dreams.
    Returns:
        (S, C, D, K, 64, 64, 3); the first of the K is the reconstruction of the state's frame.
    """
    states, count, longest = len(context.z), len(commands), max(times)
    z = np.repeat(context.z, count, axis=0)
    held = np.tile(commands, (states, 1)).astype(np.float32)[:, None]
    past = np.repeat(context.action, count, axis=0)
    action = np.concatenate([past, np.repeat(held, longest, axis=1)], axis=1)
    dreamt = dreams.open_loop(z, action, longest, copies, seed).z
    first = np.repeat(z[:, None, -1:], copies, axis=1)
    shown = np.concatenate([first, dreamt], axis=2)[:, :, list(times)]
    frames: Frames = dreams.decode(shown.reshape(states, count, copies, len(times), -1))
    return frames
