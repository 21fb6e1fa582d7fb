"""A pipeline of commands, each in a process of its own, that resumes where it was stopped.

A stage is done when its command has ended well; a stamp then says
with which arguments, over which inputs, and how long it took. Another command, or another input, makes it
and all after it run again. The commands are restartable themselves, so a kill costs little."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import logging
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dreamduck.common.errors import ConfigError, TrainingError
from dreamduck.common.processes.workers import child_environment
from dreamduck.common.storage import fingerprint, read_json, write_json

log = logging.getLogger(__name__)

PACKAGE = Path(__file__).parent.parent
TIMES = ("seconds", "seconds_before")  # in a stamp
SAVE_INTERVAL = 10.0  # [s] between two writes of a running stage's time


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
        CheckpointError: a stamp is damaged.
        TrainingError: a command failed, left out what it should have made, or still runs from an earlier
            start.
    """
    seconds, chain = {}, ""
    for number, stage in enumerate(stages, 1):
        stamp = folder / "stamps" / f"{stage.name}.json"
        found = _read_stamp(stamp)
        chain = _link(chain, stage)
        if not is_done(stage, found, chain):
            log.info("stage %d of %d, %s: %s", number, len(stages), stage.name, shlex.join(stage.command))
            before = float(found.get("seconds_before", 0.0)) if found.get("chain") == chain else 0.0
            found = _run(stage, before, stamp, chain)
        else:
            log.info("stage %d of %d, %s: done already", number, len(stages), stage.name)
        seconds[stage.name] = float(found["seconds"])
    return seconds


def _read_stamp(path: Path) -> dict[str, Any]:
    """The content of a stamp; empty where there is none.

    Raises:
        ConfigError: it is damaged.
    """
    remedy = "delete it to run the stage again"
    if not os.path.lexists(path):
        return {}
    found = read_json(path, ConfigError, remedy)
    times: list[Any] = [found.get(key, 0.0) for key in TIMES] if isinstance(found, dict) else [None]
    if not all(type(seconds) in (int, float) and seconds >= 0 for seconds in times):
        raise ConfigError(f"{path}: expected a stage's stamp; {remedy}")
    return dict(found)


def is_done(stage: Stage, stamp: dict[str, Any], chain: str) -> bool:
    """Whether a stamp is of this very command, over these very inputs and commands before it."""
    return (
        stamp.get("chain") == chain and "seconds" in stamp and all(path.exists() for path in stage.outputs)
    )


def _link(chain: str, stage: Stage) -> str:
    """A fingerprint of a stage's command, its inputs, and all that came before."""
    inputs = {path.name: fingerprint(path) for path in stage.inputs if path.exists()}
    text = json.dumps([chain, stage.command, inputs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextlib.contextmanager
def _alone(stamp: Path) -> Iterator[int]:
    """Hold a stage's lock; the command holds it too, should the pipeline alone be killed.

    Yields:
        The lock's file descriptor.
    """
    path = stamp.with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666), "r+b", 0) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise TrainingError(
                f"stage {stamp.stem}: it still runs, from a start before this one ({path} is locked); "
                "wait for its end, or stop it, and start again"
            ) from err
        yield lock.fileno()


def _start(stage: Stage, lock: int) -> subprocess.Popen[bytes]:
    """Start a command that holds the lock, and that ends when this process does."""
    return subprocess.Popen(stage.argv, pass_fds=[lock], env=child_environment())


def _run(stage: Stage, before: float, stamp: Path, chain: str) -> dict[str, Any]:
    started = time.monotonic()
    facts = {"command": list(stage.command), "chain": chain}
    code = None

    def spent() -> float:
        return round(before + time.monotonic() - started, 3)

    with _alone(stamp) as lock, _start(stage, lock) as process:
        try:
            while code is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = process.wait(SAVE_INTERVAL)
                # The time of a stopped stage counts when it resumes; a kill leaves no time to write it.
                write_json(stamp, {**facts, "seconds_before": spent()})
        except BaseException:
            process.kill()
            raise
    if code != 0:
        raise TrainingError(
            f"stage {stage.name}: {shlex.join(stage.command)} ended with exit code {code}; "
            "its last output is above; start again to resume, or use another folder for other settings"
        )
    missing = [str(path) for path in stage.outputs if not path.exists()]
    if missing:
        raise TrainingError(f"stage {stage.name}: expected {', '.join(missing)} from {stage.command[0]}")
    done = {**facts, "seconds": spent()}
    write_json(stamp, done)
    return done
