"""The search: the time of a generation, and of its parts.

`python -m benchmarks.search` compares, in one run: the strategy itself with all covariances and with
variances alone, for each size of controller; saving its state; and evaluating a population in the dream as
one batch, in blocks, and one candidate at a time as the original's workers did."""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import save, seconds_per_call
from dreamduck.common.storage import write_npz
from dreamduck.controllers.evaluator import DreamEvaluator, EvalBatch, Returns, evaluate_all
from dreamduck.controllers.policy import ControllerForm
from dreamduck.search.cma_es import Evolution, EvolutionConfig

POPULATION, EPISODES = 64, 16


def generation(evolution: Evolution) -> None:
    """Ask and tell once."""
    candidates = evolution.ask()
    evolution.tell(-(candidates**2).sum(axis=1))


def strategies(features: str, rounds: int) -> dict[str, float]:
    """Mean seconds of a generation, without evaluations, of the longest one, and of saving the state.

    A full covariance is decomposed only every few generations, so that the mean counts. The longest is the
    one that does it, on all cores: other work beside it makes it many times longer, and the mean with it.
    """
    size = ControllerForm(features).size
    found = {}
    for covariance in ("diagonal", "full"):
        evolution = Evolution(size, POPULATION, EvolutionConfig(covariance=covariance))
        generation(evolution)
        spent = []
        for _ in range(rounds):
            begin = time.perf_counter()
            generation(evolution)
            spent.append(time.perf_counter() - begin)
        found[covariance], found[f"{covariance}, longest"] = statistics.mean(spent), max(spent)
        with tempfile.TemporaryDirectory() as folder:
            write = functools.partial(
                write_npz, Path(folder) / "state.npz", evolution.state(), compress=False
            )
            found[f"{covariance}, saving"] = seconds_per_call({"save": write}, rounds=3)["save"]
    return found


def make_dream(hidden_size: int) -> Any:
    """A dream of random weights that does not end: the time does not depend on the training."""
    from dreamduck.world_model.dynamics import InitialZ
    from dreamduck.world_model.imagination.rollout import Dream
    from dreamduck.world_model.mdn_rnn import MDNRNN, MDNRNNConfig
    from dreamduck.world_model.mdn_rnn.layout import initial_parameters

    sizes = MDNRNNConfig(hidden_size=hidden_size)
    parameters = initial_parameters(sizes, seed=0)
    parameters["head_end/bias"][:] = -50.0
    zeros = np.zeros((1, sizes.z_size), np.float32)
    return Dream(MDNRNN(parameters, sizes), InitialZ(zeros, zeros - 2))


def judging(features: str, steps: int, rounds: int, hidden_size: int) -> dict[str, float]:
    """Dream steps a second for blocks of several sizes; the same population in each turn."""
    form = ControllerForm(features, hidden_size=hidden_size)
    evaluator = DreamEvaluator(make_dream(hidden_size), form, temperature=1.0)
    theta = np.random.default_rng(0).normal(0, 0.1, (POPULATION, form.size)).astype(np.float32)

    def spread(tasks: list[EvalBatch]) -> list[Returns]:
        return [evaluator(task) for task in tasks]

    def run(block: int) -> Callable[[], Any]:
        return lambda: evaluate_all(theta, range(POPULATION), EPISODES, steps, block, spread)

    peers = {f"{block} candidates a call": run(block) for block in (1, 4, 16, 64)}
    total = POPULATION * EPISODES * steps
    return {name: total / spent for name, spent in seconds_per_call(peers, rounds, 0.0).items()}


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--generations", type=int, default=10, help="generations of the strategies alone")
    parser.add_argument("--steps", type=int, default=50, help="steps of a dream")
    parser.add_argument("--hidden-size", type=int, default=512, help="units of the MDN-RNN")
    parser.add_argument("--features", default="z,zh,zch")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    for features in arguments.features.split(","):
        found = strategies(features, arguments.generations)
        results[f"strategy on {features} [s a generation]"] = found
        print(features, {name: f"{1000 * spent:.1f} ms" for name, spent in found.items()}, flush=True)
    rates = judging("zch", arguments.steps, arguments.rounds, arguments.hidden_size)
    results["dream steps a second"] = rates
    one = rates["1 candidates a call"]
    for name, rate in rates.items():
        print(f"{name}: {rate:,.0f} dream steps/s, {rate / one:.1f} times one at a time", flush=True)
    print(save("search", "python -m benchmarks.search", results))


if __name__ == "__main__":
    main()
