"""Distribution of dreamt frames against real frames of the same policies, by horizon.

A policy drives on the road, and then in dreams that start from the first frames of the same episodes. The
episodes that still run at a horizon are compared; real frames are seen through the VAE. The change of a
state over half a second counts as well, as dreams that stand still may show the right states."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError, ControllerError, MapError, RecordError
from dreamduck.common.seeding import derive
from dreamduck.controllers.factory import load_controller
from dreamduck.evaluation.model_card.bootstrap import Estimate, IntArray
from dreamduck.evaluation.model_card.config import ModelCardConfig
from dreamduck.evaluation.model_card.dreams import ClosedLoop, Context, Dreams
from dreamduck.evaluation.model_card.driving.data import RealData
from dreamduck.evaluation.model_card.driving.ranked_policies import RankedPolicy, imitations
from dreamduck.evaluation.model_card.driving.road_episodes import Trace, draw_starts, drive_all
from dreamduck.evaluation.model_card.probes.probe import NO_TELEMETRY, Probes
from dreamduck.evaluation.model_card.sections.distances import (
    MIN_ROWS,
    energy,
    frechet,
    on_shared_axes,
    standardized,
    times_floor,
)
from dreamduck.evaluation.model_card.sections.ranking import roads_of
from dreamduck.evaluation.model_card.sections.realism import (
    Motion,
    flicker,
    flicker_ratio,
    ratio,
    realism,
    sharpness,
)
from dreamduck.pretrained import CONTROLLERS
from dreamduck.recordings.behavior_policies import OrnsteinUhlenbeck
from dreamduck.simulator.road import RoadConfig
from dreamduck.world_model.dynamics import FloatArray
from dreamduck.world_model.vae.layout import Frames

Array = npt.NDArray[np.float64]

KEY, NOISE_KEY = 0x64697374, 0x6E6F6973
SHIPPED, CONTROLLER = "shipped controller", "rnnenv.cma.32.64.best.json"
LEAST = 2 * MIN_ROWS  # episodes in either world
LAG = 0.5  # [s] over which a change is measured
WALK_STEPS, WALK_STD = 10, (0.25, 0.3)  # of smooth random actions: time constant, standard deviations
ANOTHER_MODEL = f"{CONTROLLER} was made with another world model"
COMPONENTS = 16  # of the probe's features


class Sample(NamedTuple):
    """What is seen of the episodes that still run at a horizon; R rows."""

    episode: IntArray  # (R,)
    frame: Frames  # (R, 64, 64, 3)
    motion: Motion
    state: Array  # (R, S), probed; (R, 0) without probes
    change: Array  # (R, S - 1), of what frames show of it over `LAG`, likewise
    features: Array  # (R, F), of the probe's network, likewise


class Comparison(NamedTuple):
    """The episodes of one policy on the road, and its dreams that start from them.

    Attributes:
        road: E real episodes.
        length: (E,) steps of each.
        dream: R dreams.
        rows: (R,) the real episodes that the dreams start from.
        last: step of the last real frame before a dream.
        lag: steps over which changes are measured.
    """

    road: Trace
    length: IntArray
    dream: ClosedLoop
    rows: IntArray
    last: int
    lag: int


def distribution(
    dreams: Dreams, data: RealData, probes: Probes | None, config: ModelCardConfig
) -> dict[str, Any]:
    """The section of the card.

    Args:
        dreams: of the world model.
        data: the real episodes; the policies drive on the maps of the held-out ones.
        probes: what reads states; without them no states are compared.
        config: the card's settings.
    """
    try:
        roads = roads_of(dreams, data)
    except (ConfigError, MapError) as err:
        return {"left_out": str(err)}
    step_time = roads[0].step_time
    horizons = {f"{s:g}": round(s / step_time) for s in config.sizes.distribution_seconds}
    found: dict[str, Any] = {}
    for number, (name, make) in enumerate(POLICIES.items()):
        seed = derive(config.seed, KEY, number)
        try:
            policy = make(dreams, data)
        except (ControllerError, RecordError) as err:
            found[name] = {"left_out": str(err)}
            continue
        lag = max(1, round(LAG / step_time))
        driven = drive(dreams, policy, roads, config, max(horizons.values()) + 1, lag, seed)
        found[name] = {s: compare(dreams, probes, driven, k, seed) for s, k in horizons.items()}
    return {
        "maps": [road.simulation.map_name for road in roads],
        "episodes": config.sizes.distribution_episodes,
        "drivers": found,
        **({} if probes else {"left_out_measures": f"states and features: {NO_TELEMETRY}"}),
    }


def shipped_controller(dreams: Dreams, data: RealData) -> RankedPolicy:
    """The controller that ships, which fits only the model that it was evolved with.

    Raises:
        ControllerError: it was made with another model.
    """
    try:
        controller = load_controller(CONTROLLERS / CONTROLLER, dreams.model.folder, strict=True)
    except ControllerError as err:  # whose text names folders, which the card must not depend on
        raise ControllerError(ANOTHER_MODEL) from err

    def policy(z: FloatArray, h: FloatArray) -> FloatArray:
        c = np.zeros((len(z), controller.form.c_width), np.float32)
        return controller(np.concatenate([z, c, h], axis=1))

    return RankedPolicy(SHIPPED, "shipped", controller.form.features, policy)


def smooth_random_actions() -> RankedPolicy:
    """A policy that sees nothing: an Ornstein-Uhlenbeck process around standing still."""

    def noise(random: np.random.Generator, steps: int) -> FloatArray:
        walk = OrnsteinUhlenbeck(random, WALK_STEPS, WALK_STD)
        return np.array([walk() for _ in range(steps)], np.float32)

    return RankedPolicy(
        "smooth random actions", "plain", "", lambda z, h: np.zeros((len(z), 2), np.float32), noise
    )


POLICIES: dict[str, Callable[[Dreams, RealData], RankedPolicy]] = {
    SHIPPED: shipped_controller,
    "imitated expert": lambda dreams, data: imitations(dreams, data, "zh")[0],
    "smooth random actions": lambda dreams, data: smooth_random_actions(),
}


def drive(
    dreams: Dreams,
    policy: RankedPolicy,
    roads: Sequence[RoadConfig],
    config: ModelCardConfig,
    steps: int,
    lag: int,
    seed: int,
) -> Comparison:
    """One policy on the road, and in dreams of its own first real frames.

    Args:
        dreams: of the world model.
        policy: what drives.
        roads: that its episodes take in turn.
        config: the card's settings.
        steps: of the dreams.
        lag: steps over which changes are measured.
        seed: of the starts, the policy's noise and the dreams.
    """
    episodes, last = config.sizes.distribution_episodes, config.warmup - 1
    noise = policy.noises(derive(seed, NOISE_KEY), episodes, last + steps)

    looking = dataclasses.replace(policy, features="zh")  # the probes need these too
    starts, road = draw_starts(roads, episodes, seed), Trace.empty(episodes, last + steps, dreams.model)
    length = drive_all(dreams.model, [looking], starts, last + steps, [noise], road).length[0]
    rows = np.flatnonzero(length > last)
    context = Context(road.z[rows, : last + 1], road.action[rows, :last])
    dream = dreams.closed_loop(
        lambda z, h, t: policy.act(z, h) + noise[rows, last + t], context, steps, seed, cut=False
    )
    return Comparison(road, length, dream, rows, last, lag)


def compare(
    dreams: Dreams, probes: Probes | None, driven: Comparison, step: int, seed: int
) -> dict[str, Any]:
    """All figures of one policy at one horizon.

    Args:
        dreams: of the world model.
        probes: as for `distribution`.
        driven: the policy's real episodes and dreams.
        step: of the dream.
        seed: of splits, folds and intervals.
    """
    road, dream, at = driven.road, driven.dream, driven.last + step
    alive, kept = np.flatnonzero(driven.length > at), np.flatnonzero(dream.length > step)
    found: dict[str, Any] = {"road_episodes": len(alive), "dreams": len(kept)}
    if min(len(alive), len(kept)) < LEAST:
        return {
            **found,
            "left_out": f"fewer than {LEAST} episodes last so long on the road or in the dream",
        }
    dreamt = look(dreams, probes, (dream.z, dream.h), kept, driven.rows[kept], step, driven.lag)
    real = look(dreams, probes, (road.z, road.h), alive, alive, at, driven.lag)
    both = dreamt.episode, real.episode
    estimates: dict[str, Estimate] = {}
    if probes:
        for prefix, *pair in (("", dreamt.state, real.state), ("change_", dreamt.change, real.change)):
            rows = standardized(*pair)
            estimates[f"{prefix}energy"] = times_floor(energy(rows), *both, seed)
            estimates[f"{prefix}frechet"] = times_floor(frechet(rows), *both, seed)
        rows = on_shared_axes(dreamt.features, real.features, COMPONENTS)
        estimates["feature_frechet"] = times_floor(frechet(rows), *both, seed)
    estimates["realism"] = realism(dreamt.frame, real.frame, *both, seed)
    estimates["sharpness"] = ratio(sharpness(dreamt.frame), sharpness(real.frame), *both, seed)
    estimates["flicker"] = flicker_ratio(dreamt.motion, real.motion, seed)
    return {**found, **{name: estimate._asdict() for name, estimate in estimates.items()}}


def look(
    dreams: Dreams,
    probes: Probes | None,
    seen: tuple[FloatArray, FloatArray],
    rows: IntArray,
    episodes: IntArray,
    step: int,
    lag: int,
) -> Sample:
    """Observed frames, states and features of some episodes at a step.

    Args:
        dreams: of the world model.
        probes: as for `distribution`.
        seen: z (E, T, Z) and h (E, T, H).
        rows: (R,) the episodes that still run.
        episodes: (R,) their numbers on the road.
        step: when.
        lag: steps over which changes are measured.
    """
    z, h = seen
    now, before, earlier = (dreams.decode(z[rows, step - back]) for back in (0, 1, lag))
    nothing = np.zeros((len(rows), 0))
    motion = Motion(episodes, flicker(before, now), np.zeros(len(rows)))
    if probes is None:
        return Sample(episodes, now, motion, nothing, nothing, nothing)
    reading, features = probes.frame.read(np.concatenate([now, earlier]))
    columns = (reading.lane_dist, np.sin(reading.lane_angle), reading.ahead[:, 1:])
    shown, shown_earlier = np.split(np.column_stack(columns).astype(np.float64), 2)
    seen_now = np.concatenate([z[rows, step], h[rows, step]], axis=1)
    speed = probes.zh.predict(seen_now).speed.astype(np.float64)
    state, change = np.column_stack([shown, speed]), shown - shown_earlier
    kept = features[: len(rows)].astype(np.float64)
    return Sample(episodes, now, motion._replace(speed=speed), state, change, kept)
