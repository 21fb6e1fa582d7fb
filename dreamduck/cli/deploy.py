"""Write a policy as one file that drives a robot: `dreamduck deploy`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dreamduck.common import command_line
from dreamduck.common.config import add_arguments, from_arguments
from dreamduck.deployment.engine import EngineConfig, drive_submission
from dreamduck.deployment.folder import SUBMISSION, write_folder
from dreamduck.deployment.policy_graph import OPSETS, WheelConfig
from dreamduck.deployment.policy_source import read_source

DESCRIPTION = """Write a policy as one ONNX file that drives a Duckiebot.

A camera's frame goes in, the duty of two wheels comes out. The folder holds the file, its contract, a
runner that needs onnxruntime and numpy alone, and a submission for the AI Driving Olympics."""
EXAMPLES = """examples:
  dreamduck deploy log/rnnenv.cma.32.64.best.json --out robot
  dreamduck deploy agent.zip --trim 0.03
  dreamduck deploy agent.zip --check               # and test it in the simulator
  python robot/run.py --source frames --dry-run    # print its commands for these frames"""


def main(argv: Sequence[str] | None = None) -> int | None:
    """Write the folder."""
    parser = command_line.parser(DESCRIPTION, EXAMPLES)
    parser.add_argument("controller", help="a controller's file of evolve, or an agent's of rl")
    parser.add_argument("--out", default="robot", help="folder to write to (default: robot)")
    parser.add_argument(
        "-w", "--weights", default="", help="folder of the world model; the one that ships by default"
    )
    parser.add_argument(
        "--opset",
        type=int,
        choices=OPSETS,
        default=OPSETS[0],
        help="opset of ONNX (default: 13, which older robots run)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="run the submission for one episode of 30 s in the simulator, with the mock engine",
    )
    add_arguments(parser, WheelConfig)
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    wheels = from_arguments(WheelConfig, arguments)
    source = read_source(arguments.controller, arguments.weights)
    about = write_folder(source, arguments.out, wheels, arguments.opset)
    print(f"wrote {arguments.out}: {about['policy']['kind']}, {about['rate']:g} steps a second")
    if arguments.check:
        (result,) = drive_submission(Path(arguments.out) / SUBMISSION, [0], EngineConfig(max_steps=300))
        print(
            f"drove {result.distance:.1f} m in {result.steps} steps{result.end and f', then {result.end}'}"
        )
    return None
