"""Whether dreams show what the road shows: dreamt against real frames of the same drivers, by horizon.

A driver drives on the road; its dreams start from the first frames of the same episodes, and it drives on in
them. What is compared at each horizon is the episodes that still run. A state counts with its change over half
a second, so that a dream that stands still does not pass."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import derive, generator
from dreamduck.evaluation.model_card.bootstrap import Estimate, IntArray, bootstrap
from dreamduck.evaluation.model_card.config import ModelCardConfig
from dreamduck.evaluation.model_card.data import RealData
from dreamduck.evaluation.model_card.distances import energy, frechet, principal, standardized, times_floor
from dreamduck.evaluation.model_card.dreams import ClosedLoop, Context, Dreams
from dreamduck.evaluation.model_card.realism import flicker, realism, sharpness
from dreamduck.evaluation.model_card.road_trace import EpisodePolicy, RoadTrace, drive_road
from dreamduck.world_model.mdn_rnn.layout import FloatArray
from dreamduck.world_model.vae.layout import Frames

log = logging.getLogger(__name__)

Array = npt.NDArray[np.float64]

KEY = 0x64697374
LAG = 0.5  # [s] over which a change is measured
COMPONENTS = 16  # of the probe's features
NEIGHBOURS = 4  # real frames of about the same speed that a dreamt one's flicker is held to
WALK_MEAN, WALK_STD, WALK_TIME = (0.35, 0.0), (0.25, 0.3), 1.0  # of smooth random actions; [s]


class Sample(NamedTuple):
    """What is seen of the episodes that still run at a horizon; R rows."""

    episode: IntArray  # (R,)
    frame: Frames  # (R, 64, 64, 3), decoded
    before: Frames  # likewise, a step earlier
    state: Array  # (R, S), probed, and its change over `LAG`
    features: Array  # (R, F), of the probe's network, likewise
    speed: Array  # (R,) [m/s], probed


def smooth_random_actions(episodes: int, steps: int, step_time: float, seed: int) -> EpisodePolicy:
    """A policy that sees nothing: an Ornstein-Uhlenbeck process, the same for an episode wherever it runs.

    Args:
        episodes: E.
        steps: T, of the longest.
        step_time: [s].
        seed: of the process.
    """
    keep = float(np.exp(-step_time / WALK_TIME))
    noise = generator(seed, KEY).standard_normal((steps, episodes, len(WALK_MEAN)))
    for t in range(1, steps):
        noise[t] = keep * noise[t - 1] + np.sqrt(1 - keep**2) * noise[t]
    actions = np.clip(WALK_MEAN + noise * WALK_STD, -1, 1).astype(np.float32)
    return lambda z, h, step, rows: actions[min(step, steps - 1), rows]


def shipped_controller(dreams: Dreams) -> EpisodePolicy:
    """The controller that ships, which fits only the model that it was evolved with.

    Args:
        dreams: of the world model.
    Raises:
        ControllerError: it was made with another model.
    """
    controller = load_controller(CONTROLLERS / CONTROLLER, dreams.model.folder, strict=True)

    def policy(z: FloatArray, h: FloatArray, step: int, rows: IntArray) -> npt.ArrayLike:
        return controller(np.concatenate([z, np.zeros_like(h), h], axis=1))

    return policy


def drivers(dreams: Dreams, data: RealData, config: ModelCardConfig, steps: int) -> dict[str, Any]:
    """The policies by name; in the place of one that cannot be had, the reason."""
    imitation = fit_imitation(dreams, data)
    step_time = float(data.environment.get("step_time", STEP_TIME))
    found: dict[str, Any] = {}
    try:
        found["shipped controller"] = shipped_controller(dreams)
    except ControllerError as err:
        found["shipped controller"] = str(err)
    found["imitated expert"] = lambda z, h, step, rows: imitation(z, h, step)
    walk = smooth_random_actions(config.sizes.distribution_episodes, steps, step_time, config.seed)
    return {**found, "smooth random actions": walk}


def distribution(dreams: Dreams, data: RealData, probes: Any, config: ModelCardConfig) -> dict[str, Any]:
    """The section of the card.

    Args:
        dreams: of the world model.
        data: the real episodes; the probes' maps are driven on.
        probes: what reads states from frames and from [z, h].
        config: the card's settings.
    """
    sizes, step_time = config.sizes, float(data.environment.get("step_time", STEP_TIME))
    horizons = {seconds: round(seconds / step_time) for seconds in sizes.distribution_seconds}
    steps, lag = max(horizons.values()) + 1, max(1, round(LAG / step_time))
    maps = tuple(dict.fromkeys(data.held_out.maps))
    found: dict[str, Any] = {}
    for number, (name, policy) in enumerate(
        drivers(dreams, data, config, config.warmup + steps).items()
    ):
        if isinstance(policy, str):
            found[name] = {"left_out": policy}
            continue
        seed = derive(config.seed, KEY, number)
        at = [config.warmup - 1 + k for k in horizons.values()]
        kept = {*at, *(t - lag for t in at)}
        count = sizes.distribution_episodes
        road = drive_road(
            dreams, policy, data.environment, maps, count, config.warmup - 1 + steps, kept, seed
        )
        rows = np.flatnonzero(road.length >= config.warmup)
        dream = dream_of(dreams, policy, road, rows, config.warmup, steps, seed)
        found[name] = {
            f"{seconds:g}": compare(dreams, probes, road, dream, rows, config.warmup - 1, k, lag, seed)
            for seconds, k in horizons.items()
        }
    return {"maps": list(maps), "episodes": sizes.distribution_episodes, "drivers": found}


def dream_of(
    dreams: Dreams,
    policy: EpisodePolicy,
    road: RoadTrace,
    rows: IntArray,
    warmup: int,
    steps: int,
    seed: int,
) -> ClosedLoop:
    """The driver goes on in dreams of its own first real frames.

    Args:
        dreams: of the world model.
        policy: the driver.
        road: its real episodes.
        rows: (R,) those that last that long.
        warmup: real frames.
        steps: of the dreams.
        seed: of the dreams.
    """
    context = Context(road.z[rows, :warmup], road.action[rows, : warmup - 1])
    return dreams.closed_loop(
        lambda z, h, t: policy(z, h, warmup - 1 + t, rows), context, steps, seed, cut=False
    )


def compare(
    dreams: Dreams,
    probes: Any,
    road: RoadTrace,
    dream: ClosedLoop,
    rows: IntArray,
    last: int,
    step: int,
    lag: int,
    seed: int,
) -> dict[str, Any]:
    """All figures of one driver at one horizon.

    Args:
        dreams: of the world model.
        probes: as for `distribution`.
        road: the real episodes.
        dream: R dreams.
        rows: (R,) the real episodes that the dreams start from.
        last: step of the last real frame before a dream.
        step: of the dream.
        lag: steps over which changes are measured.
        seed: of splits, folds and intervals.
    """
    real_rows = np.flatnonzero(road.length > last + step)
    kept = np.flatnonzero(dream.length > step)
    counts = {"real_episodes": len(real_rows), "dreams": len(kept)}
    if min(len(real_rows), len(kept)) < MIN_EPISODES:
        return {
            **counts,
            "left_out": f"fewer than {MIN_EPISODES} episodes last so long on the road or in the dream",
        }
    dreamt = look(dreams, probes, dream.z[kept], dream.h[kept], rows[kept], step, lag)
    real = look(dreams, probes, road.z[real_rows], road.h[real_rows], real_rows, last + step, lag)
    camera = np.concatenate(
        change(*(probe_features(probes, road.frames[last + t][real_rows]) for t in (step, step - lag)))
    )
    both = dreamt.episode, real.episode
    states = standardized(dreamt.state, real.state)
    features, seen = (
        principal(standardized(dreamt.features, other), COMPONENTS) for other in (real.features, camera)
    )
    frames = [
        realism(dreamt.frame, real.frame, *both, seed),
        ratio(sharpness(dreamt.frame), sharpness(real.frame), *both, seed),
        flicker_ratio(dreamt, real, seed),
    ]
    found = {
        "energy": times_floor(energy(states), *both, seed),
        "frechet": times_floor(frechet(states), *both, seed),
        "features": times_floor(frechet(features), *both, seed),
        "features_of_camera": times_floor(frechet(seen), *both, seed),
        **dict(zip(("realism", "sharpness", "flicker"), frames, strict=True)),
    }
    return {**counts, **{name: dict(estimate._asdict()) for name, estimate in found.items()}}
