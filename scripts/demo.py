"""The whole way, small: record, train both models, dream, evolve a little, drive, look.

Takes under 10 minutes on two cores and leaves everything in `demo/`: `demo.png` (the road, what the
VAE makes of it, a dream) and `drive.mp4` (the evolved controller on the road). What comes out is a
demonstration of the way, not of how well it can be driven; `make reproduce` does that."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVS = ROOT / "dreamduck" / "envs"


def stages(folder: Path, simulator: str) -> list[tuple[str, list[str]]]:
    """What is run, one process each: (name, command line without the interpreter)."""
    records, weights, log = folder / "records", folder / "weights", folder / "log"
    series = folder / "series" / "series.npz"
    controller = log / "rnnenv.cma.4.8.json"
    script = {name: str(ENVS / f"{name}.py") for name in ("extract", "vae_train", "series", "rnn_train")}
    return [
        (
            "record",
            [script["extract"], "--records", str(records), "--max-trials", "120", "--simulator", simulator],
        ),
        (
            "vision",
            [script["vae_train"], "--records", str(records), "--weights", str(weights), "--epochs", "2"],
        ),
        (
            "series",
            [script["series"], "--records", str(records), "--weights", str(weights), "--series", str(series)],
        ),
        (
            "memory",
            [script["rnn_train"], "--series", str(series), "--weights", str(weights), "--epochs", "12"],
        ),
        (
            "evolve",
            [
                *(str(ENVS / "train.py"), "--env", "rnnenv", "--weights", str(weights), "--log", str(log)),
                *("-n", "8", "--num_episode", "4", "--generations", "10"),
            ],
        ),
        (
            "drive",
            [
                *(str(ENVS / "model.py"), "realenv", "render", str(controller), "--weights", str(weights)),
                *("--simulator", simulator, "--video", str(folder / "drive.mp4")),
            ],
        ),
        ("picture", [str(ROOT / "scripts" / "demo_picture.py"), str(folder)]),
    ]


def main() -> int:
    """Run every stage; a stage that fails ends the demo with its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where everything goes")
    parser.add_argument("--simulator", default="native", choices=("native", "gym-duckietown"))
    arguments = parser.parse_args()
    begin = time.monotonic()
    for name, command in stages(arguments.folder, arguments.simulator):
        print(f"\n== {name}: python {shlex.join(command)}", flush=True)
        code = subprocess.run([sys.executable, *command], check=False).returncode
        if code:
            print(f"error: the stage '{name}' ended with exit code {code}", file=sys.stderr)
            return code
    minutes = (time.monotonic() - begin) / 60
    print(f"\nDone in {minutes:.1f} minutes. Look at {arguments.folder}/demo.png and drive.mp4.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
