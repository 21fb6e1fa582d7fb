"""The commands that train the world model: first the VAE, then the dynamics."""

from __future__ import annotations

import argparse
import inspect
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from dreamduck.common import command_line, config
from dreamduck.common.errors import ConfigError
from dreamduck.world_model import WorldModel
from dreamduck.world_model.ensemble.settings import TrainingConfig as EnsembleConfig
from dreamduck.world_model.kinds import SHIPPED, TRAINING
from dreamduck.world_model.mdn_rnn.layout import KIND as MDN_RNN
from dreamduck.world_model.vae.settings import TrainingConfig as VAEConfig

Config = TypeVar("Config")

VAE_EXAMPLES = """examples:
  dreamduck train-vae --records records --weights weights
  dreamduck train-vae --limit 20 --epochs 1 --max-steps 50      (a small run)
  tensorboard --logdir log/tensorboard
"""
RNN_EXAMPLES = """examples:
  dreamduck train-rnn --series series --weights weights
  dreamduck train-rnn --dynamics mdn-rnn --weights weights       (with -h: its settings)
  dreamduck train-rnn --limit 20 --steps 20 --batch-size 10      (a small run)
  tensorboard --logdir log/tensorboard
"""


def train_vae(argv: Sequence[str] | None = None) -> int | None:
    """Train the VAE on recorded episodes.

    Reads `records/`, writes `weights/vae.weights.h5` with its card `vae.json`, and metrics and images to
    `log/`. A run that was stopped continues when the same command is given again."""
    settings, command = _read(argv, train_vae.__doc__, VAE_EXAMPLES, VAEConfig, "vae_train.py")
    from dreamduck.world_model.train_vae import train  # loads TensorFlow

    card = train(settings, command)
    for name, found in card["metrics"].items():
        text = f"PSNR {found['psnr']:.2f} dB, SSIM {found['ssim']:.3f}, detail {found['detail']:.0%}"
        print(f"{name.replace('_', ' ')}: {text} of the camera's, over {found['frames']:.0f} frames")
    print(f"weights: {settings.weights}")
    return 0


ENSEMBLE_EXAMPLES = "example:\n  dreamduck train-ensemble --series series --weights weights"
HELD_OUT = {
    "nll": "nats a latent: minus log-likelihood of the next one",
    "reconstruction": "squared error of a latent",
    "kl": "nats: divergence of posterior and prior",
    "reward_correlation": "correlation of predicted and true rewards",
    "end_auc": "area under the ROC curve of the end",
}


def train_rnn(argv: Sequence[str] | None = None) -> int | None:
    """Train the dynamics on a series of encoded episodes.

    Reads `series/series.npz`, writes `weights/rnn.weights.h5` with its card `rnn.json`, where dreams begin
    (`initial_z.json`), and metrics to `log/`. A run that was stopped continues when the same
    command is given again."""
    kind = _asked_kind(argv)
    _refuse_other_kinds(kind, sys.argv[1:] if argv is None else argv)
    options = TRAINING.get(kind, TRAINING[SHIPPED])
    settings, command = _read(argv, train_rnn.__doc__, RNN_EXAMPLES, options, "rnn_train.py", _add_dynamics)
    from dreamduck.world_model.train_rnn import train  # loads TensorFlow

    card = train(settings, command)
    found = card["metrics"]["held_out"]
    for name, text in HELD_OUT.items():
        if name in found:
            value = "no data to measure it" if found[name] is None else f"{found[name]:.4f}"
            print(f"held out: {value} {text}")
    print(f"weights: {settings.weights}")
    return 0


def train_ensemble(argv: Sequence[str] | None = None) -> int | None:
    """Train an ensemble that measures the uncertainty of dynamics that are trained already.

    Reads `series/series.npz` and the dynamics in `weights/`, writes `ensemble.weights.h5`
    with its card there."""
    settings, _ = _read(argv, train_ensemble.__doc__, ENSEMBLE_EXAMPLES, EnsembleConfig, "train-ensemble")
    from dreamduck.world_model.train_ensemble import train  # loads TensorFlow

    found = train(settings).card["metrics"]["held_out"]
    print(
        f"held out: {found['squared_error']:.4f} of a latent's variance: squared error; "
        f"{found['uncertainty']:.4f} standard deviations: disagreement of the heads"
    )
    print(f"weights: {settings.weights}")
    return 0


def _asked_kind(argv: Sequence[str] | None) -> str:
    """The kind that a command line names, or that of the model whose training continues.

    Raises:
        WeightsError: there is no such model, or its card is damaged.
    """
    choice = command_line.Parser(add_help=False)
    choice.add_argument("--dynamics")
    choice.add_argument("--adapt")
    choice.add_argument("--start")
    choice.add_argument("--heads-only", "--heads_only")
    found = choice.parse_known_args(argv)[0]
    if found.dynamics or found.heads_only:
        return str(found.dynamics or MDN_RNN)
    source = found.adapt or found.start
    return WorldModel.load(source).kind if source else SHIPPED


def _refuse_other_kinds(kind: str, argv: Sequence[str]) -> None:
    """Refuse settings that only another kind of dynamics has.

    Args:
        kind: that is trained.
        argv: the command line.

    Raises:
        ConfigError: one is given.
    """
    if kind not in TRAINING:
        return  # argparse names the choices
    words = (word.split("=")[0].removeprefix("--no-") for word in argv if word.startswith("--"))
    given = {word.lstrip("-").replace("_", "-") for word in words} - _flags(TRAINING[kind])
    for other, settings in TRAINING.items():
        if foreign := ", ".join(f"--{name}" for name in sorted(given & _flags(settings))):
            raise ConfigError(
                f"{foreign}: expected --dynamics {other}, got dynamics of the kind {kind}; "
                f"give --dynamics {other}, or leave out {foreign}"
            )


def _flags(settings: type[Any]) -> set[str]:
    """The names of all flags of settings, with hyphens, and without those that lead."""
    names = (
        spelling
        for name, found in config.options(settings).items()
        for spelling in (name, *found.field.metadata.get("flags", ()))
    )
    return {name.lstrip("-").replace("_", "-") for name in names}


def _add_dynamics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dynamics",
        choices=tuple(TRAINING),
        help=f"kind of the dynamics, with settings of its own (default: {SHIPPED}; with --adapt that of "
        f"its model, with --heads-only {MDN_RNN})",
    )


def _read(
    argv: Sequence[str] | None,
    about: str | None,
    examples: str,
    settings: type[Config],
    script: str,
    add_more: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
) -> tuple[Config, str]:
    """The settings that a command line asks for, and the command line for the card."""
    parser = command_line.parser(inspect.cleandoc(about or ""), examples)
    add_more(parser)
    config.add_arguments(parser, settings)
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    given: list[str] = sys.argv[1:] if argv is None else list(argv)
    return config.from_arguments(settings, arguments), shlex.join([script, *given])
