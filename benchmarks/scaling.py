"""How the search scales beyond one machine: measured with 1 and 2 ranks, modelled up to 1,024.

    python -m benchmarks.scaling [--rounds 5]

Measured, by the code that searches use (`evaluate_all`, `Team.map`, `Evolution`): the seconds of a block of
dreams on one core; a generation with 1 and with 2 ranks, one core each; what rank 0 does alone (ask, tell,
saving the state) for each population; the size of the messages, and rank 0's time for sending and receiving
one. A generation of R ranks is modelled as

    ask + (R - 1) send + max over ranks of its blocks + (R - 1) receive + bytes / bandwidth + tell + save

where block times are drawn from the measured ones, so that the slowest rank counts. The bandwidth of the
network is an assumption (`--bandwidth`), everything else is measured. Writes
`benchmarks/results/scaling.json` and `media/scaling.png`."""

from __future__ import annotations

import argparse
import json
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, save
from dreamduck.common import seeding
from dreamduck.common.processes import mpi
from dreamduck.common.storage import write_npz
from dreamduck.controllers.evaluator import EvalBatch, Evaluator, Returns, block_size, evaluate_all
from dreamduck.controllers.factory import WorldConfig, make_evaluator
from dreamduck.controllers.policy import ControllerForm, Floats
from dreamduck.search.cma_es import Evolution, EvolutionConfig
from dreamduck.world_model.model_config import ModelConfig

FORM = ControllerForm("zh")
COMPONENTS = 64  # the search has 2 * (COMPONENTS + 1) numbers
EPISODES, STEPS, TEMPERATURE, POPULATION = 32, 40, 0.3, 64
POPULATIONS = (64, 512, 4096, 8192)
RANKS = tuple(2**power for power in range(11))
DRAWS = 200  # of the slowest rank
MESSAGES = 200
IMAGE = RESULTS.parents[1] / "media" / "scaling.png"


class Timed:
    """An evaluator that notes the seconds of each block.

    Args:
        evaluator: the one that works.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator, self.seconds = evaluator, list[float]()

    def __call__(self, task: EvalBatch) -> Returns:
        """Evaluate one block."""
        begin = time.perf_counter()
        returns = self.evaluator(task)
        self.seconds.append(time.perf_counter() - begin)
        return returns


def strategy(population: int) -> Evolution:
    """The search that `make reproduce` makes: all covariances of 130 numbers."""
    return Evolution(2 * (COMPONENTS + 1), population, EvolutionConfig(covariance="full"), seed=1)


def generation(evolution: Evolution, evaluator: Evaluator, team: mpi.Team, state: Path) -> dict[str, float]:
    """One generation as a search makes it; the seconds of each part."""
    population = evolution.population
    times = [time.perf_counter()]

    def lap() -> None:
        times.append(time.perf_counter())

    candidates = evolution.ask()
    lap()
    # The candidates replace thetas of the controller's own size; their values do not change the time.
    theta = np.resize(candidates, (population, FORM.size)).astype(np.float32)
    seeds = [seeding.derive(1, evolution.generation)] * population
    block = block_size(population, EPISODES)
    returns = evaluate_all(theta, seeds, EPISODES, STEPS, block, lambda tasks: team.map(evaluator, tasks))
    lap()
    evolution.tell(returns.reward.mean(axis=1, dtype=np.float64))
    lap()
    write_npz(state, evolution.state(), compress=False)
    lap()
    names = ("ask", "evaluate", "tell", "save")
    return dict(zip(names, np.diff(times).tolist(), strict=True))


def serve_rank(rounds: int) -> None:
    """One rank of a measurement; rank 0 prints what it found as JSON."""
    from dreamduck.common import backend

    backend.set_threads(1)
    messages = measure_messages() if mpi.launched() else {}
    evaluator = Timed(
        make_evaluator("rnnenv", WorldConfig(model=ModelConfig(temperature=TEMPERATURE)), FORM, 1, "midway")
    )
    # Once before the clock starts: it compiles.
    evaluator(
        EvalBatch(
            np.zeros((block_size(POPULATION, EPISODES), FORM.size), np.float32), (1,) * 8, EPISODES, STEPS
        )
    )
    evaluator.seconds.clear()
    with mpi.team() as team, tempfile.TemporaryDirectory() as folder:
        if team.rank:
            team.serve(evaluator)
            return
        evolution = strategy(POPULATION)
        rows = [generation(evolution, evaluator, team, Path(folder) / "state.npz") for _ in range(rounds)]
        team.release()
    print(json.dumps({"rows": rows, "blocks": evaluator.seconds, "messages": messages}), flush=True)


def measure_messages() -> dict[str, float]:
    """Rank 0's own time for a message out and one in, and their sizes; between ranks 0 and 1.

    Rank 0 waits until the answer is there before it receives it, so that waiting does not count.
    """
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    block = block_size(POPULATION, EPISODES)
    random = np.random.default_rng(0)
    theta: Floats = random.normal(size=(block, FORM.size)).astype(np.float32)
    out = [EvalBatch(theta, (1,) * block, EPISODES, STEPS)]
    back = [
        Returns(
            random.normal(size=(block, EPISODES)).astype(np.float32),
            np.ones((block, EPISODES), np.int64),
            np.zeros((block, EPISODES), np.bool_),
        )
    ]
    send, receive = [], []
    for _ in range(MESSAGES):
        if world.Get_rank() == 0:
            begin = time.perf_counter()
            request = world.isend(out, dest=1)
            send.append(time.perf_counter() - begin)
            while not world.iprobe(source=1):
                time.sleep(mpi.POLL)
            begin = time.perf_counter()
            world.recv(source=1)
            receive.append(time.perf_counter() - begin)
            request.wait()
        else:
            world.recv(source=0)
            world.send(back, dest=0)
    if world.Get_rank():
        return {}
    return {
        "bytes_out": len(pickle.dumps(out)),
        "bytes_back": len(pickle.dumps(back)),
        "send": statistics.median(send),
        "receive": statistics.median(receive),
    }


def measure_ranks(ranks: int, rounds: int) -> dict[str, Any]:
    """A measurement with so many ranks, in processes of their own."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--serve", "--rounds", str(rounds)]
    if ranks > 1:
        command = [str(Path(sys.executable).with_name("mpiexec")), "-n", str(ranks), *command]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=1800)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def measure_alone(population: int, rounds: int) -> dict[str, float]:
    """Time that rank 0 works alone in a generation [s], without evaluating."""
    evolution, found = strategy(population), list[list[float]]()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds + 1):
            begin = time.perf_counter()
            candidates = evolution.ask()
            asked = time.perf_counter()
            evolution.tell(-(candidates**2).sum(axis=1))
            learned = time.perf_counter()
            write_npz(Path(folder) / "state.npz", evolution.state(), compress=False)
            found.append([asked - begin, learned - asked, time.perf_counter() - learned])
    # A full covariance is decomposed only every few generations, so that the mean counts.
    return dict(zip(("ask", "tell", "save"), np.mean(found[1:], axis=0).tolist(), strict=True))


def model(
    population: int,
    ranks: int,
    alone: dict[str, float],
    blocks: list[float],
    messages: dict[str, float],
    bandwidth: float,
) -> dict[str, float]:
    """A generation of R ranks, from what was measured.

    Args:
        population: candidates of a generation.
        ranks: R.
        alone: seconds of ask, tell and save for this population.
        blocks: measured seconds of blocks.
        messages: as `measure_messages` found them.
        bandwidth: of rank 0's network [bytes/s].
    Returns:
        Seconds of a generation, and the share of it in which rank 0 works alone.
    """
    count = -(-population // block_size(population, EPISODES))
    random = np.random.default_rng(ranks)
    most, full = (
        -(-count // ranks),
        count % ranks or ranks,
    )  # blocks of the busiest ranks, and how many those are
    drawn = random.choice(blocks, size=(DRAWS, min(full, count), most)).sum(axis=2).max(axis=1)
    away = max(0, count - most)  # blocks that leave rank 0, which keeps its own
    out, back = (away * messages[name] for name in ("bytes_out", "bytes_back"))
    talk = (ranks - 1) * (messages["send"] + messages["receive"]) + (out + back) / bandwidth
    serial = sum(alone.values()) + talk
    seconds = serial + float(drawn.mean())
    return {"seconds": seconds, "rank_0_alone": serial / seconds, "messages": talk / seconds}


def draw(results: dict[str, Any]) -> None:
    """The plot: speed-up by ranks, one line a population; measured points as dots."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    for population, rows in results["model"].items():
        ranks = [int(name) for name in rows]
        left.plot(ranks, [row["speedup"] for row in rows.values()], label=f"{int(population):,} candidates")
        right.plot(ranks, [100 * row["rank_0_alone"] for row in rows.values()])
    left.plot(RANKS, RANKS, color="grey", linewidth=0.8, linestyle=":", label="ideal")
    measured = results["measured"]
    left.plot([1, 2], [1, measured["speedup of 2 ranks"]], "ko", markersize=5, label="measured (64)")
    for axes, label in ((left, "speed-up of a generation"), (right, "time that rank 0 works alone [%]")):
        axes.set(xscale="log", xlabel="ranks (one core each)", ylabel=label)
        axes.set_xticks(RANKS[::2], [str(rank) for rank in RANKS[::2]])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    left.set_yscale("log")
    left.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    left.legend(fontsize=8)
    IMAGE.parent.mkdir(exist_ok=True)
    figure.savefig(IMAGE, dpi=110)
    pyplot.close(figure)


def measure(rounds: int, turns: int, bandwidth: float) -> dict[str, Any]:
    """All measurements, and the model from them."""
    found: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    for _ in range(turns):
        for ranks in found:  # they take turns, so that a slow machine is slow for both
            found[ranks].append(measure_ranks(ranks, rounds))
    rows = {ranks: [row for run in runs for row in run["rows"]] for ranks, runs in found.items()}
    parts = {
        str(ranks): {name: statistics.median(row[name] for row in kept) for name in kept[0]}
        for ranks, kept in rows.items()
    }
    seconds = {ranks: statistics.median(sum(row.values()) for row in kept) for ranks, kept in rows.items()}
    blocks = [spent for run in found[1] for spent in run["blocks"]]
    messages = {
        name: statistics.median(run["messages"][name] for run in found[2])
        for name in found[2][0]["messages"]
    }
    alone = {population: measure_alone(population, 10) for population in POPULATIONS}
    table: dict[str, dict[str, dict[str, float]]] = {}
    for population in POPULATIONS:
        rates = {r: model(population, r, alone[population], blocks, messages, bandwidth) for r in RANKS}
        table[str(population)] = {
            str(r): {
                **{name: round(value, 5) for name, value in row.items()},
                "speedup": round(rates[1]["seconds"] / row["seconds"], 2),
            }
            for r, row in rates.items()
        }
    middle = statistics.median(blocks)
    return {
        "settings": {
            "episodes": EPISODES,
            "steps": STEPS,
            "features": FORM.features,
            "components": COMPONENTS,
        },
        "block": {
            "candidates": block_size(POPULATION, EPISODES),
            "median seconds": middle,
            "5% and 95%": np.percentile(blocks, (5, 95)).tolist(),
        },
        "measured": {
            "population": POPULATION,
            "seconds of a generation": {str(ranks): value for ranks, value in seconds.items()},
            "parts": parts,
            "speedup of 2 ranks": seconds[1] / seconds[2],
            "modelled speedup of 2 ranks": table[str(POPULATION)]["2"]["speedup"],
        },
        "messages": messages,
        "rank 0 alone": {str(population): row for population, row in alone.items()},
        "assumed bandwidth [bytes/s]": bandwidth,
        "model": table,
    }


def main() -> None:
    """Measure, model, draw, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="generations of a turn (default: 5)")
    parser.add_argument("--turns", type=int, default=2, help="turns of 1 and of 2 ranks (default: 2)")
    parser.add_argument(
        "--bandwidth",
        type=float,
        default=1.25e8,
        help="network of rank 0 [bytes/s] (default: 1.25e8)",
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve_rank(arguments.rounds)
        return
    results = measure(arguments.rounds, arguments.turns, arguments.bandwidth)
    draw(results)
    path = save("scaling", f"python -m benchmarks.scaling --rounds {arguments.rounds}", results)
    print(json.dumps(results["measured"], indent=1))
    print(path)


if __name__ == "__main__":
    main()
