"""The folder that `dreamduck deploy` writes: the policy, its contract, the runner, the submission."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dreamduck.common.errors import ConfigError
from dreamduck.common.readers import PathLike
from dreamduck.common.storage import copy_file, replacing, write_json
from dreamduck.deployment import contract
from dreamduck.deployment.policy import POLICY
from dreamduck.deployment.policy_graph import WheelConfig, policy_graph
from dreamduck.deployment.policy_source import PolicySource
from dreamduck.deployment.runner import WAIT

CONTRACT = "contract.json"
RUNNER, SUBMISSION = "run.py", "submission"
HERE = Path(__file__).parent
SUBMISSION_FILES = (
    "Dockerfile",
    "submission.yaml",
    "config.yaml",
    "dependencies.txt",
    "solution/__init__.py",
    "solution/main.py",
)


def write_folder(source: PolicySource, folder: PathLike, wheels: WheelConfig, opset: int) -> dict[str, Any]:
    """Write everything that a robot needs.

    Args:
        source: the policy and what it needs.
        folder: to write to.
        wheels: of the robot.
        opset: of the ONNX file.
    Returns:
        The contract.
    Raises:
        ConfigError: the folder holds something else, or the policy's steps are too long.
    """
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONTRACT).exists():
        raise ConfigError(
            f"{folder}: expected a new or empty folder, or one of dreamduck deploy; choose another --out"
        )
    about = contract.describe(
        source.environment, source.facts, source.fingerprints(), source.state_size, opset, wheels
    )
    if 1 / about["rate"] >= WAIT:
        raise ConfigError(
            f"frame_skip: expected steps of less than {WAIT} s, after which the runner stops the wheels, "
            f"got {1 / about['rate']:.2g} s; train a policy of a smaller frame skip"
        )
    data = policy_graph(source, wheels, opset, about)
    for path in (folder / POLICY, folder / SUBMISSION / "models" / POLICY):
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    copies = {RUNNER: "runner.py"} | {
        f"{SUBMISSION}/{name}": f"submission/{name}" for name in SUBMISSION_FILES
    }
    for name, origin in copies.items():
        copy_file(HERE / origin, folder / name)
    write_json(folder / CONTRACT, about)
    return about
