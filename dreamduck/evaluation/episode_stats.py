"""A callback that measures episodes: the Olympics' measures, how each ended, and its path."""

from __future__ import annotations

from typing import Any

import numpy as np

from dreamduck.evaluation.metrics import EpisodeMeter, Measures
from dreamduck.simulator.base import ENDS, CarState
from dreamduck.simulator.road import RoadStep

PATH_EVERY = 2  # steps between two points of a path


class EpisodeStatsCallback:
    """Measures N cars in one episode each; see `controllers.evaluator.Callback`.

    Args:
        step_time: of the road [s].
    """

    def __init__(self, step_time: float) -> None:
        self._step_time = step_time
        self._meter: EpisodeMeter | None = None
        self._ends: Any = None
        self._positions: list[Any] = []  # of (N, 2), nan where a car's episode has ended
        self._steps = 0

    def start(self, state: CarState) -> None:
        """An episode has begun for every car."""
        self._meter = EpisodeMeter(state, self._step_time)
        self._ends = np.zeros(len(state.pose), dtype=np.int8)
        self._positions, self._steps = [state.pose[:, :2].copy()], 0

    def update(self, step: RoadStep) -> None:
        """A step was made."""
        assert self._meter is not None
        driving = self._meter.alive
        self._ends = np.where(driving, step.state.end, self._ends)
        self._steps += 1
        if self._steps % PATH_EVERY == 0:
            self._positions.append(np.where(driving[:, None], step.state.pose[:, :2], np.nan))
        self._meter.update(step.state)

    def episodes(self) -> list[dict[str, Any]]:
        """The measures of each episode, in the units of `metrics.Measures`, and how it ended."""
        assert self._meter is not None
        columns = self._meter.measures._asdict()
        return [
            {
                **{name: round(float(values[car]), 6) for name, values in columns.items()},
                "end": ENDS[self._ends[car]] or "time",
            }
            for car in range(len(self._ends))
        ]

    def paths(self, count: int) -> list[list[list[float]]]:
        """The paths of the first cars, each a list of [x, z] [m] at every second step."""
        positions = np.round(np.stack(self._positions), 3)
        chosen = [positions[:, car] for car in range(min(count, positions.shape[1]))]
        return [path[np.isfinite(path).all(axis=1)].tolist() for path in chosen]


def as_measures(episodes: list[dict[str, Any]]) -> Measures:
    """The measures in a list of episodes, as arrays."""
    return Measures(*(np.array([episode[name] for episode in episodes]) for name in Measures._fields))
