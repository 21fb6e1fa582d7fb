"""Whether the dream ranks policies as the road does: returns and survival of all policies in both.

Every policy drives the same episodes in the native simulator and in the dream: the dream begins with the
frame that the simulator shows first, and both have the same noise of the policy. Sources: policy ranking of
WorldGym and NAVSIM; the exploit gap of Ha & Schmidhuber 2018, section 4.5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from dreamduck.common.command_line import progress
from dreamduck.common.errors import ConfigError, MapError
from dreamduck.common.seeding import derive, generator
from dreamduck.evaluation.model_card.bootstrap import IntArray, bootstrap, bootstrap_mean, number
from dreamduck.evaluation.model_card.config import ModelCardConfig
from dreamduck.evaluation.model_card.dreams import Context, Dreams
from dreamduck.evaluation.model_card.driving.collection import ENVIRONMENT_ID, road_config
from dreamduck.evaluation.model_card.driving.data import RealData
from dreamduck.evaluation.model_card.driving.maps_here import maps_here, spread
from dreamduck.evaluation.model_card.driving.ranked_policies import LeftOut, RankedPolicy, all_policies
from dreamduck.evaluation.model_card.driving.road_episodes import (
    Outcomes,
    Starts,
    draw_starts,
    drive_all,
    first_latents,
)
from dreamduck.simulator.road import RoadConfig

NOISE, DREAM = 0x6E6F6973, 0x64726561  # random streams
LEAST_POLICIES = 3  # for a correlation
SPLITS, HALVES_KEY = 50, 0x68616C66  # random halves of the road's episodes
FloatMatrix = npt.NDArray[np.float64]


class PolicyEpisodes(NamedTuple):
    """All policies in both worlds; P policies, E episodes each."""

    policies: list[RankedPolicy]
    left_out: list[LeftOut]
    starts: Starts
    steps: int  # of the longest episode
    step_time: float  # [s]
    road: Outcomes
    dream: Outcomes


def run_policies(dreams: Dreams, data: RealData, config: ModelCardConfig) -> PolicyEpisodes:
    """Drive the same episodes with all policies in the simulator and in the dream.

    Raises:
        ConfigError: the recordings are of another environment, or the model predicts no rewards and ends.
        MapError: none of the maps is installed.
    """
    if lacks := dreams.model.dynamics.lacks:
        raise ConfigError(f"the model predicts {lacks}")
    roads = roads_of(dreams, data)
    policies, left_out = all_policies(dreams, data)
    episodes, step_time = config.sizes.ranking_episodes, roads[0].step_time
    steps = round(config.sizes.ranking_seconds / step_time)
    starts = draw_starts(roads, episodes, config.seed)
    noises = [
        policy.noises(derive(config.seed, NOISE, number), episodes, steps)
        for number, policy in enumerate(policies)
    ]
    driven = drive_all(dreams.model, policies, starts, steps, noises)
    first = first_latents(dreams.model, starts)
    dreamt = dream_all(dreams, policies, first, steps, noises, derive(config.seed, DREAM))
    return PolicyEpisodes(policies, left_out, starts, steps, step_time, driven, dreamt)


def roads_of(dreams: Dreams, data: RealData) -> list[RoadConfig]:
    """The native road on each of the maps that were recorded.

    Raises:
        ConfigError: the recordings are of another environment.
        MapError: none of the maps is installed.
    """
    environment = data.environment.get("id", ENVIRONMENT_ID)
    if environment != ENVIRONMENT_ID or dreams.sizes[1] != 2:
        raise ConfigError(f"policies drive in {ENVIRONMENT_ID}, and these recordings are of {environment}")
    maps = spread(maps_here(sorted(data.held_out.maps)))
    found = [road_config(data.environment, name) for name in maps]
    if not found:
        raise MapError("policies need a road, and the recordings name no map that is installed")
    return found


def dream_all(
    dreams: Dreams,
    policies: Sequence[RankedPolicy],
    first: npt.NDArray[np.float32],
    steps: int,
    noises: Sequence[npt.NDArray[np.float32]],
    seed: int,
) -> Outcomes:
    """One dream of every policy from every start; the dreams of each policy have the same noise.

    Args:
        dreams: of the world model.
        policies: P.
        first: (E, Z), with which the dreams begin.
        steps: after which a dream is cut.
        noises: of each policy's actions, (E, steps, 2).
        seed: of the dreams.
    """
    start = Context(first[:, None], np.zeros((len(first), 0, dreams.sizes[1]), np.float32))
    rows = []
    for policy, noise in progress(list(zip(policies, noises, strict=True)), desc="dream"):

        def act(
            z: npt.NDArray[np.float32],
            h: npt.NDArray[np.float32],
            step: int,
            policy: RankedPolicy = policy,
            noise: npt.NDArray[np.float32] = noise,
        ) -> npt.NDArray[np.float32]:
            return policy.act(z, h) + noise[:, step]

        found = dreams.closed_loop(act, start, steps, seed, cut=True, trace=False)
        rows.append((found.reward.sum(axis=1, dtype=np.float64), found.length, found.ended))
    return Outcomes(*(np.stack(part) for part in zip(*rows, strict=True)))


def rank(found: PolicyEpisodes, seed: int) -> dict[str, Any]:
    """The figures of the section.

    Args:
        found: the episodes of all policies.
        seed: of the bootstrap.
    """
    road, dream = _measures(found, found.road), _measures(found, found.dream)
    trained = np.array([policy.trained_in_dream for policy in found.policies])
    rows = []
    for d, policy in enumerate(found.policies):
        row: dict[str, Any] = {"name": policy.name, "kind": policy.kind, "features": policy.features}
        row["trained_in_this_dream"] = policy.trained_in_dream
        for name in road:
            row[name] = {
                "road": bootstrap_mean(road[name][d], seed)._asdict(),
                "dream": bootstrap_mean(dream[name][d], seed)._asdict(),
            }
        rows.append(row)
    return {
        "drivers": rows,
        "left_out_drivers": [one._asdict() for one in found.left_out],
        "maps": [config.simulation.map_name for config in found.starts.roads],
        "episodes": len(found.starts.seeds),
        "seconds": found.steps * found.step_time,
        **{name: agreement(road[name], dream[name], seed) for name in road},
        "road_against_road": {
            name: self_agreement(road[name], len(found.starts.roads), seed) for name in road
        },
        "exploit_gap": exploit_gap(road["return"], dream["return"], trained, seed),
    }


def _measures(found: PolicyEpisodes, world: Outcomes) -> dict[str, FloatMatrix]:
    """Return, survival rate and time on the road [s] of each episode, each (D, E)."""
    return {
        "return": world.reward,
        "survival": (~world.ended).astype(np.float64),
        "survival_time": np.asarray(world.length * found.step_time, np.float64),
    }


def agreement(road: FloatMatrix, dream: FloatMatrix, seed: int) -> dict[str, Any]:
    """How well the means of policies agree: Spearman's and Pearson's correlation, and the regret.

    The regret is what the best policy on the road has there beyond the one that is best in the dream.

    Args:
        road: (D, E).
        dream: (D, E), the same episodes.
        seed: of the bootstrap.
    """

    def of(statistic: Any) -> dict[str, Any]:
        def resampled(chosen: IntArray) -> float:
            return float(statistic(road[:, chosen].mean(axis=1), dream[:, chosen].mean(axis=1)))

        return bootstrap(resampled, road.shape[1], seed)._asdict()

    return {"spearman": of(spearman), "pearson": of(pearson), "regret": of(regret)}


def self_agreement(road: FloatMatrix, maps: int, seed: int) -> float | None:
    """How well the road agrees with itself in other episodes of the same number and maps.

    Spearman's correlation of random halves, each with half of a map's episodes, corrected for their length
    by Spearman and Brown; the mean over `SPLITS` of them.

    Args:
        road: (D, E), maps in turn.
        maps: M of them.
        seed: of the halves.
    Returns:
        None where a map has less than two episodes.
    """
    count = road.shape[1] // (2 * maps)
    if not count:
        return None
    random, found = generator(seed, HALVES_KEY), []
    for _ in range(SPLITS):
        places = [np.arange(number, road.shape[1], maps) for number in range(maps)]
        order = [random.permutation(here)[: 2 * count] for here in places]
        one, other = (np.concatenate([part[side::2] for part in order]) for side in (0, 1))
        found.append(spearman(road[:, one].mean(axis=1), road[:, other].mean(axis=1)))
    mean = float(np.mean(found))
    return number(2 * mean / (1 + mean)) if mean > 0 else 0.0


def exploit_gap(road: FloatMatrix, dream: FloatMatrix, trained: npt.NDArray[np.bool_], seed: int) -> Any:
    """Mean return in the dream less that on the road: of policies trained in it, of the others, and by how
    much more the first are overrated.
    """

    def gap(rows: npt.NDArray[np.bool_]) -> FloatMatrix:
        return (dream - road)[rows].mean(axis=0)

    if not trained.any() or trained.all():
        return {"left_out": "no policy was trained in this model's dream"}
    return {
        "trained_in_this_dream": bootstrap_mean(gap(trained), seed)._asdict(),
        "others": bootstrap_mean(gap(~trained), seed)._asdict(),
        "difference": bootstrap_mean(gap(trained) - gap(~trained), seed)._asdict(),
    }


def pearson(one: FloatMatrix, other: FloatMatrix) -> float:
    """Pearson's correlation; 0 where one of the two is constant, which ranks nothing."""
    if len(one) < LEAST_POLICIES or not np.ptp(one) or not np.ptp(other):
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def spearman(one: FloatMatrix, other: FloatMatrix) -> float:
    """Spearman's rank correlation; 0 where one of the two is constant."""
    return pearson(rankdata(one), rankdata(other))


def regret(road: FloatMatrix, dream: FloatMatrix) -> float:
    """The return on the road that is lost by choosing the dream's best policy."""
    return float(road.max() - road[int(np.argmax(dream))])
