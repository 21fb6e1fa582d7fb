"""Train the VAE on recorded episodes.

Reads `records/`, writes `weights/vae.weights.h5` with its card `vae.json`, and metrics and pictures to
`log/`. A run that was stopped goes on where it was when the same command is given again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from dreamduck.common import command_line, config
from dreamduck.world_model.vae.settings import TrainingConfig

EXAMPLES = """examples:
  dreamduck train-vae --records records --weights weights
  dreamduck train-vae --limit 20 --epochs 1 --max-steps 50      (a small run)
  tensorboard --logdir log/tensorboard
"""


def main(argv: Sequence[str] | None = None) -> int | None:
    """Train, and print how good the result is."""
    parser = command_line.parser(__doc__ or "", EXAMPLES)
    config.add_arguments(parser, TrainingConfig)
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    settings = config.from_arguments(TrainingConfig, arguments)
    from dreamduck.world_model.train_vae import train  # loads TensorFlow

    given = sys.argv[1:] if argv is None else list(argv)
    card = train(settings, shlex.join(["vae_train.py", *given]))
    for name, found in card["metrics"].items():
        text = f"PSNR {found['psnr']:.2f} dB, SSIM {found['ssim']:.3f} over {found['frames']:.0f} frames"
        print(f"{name.replace('_', ' ')}: {text}")
    print(f"weights: {arguments.weights}")
    return 0
