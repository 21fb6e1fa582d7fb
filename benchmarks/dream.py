"""Dream steps a second: `python -m benchmarks.dream`.

The paper's sizes (z 64, 512 units, 5 mixtures), a linear controller on [z, h], by batch size. Peers take
turns in one process:
- rollout: `dreamduck.world_model.imagination.rollout`, the controllers inside the compiled loop;
- stepper: `dreamduck.world_model.imagination.stepper`, numpy, as in DreamDuck-v2;
- matmul: the two matrix products of a step alone, at these shapes, in a compiled loop: an upper
  limit for this model in float32;
- pytorch: the same loop, written plainly;
- session: one dream at a time through a TensorFlow 1 graph and session, a draw for each latent in
  Python, as the 2019 code had it (here under the TensorFlow that is installed)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import save, seconds_per_call
from dreamduck.common.backend import set_threads, tf
from dreamduck.common.kernels.products import Product
from dreamduck.world_model.dynamics import InitialZ
from dreamduck.world_model.imagination.rollout import Dream
from dreamduck.world_model.imagination.stepper import Dreams
from dreamduck.world_model.mdn_rnn import MDNRNN, MDNRNNConfig
from dreamduck.world_model.mdn_rnn.layout import initial_parameters

SIZES = MDNRNNConfig()
STEPS = {1: 64, 64: 64, 1024: 32}
SESSION_STEPS = 20
Z, H, K = SIZES.z_size, SIZES.hidden_size, SIZES.mixtures


def make_rnn() -> tuple[MDNRNN, InitialZ]:
    """Weights as a training begins with, and dreams that never end."""
    parameters = initial_parameters(SIZES, 0)
    parameters["head_end/bias"][:] = -60
    zeros = np.zeros((10, Z), np.float32)
    return MDNRNN(parameters, SIZES), InitialZ(zeros, zeros)


def policy(theta: Any, z: Any, c: Any, h: Any) -> Any:
    seen = tf.reshape(tf.concat([z, h], 1), [tf.shape(theta)[0], -1, Z + H])
    weight = tf.reshape(theta[:, 2:], [-1, Z + H, 2])
    return tf.reshape(tf.tanh(tf.matmul(seen, weight) + theta[:, None, :2]), [-1, 2])


def thetas(count: int) -> Any:
    size = 2 + 2 * (Z + H)
    return np.random.default_rng(0).normal(0, 0.1, (count, size)).astype(np.float32)


def rollout(rnn: MDNRNN, initial: InitialZ, batch: int) -> Callable[[], Any]:
    dream, episodes = Dream(rnn, initial), min(batch, 16)
    theta = thetas(batch // episodes)
    return lambda: dream.rollout(policy, theta, episodes, STEPS[batch], 0)


def stepper(rnn: MDNRNN, initial: InitialZ, batch: int) -> Callable[[], Any]:
    dreams, theta = Dreams(rnn, initial, batch), thetas(1)[0]
    policy = Product(theta[2:].reshape(-1, 2), theta[:2])  # numpy's own product leaves its threads spinning
    dreams.reset(range(batch))

    def run() -> None:
        for _ in range(STEPS[batch]):
            seen = np.concatenate([dreams.z, dreams.state.h], axis=1)
            dreams.step(np.tanh(policy(seen)))

    return run


def matmul(rnn: MDNRNN, batch: int) -> Callable[[], Any]:
    kernel, _, heads, _ = (tf.constant(part) for part in rnn.merged())
    random = np.random.default_rng(0)
    inputs = tf.constant(random.standard_normal((batch, kernel.shape[0])).astype(np.float32))
    hidden = tf.constant(random.standard_normal((batch, H)).astype(np.float32))

    @tf.function
    def run() -> Any:
        total = tf.constant(0.0)
        x, h = inputs, hidden
        for _ in tf.range(STEPS[batch]):
            gates, out = tf.matmul(x, kernel), tf.matmul(h, heads)
            total += gates[0, 0] + out[0, 0]
            x, h = x + 1e-9 * total, h + 1e-9 * total  # or the loop would be empty
        return total

    return run


def pytorch(rnn: MDNRNN, batch: int) -> Callable[[], Any]:
    import torch

    kernel, bias, heads, heads_bias = (torch.from_numpy(part) for part in rnn.merged())
    theta = torch.from_numpy(thetas(1)[0])
    weight, offset = theta[2:].reshape(-1, 2), theta[:2]

    @torch.no_grad()
    def run() -> Any:
        z, c, h = torch.zeros(batch, Z), torch.zeros(batch, H), torch.zeros(batch, H)
        total = torch.zeros(batch)
        for _ in range(STEPS[batch]):
            action = torch.tanh(torch.cat([z, h], 1) @ weight + offset)
            gates = torch.tanh(torch.addmm(bias, torch.cat([z, action, h], 1), kernel))
            write, keep, new, show = gates.chunk(4, 1)
            c = (keep * 0.5 + 0.5) * c + (write * 0.5 + 0.5) * new
            h = (show * 0.5 + 0.5) * torch.tanh(c)
            out = torch.addmm(heads_bias, h, heads)
            logits, means, logstds = out[:, : 3 * K * Z].view(batch, 3, K, Z).unbind(1)
            steps = torch.softmax(logits, 1).cumsum(1)
            chosen = (torch.rand(batch, 1, Z) > steps[:, :-1]).sum(1, keepdim=True)
            mean, logstd = means.gather(1, chosen)[:, 0], logstds.gather(1, chosen)[:, 0]
            z = mean + torch.exp(logstd) * torch.randn(batch, Z)
            total += out[:, 3 * K * Z]
        return total

    return run


def session(rnn: MDNRNN) -> Callable[[], Any]:
    """One dream, a session call and a Python loop over latents for each step."""
    v1 = tf.compat.v1
    kernel, bias, heads, heads_bias = rnn.merged()
    graph = tf.Graph()
    with graph.as_default():
        given = v1.placeholder(tf.float32, [1, SIZES.input_size])
        before_c, before_h = (v1.placeholder(tf.float32, [1, H]) for _ in "ch")
        gates = tf.tanh(tf.matmul(tf.concat([given, before_h], 1), tf.constant(kernel)) + bias)
        write, keep, new, show = tf.split(gates, 4, axis=1)
        c = (keep * 0.5 + 0.5) * before_c + (write * 0.5 + 0.5) * new
        h = (show * 0.5 + 0.5) * tf.tanh(c)
        out = tf.matmul(h, tf.constant(heads)) + heads_bias
        parts = tf.transpose(tf.reshape(out[:, : 3 * K * Z], [3, K, Z]), [0, 2, 1])
        logmix = parts[0] - tf.reduce_logsumexp(parts[0], 1, keepdims=True)
        wanted = [logmix, parts[1], parts[2], c, h]
    runner = v1.Session(graph=graph)
    theta = thetas(1)[0]
    weight, offset = theta[2:].reshape(-1, 2), theta[:2]
    random = np.random.default_rng(0)

    def run() -> None:
        z, state = np.zeros((1, Z)), [np.zeros((1, H)), np.zeros((1, H))]
        for _ in range(SESSION_STEPS):
            action = np.tanh(np.concatenate([z, state[1]], 1) @ weight + offset)
            feed = {given: np.concatenate([z, action], 1), before_c: state[0], before_h: state[1]}
            mix, means, logstds, *state = runner.run(wanted, feed)
            weights = np.exp(mix - mix.max())
            weights /= weights.sum(axis=1, keepdims=True)
            mean, logstd = np.zeros(Z), np.zeros(Z)
            for j in range(Z):
                point, k, reached = random.random(), 0, weights[j, 0]
                while reached < point and k < K - 1:
                    k += 1
                    reached += weights[j, k]
                mean[j], logstd[j] = means[j, k], logstds[j, k]
            z = (mean + np.exp(logstd) * random.standard_normal(Z))[None]

    return run


def measure(batch: int, rounds: int) -> dict[str, float]:
    """Dream steps a second of each peer."""
    rnn, initial = make_rnn()
    peers = {
        "rollout": rollout(rnn, initial, batch),
        "stepper": stepper(rnn, initial, batch),
        "matmul": matmul(rnn, batch),
        "pytorch": pytorch(rnn, batch),
        "session": session(rnn),
    }
    seconds = seconds_per_call(peers, rounds)
    steps = {name: batch * STEPS[batch] for name in peers} | {"session": SESSION_STEPS}
    return {name: steps[name] / value for name, value in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", default="1,64,1024")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=0, help="cores for each (default: all)")
    given = parser.parse_args()
    import torch

    if given.threads:
        set_threads(given.threads)
        torch.set_num_threads(given.threads)
    flops = 2 * ((SIZES.input_size + H) * 4 * H + H * (SIZES.mixture_size + 3))
    results: dict[str, Any] = {"threads": torch.get_num_threads(), "flops_per_step": flops, "batches": {}}
    for batch in map(int, given.batches.split(",")):
        rates = measure(batch, given.rounds)
        row: dict[str, Any] = {
            "steps_per_second": rates,
            "rollout_over_session": rates["rollout"] / rates["session"],
            "stepper_over_session": rates["stepper"] / rates["session"],
            "rollout_over_matmul": rates["rollout"] / rates["matmul"],
            "rollout_over_pytorch": rates["rollout"] / rates["pytorch"],
            "matmul_gflops": rates["matmul"] * flops / 1e9,
        }
        results["batches"][str(batch)] = row
        print(f"batch {batch}: " + ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items()))
        print(
            f"  rollout is {row['rollout_over_session']:.1f} x session, "
            f"{row['rollout_over_pytorch']:.2f} x "
            f"PyTorch, {100 * row['rollout_over_matmul']:.0f}% of the matrix rate; "
            f"stepper {row['stepper_over_session']:.1f} x session",
            flush=True,
        )
    print(save("dream", "python -m benchmarks.dream", results))


if __name__ == "__main__":
    main()
