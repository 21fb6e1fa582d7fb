"""The commands that train the world model: first the VAE, then the MDN-RNN."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Sequence
from typing import TypeVar

from dreamduck.common import command_line, config
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig as RNNConfig
from dreamduck.world_model.vae.settings import TrainingConfig as VAEConfig

Config = TypeVar("Config", VAEConfig, RNNConfig)

VAE_EXAMPLES = """examples:
  dreamduck train-vae --records records --weights weights
  dreamduck train-vae --limit 20 --epochs 1 --max-steps 50      (a small run)
  tensorboard --logdir log/tensorboard
"""
RNN_EXAMPLES = """examples:
  dreamduck train-rnn --series series --weights weights
  dreamduck train-rnn --limit 20 --steps 20 --batch-size 10      (a small run)
  tensorboard --logdir log/tensorboard
"""


def train_vae(argv: Sequence[str] | None = None) -> int | None:
    """Train the VAE on recorded episodes.

    Reads `records/`, writes `weights/vae.weights.h5` with its card `vae.json`, and metrics and images to
    `log/`. A run that was stopped goes on where it was when the same command is given again."""
    settings, command = _read(argv, train_vae.__doc__, VAE_EXAMPLES, VAEConfig, "vae_train.py")
    from dreamduck.world_model.train_vae import train  # loads TensorFlow

    card = train(settings, command)
    for name, found in card["metrics"].items():
        text = f"PSNR {found['psnr']:.2f} dB, SSIM {found['ssim']:.3f} over {found['frames']:.0f} frames"
        print(f"{name.replace('_', ' ')}: {text}")
    print(f"weights: {settings.weights}")
    return 0


def train_rnn(argv: Sequence[str] | None = None) -> int | None:
    """Train the MDN-RNN on a series of encoded episodes.

    Reads `series/series.npz`, writes `weights/rnn.weights.h5` with its card `rnn.json`, where dreams begin
    (`initial_z.json`), and metrics to `log/`. A run that was stopped goes on where it was when the same
    command is given again."""
    settings, command = _read(argv, train_rnn.__doc__, RNN_EXAMPLES, RNNConfig, "rnn_train.py")
    from dreamduck.world_model.train_rnn import train  # loads TensorFlow

    card = train(settings, command)
    found = card["metrics"]["held_out"]
    for name, text in (
        ("nll", "nats a latent: minus log-likelihood of the next one"),
        ("reward_correlation", "correlation of predicted and true rewards"),
        ("end_auc", "area under the ROC curve of the end"),
    ):
        value = "nothing to measure it by" if found[name] is None else f"{found[name]:.4f}"
        print(f"held out: {value} {text}")
    print(f"weights: {settings.weights}")
    return 0


def _read(
    argv: Sequence[str] | None, about: str | None, examples: str, settings: type[Config], script: str
) -> tuple[Config, str]:
    """The settings that a command line asks for, and the command line for the card."""
    parser = command_line.parser(inspect.cleandoc(about or ""), examples)
    config.add_arguments(parser, settings)
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    given: list[str] = sys.argv[1:] if argv is None else list(argv)
    return config.from_arguments(settings, arguments), shlex.join([script, *given])
