"""Encode recorded episodes: every frame becomes mu and logvar, and all episodes one file.

Reads `records/` and the VAE in `weights/`, writes `series/series.npz`."""

from __future__ import annotations

from collections.abc import Sequence

from dreamduck.common import command_line
from dreamduck.world_model import WorldModel

EXAMPLES = """examples:
  dreamduck encode --records records --weights weights --series series
  dreamduck encode --limit 20                    (a small run)
"""


def main(argv: Sequence[str] | None = None) -> int | None:
    """Encode, and print what was written."""
    parser = command_line.parser(__doc__ or "", EXAMPLES)
    parser.add_argument("--records", default="records", help="folder of episodes (default: records)")
    parser.add_argument("--weights", default="weights", help="folder of the VAE (default: weights)")
    parser.add_argument("--series", default="series", help="file or folder to write to (default: series)")
    parser.add_argument("--limit", type=int, help="greatest number of episodes to use")
    parser.add_argument("--fresh", action="store_true", help="encode again where the series exists")
    arguments = parser.parse_args(argv)
    if arguments.limit is not None and arguments.limit < 1:
        parser.error(f"argument --limit: expected at least 1, got {arguments.limit}")
    command_line.start_logging(arguments)
    from dreamduck.world_model.latents.encoding import make_series  # loads TensorFlow

    vae = WorldModel.load(arguments.weights).vae
    series = make_series(arguments.records, vae, arguments.series, arguments.limit, arguments.fresh)
    size = f"{len(series.mu)} frames of {len(series)} episodes, z {series.z_size}"
    print(f"{size}, {int(series.done.sum())} true ends; {arguments.series}")
    return 0
