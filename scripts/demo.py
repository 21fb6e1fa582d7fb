"""All stages, small: record, train both models, dream, evolve a controller, drive, compare.

Takes 7 to 9 minutes on two quiet cores and leaves everything in `demo/`: `demo.png` (recorded frames, and
reconstructed and continued by this demo's model and the one that ships), `report.json` (metrics of
both), `drive.mp4` (the evolved controller on the road) and `dream.mp4` (the same in the dream). The
speed of the machine is measured first, and decides how long the models train. `make reproduce` trains for
hours, and its controllers drive well. A demo that was stopped continues where it stopped."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVS = ROOT / "dreamduck" / "envs"
CONTROLLER = "rnnenv.cma.8.32.json"
PLAN = "plan.json"
LIMIT = 8.0  # [min] planned for all steps; the limit is ten
OTHERS = 110.0  # [s] that the stages beside the two trainings take on two quiet cores
QUIET = 0.06  # [s] a step of the VAE's training on two quiet cores
VAE_SHARE = 0.4  # of the time for both trainings
LEAST = {"vae": 150, "rnn": 100}  # steps; fewer teach nothing
MOST = {"vae": 20_000, "rnn": 20_000}


def plan_steps(seconds: dict[str, float], limit: float) -> dict[str, int]:
    """How many steps both trainings take.

    Args:
        seconds: that a step of each takes on this machine, by `demo_speed.py`.
        limit: of the whole demo [min].
    """
    pace = max(1.0, seconds["vae"] / QUIET)
    left = max(0.0, 60 * limit - OTHERS * pace)
    shares = {"vae": VAE_SHARE, "rnn": 1 - VAE_SHARE}
    return {
        name: min(MOST[name], max(LEAST[name], int(share * left / seconds[name])))
        for name, share in shares.items()
    }


def stages(folder: Path, simulator: str, steps: dict[str, int]) -> dict[str, str]:
    """The command line of each stage, without the interpreter; each runs in a process of its own.

    Args:
        steps: of both trainings, as `plan_steps` gives them.
    """
    records, weights, log = folder / "records", folder / "weights", folder / "log"
    series, controller = folder / "series", log / CONTROLLER
    model = f"--weights {weights} --simulator {simulator} --max-steps 200"
    every = max(50, steps["rnn"] // 5)
    return {
        "record": f"{ENVS}/extract.py --records {records} --log {log} --max-trials 240 --max-frames 100 "
        f"--simulator {simulator}",
        "vae": f"{ENVS}/vae_train.py --records {records} --weights {weights} --log {log} --epochs 1000 "
        f"--learning-rate 0.001 --batch-size 50 --max-steps {steps['vae']} --schedule cosine "
        "--kl-tolerance 2",
        "series": f"{ENVS}/series.py --records {records} --weights {weights} --series {series}",
        "rnn": f"{ENVS}/rnn_train.py --series {series} --weights {weights} --log {log} "
        f"--steps {steps['rnn']} --hidden-size 256 --sequence 50 --evaluate-every {every}",
        "evolve": f"{ENVS}/train.py rnnenv --weights {weights} --log {log} -n 32 --num-episode 8 "
        "--generations 30 --max-steps 40",
        "drive": f"{ENVS}/model.py realenv render {controller} 0 {model} --video {folder}/drive.mp4",
        "dream": f"{ENVS}/model.py rnnenv render {controller} 0 --weights {weights} --max-steps 200 "
        f"--video {folder}/dream.mp4",
        "picture": f"{ROOT}/scripts/demo_picture.py {folder}",
    }


def read_plan(folder: Path, limit: float) -> dict[str, int]:
    """The steps of both trainings: those of a demo that was stopped, or what this machine can do."""
    path = folder / PLAN
    if path.is_file():
        return {name: int(count) for name, count in json.loads(path.read_text()).items()}
    print("== speed: of this machine", flush=True)
    command = [sys.executable, str(ROOT / "scripts" / "demo_speed.py")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    steps = plan_steps(json.loads(done.stdout), limit)
    print(f"the VAE trains for {steps['vae']} steps, the dynamics for {steps['rnn']}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(steps))
    return steps


def main() -> int:
    """Run every stage; a stage that fails ends the demo with its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="folder for all files")
    parser.add_argument("--simulator", default="native", choices=("native", "gym-duckietown"))
    parser.add_argument(
        "--minutes", type=float, default=LIMIT, help="time limit of the demo (default: %(default)s)"
    )
    arguments = parser.parse_args()
    begin = time.monotonic()
    steps = read_plan(arguments.folder, arguments.minutes)
    for name, command in stages(arguments.folder, arguments.simulator, steps).items():
        print(f"\n== {name}: python {command}", flush=True)
        code = subprocess.run([sys.executable, *shlex.split(command)], check=False).returncode
        if code:
            print(f"error: the stage '{name}' ended with exit code {code}", file=sys.stderr)
            return code
    minutes = (time.monotonic() - begin) / 60
    print(f"Done in {minutes:.1f} minutes: demo.png, drive.mp4, dream.mp4 in {arguments.folder}/.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
