"""The whole way, small: record, train both models, dream, evolve a little, drive, look.

Takes under 10 minutes on two cores and leaves everything in `demo/`: `demo.png` (the road, what the
VAE makes of it, a dream), `drive.mp4` (the evolved controller on the road) and `dream.mp4` (the same in
the dream). What comes out is a demonstration of the way, not of how well it can be driven; `make
reproduce` does that. A demo that was stopped goes on where it was."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVS = ROOT / "dreamduck" / "envs"
CONTROLLER = "rnnenv.cma.8.32.json"


def stages(folder: Path, simulator: str) -> dict[str, str]:
    """What is run, one process each: the command line of each stage, without the interpreter."""
    records, weights, log = folder / "records", folder / "weights", folder / "log"
    series, controller = folder / "series", log / CONTROLLER
    model = f"--weights {weights} --simulator {simulator} --max-steps 200"
    return {
        "record": f"{ENVS}/extract.py --records {records} --log {log} --max-trials 120 --max-frames 100 "
        f"--simulator {simulator}",
        "vision": f"{ENVS}/vae_train.py --records {records} --weights {weights} --log {log} --epochs 10 "
        "--learning-rate 0.001 --batch-size 50 --max-steps 600 --schedule cosine --kl-tolerance 2",
        "series": f"{ENVS}/series.py --records {records} --weights {weights} --series {series}",
        "memory": f"{ENVS}/rnn_train.py --series {series} --weights {weights} --log {log} --steps 150 "
        "--evaluate-every 50",
        "evolve": f"{ENVS}/train.py rnnenv --weights {weights} --log {log} -n 32 --num-episode 8 "
        "--generations 30",
        "drive": f"{ENVS}/model.py realenv render {controller} 0 {model} --video {folder}/drive.mp4",
        "dream": f"{ENVS}/model.py rnnenv render {controller} 0 --weights {weights} --max-steps 200 "
        f"--video {folder}/dream.mp4",
        "picture": f"{ROOT}/scripts/demo_picture.py {folder}",
    }


def main() -> int:
    """Run every stage; a stage that fails ends the demo with its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where everything goes")
    parser.add_argument("--simulator", default="native", choices=("native", "gym-duckietown"))
    arguments = parser.parse_args()
    begin = time.monotonic()
    for name, command in stages(arguments.folder, arguments.simulator).items():
        print(f"\n== {name}: python {command}", flush=True)
        code = subprocess.run([sys.executable, *shlex.split(command)], check=False).returncode
        if code:
            print(f"error: the stage '{name}' ended with exit code {code}", file=sys.stderr)
            return code
    minutes = (time.monotonic() - begin) / 60
    print(f"\nDone in {minutes:.1f} minutes: demo.png, drive.mp4, dream.mp4 in {arguments.folder}/.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
