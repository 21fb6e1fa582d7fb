"""Drives a Duckiebot with the policy.onnx beside this file; onnxruntime and numpy are all it needs.

  python run.py --source FOLDER              frames on disk: .npy, or .png, .jpg, .bmp (with Pillow)
  ffmpeg -i VIDEO -r 10 -f rawvideo -pix_fmt rgb24 - | python run.py --source - --size 640x480
  python run.py --robot NAME [--go]          camera and wheels (duckietown-sdk); only --go moves them
A second process has the wheels, and stops them when no duty comes for 0.3 s, even if this one is killed."""

import argparse
import atexit
import importlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

WAIT = 0.3  # [s] without a duty, until the wheels stop


def run_wheels(options: argparse.Namespace) -> None:
    """The second process: lines "left right" on standard input become limited duties, until it ends."""
    driver = component(options, "motors") if options.go else None
    if driver is not None:
        atexit.register(driver.stop)
    duty, ready, data = np.zeros(2), False, b""
    while data or not ready:  # until the first process ends
        data = os.read(0, 65536) if (ready := bool(select.select([0], [], [], WAIT)[0])) else b""
        for line in (data.splitlines() or [b""])[-1 if driver else 0 :]:  # the wheels get the newest
            before, duty = duty, limited(line, duty, options)
            if driver is None:
                print(*(f"{one:+.4f} [{'=' * round(abs(one) * 20):20}] " for one in duty), flush=True)
            else:
                driver.set_pwm(*duty.tolist())
            if not line and before.any():  # printed afterwards: a terminal may block
                print("wheels stopped:", "the end" if ready else f"no frame for {WAIT} s", file=sys.stderr)


def limited(line: bytes, duty: Any, options: argparse.Namespace) -> Any:
    """The duty (2,) after one, as a line wants it; zeros where that is anything but two numbers."""
    if not re.fullmatch(rb"-?\d+\.\d+ -?\d+\.\d+", line):
        return np.zeros(2)
    near = np.clip(np.array(line.split(), float), duty - options.slew, duty + options.slew)
    return np.clip(near, -options.limit, options.limit)


def component(options: argparse.Namespace, name: str) -> Any:
    """The camera or the motors of the robot, by duckietown-sdk, started."""
    sdk = importlib.import_module("duckietown.sdk.robots.duckiebot")
    (found := getattr(sdk.DB21J(options.robot, host=options.host), name)).start()
    return found


def frames(options: argparse.Namespace) -> Any:
    """Frames of the source, (H, W, 3) uint8 RGB; None where none came."""
    if options.source == "-":
        width, height = map(int, options.size.split("x"))
        while len(data := sys.stdin.buffer.read(3 * width * height)) == 3 * width * height > 0:
            yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
    elif options.source:
        at = Path(options.source)
        named = [([float(n) for n in re.findall(r"\d+\.?\d*", f.stem)], f) for f in at.glob("*")]
        for _, file in sorted(named) or [([], at)]:
            if file.suffix == ".npy":
                try:
                    array = np.load(file, mmap_mode="r", allow_pickle=False)
                except Exception as err:
                    raise ValueError(f"{file}: expected an array of numpy ({err}); write it again") from err
                yield from array if array.ndim == 4 else [array]
            elif file.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp"):
                yield np.asarray(importlib.import_module("PIL.Image").open(file).convert("RGB"))
    else:
        camera = component(options, "camera")
        while True:
            image = camera.capture(block=True, timeout=1.0)
            step = 1 if sys.platform == "darwin" else -1  # elsewhere it gives BGR
            yield None if image is None else np.ascontiguousarray(image[..., ::step])


def drive(options: argparse.Namespace, send: Any) -> None:
    """The first process: frames in, duties out, at the policy's rate."""
    onnxruntime = importlib.import_module("onnxruntime")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.log_severity_level = 3  # errors; it warns of the calibration, which may be given
    policy = onnxruntime.InferenceSession(options.policy.read_bytes(), settings)
    contract = json.loads(policy.get_modelmeta().custom_metadata_map.get("dreamduck_contract", "{}"))
    if not {"state_size", "calibration", "rate"} <= {*contract}:
        raise ValueError(f"{options.policy}: expected a file of dreamduck deploy, got one without contract")
    state, duty, due = np.zeros((1, contract["state_size"]), np.float32), None, time.monotonic()
    own = {"calibration": np.array(options.calibration or contract["calibration"], np.float32)}
    for frame in frames(options):
        if frame is None or frame.dtype != np.uint8 or frame.shape[2:] != (3,) or not frame.size:
            print("frame skipped: expected (H, W, 3) uint8", file=sys.stderr)
        else:
            duty, state = policy.run(["duty", "state_next"], {**own, "frame": frame[None], "state": state})
            if not (np.isfinite(duty).all() and np.isfinite(state).all()):
                raise ValueError("the policy gave a number that is not finite")
            send(b"%.6f %.6f\n" % tuple(duty[0]))
        due = max(due + 1 / contract["rate"], time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
    if duty is None:
        raise ValueError(f"{options.source}: expected frames (see --help), found none")


def main() -> None:
    """Drive until the frames end, or a signal comes."""
    add = (parser := argparse.ArgumentParser(usage=__doc__)).add_argument
    add("--policy", type=Path, default=Path(__file__).with_name("policy.onnx"))
    add("--source", help="a folder, a .npy file, or - for raw frames; the robot's camera by default")
    add("--size", default="640x480", help="size of raw frames")
    add("--robot", help="name of the Duckiebot")
    add("--host", help="address of the Duckiebot; NAME.local by default")
    add("--calibration", nargs=2, type=float, metavar=("GAIN", "TRIM"), help="instead of the policy's own")
    add("--limit", type=float, default=1.0, help="greatest duty of a wheel")
    add("--slew", type=float, default=1.0, help="greatest change of a duty from frame to frame")
    add("--go", action="store_true", help="move the wheels of the robot")
    add("--dry-run", action="store_true", help="print and draw only, as without --go")
    add("--wheels", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not (options.source or options.robot) or (options.go and (options.dry_run or not options.robot)):
        parser.error("expected --source or --robot; --go only with --robot, and without --dry-run")
    if not (0 <= options.limit <= 1 and 0 <= options.slew <= 1 and re.fullmatch(r"\d+x\d+", options.size)):
        parser.error("expected --limit and --slew from 0 to 1, and a --size such as 640x480")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if options.wheels else lambda which, _: sys.exit(128 + which))
    if options.wheels:
        return run_wheels(options)
    command = [sys.executable, __file__, "--wheels", *sys.argv[1:]]
    second: Any = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True)
    try:
        with second:
            return drive(options, second.stdin.write)
    finally:
        if second.returncode and options.go:  # killed or failed, before it could stop the wheels
            subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    try:
        main()
    except Exception as err:  # the libraries' errors have no common class
        print("error:", *str(err).split(), file=sys.stderr)
        sys.exit(2)
