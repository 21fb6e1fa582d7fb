"""Make the probe of the lane position that the page's meter and the evaluation card read.

    python scripts/lane_probe.py --records records [--weights FOLDER] [--episodes 400]

Reads recordings with telemetry, and writes `lane_probe.json` beside the world model's weights."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from dreamduck.common.errors import RecordError
from dreamduck.evaluation.lane_probe import FILE, LaneProbe
from dreamduck.recordings import find_recordings
from dreamduck.world_model import WorldModel


def main() -> None:
    """Make the probe."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, required=True, help="folder of recordings")
    parser.add_argument(
        "--weights", type=Path, default=None, help="world model; default: the one that ships"
    )
    parser.add_argument(
        "--episodes", type=int, default=400, help="how many episodes to read (default: 400)"
    )
    arguments = parser.parse_args()
    model = WorldModel.load(arguments.weights)
    try:
        probe = LaneProbe.from_recordings(
            model, find_recordings(arguments.records).paths, arguments.episodes
        )
    except RecordError as err:
        parser.error(f"--records: {err}")
    probe.write(model.folder / FILE)
    offset, angle = probe.error
    print(f"mean absolute error: {100 * offset:.1f} cm, {np.degrees(angle):.1f} degrees")


if __name__ == "__main__":
    main()
