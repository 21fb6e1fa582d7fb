"""Make the images of README and docs again, with the weights that ship: `python scripts/media.py`.

Each is a figure of `dreamduck figure`, in `media/`, under 1 MB: larger GIFs are made smaller. `media.json`
holds the commands."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path
from typing import Any

from dreamduck.common.errors import ConfigError
from dreamduck.common.storage import read_json, write_json

ROOT = Path(__file__).resolve().parent.parent
FACTS = "media.json"
LIMIT = 1_000_000  # bytes
CONTROLLER = "--policy controller --panels true,reconstructed,map"
FIGURES = {
    "real_and_dream.gif": "split --steps 60",
    "steering.gif": "steering --steps 20",
    "temperatures.png": "temperatures --steps 60 --every 20",
    "controller.gif": f"picture {CONTROLLER} --steps 60",
    "dream.gif": "dream --steps 69",
    "drive.gif": "picture --panels true,map --steps 60",
    "worlds.png": "strip --panels true,reconstructed,dreamt --steps 60 --every 30",
    "v0.png": "picture --panels true --steps 20",
    "v1.png": "picture --panels reconstructed --steps 20",
    "v2.png": "picture --panels dreamt --steps 20",
}


def main() -> None:
    """Make every image, or those that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help=f"images to make, of {', '.join(FIGURES)}; all by default")
    names = parser.parse_args().names or list(FIGURES)
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        parser.error(f"expected some of {', '.join(FIGURES)}, got {unknown[0]}")
    from dreamduck.common.video import shrink_gif
    from dreamduck.figures.command import figure
    from dreamduck.figures.config import FigureConfig

    os.chdir(ROOT)  # commands name files of the repository
    road = FigureConfig().road
    shown: dict[str, Any] = {}
    with contextlib.suppress(ConfigError):
        shown = read_json(f"media/{FACTS}")
    steps, figures = shown.get("steps", {}), shown.get("figures", {})
    for name in names:
        path, made, facts = figure([*FIGURES[name].split(), "--out", f"media/{name}"])
        if path.suffix == ".gif":
            shrink_gif(path, 1 / road.step_time, LIMIT)
        size = path.stat().st_size
        print(f"{path}: {size} bytes")
        if size > LIMIT:
            raise SystemExit(f"{path}: expected at most {LIMIT} bytes, got {size}")
        figures[name] = {"shows": made.text, **facts}
        if path.suffix == ".gif":
            steps[path.stem] = made.frames
        shown = {
            "temperature": made.temperature,
            "start_angle": road.simulation.start_angle,
            "fps": 1 / road.step_time,
            "steps": steps,
            "weights": dict(made.model.card.fingerprints),
            "figures": figures,
        }
    write_json(f"media/{FACTS}", shown)


if __name__ == "__main__":
    main()
