"""The VAE against its peers: training at batch 100, one frame to z, z to one frame.

Each peer has a process of its own, so that their threads do not meet; they take turns. On a machine that
does other work too, the time of processors is the fairer figure. Peers:
- ours: 2019's network, trained with Keras and oneDNN on the quick form of the decoder; looking with numpy;
- ours, residual: likewise, with the network and the loss that are the default;
- ours, Keras: looking with the Keras model (a compiled function), for comparison;
- PyTorch: 2019's network, written plainly;
- 2019's graph: the 2019 code's graph and session (plain transposed convolutions, no oneDNN) under the
  TensorFlow that is installed; a stand-in for TensorFlow 1.15, which no Python of today runs."""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import save
from dreamduck.common.processes.threads import cores

BATCH, Z = 100, 64
CALLS = {"train": 1, "encode": 40, "decode": 40, "encode 256": 1}  # in each turn
Calls = dict[str, Callable[[], Any]]


def frames(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3)).astype(np.uint8)


def latents(count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, Z)).astype(np.float32)


def ours(network: str = "2019", loss: str = "squared") -> Calls:
    from dreamduck.world_model.vae import VAE
    from dreamduck.world_model.vae.settings import TrainingConfig
    from dreamduck.world_model.vae.trainer import Trainer

    config = TrainingConfig(batch_size=BATCH, z_size=Z, network=network, loss=loss)
    trainer = Trainer(config, 1000)
    vision = VAE(trainer.model.parameters())
    batch, one, many, z = frames(BATCH), frames(1), frames(256), latents(1)
    return {
        "train": lambda: trainer.train(batch, 0),
        "encode": lambda: vision.encode(one),
        "decode": lambda: vision.decode(z),
        "encode 256": lambda: vision.encode(many),
    }


def ours_keras() -> Calls:
    from dreamduck.common.backend import tf
    from dreamduck.world_model.vae.network import VAENetwork

    model = VAENetwork(Z)
    encode = tf.function(lambda x: model.encode(tf.cast(x, tf.float32) / 255))
    decode = tf.function(lambda z: tf.cast(model.decode(z) * 255, tf.uint8))
    one, many, z = (tf.constant(a) for a in (frames(1), frames(256), latents(1)))
    return {
        "encode": lambda: encode(one)[0].numpy(),
        "decode": lambda: decode(z).numpy(),
        "encode 256": lambda: encode(many)[0].numpy(),
    }


def pytorch() -> Calls:
    import torch
    from torch import nn

    relu, conv, back = nn.ReLU(), nn.Conv2d, nn.ConvTranspose2d
    encoder = nn.Sequential(
        conv(3, 32, 4, 2), relu, conv(32, 64, 4, 2), relu, conv(64, 128, 4, 2), relu,
        conv(128, 256, 4, 2), relu, nn.Flatten(),
    )  # fmt: skip
    heads = nn.Linear(1024, 2 * Z)
    decoder = nn.Sequential(
        nn.Linear(Z, 1024), nn.Unflatten(1, (1024, 1, 1)), back(1024, 128, 5, 2), relu,
        back(128, 64, 5, 2), relu, back(64, 32, 6, 2), relu, back(32, 3, 6, 2), nn.Sigmoid(),
    )  # fmt: skip
    parts = nn.ModuleList([encoder, heads, decoder])
    optimizer = torch.optim.Adam(parts.parameters(), 1e-4)

    def look(array: np.ndarray) -> Any:
        return torch.from_numpy(array).permute(0, 3, 1, 2).float() / 255

    batch, one, many = frames(BATCH), frames(1), frames(256)
    z = torch.from_numpy(latents(1))

    def train() -> None:
        x = look(batch)
        mu, logvar = heads(encoder(x)).chunk(2, 1)
        again = decoder(mu + torch.exp(logvar / 2) * torch.randn_like(mu))
        squared = ((x - again) ** 2).sum((1, 2, 3)).mean()
        divergence = -0.5 * (1 + logvar - mu**2 - torch.exp(logvar)).sum(1)
        loss = squared + torch.clamp(divergence, min=0.5 * Z).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    def without_gradient(call: Callable[[], Any]) -> Callable[[], Any]:
        return torch.inference_mode()(call)

    return {
        "train": train,
        "encode": without_gradient(lambda: heads(encoder(look(one))).numpy()),
        "decode": without_gradient(lambda: (decoder(z) * 255).byte().numpy()),
        "encode 256": without_gradient(lambda: heads(encoder(look(many))).numpy()),
    }


def graph_of_2019() -> Calls:
    import tensorflow.compat.v1 as tf

    from dreamduck.world_model.vae.layout import CONVOLUTIONS, TRANSPOSED, initial_parameters

    tf.disable_eager_execution()
    weights = {name: tf.Variable(array) for name, array in initial_parameters(Z, 0).items()}
    x = tf.placeholder(tf.float32, (None, 64, 64, 3))
    h = x
    for name, *_ in CONVOLUTIONS:
        kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
        h = tf.nn.relu(tf.nn.conv2d(h, kernel, 2, "VALID") + bias)
    h = tf.reshape(h, [-1, 1024])
    mu = h @ weights["enc_fc_mu/kernel"] + weights["enc_fc_mu/bias"]
    logvar = h @ weights["enc_fc_log_var/kernel"] + weights["enc_fc_log_var/bias"]
    z = mu + tf.exp(logvar / 2) * tf.random_normal(tf.shape(mu))
    y = tf.reshape(z @ weights["dec_fc/kernel"] + weights["dec_fc/bias"], [-1, 1, 1, 1024])
    for name, k, _, units in TRANSPOSED:
        kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
        out = 2 * (y.shape[1] - 1) + k
        shape = tf.stack([tf.shape(z)[0], out, out, units])
        y = tf.nn.conv2d_transpose(y, kernel, shape, 2, "VALID") + bias
        y = tf.reshape(tf.sigmoid(y) if units == 3 else tf.nn.relu(y), [-1, out, out, units])
    squared = tf.reduce_mean(tf.reduce_sum(tf.square(x - y), [1, 2, 3]))
    divergence = -0.5 * tf.reduce_sum(1 + logvar - tf.square(mu) - tf.exp(logvar), 1)
    loss = squared + tf.reduce_mean(tf.maximum(divergence, 0.5 * Z))
    step = tf.train.AdamOptimizer(1e-4).minimize(loss)
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    batch, one, many = (frames(count) / np.float32(255) for count in (BATCH, 1, 256))
    latent = latents(1)
    return {
        "train": lambda: session.run([step, loss], {x: batch}),
        "encode": lambda: session.run([mu, logvar], {x: one}),
        "decode": lambda: session.run(y, {z: latent}),
        "encode 256": lambda: session.run([mu, logvar], {x: many}),
    }


PEERS: dict[str, tuple[Callable[[], Calls], dict[str, str]]] = {
    "ours": (ours, {}),
    "ours, residual": (functools.partial(ours, "residual", "pyramid"), {}),
    "ours, Keras": (ours_keras, {}),
    "PyTorch": (pytorch, {}),
    "2019's graph": (graph_of_2019, {"TF_ENABLE_ONEDNN_OPTS": "0"}),
}


def serve(peer: str) -> None:
    """A peer's process: for every line "what count", a call's seconds by the clock and of processors."""
    calls = PEERS[peer][0]()
    for name, call in calls.items():  # compile, and warm up
        call()
        call()
        print(name, flush=True)
    print("ready", flush=True)
    for line in sys.stdin:
        what, count = line.rsplit(" ", 1)
        begin, used = time.perf_counter(), time.process_time()
        for _ in range(int(count)):
            calls[what]()
        spent, used = time.perf_counter() - begin, time.process_time() - used
        print(spent / int(count), used / int(count), flush=True)


class Peer:
    """A peer's process, as the main process sees it."""

    def __init__(self, name: str, threads: int | None) -> None:
        self.name = name
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **PEERS[name][1]}
        command = [sys.executable, "-m", "benchmarks.vae", "--peer", name]
        if threads:
            command = [
                "taskset",
                "-c",
                ",".join(map(str, sorted(os.sched_getaffinity(0))[:threads])),
                *command,
            ]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        self.can: set[str] = set()
        while (line := self._line()) != "ready":
            self.can.add(line)

    def seconds(self, what: str) -> tuple[float, float]:
        """Of a call: by the clock, and of processors."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what} {CALLS[what]}\n")
        self.process.stdin.flush()
        spent, used = self._line().split()
        return float(spent), float(used)

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{self.name}: its process ended with code {self.process.wait()}")
        return line

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vae", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each peer (default: 7)")
    parser.add_argument("--cores", type=int, help="pin every peer to so many cores (default: all)")
    parser.add_argument("--quick", action="store_true", help="one round, nothing written")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.peer:
        serve(given.peer)
        return
    peers = {name: Peer(name, given.cores) for name in PEERS}
    results: dict[str, Any] = {"batch": BATCH, "cores": given.cores or cores()}
    for what in CALLS:
        taking = {name: peer for name, peer in peers.items() if what in peer.can}
        turns: dict[str, list[tuple[float, float]]] = {name: [] for name in taking}
        for _ in range(1 if given.quick else given.rounds):
            for name, peer in taking.items():
                turns[name].append(peer.seconds(what))
        results[what] = {}
        for i, clock in enumerate(("milliseconds", "milliseconds of processors")):
            found = {name: 1000 * statistics.median(t[i] for t in times) for name, times in turns.items()}
            ratios = {f"{n} / ours": spent / found["ours"] for n, spent in found.items() if n != "ours"}
            results[what][clock] = {**found, **ratios}
            text = ", ".join(f"{name} {value:.2f}" for name, value in results[what][clock].items())
            print(f"{what}, {clock}: {text}", flush=True)
    for peer in peers.values():
        peer.close()
    if not given.quick:
        command = "python -m benchmarks.vae" + (f" --cores {given.cores}" if given.cores else "")
        print(save("vae" if not given.cores else f"vae-{given.cores}-cores", command, results))


if __name__ == "__main__":
    main()
