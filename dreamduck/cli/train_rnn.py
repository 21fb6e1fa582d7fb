"""Train the MDN-RNN on a series of encoded episodes.

Reads `series/series.npz`, writes `weights/rnn.weights.h5` with its card `rnn.json`, where dreams begin
(`initial_z.json`), and metrics to `log/`. A run that was stopped goes on where it was when the same
command is given again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from dreamduck.common import command_line, config
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig

EXAMPLES = """examples:
  dreamduck train-rnn --series series --weights weights
  dreamduck train-rnn --limit 20 --steps 20 --batch-size 10      (a small run)
  tensorboard --logdir log/tensorboard
"""


def main(argv: Sequence[str] | None = None) -> int | None:
    """Train, and print how good the result is."""
    parser = command_line.parser(__doc__ or "", EXAMPLES)
    config.add_arguments(parser, TrainingConfig)
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    settings = config.from_arguments(TrainingConfig, arguments)
    from dreamduck.world_model.train_rnn import train  # loads TensorFlow

    given = sys.argv[1:] if argv is None else list(argv)
    card = train(settings, shlex.join(["rnn_train.py", *given]))
    found = card["metrics"]["held_out"]
    for name, text in (
        ("nll", "nats a latent: minus log-likelihood of the next one"),
        ("reward_correlation", "correlation of predicted and true rewards"),
        ("end_auc", "area under the ROC curve of the end"),
    ):
        value = "nothing to measure it by" if found[name] is None else f"{found[name]:.4f}"
        print(f"held out: {value} {text}")
    print(f"weights: {arguments.weights}")
    return 0
