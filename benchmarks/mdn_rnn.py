"""Training the MDN-RNN: `python -m benchmarks.mdn_rnn`.

One step of the training, batch 100 x 50, z 64, 512 units, 5 mixtures, against the same model written in
PyTorch (its LSTM, the same heads, losses, clipping and Adam), in turns in one process. The later steps of a
training sample half of their inputs from the model's own predictions, which is more work."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import save, seconds_per_call
from dreamduck.world_model.mdn_rnn.batches import Batch
from dreamduck.world_model.mdn_rnn.layout import MDNRNNConfig
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig
from dreamduck.world_model.mdn_rnn.trainer import LatentScale, RewardScale, Trainer

TF1_SECONDS = {1: 1.219, 2: 0.836}  # the 2019 code under TensorFlow 1.15, by cores, on another day


def make_batch(size: int, length: int, sizes: MDNRNNConfig) -> Batch:
    """Random numbers in the shape of a batch."""
    random = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return random.standard_normal(shape).astype(np.float32)

    ones = np.ones((size, length), np.float32)
    return Batch(
        normal(size, length + 1, sizes.z_size),
        normal(size, length + 1, sizes.z_size) - 3,
        normal(size, length, sizes.action_size),
        normal(size, length),
        (random.random((size, length)) < 0.01).astype(np.float32),
        ones,
        ones,
        np.zeros(size, np.float32),
    )


def torch_step(batch: Batch, sizes: MDNRNNConfig, end_weight: float) -> Callable[[], Any]:
    """The same step in PyTorch."""
    import torch

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.core = torch.nn.LSTM(sizes.input_size, sizes.hidden_size, batch_first=True)
            self.residual = torch.nn.Parameter(torch.ones(sizes.z_size))
            self.heads = torch.nn.Linear(sizes.hidden_size, sizes.mixture_size + 3)

    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    mu, logvar, action, reward, done, *_ = (torch.from_numpy(part) for part in batch)
    weight = torch.tensor(end_weight)

    def step() -> float:
        z = mu + torch.exp(logvar / 2) * torch.randn_like(mu)
        out = model.heads(model.core(torch.cat([z[:, :-1], action], -1))[0])
        parts = out[..., : sizes.mixture_size].unflatten(-1, (3, sizes.mixtures, sizes.z_size))
        logmix, mix_mu, logstd = parts.unbind(2)
        mix_mu = mix_mu + (model.residual * z[:, :-1])[:, :, None] if sizes.residual else mix_mu
        scaled = (z[:, 1:, None] - mix_mu) * torch.exp(-logstd)
        likelihood = torch.log_softmax(logmix, 2) - 0.5 * scaled**2 - logstd - 0.5 * math.log(2 * math.pi)
        nll = -torch.logsumexp(likelihood, 2).mean()
        alive, ending, end = out[..., sizes.mixture_size :].unbind(-1)
        rewards = ((alive - reward) ** 2 * (1 - done) + weight * (ending - reward) ** 2 * done).mean()
        ends = torch.nn.functional.binary_cross_entropy_with_logits(end, done, pos_weight=weight)
        optimizer.zero_grad()
        loss = nll + rewards + ends
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(loss)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=0, help="cores for each (default: all)")
    given = parser.parse_args()
    import torch

    if given.threads:
        from dreamduck.common.backend import set_threads

        set_threads(given.threads)
        torch.set_num_threads(given.threads)
    config = TrainingConfig(batch_size=given.batch, sequence=given.length)
    sizes = config.sizes()
    batch = make_batch(given.batch, given.length, sizes)
    scale = RewardScale(np.zeros(2, np.float32), np.ones(2, np.float32))
    ones = np.ones(sizes.z_size, np.float32)
    trainer = Trainer(
        config, sizes, scale, LatentScale(0 * ones, ones, ones, np.stack([-50 * ones, 50 * ones]))
    )
    peers = {
        "dreamduck": lambda: trainer.train(batch, 0),
        "dreamduck, scheduled sampling": lambda: trainer.train(batch, config.steps - 1),
        "pytorch": torch_step(batch, sizes, config.end_weight),
    }
    seconds = seconds_per_call(peers, given.rounds)
    results = {
        "batch": [given.batch, given.length],
        "threads": torch.get_num_threads(),
        "seconds_per_step": seconds,
        "pytorch_over_dreamduck": seconds["pytorch"] / seconds["dreamduck"],
        "tf1_seconds_measured_elsewhere": TF1_SECONDS,
    }
    for name, value in seconds.items():
        print(f"{name:30s} {value * 1000:8.1f} ms a step")
    print(f"PyTorch takes {results['pytorch_over_dreamduck']:.2f} times as long")
    print(save("mdn_rnn", "python -m benchmarks.mdn_rnn", results))


if __name__ == "__main__":
    main()
