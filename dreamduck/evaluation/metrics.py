"""The AI Driving Olympics' measures of episodes.

Lateral deviation counts nothing while out of the lane, so it is only
meaningful beside survival and time out of the lane. Source: Zilly et al., "The AI Driving Olympics at
NeurIPS 2018", lane following."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError
from dreamduck.common.seeding import generator
from dreamduck.simulator.base import END_COLLISION, END_NONE, CarState, FloatArray
from dreamduck.simulator.road import in_lane, lane_progress

RESAMPLES = 2000
PERCENTILES = (2.5, 97.5)  # of a 95% interval


class Measures(NamedTuple):
    """Of E episodes; each (E,) float64.

    Attributes:
        survival_time: [s] until the end, or until the episode was cut.
        distance: [m] along the lane; what is driven outside of it counts only backwards.
        lateral_deviation: [m s] distance from the lane's centre, over the time in the lane.
        heading_deviation: [rad s] angle to the lane, over the time that there is one.
        out_of_lane_time: [s] alive, but not in the right-hand lane along its direction.
        collisions: 1 where the episode ended by touching something.
    """

    survival_time: FloatArray
    distance: FloatArray
    lateral_deviation: FloatArray
    heading_deviation: FloatArray
    out_of_lane_time: FloatArray
    collisions: FloatArray


class Estimate(NamedTuple):
    """A median with its confidence interval."""

    median: float
    low: float
    high: float


class EpisodeMeter:
    """Measures N episodes that begin together, one for each car.

    Args:
        state: of the cars after the reset.
        step_time: [s] between two states.
    """

    def __init__(self, state: CarState, step_time: float) -> None:
        self.alive = np.ones(len(state.pose), dtype=np.bool_)
        self.measures = Measures(*(np.zeros(len(state.pose)) for _ in Measures._fields))
        self._step_time = step_time
        self._position = state.pose[:, :2].copy()

    def update(self, state: CarState) -> npt.NDArray[np.bool_]:
        """Add one step; (N,) which cars still drive after it. The others are not measured any more."""
        measures, time, alive = self.measures, self._step_time, self.alive
        inside = in_lane(state)
        progress = lane_progress(state, state.pose[:, :2] - self._position)
        measures.survival_time[alive] += time
        measures.distance[alive] += np.where(inside, progress, np.minimum(progress, 0.0))[alive]
        measures.lateral_deviation[alive] += time * np.where(inside, np.abs(state.lane_dist), 0.0)[alive]
        measures.heading_deviation[alive] += time * np.nan_to_num(np.abs(state.lane_angle))[alive]
        measures.out_of_lane_time[alive] += time * ~inside[alive]
        measures.collisions[alive] += state.end[alive] == END_COLLISION
        self._position = state.pose[:, :2].copy()
        self.alive = alive & (state.end == END_NONE)
        return self.alive


def summarize(measures: Measures, seed: int = 0) -> dict[str, Estimate]:
    """Medians over the episodes, with 95% bootstrap intervals (percentiles).

    Args:
        seed: of the resampling; all measures are resampled by the same episodes.
    Raises:
        ConfigError: there is no episode.
    """
    count = len(measures.survival_time)
    if count == 0:
        raise ConfigError("summary: expected at least one episode, got none")
    chosen = generator(seed).integers(0, count, size=(RESAMPLES, count))
    found = {}
    for name, values in measures._asdict().items():
        low, high = np.percentile(np.median(values[chosen], axis=1), PERCENTILES)
        found[name] = Estimate(float(np.median(values)), float(low), float(high))
    return found
