"""How long policies last, in the dream and on the road: survival curves and their Kolmogorov distance."""

from __future__ import annotations

from typing import Any

import numpy as np

from dreamduck.common.seeding import generator
from dreamduck.evaluation.model_card.bootstrap import IntArray, bootstrap
from dreamduck.evaluation.model_card.bootstrap import number as number_of
from dreamduck.evaluation.model_card.sections.ranking import PolicyEpisodes

POINTS = 60  # of a curve in the card
SHUFFLES = 200
SHUFFLE_KEY = 0x73687566


def points(steps: int) -> IntArray:
    """The steps at which curves are drawn, at most `POINTS` of 1 to `steps`."""
    return np.unique(np.linspace(1, steps, POINTS).round().astype(np.int64))


def survival_curve(lengths: IntArray, steps: IntArray) -> list[float | None]:
    """The share of episodes that last longer than so many steps.

    Args:
        lengths: (E,) steps of each episode.
        steps: (P,) where the curve is drawn.
    """
    return [number_of(float((lengths > t).mean())) for t in steps]


def kolmogorov(one: IntArray, other: IntArray) -> float:
    """The greatest distance between two survival curves.

    Args:
        one: (E,) steps.
        other: (F,) steps.
    """
    at = np.union1d(one, other)
    curves = (np.searchsorted(np.sort(part), at, "right") / len(part) for part in (one, other))
    return float(np.abs(np.subtract(*curves)).max())


def distance_by_chance(one: IntArray, other: IntArray, seed: int) -> float:
    """The distance that two samples of one distribution exceed in 5% of shuffles of these episodes."""
    random, pooled = generator(seed, SHUFFLE_KEY), np.concatenate([one, other])
    found = []
    for _ in range(SHUFFLES):
        mixed = random.permutation(pooled)
        found.append(kolmogorov(mixed[: len(one)], mixed[len(one) :]))
    return float(np.percentile(found, 95))


def survival(found: PolicyEpisodes, seed: int) -> dict[str, Any]:
    """The section of the card: policies in the dream and on the road.

    Args:
        found: the episodes of all policies, as their ranking has them.
        seed: of the intervals.
    Returns:
        For each policy both curves, their Kolmogorov distance with its interval, and the distance that
        chance alone exceeds once in twenty times.
    """
    steps = points(found.steps)
    rows = []
    for number, policy in enumerate(found.policies):
        road, dream = (
            world.length[number] + ~world.ended[number] for world in (found.road, found.dream)
        )  # a step more than the longest where an episode did not end

        def distance(chosen: IntArray, road: IntArray = road, dream: IntArray = dream) -> float:
            return kolmogorov(dream[chosen], road[chosen])

        rows.append(
            {
                "name": policy.name,
                "kolmogorov": dict(bootstrap(distance, len(road), seed)._asdict()),
                "by_chance": number_of(distance_by_chance(dream, road, seed)),
                "road": survival_curve(road, steps),
                "dream": survival_curve(dream, steps),
            }
        )
    return {"seconds": [number_of(float(t * found.step_time)) for t in steps], "drivers": rows}
