"""`tf.distribute` on one machine: the VAE's training step at batch 100, three ways.

One process; MirroredStrategy over two logical devices of the processor; MultiWorkerMirroredStrategy over
two processes of one thread each. All run the same step on the same frames and must come to the same loss.
They take turns; where the machine does other work too, the time of processors is the fairer figure."""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

from benchmarks.common import save

BATCH, PARTS, WARM = 100, 2, 3
WAYS = {"one process": 1, "mirrored": 1, "two workers": 2}  # processes of each


def strategy_of(way: str) -> Any:
    from dreamduck.common.backend import tf

    if way == "mirrored":
        device = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            device, [tf.config.LogicalDeviceConfiguration() for _ in range(PARTS)]
        )
        return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(PARTS)])
    if way == "two workers":  # TF_CONFIG holds their addresses
        tf.config.threading.set_intra_op_parallelism_threads(1)
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def serve(way: str, number: int) -> None:
    """A peer: for every line a step's seconds, by the clock and of processors."""
    from dreamduck.common.backend import keras, tf
    from dreamduck.world_model.vae.layout import initial_parameters
    from dreamduck.world_model.vae.losses import losses
    from dreamduck.world_model.vae.network import VAENetwork

    strategy = strategy_of(way)
    count = strategy.num_replicas_in_sync
    frames = np.random.default_rng(0).integers(0, 256, (BATCH, 64, 64, 3)).astype(np.uint8)
    shares = np.split(frames, count)
    with strategy.scope():
        model = VAENetwork()
        model.set_parameters(initial_parameters(model.z_size, 0))
        optimizer = keras.optimizers.Adam(1e-4)
        optimizer.build(model.trainable_variables)

    def learn(share: Any) -> Any:
        images = tf.cast(share, tf.float32) / 255
        with tf.GradientTape() as tape:
            mu, logvar = model.encode(images)
            # without noise, so that all must come to the same
            loss = sum(losses(images, model.decode(mu), mu, logvar, 0.5)) / count
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    @tf.function
    def step(values: Any) -> Any:
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(learn, (values,)), None)

    def call() -> float:
        values = strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(shares[max(context.replica_id_in_sync_group, number)])
        )
        return float(step(values))

    for _ in range(WARM):
        loss = call()
    print(json.dumps(loss), flush=True)
    for _ in sys.stdin:
        begin, used = time.perf_counter(), time.process_time()
        call()
        print(json.dumps([time.perf_counter() - begin, time.process_time() - used]), flush=True)


def start(way: str) -> list[Any]:
    """A way's processes, once they are warm."""
    places = []
    for _ in range(WAYS[way]):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            places.append(f"localhost:{free.getsockname()[1]}")
    processes = []
    for number in range(WAYS[way]):
        cluster = {"cluster": {"worker": places}, "task": {"type": "worker", "index": number}}
        given = {"TF_CONFIG": json.dumps(cluster)} if WAYS[way] > 1 else {}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.distribute", "--way", way, "--number", str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **given},
            )
        )
    return processes


def turn(processes: list[Any]) -> tuple[float, float]:
    """One step: seconds by the clock, and of all processors."""
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    times = [json.loads(process.stdout.readline()) for process in processes]
    return max(spent for spent, _ in times), sum(used for _, used in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=40, help="steps of each (default: 40)")
    arguments = parser.parse_args()
    if arguments.way:
        serve(arguments.way, arguments.number)
        return
    peers = {way: start(way) for way in WAYS}
    known = {way: [json.loads(p.stdout.readline()) for p in processes] for way, processes in peers.items()}
    expected = known["one process"][0]
    for way, found in known.items():
        if not np.allclose(found, expected, rtol=1e-4):
            raise SystemExit(f"error: {way}: expected a loss of {expected} after {WARM} steps, got {found}")
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way, processes in peers.items():
            times[way].append(turn(processes))
    for processes in peers.values():
        for process in processes:
            process.kill()
            process.wait()
    results = {}
    for way, found in times.items():
        spent, used = zip(*found, strict=True)
        figures = {
            "median": statistics.median(spent),
            "least": min(spent),
            "processors": statistics.median(used),
        }
        results[way] = {name: round(1000 * seconds, 1) for name, seconds in figures.items()}
        print(f"{way}: {results[way]} ms a step")
    save("distribute", f"python -m benchmarks.distribute --rounds {arguments.rounds}", results)


if __name__ == "__main__":
    main()
