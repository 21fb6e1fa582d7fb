"""Standing still: throttle 0 for ten seconds; how far the probed state and the image drift."""

from __future__ import annotations

from typing import Any

import numpy as np

from dreamduck.common.seeding import derive
from dreamduck.evaluation.model_card.bootstrap import bootstrap_mean
from dreamduck.evaluation.model_card.config import ModelCardConfig
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.commands import (
    NO_ROAD,
    dreamt_responses,
    road_maps,
    road_responses,
)
from dreamduck.evaluation.model_card.driving.data import RealData
from dreamduck.evaluation.model_card.probes.probe import NO_TELEMETRY, Probes
from dreamduck.evaluation.model_card.sections.steering import reconstructed
from dreamduck.world_model.vae.layout import Frames

KEY = 0x7374696C
BRAKING = 1.0  # [s] until a car has stopped; drift counts from there
SECONDS = (2.0, 5.0, 10.0)  # of standing, braking included
QUANTITIES = ("lane_dist", "lane_angle")
STILL = np.zeros((1, 2), np.float32)


def stillness(
    dreams: Dreams, data: RealData, probes: Probes | None, config: ModelCardConfig
) -> dict[str, Any]:
    """The section of the card.

    Args:
        dreams: of the world model.
        data: holds the environment and its maps.
        probes: the trained probes; None where there is no telemetry.
        config: the card's settings.
    """
    maps = road_maps(data)
    if probes is None or not maps:
        return {"left_out": NO_TELEMETRY if probes is None else NO_ROAD}
    step_time, seed = data.step_time, derive(config.seed, KEY)
    times = [0, *(round(seconds / step_time) for seconds in (BRAKING, *SECONDS))]
    count = config.sizes.still_starts
    road = road_responses(dreams, data.environment, maps, count, STILL, config.warmup, times, seed)
    dreamt = dreamt_responses(dreams, road.context, STILL, times, 1, derive(seed, 1))[:, 0, 0, 1:]
    real = reconstructed(dreams, road.frames[:, 0, 1:])
    strangers = np.abs(np.roll(real[:, -1], count // 2, axis=0).astype(np.float64) - real[:, -1])
    return {
        "states": count,
        "dream": drifts(probes, dreamt, config.seed),
        "road": drifts(probes, real, config.seed),
        "picture_of_another_state": bootstrap_mean(strangers.mean(axis=(1, 2, 3)), config.seed)._asdict(),
    }


def drifts(probes: Probes, frames: Frames, seed: int) -> dict[str, Any]:
    """How far state and image are from the first frame.

    Args:
        probes: the trained probes.
        frames: (S, 1 + len(SECONDS), 64, 64, 3).
        seed: of the intervals.
    """
    states = [probes.frame.predict(frames[:, k]) for k in range(frames.shape[1])]
    found: dict[str, Any] = {}
    for k, seconds in enumerate(SECONDS, 1):
        moved = {name: np.abs(getattr(states[k], name) - getattr(states[0], name)) for name in QUANTITIES}
        image = np.abs(frames[:, k].astype(np.float64) - frames[:, 0]).mean(axis=(1, 2, 3))
        found[f"{seconds:g}"] = {
            name: bootstrap_mean(one, seed)._asdict() for name, one in {**moved, "picture": image}.items()
        }
    return found
