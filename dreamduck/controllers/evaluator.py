"""Evaluation of controllers in whole episodes, in the dream and in the simulator, many at once.

A candidate's returns
depend on its theta, its seed and on the block of candidates it is computed with, since a matrix
product may round differently in another batch; blocks are therefore fixed by the settings, never by
the number of processes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from dreamduck.common import seeding
from dreamduck.controllers.policy import ControllerForm, Floats, act, select, tensor_policy
from dreamduck.simulator.base import CarState
from dreamduck.simulator.road import RoadStep
from dreamduck.world_model.imagination.randomization import RandomizationConfig

Frames = npt.NDArray[np.uint8]
DREAMS_IN_A_CALL = 256  # above this a bigger batch is hardly faster; see benchmarks/search.py


class Returns(NamedTuple):
    """What episodes gave; P candidates, E episodes each."""

    reward: Floats  # (P, E), sums over an episode
    length: npt.NDArray[np.int64]  # (P, E), steps
    ended: npt.NDArray[np.bool_]  # (P, E), whether it ended by itself; False where it was cut


class EvalBatch(NamedTuple):
    """One block of candidates to evaluate."""

    theta: Floats  # (P, n)
    seeds: tuple[int, ...]  # (P,), one a candidate
    episodes: int  # E
    steps: int  # after so many an episode is cut


Episodes = Generator[None, None, Returns]  # that are running


class Evaluator(Protocol):
    """A world in which candidates are tried."""

    def __call__(self, task: EvalBatch) -> Returns:
        """Run all episodes of a block; the same block gives the same returns."""
        ...


class Drivable(Protocol):
    """What is asked of a road, or of a batch of other environments; `Road` and `GymVector` are ones."""

    def reset(self, seeds: Sequence[int]) -> Any:
        """Begin an episode for every car."""
        ...

    def step(self, actions: npt.ArrayLike) -> Any:
        """Drive every car one step; gives a `RoadStep` or a `SourceStep`."""
        ...

    def frames(self) -> Frames:
        """What each camera sees now."""
        ...

    def close(self) -> None:
        """Free the simulator."""
        ...


@runtime_checkable
class AsyncDrivable(Protocol):
    """A `Drivable` that steps while others are asked, with the methods of Gymnasium's `AsyncVectorEnv`."""

    def step_async(self, actions: npt.ArrayLike) -> None:
        """Begin a step of every car."""
        ...

    def step_wait(self) -> Any:
        """What the step gave."""
        ...


class Policy(Protocol):
    """Acts for the N cars of a road."""

    needs_frames: bool

    def act(self, state: CarState, frames: Frames | None) -> npt.NDArray[Any]:
        """The actions (N, 2) for where the cars are and what their cameras see."""
        ...

    def start(self, seeds: Sequence[int]) -> None:
        """An episode begins for every car."""
        ...


class Callback(Protocol):
    """Is called at the start of the episodes and after every step."""

    def start(self, state: CarState) -> None:
        """An episode has begun for every car."""
        ...

    def update(self, step: RoadStep) -> None:
        """A step was made; cars whose episode ended before stand still."""
        ...


class DreamEvaluator:
    """Candidates tried in the dream: each block is one compiled call.

    Args:
        dream: a `dreamduck.world_model.imagination.Dream`.
        form: of the candidates.
        temperature: of the dream; None for that of its kind of dynamics.
        pessimism: see `Dream.rollout`.
        randomization: likewise.
    """

    def __init__(
        self,
        dream: Any,
        form: ControllerForm,
        temperature: float | None,
        pessimism: float = 0.0,
        randomization: RandomizationConfig | None = None,
    ) -> None:
        self.dream, self.form, self.temperature, self.pessimism = dream, form, temperature, pessimism
        self.randomization = randomization
        self._policy = tensor_policy(form)

    def __call__(self, task: EvalBatch) -> Returns:
        """Dream P * E episodes."""
        result = self.dream.rollout(
            self._policy,
            task.theta,
            episodes=task.episodes,
            steps=task.steps,
            seed=list(task.seeds),
            temperature=self.temperature,
            **({"pessimism": self.pessimism} if self.pessimism else {}),
            **({"randomization": self.randomization} if self.randomization else {}),
        )
        shape = (len(task.theta), task.episodes)
        reward = np.asarray(result.reward, dtype=np.float32).reshape(shape)
        length = np.asarray(result.length, dtype=np.int64).reshape(shape)
        return Returns(reward, length, np.asarray(result.ended, dtype=np.bool_).reshape(shape))


class RoadEvaluator:
    """Candidates tried in a simulator, seen through the world model.

    Args:
        make_road: builds a road for so many cars.
        make_perception: builds the `Perception` of so many cars.
        form: of the candidates.
        most_cars: of a road; all of a block together by default.
        roads: that step at the same time: while one steps, the actions of another are found.
    """

    def __init__(
        self,
        make_road: Callable[[int], Drivable],
        make_perception: Callable[[int], Any],
        form: ControllerForm,
        most_cars: int | None = None,
        roads: int = 1,
    ) -> None:
        self._make_road, self._make_perception, self.form = make_road, make_perception, form
        self._most_cars, self._most_roads = most_cars, roads
        self._cars = 0
        self._made: list[tuple[Drivable, Any]] = []

    def __call__(self, task: EvalBatch) -> Returns:
        """Drive P * E cars."""
        episodes = range(task.episodes)
        seeds = [seeding.derive(seed, episode) for seed in task.seeds for episode in episodes]
        count = len(seeds)
        if self._most_cars is None or count <= self._most_cars:
            (returns,) = interleaved([self._episodes(0, task.theta, seeds, task.steps)])
        else:
            parts, waiting = [], blocks(count, self._most_cars)
            while together := list(itertools.islice(waiting, self._most_roads)):
                runs = []
                for road, rows in enumerate(together):
                    theta = task.theta[[row // task.episodes for row in rows]]
                    runs.append(self._episodes(road, theta, [seeds[row] for row in rows], task.steps))
                parts += interleaved(runs)
            columns: Any = zip(*parts, strict=True)
            returns = Returns(*(np.concatenate(column)[:count] for column in columns))
        shape = (len(task.theta), task.episodes)
        shaped: Any = (part.reshape(shape) for part in returns)
        return Returns(*shaped)

    def _episodes(self, number: int, theta: Floats, seeds: list[int], steps: int) -> Episodes:
        """One block on one of the roads, which are made where they are missing."""
        if len(seeds) != self._cars:
            self.close()
            self._cars = len(seeds)
        if number == len(self._made):
            self._made.append((self._make_road(self._cars), self._make_perception(self._cars)))
        road, perception = self._made[number]
        return episodes(road, ControllerPolicy(self.form, theta, perception), seeds, steps)

    def close(self) -> None:
        """Free the simulator."""
        for road, _ in self._made:
            road.close()
        self._made = []


class ControllerPolicy:
    """P controllers for P * E cars, candidate by candidate.

    Args:
        theta: (P, n).
        perception: of all cars; keeps the state of the dynamics.

    Attributes:
        last: (N, A), the actions that were taken; None at the start of episodes.
    """

    needs_frames = True

    def __init__(self, form: ControllerForm, theta: Floats, perception: Any) -> None:
        self.form, self.theta, self.perception = form, np.atleast_2d(theta), perception
        self.last: Floats | None = None

    def start(self, seeds: Sequence[int]) -> None:
        """Reset the recurrent state."""
        self.last = None

    def act(self, state: CarState, frames: Frames | None) -> Floats:
        """Encode the frames, and act."""
        if self.last is None:
            seen = self.perception.reset(frames)
        else:
            seen = self.perception.step(frames, self.last)
        features = select(self.form, seen)
        groups = features.reshape(len(self.theta), -1, features.shape[-1])
        self.last = act(self.form, self.theta, groups).reshape(len(seen), -1)
        return self.last


def run_episodes(
    road: Drivable, policy: Policy, seeds: Sequence[int], steps: int, callback: Callback | None = None
) -> Returns:
    """One episode for each car of a road; see `episodes`."""
    (returns,) = interleaved([episodes(road, policy, seeds, steps, callback)])
    return returns


def interleaved(runs: Sequence[Episodes]) -> list[Returns]:
    """Episodes on several roads, a step of each in turn."""
    found: dict[int, Returns] = {}
    while len(found) < len(runs):
        for number, run in enumerate(runs):
            if number not in found:
                try:
                    next(run)
                except StopIteration as over:
                    found[number] = over.value
    return [found[number] for number in range(len(runs))]


def episodes(
    road: Drivable, policy: Policy, seeds: Sequence[int], steps: int, callback: Callback | None = None
) -> Episodes:
    """One episode for each car of a road.

    A car whose episode has ended stands still and counts no more.

    Args:
        road: N cars.
        policy: acts for them.
        seeds: one a car.
        steps: after so many an episode is cut.
        callback: called after every step.
    Yields:
        Nothing, while an `AsyncDrivable` steps.
    Returns:
        The returns with P = N cars and E = 1.
    """
    state = road.reset(seeds)
    policy.start(seeds)
    if callback is not None:
        callback.start(state)
    count = len(seeds)
    alive, ended = np.ones(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    reward, length = np.zeros(count, dtype=np.float64), np.zeros(count, dtype=np.int64)
    for _ in range(steps):
        actions = policy.act(state, road.frames() if policy.needs_frames else None)
        wanted = np.where(alive[:, None], actions, 0.0)
        if isinstance(road, AsyncDrivable):
            road.step_async(wanted)
            yield
            step = road.step_wait()
        else:
            step = road.step(wanted)
        reward += np.where(alive, step.reward, 0.0)
        length += alive
        if callback is not None:
            callback.update(step)
        ended |= alive & step.terminated
        alive &= ~(step.terminated | step.truncated)
        state = step.state
        if not alive.any():
            break
    return Returns(reward.astype(np.float32)[:, None], length[:, None], ended[:, None])


def blocks(count: int, size: int) -> Iterator[list[int]]:
    """The numbers below `count` in blocks of one size; the last is filled up with its last number."""
    for first in range(0, count, size):
        yield [min(number, count - 1) for number in range(first, first + size)]


def block_size(population: int, episodes: int, requested: int = 0) -> int:
    """How many candidates one call evaluates.

    Args:
        requested: as the settings have it; 0 chooses by the size of the batch.
    """
    return min(population, requested or max(1, DREAMS_IN_A_CALL // episodes))


def evaluate_all(
    theta: Floats,
    seeds: Sequence[int],
    episodes: int,
    steps: int,
    block: int,
    spread: Callable[[list[EvalBatch]], list[Returns]],
) -> Returns:
    """Evaluate P candidates in blocks of one size.

    Args:
        theta: (P, n).
        seeds: (P,).
        block: candidates in a block, see `blocks`.
        spread: computes all tasks, wherever, and returns the results in their order.
    """
    count = len(theta)
    tasks = []
    for rows in blocks(count, block):
        chosen = tuple(int(seeds[row]) for row in rows)
        tasks.append(EvalBatch(np.asarray(theta[rows], dtype=np.float32), chosen, episodes, steps))
    parts = spread(tasks)
    return Returns(*(np.concatenate(column)[:count] for column in zip(*parts, strict=True)))


@dataclasses.dataclass(frozen=True)
class Summary:
    """Mean and spread over episodes."""

    mean: float
    std: float
    length: float
    episodes: int


def summarize(returns: Returns) -> Summary:
    """Mean and standard deviation of the returns over all episodes, and their mean length."""
    return Summary(
        float(np.mean(returns.reward, dtype=np.float64)),
        float(np.std(returns.reward, dtype=np.float64)),
        float(np.mean(returns.length)),
        int(returns.reward.size),
    )
