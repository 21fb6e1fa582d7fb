"""The search: evolve controllers in a world, generation by generation.

After every generation everything lies on
disk: the files of the original's form, and a state from which a killed run continues as if it had not
been stopped. Source: WorldModelsExperiments, `train.py`."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dreamduck.common import seeding
from dreamduck.common.command_line import progress
from dreamduck.common.config import to_dict
from dreamduck.common.errors import CheckpointError, ConfigError
from dreamduck.common.processes.mpi import Team
from dreamduck.common.readers import in_words
from dreamduck.common.training_log import TrainingLog
from dreamduck.controllers.controller_file import ENDINGS, RunFiles, rounded, to_card
from dreamduck.controllers.evaluator import Evaluator, Returns, block_size, evaluate_all
from dreamduck.controllers.policy import ControllerForm
from dreamduck.search.cma_es import Evolution
from dreamduck.search.principal_components import Subspace
from dreamduck.search.search_plot import draw_run
from dreamduck.search.settings import FREE, NEWER, SearchConfig
from dreamduck.search.state import NO_STATE, REMEDY, Found, read_state, write_state

log = logging.getLogger(__name__)

TRAINING, EVALUATION = 1, 2  # places of the random streams under a run's seed
PLOT_SECONDS = 15.0  # the plot is drawn again no more often than this


class Search:
    """A search from its start, or from where it was, to its end.

    Args:
        config: its settings.
        form: of the controllers.
        evaluator: the world they are tried in.
        files: where everything is written.
        team: the ranks that share the work.
        facts: what the card should say besides (weights, world, command).
        start: (n,) the first mean.
        fresh: start again even if a state is there.
        make_subspace: finds the components to search along, around `start`; needed with `components`.
    Raises:
        CheckpointError: a state of other settings is there.
    """

    def __init__(
        self,
        config: SearchConfig,
        form: ControllerForm,
        evaluator: Evaluator,
        files: RunFiles,
        team: Team | None = None,
        facts: dict[str, Any] | None = None,
        start: Any = None,
        fresh: bool = False,
        make_subspace: Callable[[], Subspace] | None = None,
    ) -> None:
        self.config, self.form, self.evaluator, self.files = config, form, evaluator, files
        self.team, self.facts = team or Team(), facts or {}
        self.subspace: Subspace | None = None
        self.found = Found()
        self._drawn = time.monotonic()
        self._block = block_size(config.population, config.num_episode, config.block)
        self._resumed = self.state_path.exists() and not fresh
        if self._resumed:
            self.evolution = self._load()
        elif config.components:
            if make_subspace is None:
                raise ConfigError("components: expected a function that finds them, got none")
            self.subspace = make_subspace()
            self.evolution = self._strategy()
        else:
            self.evolution = self._strategy(start)

    @property
    def state_path(self) -> Any:
        """The file from which a stopped run resumes."""
        return self.files.path(".state.npz")

    @property
    def generation(self) -> int:
        """How many generations are done."""
        return self.evolution.generation

    @property
    def mean(self) -> Any:
        """(n,) the theta at the middle of the search."""
        return self._expand(self.evolution.mean)

    def _strategy(self, start: Any = None) -> Evolution:
        size = self.subspace.size if self.subspace else self.form.size
        return Evolution(size, self.config.population, self.config, self.config.seed_start, start)

    def _expand(self, found: Any) -> Any:
        """The strategy's points as thetas (..., n)."""
        return self.subspace.expand(found) if self.subspace else found

    def run(self, report: Callable[[list[float]], None] | None = None) -> None:
        """Search until the generations or the time are used up, then evaluate the mean once more.

        Args:
            report: called with each generation's row of the history.
        """
        config = self.config
        started, before = time.monotonic(), self.found.seconds
        total = config.generations or None
        base = self.files.base
        if not self._resumed:
            self._save_state()  # the files below belong to this state
            for ending in ENDINGS:
                self.files.path(ending).unlink(missing_ok=True)
        training_log = TrainingLog(
            *(base.parent, base.name, self._described(), self.generation + 1), fresh=not self._resumed
        )
        bar = progress(total=total, initial=self.generation, desc="generations")
        with training_log, bar:
            while not total or self.generation < total:
                self._one_generation(lambda: before + time.monotonic() - started)
                row = self.found.history[-1]
                training_log.write(self.generation, **self._metrics(row))
                bar.update()
                bar.set_postfix(mean=row[2], best=row[4])
                if report is not None:
                    report(row)
                if config.time_limit and time.monotonic() - started > config.time_limit:
                    break
        self._finish()

    def _one_generation(self, clock: Callable[[], float]) -> None:
        candidates = self.evolution.ask()
        generation = self.generation
        scores = self._evaluate_batch(
            self._expand(candidates), self._seeds(generation), self._steps_allowed()
        )
        returns = scores.reward.mean(axis=1, dtype=np.float64)
        self.evolution.tell(returns)
        self.found.steps += int(scores.length.sum())
        self.found.seconds = clock()
        self.found.history.append(self._row(returns, scores.length.mean(axis=1)))
        if generation == 0:
            self.found.best_reward = self.found.history[-1][2]
        if self.generation % self.config.eval_steps == 0:
            self._evaluate()
            self.found.seconds = clock()
        self._save()

    def _row(self, returns: Any, lengths: Any) -> list[float]:
        """A row of the history, cut to the original's decimals."""
        return [
            self.generation,
            int(self.found.seconds),
            _cut(np.mean(returns)),
            _cut(np.min(returns)),
            _cut(np.max(returns)),
            _cut(np.std(returns)),
            _cut(np.mean(self.evolution.deviations), 100000),
            _cut(np.mean(lengths)),
            int(np.max(lengths)),
        ]

    def _metrics(self, row: list[float]) -> dict[str, float]:
        names = ("mean", "worst", "best", "spread", "step_size", "length")
        metrics = dict(zip(names, row[2:8], strict=True))
        metrics["seconds"], metrics["world_steps"] = self.found.seconds, self.found.steps
        if self.found.eval_log and self.found.eval_log[-1][0] == self.generation:
            metrics["evaluation"] = self.found.eval_log[-1][1]
        return metrics

    def _seeds(self, generation: int) -> list[int]:
        """One seed a candidate, by position."""
        population, mode = self.config.population, self.config.seeds
        places = {
            "antithetic": [i % (population // 2) for i in range(population)],
            "independent": list(range(population)),
            "common": [0] * population,
        }[mode]
        return [seeding.derive(self.config.seed_start, TRAINING, generation, place) for place in places]

    def _steps_allowed(self) -> int:
        if self.config.cap_time and self.found.history:
            return min(self.config.max_steps, 2 * int(self.found.history[-1][7]))
        return self.config.max_steps

    def _evaluate_batch(self, theta: Any, seeds: list[int], steps: int) -> Returns:
        config, steps = self.config, max(1, steps)
        scores = evaluate_all(
            np.asarray(theta, dtype=np.float32),
            seeds,
            config.num_episode,
            steps,
            self._block,
            lambda tasks: self.team.map(self.evaluator, tasks),
        )
        cost = np.where(scores.ended, np.float32(config.end_cost), np.float32(0))
        return scores._replace(reward=scores.reward - cost)

    def evaluate_mean(self) -> float:
        """The mean of the search on P times E fresh episodes, as its file holds it."""
        population = self.config.population
        theta = np.repeat(rounded(self.mean)[None], population, axis=0)
        seeds = [
            seeding.derive(self.config.seed_start, EVALUATION, self.generation, copy)
            for copy in range(population)
        ]
        scores = self._evaluate_batch(theta, seeds, self.config.max_steps)
        return float(scores.reward.mean(dtype=np.float64))

    def _evaluate(self) -> None:
        found, before = self.found, self.found.best_reward
        reward, theta = self.evaluate_mean(), rounded(self.mean).tolist()
        if not found.eval_log or reward > before:
            found.best_reward, found.best_theta = reward, theta
        found.eval_log.append([self.generation, reward, theta])
        words = ["improvement", reward - before, "curr", reward, "prev", before, "best", found.best_reward]
        found.best_history.append([self.generation, int(found.seconds), *words])
        log.info(
            "evaluation at generation %d: %.2f (best %.2f)", self.generation, reward, found.best_reward
        )

    def _finish(self) -> None:
        """Evaluate the last mean if it was not, and draw the plot."""
        if self.generation and (not self.found.eval_log or self.found.eval_log[-1][0] != self.generation):
            self._evaluate()
            # The state is not written again: a longer run must continue as if it had not ended here.
            self._write_files()
        if self.found.history:
            draw_run(self.files)

    def _save(self) -> None:
        self._write_files()
        self._save_state()

    def _save_state(self) -> None:
        arrays = {f"evolution.{name}": array for name, array in self.evolution.state().items()}
        if self.subspace:
            arrays |= {f"subspace.{name}": array for name, array in self.subspace.state().items()}
        write_state(self.state_path, self.found, self._settings(), arrays)

    def _write_files(self) -> None:
        self.files.write_theta(self.mean)
        self.files.write_history(self.found.history)
        if self.found.eval_log:
            self.files.write_evaluations(
                self.found.eval_log, self.found.best_history, self.found.best_theta, self.found.best_reward
            )
        self.files.write_card(to_card(self.form, self.mean, **self._described()))
        if time.monotonic() - self._drawn > PLOT_SECONDS:
            draw_run(self.files)
            self._drawn = time.monotonic()

    def _described(self) -> dict[str, Any]:
        """The facts of this run for its card."""
        return {
            **self.facts,
            "search": to_dict(self.config),
            "block": self._block,
            "generations": self.generation,
            "seconds": round(self.found.seconds, 1),
            "world_steps": self.found.steps,
            "best_evaluation": self.found.best_reward if self.found.eval_log else None,
        }

    def _settings(self) -> dict[str, Any]:
        """The settings that must be the same when a run resumes."""
        config = to_dict(self.config).items()
        settings = {k: value for k, value in config if k not in FREE and value != NEWER.get(k)}
        named = ("world", "weights", "start_fingerprint")
        world = {name: str(value) for name, value in self.facts.items() if name in named}
        form = dataclasses.asdict(self.form)
        return {**settings, **world, "block": self._block, **{f"form.{k}": v for k, v in form.items()}}

    def _load(self) -> Evolution:
        self.found, arrays = read_state(self.state_path, self._settings())
        with in_words(self.state_path, CheckpointError, NO_STATE, REMEDY):
            if self.config.components:
                self.subspace = Subspace.restore(self.form, _named(arrays, "subspace."))
            evolution = self._strategy()
            evolution.restore(_named(arrays, "evolution."))
        log.info("resuming after generation %d", evolution.generation)
        return evolution


def _named(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The arrays whose names begin so, without the prefix."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _cut(value: Any, places: int = 100) -> float:
    """Cut after some decimals, as the original does."""
    return int(float(value) * places) / float(places)
