"""State by horizon: the car's state in dreams under the recorded actions, against the recorded state.

Three baselines stand beside the dream: the last frame stays; the car continues from its true pose by the
recorded commands, with its inertia and delay, on the true map; and another real episode at the same time,
a guess that knows nothing of this one. The floor is the probe's own error on reconstructions of
the real frames."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from dreamduck.common.seeding import derive
from dreamduck.evaluation.model_card.bootstrap import IntArray, bootstrap_mean
from dreamduck.evaluation.model_card.config import HORIZONS, ModelCardConfig
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.data import RealData, RealEpisodes
from dreamduck.evaluation.model_card.driving.road_ahead import lane_offsets
from dreamduck.evaluation.model_card.probes.probe import NO_TELEMETRY, ProbedState, Probes, defined
from dreamduck.simulator.expert import SPEED_PER_THROTTLE, TURN_PER_STEERING
from dreamduck.simulator.robot import ANGULAR_DRAG, DELAY, LINEAR_DRAG
from dreamduck.world_model.dynamics import FloatArray

KEY = 0x686F72
PARTS = 6  # of a step, in which the motion is followed
QUANTITIES = ("lane_dist", "lane_angle")


class Windows(NamedTuple):
    """W parts of real episodes, each with frames before a dream and actions for it."""

    first: IntArray  # (W,) row of the last frame before the dream
    left: IntArray  # (W,) steps of the episode behind that row
    episode: IntArray  # (W,)
    z: FloatArray  # (W, warmup, Z)
    action: FloatArray  # (W, warmup - 1 + T, A); behind an episode its last action


def make_windows(real: RealEpisodes, warmup: int, steps: int, shortest: int, most: int) -> Windows:
    """As many windows as fit into each episode, one after another.

    Args:
        real: the episodes.
        warmup: frames before a dream.
        steps: T, of a dream.
        shortest: steps that an episode must last.
        most: windows of one episode.
    """
    firsts = [
        start + warmup - 1
        for start, stop in zip(real.offsets[:-1], real.offsets[1:], strict=True)
        for start in range(start, stop - warmup - shortest + 1, warmup + steps)[:most]
    ]
    first = np.array(firsts, np.int64)
    episode = np.searchsorted(real.offsets, first, "right") - 1
    last = real.offsets[episode + 1] - 1
    before = first[:, None] + np.arange(1 - warmup, 1)
    during = np.minimum(first[:, None] + np.arange(1 - warmup, steps), last[:, None])
    return Windows(first, last - first, episode, real.z[before], real.action[during])


def horizon(
    dreams: Dreams, data: RealData, probes: Probes | None, config: ModelCardConfig
) -> dict[str, Any]:
    """The section of the card.

    Args:
        dreams: of the world model.
        data: the real episodes.
        probes: the trained probes; None where there is no telemetry.
        config: the card's settings.
    """
    if probes is None:
        return {"left_out": NO_TELEMETRY}
    step_time = data.step_time
    steps = {seconds: max(1, round(seconds / step_time)) for seconds in HORIZONS}
    longest, real = max(steps.values()), data.held_out
    windows = make_windows(real, config.warmup, longest, min(steps.values()), config.sizes.horizon_windows)
    if not len(windows.first):
        return {"left_out": f"no held-out episode is longer than {config.warmup} frames and a dream"}
    seed = derive(config.seed, KEY)
    dreamt = dreams.open_loop(windows.z, windows.action, longest, config.dreams, seed)
    moved = kinematics(real, windows, longest, step_time, data.environment)
    readable = defined(real)
    found: dict[str, Any] = {}
    for seconds, k in steps.items():
        here = np.flatnonzero(windows.left >= k)
        here = here[readable[windows.first[here] + k]]
        if len(here):
            rows = windows.first[here] + k
            z = dreamt.z[here, :, k - 1].reshape(-1, dreamt.z.shape[-1])
            guesses = _guesses(dreams, probes, real, windows.first[here], rows, z, config.dreams)
            if moved is not None:
                guesses["kinematics"] = moved[:, here, k - 1]
            found[f"{seconds:g}"] = _errors(real, windows.episode[here], rows, guesses, config.seed)
    return {
        "episodes": len(np.unique(windows.episode)),
        "windows": len(windows.first),
        "dreams": config.dreams,
        "horizons": found,
    }


def _guesses(
    dreams: Dreams,
    probes: Probes,
    real: RealEpisodes,
    first: IntArray,
    rows: IntArray,
    z: FloatArray,
    count: int,
) -> dict[str, FloatArray]:
    """What each source says of offset and angle, (2, W) each; of the dreams (2, W, S)."""
    others = np.roll(rows, len(rows) // 2)  # windows stand in the order of their episodes
    parts = [z, real.z[first], real.z[others], real.z[rows]]
    state = _stacked(probes.frame.predict(dreams.decode(np.concatenate(parts))))
    edges = np.cumsum([len(part) for part in parts])[:-1]
    dreamt, *single = np.split(state, edges, axis=1)
    names = ("last_frame", "other_episode", "floor")
    return {"dream": dreamt.reshape(2, -1, count), **dict(zip(names, single, strict=True))}


def _stacked(state: ProbedState) -> FloatArray:
    return np.stack([getattr(state, name) for name in QUANTITIES])


def _errors(
    real: RealEpisodes, episode: IntArray, rows: IntArray, guesses: dict[str, FloatArray], seed: int
) -> dict[str, Any]:
    """Mean absolute errors by quantity and source, with intervals over episodes."""
    found: dict[str, Any] = {"windows": len(rows)}
    for number, name in enumerate(QUANTITIES):
        true = real.column(name)[rows].astype(np.float64)
        dream = guesses["dream"][number]
        errors = {
            "single": np.abs(dream - true[:, None]).mean(axis=1),
            "mean": np.abs(dream.mean(axis=1) - true),
            "best": np.abs(dream - true[:, None]).min(axis=1),
            **{source: np.abs(one[number] - true) for source, one in guesses.items() if source != "dream"},
        }
        found[name] = {
            source: bootstrap_mean(error, seed, episode)._asdict() for source, error in errors.items()
        }
    return found


def kinematics(
    real: RealEpisodes, windows: Windows, steps: int, step_time: float, environment: dict[str, Any]
) -> FloatArray | None:
    """Offset and angle of a car that obeys the recorded commands, with its inertia and delay.

    It knows where it is and how fast at the beginning, and which lane is where; objects and other cars do
    not exist, and no wheel reaches its limit.

    Args:
        real: the episodes, with telemetry.
        windows: whose actions are taken.
        steps: T.
        step_time: [s].
        environment: holds the steering gain.
    Returns:
        (2, W, T), off the road the last values on it; None where a map is not known here.
    """
    gain, now = float(environment.get("steering_gain", 1.0)), windows.z.shape[1] - 1
    aims = windows.action.astype(np.float64) * (SPEED_PER_THROTTLE, TURN_PER_STEERING * gain)
    x, z, heading = (real.column(name)[windows.first].astype(np.float64) for name in ("x", "z", "heading"))
    before = real.column("heading")[windows.first - min(now, 1)]
    turning = (heading - before + np.pi) % (2 * np.pi) - np.pi
    motion = np.stack([real.column("speed")[windows.first], turning / step_time], axis=1)  # [m/s], [rad/s]
    part = step_time / PARTS
    kept = np.exp(-part * np.array([LINEAR_DRAG, ANGULAR_DRAG]))
    found = np.empty((2, len(x), steps), np.float32)
    last = np.stack([real.column(name)[windows.first] for name in QUANTITIES])
    for t in range(steps):
        for moment in t + (np.arange(PARTS) + 0.5) / PARTS:
            obeyed = max(now + math.floor(moment - DELAY / step_time), 0)
            motion = aims[:, obeyed] + kept * (motion - aims[:, obeyed])
            heading = heading + part * motion[:, 1]
            x = x + part * motion[:, 0] * np.cos(heading)
            z = z - part * motion[:, 0] * np.sin(heading)
        pose = np.stack([x, z, heading], axis=1)
        for name in set(real.maps):
            here = np.flatnonzero([real.maps[e] == name for e in windows.episode])
            offsets = lane_offsets(name, pose[here])
            if offsets is None:
                return None
            last[:, here] = np.where(np.isfinite(offsets), offsets, last[:, here])
        found[:, :, t] = last
    return found
