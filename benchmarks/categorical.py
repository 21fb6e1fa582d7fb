"""Training the categorical state-space model: `python -m benchmarks.categorical`.

One update of the training, batch 128 x 50, z 64, 512 units, 32 variables of 16 classes, beside one of the
MDN-RNN on as many frames. And the gain of the sequence loop's own gradient: forward and backward through
50 steps, against the same equations with TensorFlow's gradient."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import save, seconds_per_call
from benchmarks.mdn_rnn import make_batch
from dreamduck.common.backend import tf
from dreamduck.world_model.categorical import equations
from dreamduck.world_model.categorical import settings as categorical
from dreamduck.world_model.categorical.network import CategoricalNetwork
from dreamduck.world_model.categorical.trainer import Trainer
from dreamduck.world_model.mdn_rnn import settings as mdn_rnn
from dreamduck.world_model.mdn_rnn import trainer as mdn_rnn_trainer

Z_SIZE, ACTION_SIZE = 64, 2
LATER = 1000  # a step of the training behind its warm-up


def library(network: CategoricalNetwork, seen: Any, action: Any, uniform: Any, *priors: Any) -> list[Any]:
    """The sequence by the equations, step by step."""
    dense, sizes = network.dense(), network.sizes
    h, found = tf.zeros((seen.shape[1], sizes.hidden_size)), []
    for t in range(len(seen)):
        logits = equations.posterior(tf, dense, h, seen[t])
        likely = equations.probabilities(tf, logits, sizes)
        flat = tf.reshape(likely, (-1, sizes.cell_size))
        s = flat + tf.stop_gradient(equations.draw(tf, likely, uniform[t]) - flat)
        found.append((h, s, logits))
        if t < len(action):
            h = equations.advance(tf, dense, action[t], h, s)
    return [tf.stack(part) for part in zip(*found, strict=True)]


def sequence(
    network: CategoricalNetwork, follow: Callable[..., Any], given: list[Any]
) -> Callable[[], Any]:
    """Forward and backward through the sequence, compiled."""

    @tf.function
    def run() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.add_n([tf.reduce_sum(part**2) for part in follow(*given)])
        found = tape.gradient(loss, network.trainable_variables)
        return [gradient for gradient in found if gradient is not None]

    return lambda: run()[0].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    ones = np.ones(Z_SIZE, np.float32)
    scale = mdn_rnn_trainer.RewardScale(np.zeros(2, np.float32), np.ones(2, np.float32))
    latents = mdn_rnn_trainer.LatentScale(0 * ones, ones, ones, np.stack([-50 * ones, 50 * ones]))
    plain = mdn_rnn.TrainingConfig(batch_size=given.batch, sequence=given.length)
    config = categorical.TrainingConfig(batch_size=given.batch, sequence=given.length)
    sizes = config.sizes(Z_SIZE, ACTION_SIZE)
    batch = make_batch(given.batch, given.length, plain.sizes())
    theirs = mdn_rnn_trainer.Trainer(plain, plain.sizes(), scale, latents)
    ours = Trainer(config, sizes, scale, ones)
    random, frames = np.random.default_rng(0), given.length + 1
    inputs = [
        tf.constant(random.standard_normal((frames, given.batch, Z_SIZE + 1)), tf.float32),
        tf.constant(random.standard_normal((given.length, given.batch, ACTION_SIZE)), tf.float32),
        tf.constant(random.random((frames, given.batch, sizes.variables)), tf.float32),
        tf.zeros((frames, 0), tf.bool),
        tf.zeros((frames, 0, sizes.variables)),
    ]
    network = CategoricalNetwork(sizes)
    seconds = seconds_per_call(
        {
            "MDN-RNN": lambda: theirs.train(batch, plain.steps - 1),
            "categorical": lambda: ours.train(batch, LATER),
            "sequence": sequence(network, network.follow, inputs),
            "sequence, library's gradient": sequence(
                network, lambda *parts: library(network, *parts), inputs
            ),
        },
        given.rounds,
    )
    results = {
        "batch": [given.batch, given.length],
        "seconds": seconds,
        "over_mdn_rnn": seconds["categorical"] / seconds["MDN-RNN"],
        "library_over_own_gradient": seconds["sequence, library's gradient"] / seconds["sequence"],
    }
    for name, value in seconds.items():
        print(f"{name:30s} {value * 1000:8.1f} ms")
    print(save("categorical", "python -m benchmarks.categorical", results))


if __name__ == "__main__":
    main()
