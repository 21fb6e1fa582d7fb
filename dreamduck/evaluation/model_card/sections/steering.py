"""Counterfactual commands: whether the dreamt car, from the same states, turns and advances as commanded.

The answer is read from images alone. The same figures of the road stand beside those of the dream, read
by the same probe from reconstructions, and from the true poses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from dreamduck.common.seeding import derive
from dreamduck.evaluation.model_card.bootstrap import bootstrap_mean, number
from dreamduck.evaluation.model_card.config import LAG, ModelCardConfig
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.commands import (
    NO_ROAD,
    Responses,
    dreamt_responses,
    road_maps,
    road_responses,
)
from dreamduck.evaluation.model_card.driving.data import RealData
from dreamduck.evaluation.model_card.probes.motion_probe import (
    MotionProbe,
    lag_steps,
    seen_steps,
    true_motion,
)
from dreamduck.evaluation.model_card.probes.probe import NO_TELEMETRY, Probes
from dreamduck.world_model.vae.layout import Frames

Array = npt.NDArray[np.float64]

KEY = 0x73746565
SECONDS = (0.5, 1.0, 2.0, 3.0)
LEVELS = np.linspace(-1.0, 1.0, 9)
CRUISE = 0.4  # throttle while steering is varied


class Test(NamedTuple):
    """One of the two tests.

    Attributes:
        name: of its part of the card.
        motion: what is read, a field of `Motion`.
        column: of the action that is varied, 0 throttle, 1 steering.
        held: the other one.
    """

    name: str
    motion: str
    column: int
    held: float


TESTS = (Test("steering", "turn", 1, CRUISE), Test("throttle", "advance", 0, 0.0))


def steering(
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
    sizes, lag = config.sizes, lag_steps(data.step_time)
    if lag < 2:
        return {"left_out": f"steps of {data.step_time:g} s are too long for motion within {LAG:g} s"}
    parts = {seconds: max(1, round(seconds / (lag * data.step_time))) for seconds in SECONDS}
    times = seen_steps(lag, max(parts.values()))
    found: dict[str, Any] = {
        "states": sizes.steering_starts,
        "dreams": sizes.steering_dreams,
        "commands": [round(float(level), 2) for level in LEVELS],
        "maps": list(maps),
    }
    for test in TESTS:
        commands = np.full((len(LEVELS), 2), test.held, np.float32)
        commands[:, test.column] = LEVELS
        road = road_responses(
            dreams,
            data.environment,
            maps,
            sizes.steering_starts,
            commands,
            config.warmup,
            times,
            derive(config.seed, KEY),
        )
        frames = dreamt_responses(
            dreams, road.context, commands, times, sizes.steering_dreams, derive(config.seed, KEY, 1)
        )
        sources = {
            "dream": read_path(probes.motion, frames, test.motion),
            "road": read_path(probes.motion, reconstructed(dreams, road.frames), test.motion)[:, :, None],
            "road_true": true_path(road, test.motion)[:, :, None],
        }
        found[test.name] = {
            f"{seconds:g}": {
                **responses({name: part[..., count - 1] for name, part in sources.items()}, config.seed),
                "seconds": number(count * lag * data.step_time),  # in whole steps
                "on_road": number(float(road.on_road[:, :, 2 * count].mean())),
            }
            for seconds, count in parts.items()
        }
    return found


def reconstructed(dreams: Dreams, frames: Frames) -> Frames:
    """The VAE's reconstructions of frames (..., 64, 64, 3)."""
    flat = frames.reshape(-1, *frames.shape[-3:])
    found: Frames = dreams.decode(dreams.encode(flat)).reshape(frames.shape)
    return found


def read_path(probe: MotionProbe, frames: Frames, motion: str) -> Array:
    """Turn [rad] or advance [m] since the first frame.

    Args:
        probe: of motion.
        frames: (..., 2K + 1, 64, 64, 3).
        motion: "turn" or "advance".
    Returns:
        (..., K).
    """
    flat = frames.reshape(-1, *frames.shape[-4:])
    path = getattr(probe.path(flat), motion)
    return np.asarray(path.reshape(*frames.shape[:-4], -1), np.float64)


def true_path(road: Responses, motion: str) -> Array:
    """The same from the poses, (S, C, K)."""
    pose = road.pose[:, :, ::2]
    before, after = (part.reshape(-1, 3) for part in (pose[:, :, :-1], pose[:, :, 1:]))
    parts = getattr(true_motion(before, after), motion).reshape(*pose.shape[:2], -1)
    return np.asarray(parts.cumsum(axis=2), np.float64)


def responses(sources: dict[str, Array], seed: int) -> dict[str, Any]:
    """The figures of each source at one time.

    Args:
        sources: (S, C, D) turn or advance by source: S states, C commands, D dreams (1 on the road).
        seed: of the intervals.
    """
    found: dict[str, Any] = {}
    gaps = {name: separation(part) for name, part in sources.items()}
    for name, part in sources.items():
        found[name] = {
            "spearman": bootstrap_mean(spearman(part), seed)._asdict(),
            "separation": bootstrap_mean(gaps[name], seed)._asdict(),
        }
    noise = np.sqrt(sources["dream"].var(axis=2, ddof=1).mean(axis=1))  # dreams are few
    found["dream"] |= {
        "noise": bootstrap_mean(noise, seed)._asdict(),
        "separation_over_noise": bootstrap_mean(gaps["dream"] / np.maximum(noise, 1e-6), seed)._asdict(),
    }
    road = float(gaps["road"].mean())  # read by the same probe, which reads large motions as smaller ones
    found["dream"]["of_road"] = number(float(gaps["dream"].mean()) / road) if road else None
    return found


def spearman(response: Array) -> Array:
    """Rank correlation of command and response in each state, (S,), the mean over its dreams.

    Equal responses share their ranks; where all are equal the correlation is 0.

    Args:
        response: (S, C, D); the commands ascend.
    """
    ranks = rankdata(response, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    wanted = np.arange(response.shape[1])[None, :, None] - (response.shape[1] - 1) / 2
    size = np.sqrt((ranks**2).sum(axis=1) * (wanted**2).sum(axis=1))
    found = np.where(size > 0, (ranks * wanted).sum(axis=1) / np.maximum(size, 1e-9), 0.0)
    return np.asarray(found.mean(axis=1), np.float64)


def separation(response: Array) -> Array:
    """Between the responses to the highest and the lowest command in each state, (S,)."""
    means = response.mean(axis=2)
    return np.asarray(means[:, -1] - means[:, 0], np.float64)
