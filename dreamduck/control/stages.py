"""A pipeline of commands, each in a process of its own, that goes on where it was stopped.

Flow: [stages] -> reproduce, loop. A stage is done when its command has ended well; a stamp then says
with which words, over which inputs, and how long it took. Another command, or another input, makes it
and all after it run again. The commands are restartable themselves, so a kill costs little."""

from __future__ import annotations

import dataclasses
import logging
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamduck.errors import TrainingError
from dreamduck.storage import fingerprint, read_json, write_json

log = logging.getLogger(__name__)

PACKAGE = Path(__file__).parent.parent


@dataclasses.dataclass(frozen=True)
class Stage:
    """One command of a pipeline.

    Attributes:
        name: of its stamp.
        command: a script under `dreamduck/envs` or a module, and its arguments.
        inputs: files it reads that are made before it.
        outputs: files that must be there after it.
    """

    name: str
    command: tuple[str, ...]
    inputs: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()

    @property
    def argv(self) -> list[str]:
        """What is started: this Python, and the script by its path or the module by its name."""
        first, *rest = self.command
        if first.endswith(".py"):
            return [sys.executable, str(PACKAGE / "envs" / first), *rest]
        return [sys.executable, "-m", first, *rest]


def run_stages(stages: Sequence[Stage], folder: Path) -> dict[str, float]:
    """Run all stages that are not done.

    Args:
        folder: where the stamps lie.
    Returns:
        Seconds that each stage took, when it was run.
    Raises:
        TrainingError: a command failed, or left out what it should have made.
    """
    seconds = {}
    for number, stage in enumerate(stages, 1):
        stamp = folder / "stamps" / f"{stage.name}.json"
        found = read_json(stamp) if stamp.exists() else {}
        if not is_done(stage, found):
            log.info("stage %d of %d, %s: %s", number, len(stages), stage.name, shlex.join(stage.command))
            found = _run(stage, float(found.get("seconds_before", 0.0)), stamp)
        else:
            log.info("stage %d of %d, %s: done already", number, len(stages), stage.name)
        seconds[stage.name] = float(found["seconds"])
    return seconds


def is_done(stage: Stage, stamp: dict[str, Any]) -> bool:
    """Whether a stamp is of this very command over these very inputs, and its outputs are still there."""
    return (
        stamp.get("command") == list(stage.command)
        and stamp.get("inputs") == _fingerprints(stage.inputs)
        and "seconds" in stamp
        and all(path.exists() for path in stage.outputs)
    )


def _run(stage: Stage, before: float, stamp: Path) -> dict[str, Any]:
    started = time.monotonic()
    facts = {"command": list(stage.command), "inputs": _fingerprints(stage.inputs)}
    code = None
    try:
        code = subprocess.run(stage.argv, check=False).returncode
    finally:
        spent = before + time.monotonic() - started
        if code != 0:
            # What a stopped stage took counts, when it goes on.
            write_json(stamp, {**facts, "seconds_before": spent})
    if code != 0:
        raise TrainingError(
            f"stage {stage.name}: {shlex.join(stage.command)} ended with exit code {code}; "
            "its last words are above; start again to go on"
        )
    missing = [str(path) for path in stage.outputs if not path.exists()]
    if missing:
        raise TrainingError(f"stage {stage.name}: expected {', '.join(missing)} from {stage.command[0]}")
    done = {**facts, "seconds": round(spent, 1)}
    write_json(stamp, done)
    return done


def _fingerprints(paths: Sequence[Path]) -> dict[str, str]:
    return {path.name: fingerprint(path) for path in paths if path.exists()}
